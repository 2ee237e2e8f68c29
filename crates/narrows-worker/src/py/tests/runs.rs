//! What programs can do.

use super::{failed, ok, run, script};
use narrows_types::Limit;
use narrows_types::frame::{Call, End, Reply};
use serde_json::{Value, json};

/// Programs with their values, in whatever evaluates them.
pub(crate) fn values() -> Vec<(&'static str, Value)> {
    vec![
        ("None", json!(null)),
        ("return 5", json!(5)),
        ("x = 3\nif x > 2:\n    return 'big'\nreturn 'small'", json!("big")),
        ("x = 1", json!(null)),
        ("(1, 'a', None, True, 2.5)", json!([1, "a", null, true, 2.5])),
        ("{'a': {1, 1}, 2: [float('nan'), float('inf')]}", json!({"a": [1], "2": [null, null]})),
        ("import datetime\ndatetime.datetime(2026, 1, 2, 3, 4, 5)", json!("2026-01-02T03:04:05")),
        ("import datetime\ndatetime.date(2026, 1, 2)", json!("2026-01-02")),
        ("[len, int]", json!(["<built-in function len>", "<class 'int'>"])),
        ("async def f():\n    return 7\nawait f()", json!(7)),
        ("import asyncio\nasync def f():\n    return 7\nasyncio.run(f())", json!(7)),
        (
            "json.loads('{\"a\": [1]}')['a'] + [json.dumps({'b': None})]",
            json!([1, "{\"b\": null}"]),
        ),
        ("class P:\n    def __init__(self):\n        self.x = 1\nP().x", json!(1)),
        (
            "from dataclasses import dataclass\n@dataclass\nclass P:\n    x: int\nP(3)",
            json!({"x": 3}),
        ),
        ("if __name__ == '__main__':\n    x = 4\nx", json!(4)),
        ("if 1 < 2:\n    x = 1\n    (x +\n     1)\nelse:\n    3", json!(2)),
        ("try:\n    1 / 0\nexcept ZeroDivisionError:\n    'zero'", json!("zero")),
        ("try:\n    1\nexcept ValueError:\n    2\nelse:\n    3", json!(3)),
        (
            "async def main():\n    return 8\nif __name__ == '__main__':\n    \
             import asyncio\n    asyncio.run(main())",
            json!(8),
        ),
        ("import re\nre.findall('[a-z]+', 'ab1cd')", json!(["ab", "cd"])),
    ]
}

#[test]
fn values_of_all_kinds() {
    for (code, value) in values() {
        assert_eq!(run(code).value(), value, "{code}");
    }
}

#[test]
fn integers_stay_whole() {
    let big = "123456789012345678901234567890";
    let seen = script("github.f(n=input + 1)")
        .input(&serde_json::from_str::<Value>("9007199254740993").unwrap())
        .host(|call| vec![Reply { id: call.id, ok: true, at_us: 0, body: big.to_owned() }])
        .run();
    assert_eq!(seen.tools(), ["github.f {\"n\":9007199254740994}"]);
    let End::Value(json) = seen.end() else { panic!("{:?}", seen.end()) };
    assert_eq!(json.get(), big);
}

#[test]
fn input_is_bound() {
    let seen = script("def f():\n    return input['a'][0]\nf()").input(&json!({"a": [1.5]})).run();
    assert_eq!(seen.value(), json!(1.5));
    assert_eq!(run("input").value(), json!(null));
}

/// All the ways to call `github.get(owner='a', n=1)` and to give back its `n`.
pub(crate) const CALLS: &[&str] = &[
    "r = await github.get(owner='a', n=1)\nreturn r['n']",
    "r = github.get(owner='a', n=1)\nreturn r['n']",
    "github.get(owner='a', n=1)['n']",
    "github.get({'owner': 'a', 'n': 1})['n']",
    "(await tools.github.get(owner='a', n=1))['n']",
    "tools['github']['get'](owner='a', n=1)['n']",
    "t = github.get(owner='a', n=1)\nr = await t\nr['n']",
    "f = github.get\nr = await f(owner='a', n=1)\nr['n']",
    "def f():\n    return github.get(owner='a', n=1)\n(await f())['n']",
    "def f():\n    return github.get(owner='a', n=1)\nf()['n']",
    "async def f():\n    return github.get(owner='a', n=1)\n(await f())['n']",
    "async def main():\n    r = await github.get(owner='a', n=1)\n    return r['n']\nawait main()",
    "g = getattr(github, 'get')\n(await g(owner='a', n=1))['n']",
    "f = github.get\nf(owner='a', n=1)['n']",
    "g = tools.github\ng.get(owner='a', n=1)['n']",
    "getattr(github, 'g' + 'et')(owner='a', n=1)['n']",
    "args = {'owner': 'a', 'n': 1}\ngithub.get(**args)['n']",
];

