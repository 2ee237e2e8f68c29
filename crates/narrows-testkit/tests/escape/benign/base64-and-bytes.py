# expect: value ["aMOpbGxv","héllo",[104,195,169,108,108,111],"68c3a96c6c6f",6]
import base64
raw = "h\u00e9llo".encode("utf-8")
packed = base64.b64encode(raw).decode("ascii")
back = base64.b64decode(packed).decode("utf-8")
return [packed, back, list(raw), raw.hex(), len(raw)]
