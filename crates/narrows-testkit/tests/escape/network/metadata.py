# expect: value [403,403,403,403,403,403]
import urllib.request
def code(host):
    try:
        return urllib.request.urlopen(f'http://{host}/latest/meta-data/').status
    except urllib.error.HTTPError as error:
        return error.code
hosts = ['169.254.169.254', '[fd00:ec2::254]', '2852039166', '0xa9fea9fe', '[::ffff:169.254.169.254]',
         '127.1:PORT']
[code(host) for host in hosts]
