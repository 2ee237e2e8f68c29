# expect: value {"bug":[1,3],"feature":[2],"p1":[1]}
from collections import defaultdict
found = await host.echo(issues=[
    {"id": 1, "title": "Crash on start", "labels": ["bug", "p1"]},
    {"id": 2, "title": "Dark mode", "labels": ["feature"]},
    {"id": 3, "title": "Slow search", "labels": ["bug"]},
])
groups = defaultdict(list)
for issue in found["issues"]:
    for label in issue["labels"]:
        groups[label].append(issue["id"])
print(len(found["issues"]), "issues", sorted(groups.items()))
return {label: groups[label] for label in sorted(groups)}
