# expect: value ["Ada: 18.25","cannot add 0",2,true]
from dataclasses import dataclass

@dataclass
class Line:
    name: str
    price: float
    count: int = 1

    def total(self):
        return self.price * self.count

class Cart:
    opened = 0

    def __init__(self, owner):
        self.owner = owner
        self.lines = []

    def add(self, *lines):
        for line in lines:
            if line.count <= 0:
                raise ValueError(f"cannot add {line.count}")
            self.lines.append(line)
        return self

    def __str__(self):
        return f"{self.owner}: {sum(l.total() for l in self.lines):.2f}"

cart = Cart("Ada").add(Line("pen", 1.5, 4), Line("book", 12.25))
try:
    cart.add(Line("ghost", 1.0, 0))
    refused = None
except ValueError as error:
    refused = str(error)
return [str(cart), refused, len(cart.lines), cart.lines[0] == Line("pen", 1.5, 4)]
