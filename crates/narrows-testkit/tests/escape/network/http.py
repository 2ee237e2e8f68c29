# expect: value ["hello",200,8388608]
import urllib.request
def get(path):
    with urllib.request.urlopen('http://LISTED' + path) as answer:
        return answer.status, answer.read().decode()
[get('/')[1], get('/')[0], len(get('/large')[1])]