#[test]
fn tools_are_called_awaited_or_not() {
    for code in CALLS {
        let seen = run(code);
        assert_eq!(seen.value(), json!(1), "{code}");
        assert_eq!(seen.tools(), ["github.get {\"owner\":\"a\",\"n\":1}"], "{code}");
    }
}

#[test]
fn names_that_are_no_identifiers() {
    let code = "a = await my_store['list-x'](n=1)\nb = tools['my_store']['\u{e9} y'](n=2)\n\
                c = _1st._2nd(n=3)\nd = await _1st['_3'](n=4)\n\
                return [a['n'], b['n'], c['n'], d['n'], f\"{my_store['list-x'](n=5)['n']}\"]";
    let seen = run(code);
    assert_eq!(seen.value(), json!([1, 2, 3, 4, "5"]));
    let tools: Vec<(&str, &str)> =
        seen.calls.iter().map(|call| (call.server.as_str(), call.tool.as_str())).collect();
    let expected = [
        ("my_store", "list-x"),
        ("my_store", "\u{e9} y"),
        ("_1st", "_2nd"),
        ("_1st", "_3"),
        ("my_store", "list-x"),
    ];
    assert_eq!(tools, expected);
    let ids: Vec<u32> = seen.calls.iter().map(|call| call.id).collect();
    assert_eq!(ids, [1, 2, 3, 4, 5]);
}

/// Answers nothing before `count` calls are there, then all, last first.
fn all_at_once(count: usize) -> impl FnMut(&Call) -> Vec<Reply> {
    let mut waiting: Vec<Reply> = Vec::new();
    move |call| {
        waiting.push(ok(call.id, &serde_json::from_str(call.args.get()).unwrap()));
        if waiting.len() < count {
            return Vec::new();
        }
        waiting.reverse();
        std::mem::take(&mut waiting)
    }
}

#[test]
fn gathered_calls_are_parallel() {
    for code in [
        "import asyncio\na, b, c = await asyncio.gather(github.f(n=1), github.f(n=2), \
         github.f(n=3))\n[a['n'], b['n'], c['n']]",
        "rs = await asyncio.gather(*[github.f(n=i) for i in (1, 2, 3)])\n[r['n'] for r in rs]",
        "ts = [github.f(n=i) for i in (1, 2, 3)]\nrs = await asyncio.gather(*ts)\n\
         [r['n'] for r in rs]",
        "ts = []\nfor i in (1, 2, 3):\n    ts.append(github.f(n=i))\n\
         [(await t)['n'] for t in ts]",
        "async def one(i):\n    r = await github.f(n=i)\n    return r['n']\n\
         await asyncio.gather(one(1), one(2), one(3))",
        "a = github.f(n=1)\nb = github.f(n=2)\nc = github.f(n=3)\n\
         [(await a)['n'], (await b)['n'], (await c)['n']]",
        "ts = {i: github.f(n=i) for i in (1, 2, 3)}\n[(await ts[i])['n'] for i in (1, 2, 3)]",
        "from asyncio import gather\nfetch = lambda i: github.f(n=i)\n\
         rs = await gather(*[fetch(i) for i in (1, 2, 3)])\n[r['n'] for r in rs]",
        "async def read(t):\n    return (await t)['n']\n\
         await asyncio.gather(read(github.f(n=1)), read(github.f(n=2)), read(github.f(n=3)))",
        "async def main():\n    rs = await asyncio.gather(*(github.f(n=i) for i in (1, 2, 3)))\n    \
         return [r['n'] for r in rs]\nasyncio.run(main())",
    ] {
        let seen = script(code).host(all_at_once(3)).run();
        assert_eq!(seen.value(), json!([1, 2, 3]), "{code}");
    }
}

#[test]
fn two_hundred_at_once() {
    let code = "rs = await asyncio.gather(*[github.f(n=i) for i in range(200)])\n\
                sum(r['n'] for r in rs)";
    assert_eq!(script(code).host(all_at_once(200)).run().value(), json!(19_900));
}

