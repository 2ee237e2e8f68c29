# expect: value [{"name":"Doe, Jane","note":"said \"hi\"","n":"3"},{"name":"Bob","note":"","n":"4"}]
csv = 'name,note,n\n"Doe, Jane","said ""hi""",3\nBob,,4\n'
def parse(text):
    rows, row, cell, quoted, i = [], [], "", False, 0
    while i < len(text):
        c = text[i]
        if quoted:
            if c != '"':
                cell += c
            elif text[i + 1] == '"':
                cell += '"'
                i += 1
            else:
                quoted = False
        elif c == '"':
            quoted = True
        elif c == ",":
            row.append(cell)
            cell = ""
        elif c == "\n":
            rows.append(row + [cell])
            row, cell = [], ""
        else:
            cell += c
        i += 1
    return rows
head, *rest = parse(csv)
[dict(zip(head, row)) for row in rest]
