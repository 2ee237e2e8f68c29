# expect: value [1548008755920,61,1548008755921,61]
def memo(f):
    kept = {}
    def inner(n):
        if n not in kept:
            kept[n] = f(n)
        return kept[n]
    return inner

asked = []
@memo
def fib(n):
    asked.append(n)
    return n if n < 2 else fib(n - 1) + fib(n - 2)

return [fib(60), len(asked), fib(60) + 1, len(asked)]