#[test]
fn a_failed_call_can_be_caught() {
    let fail = |call: &Call| vec![failed(call.id, "github.get", "not found")];
    for code in [
        "try:\n    await github.get(owner='a')\nexcept ToolError as e:\n    return str(e)",
        "try:\n    github.get(owner='a')\nexcept Exception as e:\n    return str(e)",
        "async def f():\n    try:\n        return await github.get(owner='a')\n    \
         except ToolError as e:\n        return str(e)\nawait f()",
        "try:\n    await asyncio.gather(github.get(owner='a'), github.get(owner='b'))\n\
         except ToolError as e:\n    return str(e)",
        "try:\n    raise ToolError('github.get: not found (sent {owner: string})')\n\
         except ToolError as e:\n    return str(e)",
    ] {
        let seen = script(code).host(fail).run();
        assert_eq!(seen.value(), json!("github.get: not found (sent {owner: string})"), "{code}");
    }
    let seen = script("x = 1\ny = [await github.get(owner='a')]").host(fail).run();
    let (name, message, at) = seen.threw();
    assert_eq!((name.as_str(), at.as_slice()), ("ToolError", [(2, 6)].as_slice()));
    assert_eq!(message, "github.get: not found (sent {owner: string})");
}

#[test]
fn a_coroutine_catches_what_fails_in_it_also_beside_others() {
    let host = |call: &Call| {
        let fails = call.args.get().contains('b');
        vec![if fails { failed(call.id, "github.get", "no") } else { ok(call.id, &json!(1)) }]
    };
    for safe in [
        "async def safe(x):\n    try:\n        return await github.get(owner=x)\n    \
         except ToolError:\n        return 'caught'\n",
        "async def safe(x):\n    try:\n        v = await github.get(\n            owner=x,\n        \
         )\n        return v\n    except:\n        return 'caught'\n",
        "async def inner(x):\n    return await github.get(owner=x)\n\
         async def safe(x):\n    try:\n        return await inner(x)\n    \
         except Exception as e:\n        return 'caught'\n",
    ] {
        let gathered = format!("{safe}await asyncio.gather(safe('a'), safe('b'), safe('c'))");
        assert_eq!(script(&gathered).host(host).run().value(), json!([1, "caught", 1]), "{safe}");
        let main = format!(
            "import asyncio\n{safe}async def main():\n    \
             return await asyncio.gather(*[safe(x) for x in 'ab'])\nawait main()"
        );
        assert_eq!(script(&main).host(host).run().value(), json!([1, "caught"]), "{safe}");
    }
}

#[test]
fn programs_are_taken_as_models_write_them() {
    for code in [
        "```python\n5\n```",
        "def main():\n    return 5",
        "\"\"\"Five.\"\"\"\nimport asyncio\nFIVE = 5\n\nasync def main(x=1):\n    return FIVE\n# end",
        "import asyncio\nasync def main():\n    return 5\nif __name__ == '__main__':\n    \
         asyncio.run(main())",
    ] {
        assert_eq!(run(code).value(), json!(5), "{code}");
    }
    // Something happens already, or it asks for something.
    for code in ["def main():\n    return 5\nx = len('a')", "def main(x):\n    return 5"] {
        assert_eq!(run(code).value(), json!(null), "{code}");
    }
}

#[test]
fn errors_have_their_places() {
    let code = "def f(x):\n    return 1 / x\n\ngithub.a(n=1)['n']; github['b'](n=0); f(0)";
    let (name, message, at) = run(code).threw();
    assert_eq!((name.as_str(), message.as_str()), ("ZeroDivisionError", "division by zero"));
    assert_eq!(at, [(2, 12), (4, 39)]);
    let (_, _, at) = run("if True:\n    github.a(n=1)['n']; search('a')['b']").threw();
    assert_eq!(at, [(2, 25)]);
    // A line that stands in front of the program moves nothing.
    let (_, _, at) = run("x = 1\njson.loads('{')").threw();
    assert_eq!(at, [(2, 1)]);
}

#[test]
fn wrong_calls_are_told() {
    for (code, error) in [
        ("github.get('a')", "github.get takes keyword arguments: write github.get(key=value)"),
        ("github.get(x=len)", "github.get: a builtin_function_or_method is no JSON value"),
        ("github.get(x=[github.get])", "github.get: a function is no JSON value"),
        ("x = []\nx.append(x)\ngithub.get(x=x)", "github.get: the value contains itself"),
        ("search('a', 'b')", "search takes one positional argument: query"),
        ("f = github\nf()", "'github' object is not callable"),
    ] {
        let (name, message, _) = run(code).threw();
        assert_eq!((name.as_str(), message.as_str()), ("TypeError", error), "{code}");
    }
    let (name, message, _) = run("f = foo\nf(1)").threw();
    assert_eq!((name.as_str(), message.as_str()), ("NameError", "name 'foo' is not defined"));
    let (name, _, _) = run("foo(1)").threw();
    assert_eq!(name, "NameError");
}

