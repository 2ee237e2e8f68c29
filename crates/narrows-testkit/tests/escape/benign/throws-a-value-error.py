# expect: threw ValueError
def check(n):
    if n > 2:
        raise ValueError(f"too many: {n}")
    return check(n + 1)
print("before")
check(0)
