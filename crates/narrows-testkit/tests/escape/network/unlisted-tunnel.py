# expect: value true
import urllib.request
try:
    urllib.request.urlopen('https://UNLISTED/')
    told = 'reached'
except OSError as error:
    told = str(error)
'403 UNLISTED may not be reached' in told
