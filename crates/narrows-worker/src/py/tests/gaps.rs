//! Each gap that is reported is one of Monty's, and what is not reported works.

use super::{read, run, script};
use monty::{MontyRun, RunProgress};
use monty_types::{CompileOptions, PrintWriter, ResourceTracker};
use narrows_types::frame::End;

/// Runs code in Monty as it is, with no host: whether it comes to its end.
fn monty_runs(code: &str) -> bool {
    MontyRun::new(code.to_owned(), "gap.py", Vec::new(), CompileOptions::default())
        .and_then(|run| run.start(Vec::new(), ResourceTracker::default(), PrintWriter::Disabled))
        .is_ok_and(|progress| matches!(progress, RunProgress::Complete(_)))
}

#[test]
fn what_is_refused_does_not_run_in_monty() {
    for (code, message) in [
        ("class A:\n    pass\nclass B(A):\n    pass", "class inheritance"),
        ("class E(Exception):\n    pass", "class inheritance"),
        ("class A:\n    @property\n    def x(self):\n        return 1\nA().x", "a decorator on"),
        ("class A:\n    @staticmethod\n    def x():\n        return 1\nA.x()", "a decorator on"),
        ("class A:\n    for i in [1]:\n        x = i", "this statement in a class body"),
        ("def f():\n    yield 1\nlist(f())", "yield"),
        ("match 1:\n    case 1:\n        pass", "match"),
        ("x = {'a': 1}\ndel x['a']", "del"),
        ("type A = int", "a type alias"),
        ("t'{1}'", "a t-string"),
        ("1j", "a complex number"),
        ("'%s' % 1", "formatting with %"),
        ("{'a': 1} | {'b': 2}", "dict | dict"),
        ("x = {'a': 1}\nx |= {'b': 2}", "dict |= dict"),
        ("try:\n    pass\nexcept* ValueError:\n    pass", "except*"),
        ("from math import *", "a star import"),
        ("from . import a", "a relative import"),
        ("import asyncio\nasync def f():\n    return 1\nawait asyncio.sleep(0)", "asyncio.sleep"),
        (
            "import asyncio\nasync def f():\n    return 1\nasyncio.create_task(f())",
            "asyncio.create",
        ),
        (
            "import asyncio\nasync def f():\n    return 1\nx = True\n\
             await asyncio.gather(f(), return_exceptions=x)",
            "a computed return_exceptions",
        ),
        ("import math\nmath.nothing", "math.nothing"),
        ("from collections import OrderedDict", "collections.OrderedDict"),
        ("''.nothing()", "str.nothing"),
        ("async def f():\n    async for x in y:\n        pass", "async for"),
        ("async def f():\n    async with y:\n        pass", "async with"),
        ("async def f():\n    return [x async for x in y]", "an async comprehension"),
        ("1 @ 2", "@"),
        ("x = true", "true"),
        ("x = null", "null"),
        ("x = [1, 2]\nx[0:1] = [3]", "assigning to a slice"),
        ("x = 'a'\nx.translate({})", ".translate()"),
        ("x = '{a}'\nx.format_map({'a': 1})", ".format_map()"),
        ("x = 5\nx.bit_length()", ".bit_length()"),
        ("x = 5.0\nx.is_integer()", ".is_integer()"),
        ("x = 5\nx.to_bytes(2, 'big')", ".to_bytes()"),
        ("from datetime import datetime\ndatetime.strptime('2026', '%Y')", ".strptime()"),
        ("import sys\nprint('a', file=sys.stderr)", "print(file=...)"),
    ] {
        let findings = read(code).uses.findings;
        let found = findings.iter().any(|f| f.message.starts_with(message));
        assert!(found, "{code}: {findings:?}");
        assert!(!monty_runs(code), "Monty can do this now: {code}");
    }
}

