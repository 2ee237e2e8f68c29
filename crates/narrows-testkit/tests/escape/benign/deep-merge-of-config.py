# expect: value {"a":{"b":1,"c":[3],"e":{"f":true}},"d":"x"}
def merge(base, over):
    if not isinstance(base, dict) or not isinstance(over, dict):
        return over
    out = dict(base)
    for key, value in over.items():
        out[key] = merge(out[key], value) if key in out else value
    return out
merge({"a": {"b": 1, "c": [1, 2]}, "d": None}, {"a": {"c": [3], "e": {"f": True}}, "d": "x"})
