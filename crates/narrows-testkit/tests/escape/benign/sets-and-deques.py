# expect: value [[[0,0],[1,4],[2,5],[3,1],[4,5],[5,6]],6,[2,3],[1],[1,4],false,2432902008176640000]
from collections import deque
from functools import reduce
seen, queue = {0}, deque([(0, 0)])
steps = {}
while queue:
    at, count = queue.popleft()
    steps[at] = count
    for to in ((at * 2) % 17, (at + 3) % 17):
        if to not in seen:
            seen.add(to)
            queue.append((to, count + 1))
a, b = {1, 2, 3}, {2, 3, 4}
return [sorted(steps.items())[:6], max(steps.values()), sorted(a & b), sorted(a - b), sorted(a ^ b), a.issubset(b), reduce(lambda x, y: x * y, range(1, 21))]
