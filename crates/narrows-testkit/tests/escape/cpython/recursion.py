# expect: limit stack
def f(): return f()
f()
