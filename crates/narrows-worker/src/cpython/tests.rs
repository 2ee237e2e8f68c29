//! Programs in the system's Python, without walls: what holds them is tested from outside.

use super::{Settings, prepare};
use crate::jail::outside::Outside;
use crate::link::{Link, LinkError};
use crate::py::tests::runs::{CALLS, values};
use crate::py::tests::script;
use crate::relay::{Evaluator, Relayed};
use crate::scripted::{Script, Seen};
use narrows_types::frame::{BadFrame, End, Program};
use std::os::unix::net::UnixStream;

fn work(inside: UnixStream, program: &Program) -> Result<(), LinkError> {
    let mut prepared = prepare(&Settings::default(), false, true).unwrap();
    let (outside, _) = Outside::start(&prepared.start, false, false).unwrap();
    let one = outside.into_evaluator().unwrap();
    prepared.evaluator = Some(Evaluator::new(one));
    match prepared.run(&mut Link::new(inside), program)? {
        Relayed::Done => Ok(()),
        Relayed::Gone => Err(BadFrame("the evaluator is gone".to_owned()).into()),
    }
}

fn go(script: Script<'_>) -> Seen {
    script.run_by(work)
}

fn run(code: &str) -> Seen {
    go(script(code))
}

#[test]
fn what_monty_runs_gives_the_same_value() {
    let mut wrong = Vec::new();
    for (code, value) in values() {
        let seen = run(code);
        let same = matches!(seen.end(), End::Value(_)) && seen.value() == value;
        if !same {
            wrong.push(format!("{code}\n  {:?}, expected {value}", seen.done));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn tools_are_called_as_in_monty() {
    let mut wrong = Vec::new();
    for code in CALLS {
        let seen = run(code);
        let called = seen.tools() == ["github.get {\"owner\":\"a\",\"n\":1}"];
        if !called || !matches!(seen.end(), End::Value(value) if value.get() == "1") {
            wrong.push(format!("{code}\n  {seen:?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// What Monty lacks, with its value.
const MORE: &[(&str, &str)] = &[
    (
        "class A:\n    n = 1\nclass B(A):\n    @property\n    def m(self):\n        return self.n + 1\nB().m",
        "2",
    ),
    ("def f():\n    yield 1\n    yield from (2, 3)\nlist(f())", "[1,2,3]"),
    (
        "match {'a': [1, 2]}:\n    case {'a': [x, *rest]}:\n        (x, rest)\n    case _:\n        None",
        "[1,[2]]",
    ),
    (
        "import csv, io\n[r for r in csv.DictReader(io.StringIO('a,b\\n1,2'))]",
        r#"[{"a":"1","b":"2"}]"#,
    ),
    ("import statistics\nstatistics.stdev([1, 2, 3, 4])", "1.2909944487358056"),
    ("import hashlib\nhashlib.sha256(b'x').hexdigest()[:8]", "\"2d711642\""),
    ("from decimal import Decimal\nDecimal('0.1') + Decimal('0.2')", "\"0.3\""),
    ("import re\nre.sub(r'(?P<d>\\d+)', lambda m: str(int(m['d']) * 2), 'a1b22')", "\"a2b44\""),
    (
        "import json\njson.dumps({'b': {1}, 'a': 1}, default=list, sort_keys=True)",
        "\"{\\\"a\\\": 1, \\\"b\\\": [1]}\"",
    ),
    ("'%s is %.1f' % ('pi', 3.14159)", "\"pi is 3.1\""),
    ("d = {'a': 1} | {'b': 2}\ndel d['a']\nd", r#"{"b":2}"#),
    (
        "import sqlite3\nc = sqlite3.connect(':memory:')\nc.execute('select 1 + 1').fetchone()",
        "[2]",
    ),
    ("from enum import Enum\nclass E(Enum):\n    A = 'a'\n[E.A, E('a') is E.A]", "[\"a\",true]"),
    ("x: int = 4\ndef f():\n    global x\n    x += 1\nf()\nx", "5"),
    ("from math import *\nfloor(pi)", "3"),
    ("from __future__ import annotations\ndef f(a: Nothing) -> Nothing:\n    return a\nf(2)", "2"),
    (
        "import asyncio\nasync def one(i):\n    async with asyncio.Semaphore(1):\n        await asyncio.sleep(10 - i)\n        return i\nasync def main():\n    async with asyncio.TaskGroup() as group:\n        tasks = [group.create_task(one(i)) for i in range(3)]\n    return [t.result() for t in tasks]\nasyncio.run(main())",
        "[0,1,2]",
    ),
    (
        "import asyncio\ntry:\n    await asyncio.wait_for(asyncio.sleep(5), 1)\nexcept asyncio.TimeoutError:\n    'late'",
        "\"late\"",
    ),
    ("import asyncio\nawait asyncio.to_thread(sorted, [2, 1])", "[1,2]"),
    (
        "import copy, datetime\na = copy.deepcopy(datetime.datetime.now())\n[isinstance(a, datetime.date), str(a - datetime.timedelta(days=1))]",
        "[true,\"2025-12-31 00:00:00\"]",
    ),
    ("import sys\nsys.exit()", "null"),
];

#[test]
fn what_monty_lacks_is_there() {
    let mut wrong = Vec::new();
    for (code, value) in MORE {
        let seen = run(code);
        if !matches!(seen.end(), End::Value(json) if json.get() == *value) {
            wrong.push(format!("{code}\n  {:?} {:?}", seen.done, seen.uses.findings));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// What would differ from run to run if it came from the machine.
const CHANCE: &str = "import datetime, os, random, secrets, time, uuid
random.seed()
first = random.random()
own = random.Random()
kinds = (time.CLOCK_REALTIME, time.CLOCK_MONOTONIC, time.CLOCK_PROCESS_CPUTIME_ID)
[
    first,
    own.random(),
    own.seed(),
    own.getrandbits(64),
    random.Random(5).random(),
    random.SystemRandom().random(),
    secrets.token_hex(4),
    os.urandom(4).hex(),
    uuid.uuid1(),
    uuid.uuid4(),
    [time.clock_gettime(kind) for kind in kinds],
    [time.clock_gettime_ns(kind) for kind in kinds],
    time.time_ns(),
    time.perf_counter(),
    datetime.datetime.now(),
]";

#[test]
fn a_program_that_is_run_again_sees_the_same_chance_and_time() {
    let first = run(CHANCE);
    assert!(matches!(first.end(), End::Value(_)), "{:?}", first.done);
    assert_eq!(first.value(), run(CHANCE).value());
    let known = "import random\n[random.Random(5).random(), random.seed(5), random.random()]";
    let five = 0.622_901_694_889_701_9;
    assert_eq!(run(known).value(), serde_json::json!([five, null, five]));
}