#[test]
fn forgotten_awaits_are_told() {
    let (_, message, _) = run("async def f():\n    return 1\nf()['a']").threw();
    assert!(message.ends_with("is an await missing before a tool call?"), "{message}");
    let (name, message, _) = run("f = github.get\nawait f(a=2)\n[f(a=1)]").threw();
    assert_eq!(name, "ValueError");
    assert!(message.contains("was not awaited"), "{message}");
}

#[test]
fn the_prelude_talks_to_the_host() {
    let code = "print('a', 1)\nprint('b\\nc', end='')\nprint('d')\nprint('e', end='')\n\
                progress(0.5, 'half')\nprogress(1)\nprogress('on')\nshow({'handle': 'art_1'})\n\
                hits = search('list issues', limit=2)\nmore = await search(['a', 'b'])\n\
                part = await artifact('art_2')\n[hits, more, part]";
    let seen = run(code);
    assert_eq!(seen.logs, ["a 1", "b", "cd", "e"]);
    assert_eq!(
        seen.progress,
        [(Some(0.5), "half".to_owned()), (Some(1.0), String::new()), (None, "on".to_owned())]
    );
    assert_eq!(seen.shown, [json!({"handle": "art_1"})]);
    let expected = [
        r#"narrows.search {"query":"list issues","limit":2}"#,
        r#"narrows.search {"query":["a","b"]}"#,
        r#"narrows.artifact {"handle":"art_2"}"#,
    ];
    assert_eq!(seen.tools(), expected);
}

#[test]
fn the_clock_is_the_hosts() {
    let code = "from datetime import datetime, date, timezone\n\
                [str(date.today()), datetime.now().year, datetime.now(timezone.utc).isoformat()]";
    let value = run(code).value();
    assert_eq!((&value[0], &value[1]), (&json!("2026-01-01"), &json!(2026)));
    assert!(value[2].as_str().unwrap().starts_with("2026-01-01T00:00:"), "{value}");
}

#[test]
fn the_system_is_refused() {
    for code in [
        "from pathlib import Path\nPath('/etc/passwd').read_text()",
        "f = open\nf('/etc/passwd')",
        "from pathlib import Path\nPath('/etc').mkdir()",
    ] {
        let (name, message, _) = run(code).threw();
        assert_eq!(name, "PermissionError", "{code}");
        assert!(message.contains("files are in /scratch"), "{message}");
    }
}

#[test]
fn logs_keep_to_their_budget() {
    let seen = script("for i in range(1000):\n    print('x' * 99)\nprint('last')")
        .limits(|limits| limits.log_bytes = 1_000)
        .run();
    assert_eq!(seen.logs.len(), 11);
    assert_eq!(seen.logs.last().unwrap(), "991 more lines dropped: log_bytes is 1000");
    let seen = run("print('\u{e9}' * 100_000)\nprint('b')");
    assert!(
        seen.logs[0].len() <= 8 << 10 && seen.logs[0].ends_with("..."),
        "{}",
        seen.logs[0].len()
    );
    assert_eq!(seen.logs[1], "b");
}

#[test]
fn usage_is_told() {
    let seen = run("x = ['a' * 1000 for _ in range(1000)]\nlen(x)");
    let usage = seen.done.unwrap().usage;
    assert!(usage.wall_us > 0 && usage.cpu_us > 0 && usage.cpu_us <= usage.wall_us, "{usage:?}");
}

#[test]
fn limits_on_what_crosses() {
    let limit = |seen: &super::Seen| match seen.end() {
        End::Limit(limit) => *limit,
        other => panic!("{other:?}"),
    };
    let seen = script("'x' * 1000").limits(|limits| limits.value_bytes = 500).run();
    assert_eq!(limit(&seen), Limit::ValueBytes);
    let seen = script("for i in range(9):\n    github.f(n=i)").limits(|l| l.calls = 3).run();
    assert_eq!((limit(&seen), seen.calls.len()), (Limit::Calls, 3));
    let seen = script("github.f(n='x' * 1000)").limits(|l| l.result_bytes = 500).run();
    assert_eq!(limit(&seen), Limit::ResultBytes);
}

#[test]
fn a_large_result_is_read() {
    let rows: Vec<Value> = (0..20_000).map(|i| json!({"id": i, "title": "x".repeat(40)})).collect();
    let seen = script("rows = github.rows()\nsum(r['id'] for r in rows)")
        .host(|call| vec![ok(call.id, &json!(rows))])
        .run();
    assert_eq!(seen.value(), json!(199_990_000));
}
