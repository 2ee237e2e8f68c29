# expect: value "hello"
import ssl, urllib.request
context = ssl.create_default_context(cadata="""PEM_TEXT""")
urllib.request.urlopen('https://SECURE/', context=context).read().decode()
