# expect: value [[],"LISTED"]
# Its network tells who it is; whatever it says of itself goes no further.
import http.client, json
proxy = http.client.HTTPConnection('127.0.0.1', 3128)
proxy.putrequest('GET', 'http://LISTED/fields', skip_host=True)
for name, value in [('Host', 'UNLISTED'), ('Proxy-Authorization', 'Basic cm9vdDpyb290'),
                    ('Proxy-Connection', 'keep-alive'), ('X-Hop', '1'), ('Connection', 'x-hop'),
                    ('TE', 'trailers')]:
    proxy.putheader(name, value)
proxy.endheaders()
fields = json.loads(proxy.getresponse().read())
[[name for name in fields if name.startswith('proxy') or name in ('x-hop', 'te')], fields['host']]
