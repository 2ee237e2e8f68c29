//! What models are used to write, and Monty has not: it is rewritten.

use super::{failed, ok, run, script};
use serde_json::json;

#[test]
fn names_may_be_computed() {
    for code in [
        "s, t = 'github', 'get'\ntools[s][t](n=1)['n']",
        "s = 'github'\nr = await tools[s]['get'](n=1)\nr['n']",
        "s = 'github'\nr = await tools[s].get(n=1)\nr['n']",
        "t = 'get'\ngithub[t](n=1)['n']",
        "s = 'get'\nrs = await asyncio.gather(*[tools[x][s](n=1) for x in ['github']])\nrs[0]['n']",
        "getattr(tools, 'git' + 'hub').get(n=1)['n']",
        "t = {'a': ['get']}\ntools['github'][t['a'][0]](n=1)['n']",
    ] {
        let seen = run(code);
        assert_eq!(seen.value(), json!(1), "{code}");
        assert_eq!(seen.tools(), ["github.get {\"n\":1}"], "{code}");
    }
    let seen = run("s = 'no.such-server'\nf = tools[s]['a b']\nf(n=1)['n'] + tools[s].x(n=1)['n']");
    assert_eq!(seen.value(), json!(2));
    assert_eq!(seen.calls[0].server, "no.such-server");
    assert_eq!((seen.calls[0].tool.as_str(), seen.calls[1].tool.as_str()), ("a b", "x"));
    let (name, message, at) = run("s = 'github'\nx = tools[s]['get']; tools[s]['get'](1)").threw();
    assert_eq!((name.as_str(), at.as_slice()), ("TypeError", [(2, 22)].as_slice()));
    assert_eq!(message, "github.get takes keyword arguments: write github.get(key=value)");
}

#[test]
fn a_name_that_no_tool_has_is_no_name() {
    for code in ["getattr(github, 'x' * 600)(n=1)", "getattr(tools, 'x' * 600).a()"] {
        assert!(["TypeError", "AttributeError"].contains(&run(code).threw().0.as_str()), "{code}");
    }
    let (_, message, _) = run(&format!("github.{}(n=1)", "x".repeat(600))).threw();
    assert_eq!(message, "no tool has so long a name");
}

#[test]
fn exceptions_are_returned() {
    for call in [
        "asyncio.gather(github.get(n=1), github.get(n=2), return_exceptions=True)",
        "asyncio.gather(*[github.get(n=i) for i in (1, 2)], return_exceptions=True,)",
    ] {
        let code =
            format!("rs = await {call}\n[str(r) if isinstance(r, Exception) else r for r in rs]");
        let seen = script(&code)
            .host(|call| match call.id {
                1 => Vec::new(),
                _ => vec![failed(2, "github.get", "no"), ok(1, &json!(5))],
            })
            .run();
        assert_eq!(seen.value(), json!([5, "github.get: no (sent {owner: string})"]), "{code}");
    }
    let code = "async def f():\n    return 1\nawait asyncio.gather(f(), return_exceptions=False)";
    assert_eq!(run(code).value(), json!([1]));
}

#[test]
fn what_monty_lacks_is_rewritten() {
    for (code, value) in [
        ("next((x for x in [1, 2] if x > 1), None)", json!(2)),
        ("next((x for x in [1, 2] if x > 2), None)", json!(null)),
        ("next(x for x in [1, 2])", json!(1)),
        (
            "from datetime import date\njson.dumps({'a': [date(2026, 1, 2)], 'b': 1.5}, default=str)",
            json!("{\"a\": [\"2026-01-02\"], \"b\": 1.5}"),
        ),
        ("re.sub('a.', lambda m: m.group(0).upper(), 'banana')", json!("bANANa")),
        (
            "def f(m):\n    return '<' + m.group(1) + '>'\nre.sub(r'(\\d)', f, 'a1b2', count=1)",
            json!("a<1>b2"),
        ),
        ("from datetime import datetime\ndatetime.utcnow().year", json!(2026)),
        (
            "from datetime import datetime\ndatetime.fromtimestamp(86400)",
            json!("1970-01-02T00:00:00"),
        ),
        (
            "import datetime\ndatetime.datetime.fromtimestamp(5, datetime.timezone.utc).isoformat()",
            json!("1970-01-01T00:00:05+00:00"),
        ),
        ("d = {'a': 1}\nd.values()", json!([1])),
        (
            "d = {'a': 1}\nreturn {'k': d.keys(), 'i': [d.items()], 'r': range(2)}",
            json!({"k": ["a"], "i": [[["a", 1]]], "r": [0, 1]}),
        ),
        ("def main():\n    return {'a': 1}.values()\nmain()", json!([1])),
        ("range(3)", json!([0, 1, 2])),
    ] {
        assert_eq!(run(code).value(), value, "{code}");
    }
    // What stands in front moves no place.
    let (_, _, at) =
        run("x = re.sub('a', lambda m: 'b', 'a')\nnext((y for y in [1]), None); 1 / 0").threw();
    assert_eq!(at, [(2, 31)]);
    assert_eq!(run("github.items()").value(), json!({}));
}
