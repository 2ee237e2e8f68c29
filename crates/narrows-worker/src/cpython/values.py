"""Python's values as JSON, as they leave the program."""

import collections
import dataclasses
import datetime
import decimal
import enum
import fractions
import inspect
import math
import pathlib
import uuid

DEPTH_MAX = 200
ATOMS = (bool, int, str, type(None))
ITERABLES = (
    list,
    tuple,
    set,
    frozenset,
    collections.deque,
    range,
    type({}.keys()),
    type({}.values()),
    type({}.items()),
    map,
    filter,
    zip,
    enumerate,
    reversed,
    types.GeneratorType,
)
WORDS = {None: "null", True: "true", False: "false"}


class Unfit(Exception):
    """The value is no JSON value."""


def encode(value, describe):
    """JSON text. What JSON has not is described for a reader, and refused for a tool."""
    try:
        return dumps(plain(value, describe, 0, set()))
    except RecursionError:
        raise Unfit(f"the value is nested deeper than {DEPTH_MAX} levels") from None


def plain(value, describe, depth, around):
    kind = type(value)
    if kind in ATOMS:
        return value
    if kind is float:
        return value if math.isfinite(value) else None
    if depth > DEPTH_MAX:
        raise Unfit(f"the value is nested deeper than {DEPTH_MAX} levels")
    if id(value) in around:
        raise Unfit("the value contains itself")
    around.add(id(value))
    try:
        return compound(value, describe, depth, around)
    finally:
        around.discard(id(value))


def compound(value, describe, depth, around):
    def inner(item):
        return plain(item, describe, depth + 1, around)

    def fields(pairs):
        return {key_text(key): inner(item) for key, item in pairs}

    if isinstance(value, enum.Enum):
        return inner(value.value)
    if isinstance(value, bool):
        return bool(value)
    for kind in (int, str):
        if isinstance(value, kind):
            return kind(value)
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else None
    if isinstance(value, dict):
        return fields(value.items())
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        return fields(zip(value._fields, value))
    if isinstance(value, ITERABLES):
        return [inner(item) for item in value]
    if isinstance(value, (datetime.date, datetime.datetime, datetime.time)):
        return value.isoformat()
    if isinstance(value, datetime.timedelta):
        return value.total_seconds()
    if isinstance(value, (decimal.Decimal, fractions.Fraction, pathlib.PurePath, uuid.UUID)):
        return str(value)
    if inspect.isawaitable(value):
        raise Unfit(
            "the value holds a call that was not awaited; write await before it, or "
            "await asyncio.gather(...)"
        )
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return fields((field.name, getattr(value, field.name)) for field in dataclasses.fields(value))
    if hasattr(type(value), "tolist"):
        return inner(value.tolist())
    own = type(value).__module__ == "__main__" and not isinstance(value, BaseException)
    if own and hasattr(value, "__dict__") and not callable(value):
        return fields(vars(value).items())
    if not describe:
        raise Unfit(f"a {type(value).__name__} is no JSON value")
    return repr(value)


def key_text(key):
    if type(key) is str:
        return key
    if isinstance(key, (bool, type(None))):
        return WORDS[key]
    if isinstance(key, enum.Enum):
        return str(key.value)
    return str(key)
