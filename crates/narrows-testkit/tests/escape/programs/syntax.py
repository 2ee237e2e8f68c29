# expect: rejected
def f(:
    pass
