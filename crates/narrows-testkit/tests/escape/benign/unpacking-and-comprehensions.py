# expect: value [1,2,[3,4],5,16,{"b":1,"c":2},[1,2,3,"else"],2,[1,2,3],[0,1,2,"a","b"]]
a, (b, *c), d = 1, (2, 3, 4), 5
def total(first, *more, scale=1, **named):
    return (first + sum(more)) * scale + sum(named.values())
pairs = {x: y for x, y in zip("abc", range(3)) if y}
flat = [cell for row in [[1, 2], [], [3]] for cell in row]
n = 10
while (n := n // 2) > 2:
    pass
else:
    flat.append("else")
return [a, b, c, d, total(1, *[2, 3], scale=2, **{"x": 4}), pairs, flat, n, sorted({3, 1, 2}), [*range(3), *"ab"]]
