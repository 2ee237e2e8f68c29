# expect: value ["/tmp",5,["a","d"],true]
import os, pathlib, shutil, tempfile
where = os.getcwd()
pathlib.Path('a').write_text('hello')
os.mkdir('d')
with tempfile.NamedTemporaryFile() as f:
    f.write(b'x')
shutil.copy('a', 'd/b')
os.rename('d/b', '/tmp/c')
os.remove('c')
[where, os.stat('/tmp/a').st_size, sorted(os.listdir('/tmp')), tempfile.gettempdir() == '/tmp']
