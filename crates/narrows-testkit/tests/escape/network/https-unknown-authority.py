# expect: value true
import ssl, urllib.request
try:
    urllib.request.urlopen('https://SECURE/')
    told = 'nothing'
except urllib.error.URLError as error:
    told = str(error)
'CERTIFICATE_VERIFY_FAILED' in told
