# expect: value [true,403,true]
import urllib.request
moved, refused = 0, []
while not refused and moved < 300 << 20:
    try:
        with urllib.request.urlopen('http://LISTED/large') as answer:
            while part := answer.read(1 << 16):
                moved += len(part)
    except urllib.error.HTTPError as error:
        refused = [error.code, '268435456 bytes, as many as it may' in error.read().decode()]
    except OSError:
        pass
[250 << 20 < moved < 256 << 20, *refused]
