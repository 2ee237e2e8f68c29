# expect: value 403
import urllib.request
try:
    urllib.request.urlopen('http://LISTED/away/UNLISTED/')
    code = 'reached'
except urllib.error.HTTPError as error:
    code = error.code
code
