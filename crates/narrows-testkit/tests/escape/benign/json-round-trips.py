# expect: value ["{\"b\": [1, 2.5, null, true], \"a\": \"\\u00e9\\u0000\\\"\\\\\", \"c\": {\"nested\": []}}","{\n  \"a\": \"\\u00e9\\u0000\\\"\\\\\",\n  \"b\": [\n    1,\n    2.5,\n    null,\n    true\n  ],\n  \"c\": {\n    \"nested\": []\n  }\n}",true,"JSONDecodeError","{\"b\":[1,2.5,null,true],\"a\":\"é\\u0000\\\"\\\\\",\"c\":{\"nested\":[]}}"]
import json
value = {"b": [1, 2.5, None, True], "a": "\u00e9\u0000\"\\", "c": {"nested": []}}
text = json.dumps(value)
pretty = json.dumps(value, indent=2, sort_keys=True)
try:
    json.loads("{'a': 1}")
except ValueError as error:
    bad = type(error).__name__
return [text, pretty, json.loads(text) == value, bad, json.dumps(value, separators=(",", ":"), ensure_ascii=False)]
