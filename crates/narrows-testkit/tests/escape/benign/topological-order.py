# expect: value [["db","api","ui","app","tool"],"cycle at app"]
needs = {"app": ["api", "ui"], "api": ["db"], "ui": ["api"], "db": [], "tool": ["db"]}
def order(needs):
    done, open_now = [], set()
    def visit(name):
        if name in done:
            return
        if name in open_now:
            raise RuntimeError(f"cycle at {name}")
        open_now.add(name)
        for other in needs[name]:
            visit(other)
        open_now.discard(name)
        done.append(name)
    for name in needs:
        visit(name)
    return done
first = order(needs)
needs["db"] = ["app"]
try:
    order(needs)
except RuntimeError as error:
    return [first, str(error)]
