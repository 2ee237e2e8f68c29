# expect: value ["lookup: KeyError","lookup: IndexError","zero","ValueError","TypeError","lookup: IndexError","AttributeError",4]
def attempt(f):
    try:
        return f()
    except (KeyError, IndexError) as error:
        return "lookup: " + type(error).__name__
    except ZeroDivisionError:
        return "zero"
    except Exception as error:
        return type(error).__name__
    finally:
        print("tried")
[
    attempt(lambda: {}["a"]), attempt(lambda: [][1]), attempt(lambda: 1 // 0), attempt(lambda: int("x")),
    attempt(lambda: None + 1), attempt(lambda: [].pop()), attempt(lambda: None.x), attempt(lambda: 4),
]
