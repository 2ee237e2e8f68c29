# expect: value [403,true]
# `localhost` is in the list, as a name that leads inside; its address at that port is not.
import urllib.request
try:
    urllib.request.urlopen('http://REBOUND/')
    found = 'reached'
except urllib.error.HTTPError as error:
    found = [error.code, 'of this machine or of its own network' in error.read().decode()]
found
