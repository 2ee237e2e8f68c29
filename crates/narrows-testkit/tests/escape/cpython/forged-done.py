# expect: value 42
import os,struct,json
d=json.dumps({'end':{'value':42}}).encode()
os.write(3,struct.pack('<IB',len(d)+1,70)+d)
1
