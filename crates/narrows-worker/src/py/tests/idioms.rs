//! What models are used to write, and Monty has not: it is rewritten.

use super::run;
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
