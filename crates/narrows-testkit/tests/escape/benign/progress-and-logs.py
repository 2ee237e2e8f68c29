# expect: value 3
steps = ["fetch", "group", "write"]
for i, step in enumerate(steps):
    progress((i + 1) / len(steps), step)
    print(step, {"i": i, "done": i == len(steps) - 1}, [None, True], sep=" | ")
    await host.echo(step=step)
print("no newline", end="")
print()
return len(steps)
