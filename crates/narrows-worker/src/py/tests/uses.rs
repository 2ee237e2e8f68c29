//! What is told of a program before it runs.

use super::{read, run};
use narrows_types::{Literal, Position, Reference};
use serde_json::json;

fn references(code: &str) -> Vec<Reference> {
    let reading = read(code);
    assert_eq!(reading.uses.findings, [], "{code}");
    reading.uses.references
}

fn short(code: &str) -> Vec<String> {
    let of = |r: Reference| {
        let mark = if r.guarded { "?" } else { "" };
        let call = if r.arguments.is_some() { "()" } else { "" };
        let path: String = r.path.iter().map(|step| String::from(".") + step).collect();
        format!("{}{path}{call}{mark}@{}:{}", r.root, r.at.line, r.at.column)
    };
    references(code).into_iter().map(of).collect()
}

#[test]
fn free_names_are_references() {
    for (code, expected) in [
        ("await github.list_issues(owner='a')", vec!["github.list_issues()@1:7"]),
        ("x = github['list-issues'](a=1)", vec!["github.list-issues()@1:5"]),
        ("tools.github.x(a=1)", vec!["github.x()@1:1"]),
        ("tools['my-store']['list-x'](a=1)", vec!["my-store.list-x()@1:1"]),
        ("f = github.get", vec!["github.get@1:5"]),
        ("github.a(x=github.b())", vec!["github.a()@1:1", "github.b()@1:12"]),
        ("github.a()['x'].y()", vec!["github.a()@1:1"]),
        ("githb.a()\nfoo(1)\nbar", vec!["githb.a()@1:1", "foo()@2:1", "bar@3:1"]),
        ("\u{e9} = 'x'; github.a()", vec!["github.a()@1:10"]),
        ("try:\n    foo\nexcept NameError:\n    pass", vec!["foo?@2:5"]),
        ("def f():\n    return github.a(n=x)\nx = 1", vec!["github.a()@2:12"]),
        (
            "f'{github.a()} {[github.b() for _ in range(3)]}'",
            vec!["github.a()@1:4", "github.b()@1:18"],
        ),
    ] {
        assert_eq!(short(code), expected, "{code}");
    }
}

#[test]
fn defined_names_are_none() {
    for code in [
        "x = 1\nprint(x)",
        "def f(a, *b, c=1, **d):\n    return a, b, c, d, f\nf(1)",
        "for a, (b, *c) in []:\n    print(a, b, c)",
        "[x + y for x in [1] for y in [x] if x]",
        "{k: v for k, v in {}.items()}",
        "import math as m, json\nfrom datetime import date as d\nm.pi, json, d",
        "try:\n    pass\nexcept ValueError as e:\n    print(e)",
        "if (n := 3) > 2:\n    print(n)\n[y := 5]\ny",
        "class A:\n    x = 1\n    def f(self):\n        return self.x\nA().f()",
        "def f():\n    global g\n    g = 1\nf()\nprint(g)",
        "f = lambda a, b=1: a + b\nf(1)",
        "def outer():\n    n = 1\n    def inner():\n        nonlocal n\n        n += 1\n        \
         return n\n    return inner()\nouter()",
        "print(input, tools, ToolError, search, artifact, progress, show)",
        "print(json, asyncio, math, re, __name__)",
        "x: List[int] = []\ndef f(a: Foo) -> Bar:\n    return a\nf(x)",
        "sorted([3, 1], key=lambda v: -v)",
        "isinstance(1, int) and not NotImplemented and ... and True",
    ] {
        assert_eq!(short(code), Vec::<String>::new(), "{code}");
    }
}

#[test]
fn a_class_body_does_not_reach_into_methods() {
    assert_eq!(short("class A:\n    x = 1\n    def f(self):\n        return x"), ["x@4:16"]);
}

#[test]
fn literals_are_told() {
    let code = "github.f(1, -2, 2.5, 'a' 'b', None, True, f'x', f'{y}', [1, -1], [1, y], (1,),\n  \
                *y, k={'a': 1, 'b': y, **y}, e={}, **y)\ny = 0";
    let arguments = references(code).remove(0).arguments.unwrap();
    let at = |line, column| Position { line, column };
    let values: Vec<Literal> = arguments.iter().map(|a| a.value.clone()).collect();
    let known = Literal::Known;
    let expected = vec![
        known(json!(1)),
        known(json!(-2)),
        known(json!(2.5)),
        known(json!("ab")),
        known(json!(null)),
        known(json!(true)),
        known(json!("x")),
        Literal::Unknown,
        known(json!([1, -1])),
        Literal::Array { items: vec![known(json!(1)), Literal::Unknown], open: false },
        known(json!([1])),
        Literal::Unknown,
        Literal::Object {
            fields: vec![
                ("a".to_owned(), known(json!(1)), at(2, 10)),
                ("b".to_owned(), Literal::Unknown, at(2, 18)),
            ],
            open: true,
        },
        known(json!({})),
        Literal::Unknown,
    ];
    assert_eq!(values, expected);
    let keywords: Vec<Option<&str>> = arguments.iter().map(|a| a.keyword.as_deref()).collect();
    assert_eq!(keywords[11..], [None, Some("k"), Some("e"), Some("")]);
    assert_eq!(arguments[1].at, at(1, 13));
}

#[test]
fn syntax_errors_are_findings() {
    for (code, start) in [
        ("x = (1", "1:7 syntax error: "),
        ("def f(:\n  pass", "1:7 syntax error: "),
        ("a = 1\n  b = 2", "2:1 syntax error: "),
        ("print 'a'", "1:7 syntax error: "),
        ("'abc", "1:1 syntax error: "),
    ] {
        let findings = run(code).findings();
        assert!(findings.len() == 1 && findings[0].starts_with(start), "{code}: {findings:?}");
    }
}

#[test]
fn awaits_in_the_wrong_place_are_findings() {
    for (code, finding) in [
        (
            "def f():\n    return await github.a()\nf()",
            "2:12 await in a plain function; write `async def f`",
        ),
        ("f = lambda: await github.a()", "1:13 await in a lambda; use an async def"),
        ("await print(1)", "1:1 print gives nothing to wait for: delete await"),
        ("await progress(1)", "1:1 progress gives nothing to wait for: delete await"),
        ("github[\n'a'](x=1)", "1:7 write the name in brackets on one line"),
        (
            "list(map(lambda i: github.f(n=i), [1]))",
            "1:10 a tool cannot be called in a function given to map; call tools in a loop or a \
             comprehension first",
        ),
        (
            "def key(i):\n    return github.f(n=i)['k']\nsorted([1], key=key)",
            "3:17 a tool cannot be called in a function given to sorted; call tools in a loop or \
             a comprehension first",
        ),
        (
            "f = lambda i: github.f(n=i)\nmax([1], key=f)",
            "2:14 a tool cannot be called in a function given to max; call tools in a loop or a \
             comprehension first",
        ),
        ("input('name?')", "1:1 input is a value, not a function: write input[...]"),
    ] {
        assert_eq!(run(code).findings(), [finding], "{code}");
    }
}

#[test]
fn all_findings_at_once() {
    let code = "import requests\nclass A(B):\n    pass\ndel x\n'%s' % 1\nB = 1";
    let lines: Vec<u32> = read(code).uses.findings.iter().map(|f| f.at.line).collect();
    assert_eq!(lines, [1, 2, 4, 5]);
}

#[test]
fn many_references_are_capped() {
    let code = "github.a(n=1)\n".repeat(3_000);
    assert_eq!(references(&code).len(), 2_000);
}
