# expect: value [403,true,true]
import urllib.request
try:
    urllib.request.urlopen('http://UNLISTED/')
    found = 'reached'
except urllib.error.HTTPError as error:
    text = error.read().decode()
    found = [error.code, text.startswith('UNLISTED may not be reached: limits.network of this run has'),
             'LISTED' in text and 'in the config' in text]
found