#[test]
fn methods_that_monty_does_not_call_are_refused() {
    for (name, use_of) in [
        ("__lt__", "A() < A()"),
        ("__le__", "A() <= A()"),
        ("__gt__", "A() > A()"),
        ("__ge__", "A() >= A()"),
        ("__add__", "A() + A()"),
        ("__radd__", "1 + A()"),
        ("__sub__", "A() - A()"),
        ("__mul__", "A() * A()"),
        ("__truediv__", "A() / A()"),
        ("__mod__", "A() % A()"),
        ("__or__", "A() | A()"),
        ("__and__", "A() & A()"),
        ("__getitem__", "A()[1]"),
        ("__len__", "len(A())"),
        ("__neg__", "-A()"),
        ("__abs__", "abs(A())"),
        ("__int__", "int(A())"),
        ("__float__", "float(A())"),
        ("__call__", "A()()"),
        ("__getattr__", "A().x"),
        ("__bytes__", "bytes(A())"),
        ("__bool__", "assert not A()"),
        ("__new__", "assert A() == 0"),
    ] {
        let code = format!("class A:\n    def {name}(self, *a):\n        return 0\n{use_of}");
        let findings = read(&code).uses.findings;
        let start = format!("{name} is not supported here; ");
        assert!(
            findings.len() == 1 && findings[0].message.starts_with(&start),
            "{code}: {findings:?}"
        );
        assert!(!monty_runs(&code), "Monty calls this now: {name}");
    }
    for name in ["__eq__", "__ne__", "__contains__"] {
        let code = format!(
            "class A:\n    def {name}(self, o):\n        return True\na, b = A(), A()\n\
             return [a == b, a != b, 1 in a]"
        );
        let code = match name {
            "__contains__" => code.replace("a == b, a != b, ", ""),
            _ => code.replace(", 1 in a", ""),
        };
        assert!(read(&code).uses.findings.is_empty() && monty_runs(&code), "{name}");
    }
}

#[test]
fn modules_that_monty_lacks_are_refused() {
    for name in [
        "random",
        "time",
        "csv",
        "statistics",
        "hashlib",
        "decimal",
        "requests",
        "subprocess",
        "socket",
        "urllib.request",
        "httpx",
        "threading",
        "copy",
        "operator",
        "enum",
        "heapq",
        "bisect",
        "string",
        "textwrap",
        "uuid",
        "pandas",
        "numpy",
        "io",
        "logging",
        "collections.abc",
        "contextlib",
        "abc",
        "secrets",
        "tempfile",
        "shutil",
        "glob",
        "pickle",
        "sqlite3",
        "tools",
    ] {
        let code = format!("import {name}");
        let findings = read(&code).uses.findings;
        let start = format!("module {name} is not available here; ");
        assert!(
            findings.len() == 1 && findings[0].message.starts_with(&start),
            "{code}: {findings:?}"
        );
        assert!(!monty_runs(&code), "Monty has this now: {code}");
        let guarded = format!("try:\n    import {name}\nexcept ImportError:\n    x = 1\nx");
        assert_eq!(run(&guarded).value(), serde_json::json!(1), "{guarded}");
    }
    // Monty has `os`, but nothing in it is allowed here.
    assert_eq!(read("import os").uses.findings.len(), 1);
    assert_eq!(read("from os import environ").uses.findings.len(), 1);
}

#[test]
fn builtins_that_monty_lacks_are_refused() {
    for name in [
        "eval",
        "exec",
        "compile",
        "__import__",
        "callable",
        "format",
        "ascii",
        "vars",
        "dir",
        "locals",
        "globals",
        "issubclass",
        "delattr",
        "bytearray",
        "memoryview",
        "complex",
        "super",
        "staticmethod",
        "classmethod",
        "breakpoint",
        "help",
        "exit",
        "quit",
        "aiter",
        "anext",
        "IOError",
        "ConnectionError",
        "UnicodeError",
        "StopAsyncIteration",
        "EOFError",
        "GeneratorExit",
        "ExceptionGroup",
        "Warning",
        "UserWarning",
    ] {
        let code = format!("x = {name}");
        let findings = read(&code).uses.findings;
        let start = format!("{name} is not supported here; ");
        assert!(
            findings.len() == 1 && findings[0].message.starts_with(&start),
            "{code}: {findings:?}"
        );
        assert!(!monty_runs(&code), "Monty has this now: {name}");
    }
}

