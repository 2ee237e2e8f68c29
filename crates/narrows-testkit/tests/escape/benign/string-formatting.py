# expect: value ["apple...  3 1.50\nfig..... 12 0.25","1,234,567.89","00101010 0x2a 25.6% --mid--.","1 and 2",["a","b","c"],"t","Title Case",["x",",","y"]]
rows = [("apple", 3, 1.5), ("fig", 12, 0.25)]
table = "\n".join(f"{name:.<8}{n:>3} {price:.2f}" for name, n, price in rows)
print(table)
[table, f"{1234567.891:,.2f}", f"{42:08b} {42:#x} {0.256:.1%} {'mid':-^7}.", "{} and {b}".format(1, b=2), "a-b_c".replace("-", "_").split("_"), " t ".strip(), "title case".title(), "x,y".partition(",")]
