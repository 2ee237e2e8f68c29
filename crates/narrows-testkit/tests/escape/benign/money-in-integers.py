# expect: value {"total":9007199254870643,"shown":["1299.00","90071992547409.93","-2.50"],"power":1267650600228229401496703205376,"hex":"0xff","floor":[-4,2]}
cents = [129900, 9007199254740993, -250]
def show(n):
    sign = "-" if n < 0 else ""
    whole, rest = divmod(abs(n), 100)
    return f"{sign}{whole}.{rest:02d}"
{"total": sum(cents), "shown": [show(n) for n in cents], "power": 2 ** 100, "hex": hex(255), "floor": [-7 // 2, -7 % 3]}
