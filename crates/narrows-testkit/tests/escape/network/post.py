# expect: value ["300000","chunks of 60000"]
import http.client, urllib.request
whole = urllib.request.urlopen('http://LISTED/', data=b'x' * 300_000).read().decode()
proxy = http.client.HTTPConnection('127.0.0.1', 3128)
proxy.request('POST', 'http://LISTED/', body=(b'y' * 1000 for _ in range(60)), encode_chunked=True,
              headers={'Transfer-Encoding': 'chunked'})
[whole, proxy.getresponse().read().decode()]
