# expect: value "a/b"
import wave, xmlrpc.client, posixpath
posixpath.join('a', 'b')