#[test]
fn what_is_accepted_works() {
    for code in [
        "import math, json, re, asyncio, base64, collections, functools, itertools, datetime\n1",
        "from typing import Any, Optional, List, Dict\nx: Optional[int] = None",
        "from __future__ import annotations\n1",
        "from collections import Counter, defaultdict, deque, namedtuple\nCounter('aab')['a']",
        "from dataclasses import dataclass\n@dataclass\nclass A:\n    x: int = 1\nA().x",
        "from functools import reduce, partial\nreduce(lambda a, b: a + b, [1, 2])",
        "from itertools import chain, islice\n1",
        "import sys\nsys.version_info",
        "'{} {:>5}'.format(1, 2)",
        "'a,b'.split(',')[0].upper().join(['x', 'y']).replace('x', 'z').strip()",
        "f'{3.14159:.2f} {1000000:,} {\"a\":>5} {5!r}'",
        "x = {'a': 1}\nx.pop('a')\nx.update({'b': 2})\nx.setdefault('c', 3)\n{**x, 'd': 4}",
        "a, *b = [1, 2, 3]\nb",
        "[x for x in range(10) if x % 2][::-1][1:3]",
        "sorted([{'a': 2}, {'a': 1}], key=lambda r: r['a'], reverse=True)",
        "max([1, 2], key=lambda v: -v), min(3, 4), sum([1.5]), any([0]), all([1]), abs(-1)",
        "list(zip([1], [2])), list(enumerate(['a'], 1)), dict([(1, 2)]), set([1]) | {2}",
        "list(map(str, [1])), list(filter(None, [0, 1])), list(reversed([1, 2]))",
        "while True:\n    break\nelse:\n    pass",
        "try:\n    raise ValueError('a')\nexcept (ValueError, KeyError) as e:\n    pass\n\
         else:\n    pass\nfinally:\n    pass",
        "try:\n    raise ValueError('a') from None\nexcept ValueError:\n    pass",
        "x = 5 if True else 6\nassert x == 5, 'no'",
        "def f(*a, **k):\n    return len(a) + len(k)\nf(1, *[2], b=3, **{'c': 4})",
        "class A:\n    n = 0\n    def __init__(self, x):\n        self.x = x\n    \
         def __repr__(self):\n        return f'A({self.x})'\nrepr(A(1))",
        "class C:\n    def __enter__(self):\n        return 1\n    \
         def __exit__(self, a, b, c):\n        pass\nwith C() as c:\n    c",
        "def deco(f):\n    def g(x):\n        return f(x) + 1\n    return g\n@deco\n\
         def h(x):\n    return x\nh(1)",
        "import datetime\ndatetime.timedelta(days=1).total_seconds()",
        "from datetime import datetime\ndatetime.fromisoformat('2026-01-01T00:00:00').year",
        "from datetime import datetime\ndatetime(2026, 1, 1).strftime('%Y-%m-%d')",
        "import re\nre.sub(r'(\\w+)', r'<\\1>', 'a b'), re.match('a', 'ab').group(0)",
        "json.dumps({'a': [1, None]}, indent=2, sort_keys=True)",
        "print('a', 'b', sep='-', end='!\\n', flush=True)",
        "x = [1, 2]\nx += [3]\nx[0] = 5\nx",
        "10 // 3, 2 ** 10, 7 % 3, ~5, 6 & 3, 6 ^ 3, 1 << 4, not True, 1 < 2 < 3",
        "x = [[i * j for j in range(3)] for i in range(3)]\nsum(x, [])",
        "'a' in {'a': 1} and 'b' not in ['a'] and None is None",
        "s = 'abc'\ns[-1], s[::-1], s.find('b'), s.startswith('a'), s.title(), len(s), s * 2",
        "int('12'), float('1.5'), str(1), bool(0), round(2.567, 2), divmod(7, 2), hex(255)",
        "x = iter([1, 2])\nnext(x), next(x), next(x, None)",
        "def f(n):\n    return 1 if n < 2 else n * f(n - 1)\nf(20)",
        "a = b = c = 1\nx = y = []\n(a, b), c = (1, 2), 3",
        "isinstance(1, (int, str)), type(1).__name__, hasattr('', 'upper'), getattr('', 'x', 1)",
    ] {
        let seen = run(code);
        assert!(seen.findings().is_empty(), "{code}: {:?}", seen.findings());
        assert!(matches!(seen.end(), End::Value(_)), "{code}: {:?}", seen.end());
    }
}

#[test]
fn what_only_monty_refuses_is_found_too() {
    for code in [
        "x = [1, 2]\nx[0], x[1] = x[1], x[0]",
        "class A:\n    x = (y := 5)",
        "def f():\n    break",
        "nonlocal x",
        "def f(a, a):\n    pass",
    ] {
        let seen = script(code).run();
        assert!(!seen.findings().is_empty(), "{code}: {:?}", seen.end());
    }
}

/// `%` on numbers, `|` on sets and names that only look like gaps are left alone.
#[test]
fn no_false_gaps() {
    for code in
        ["7 % 3", "{1} | {2}", "github.match(match=1)", "files.open(path='a')", "x = 'a'\nx + '%s'"]
    {
        assert!(read(code).uses.findings.is_empty(), "{code}");
    }
    assert!(monty_runs("x = 1"), "the judge works");
}
