# expect: value [[0,3,1,3],[3,0,3,1],[1,3,0,3],[3,1,3,0]]
def distance(a, b):
    row = list(range(len(b) + 1))
    for i, x in enumerate(a, 1):
        new = [i]
        for j, y in enumerate(b, 1):
            new.append(min(row[j] + 1, new[j - 1] + 1, row[j - 1] + int(x != y)))
        row = new
    return row[-1]
names = ["kitten", "sitting", "mitten", "fitting"]
[[distance(n, m) for m in names] for n in names]
