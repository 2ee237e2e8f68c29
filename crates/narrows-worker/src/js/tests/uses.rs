use super::{Reading, read};
use narrows_types::{Literal, Position, Reference};
use serde_json::json;
use std::collections::HashSet;

fn globals() -> HashSet<String> {
    let names = "console input tools search artifact show progress ToolError undefined Object \
                 Array Promise JSON Math Date Error Map setTimeout globalThis String Number";
    names.split_whitespace().map(str::to_owned).collect()
}

fn of(code: &str) -> Reading<'_> {
    read(code, &globals(), false)
}

/// Each reference as `root.path` with `?` where it is guarded and `()` where it is called.
fn names(code: &str) -> Vec<String> {
    let reading = of(code);
    assert_eq!(reading.uses.findings, [], "{code}");
    assert!(reading.text.starts_with("(async () => {"), "{code}");
    let shown = |reference: &Reference| {
        let mut text = reference.root.clone();
        for member in &reference.path {
            text.push('.');
            text.push_str(member);
        }
        if reference.guarded {
            text.push('?');
        }
        if reference.arguments.is_some() {
            text.push_str("()");
        }
        text
    };
    reading.uses.references.iter().map(shown).collect()
}

/// Each finding as `line:column message`.
fn findings(code: &str) -> Vec<String> {
    let reading = of(code);
    assert_eq!(reading.text, "");
    reading.uses.findings.iter().map(shown).collect()
}

fn shown(finding: &narrows_types::Finding) -> String {
    format!("{}:{} {}", finding.at.line, finding.at.column, finding.message)
}

#[test]
fn every_way_to_name_a_tool_is_found() {
    for (code, expected) in [
        ("await github.list_issues({})", vec!["github.list_issues()"]),
        ("github['list-issues']({})", vec!["github.list-issues()"]),
        ("github[`list`]()", vec!["github.list()"]),
        ("tools.github.list()", vec!["github.list()"]),
        ("tools['my-store']['list-x']({})", vec!["my-store.list-x()"]),
        ("tools['search'].web({})", vec!["search.web()"]),
        ("tools.github", vec!["github"]),
        ("tools[input.name].list()", vec![]),
        ("Object.keys(tools)", vec![]),
        ("github", vec!["github"]),
        ("github.list", vec!["github.list"]),
        ("[1].map(github.get)", vec!["github.get"]),
        ("github[name()].x()", vec!["github", "name()"]),
        ("github.list[0].x()", vec!["github.list.0.x()"]),
        ("(github as any).list({})", vec!["github.list()"]),
        ("github!.list!({})", vec!["github.list()"]),
        ("(await github.list()).items[0].id", vec!["github.list()"]),
        ("github.list().then(x => slack.post(x))", vec!["github.list()", "slack.post()"]),
        ("Promise.all([a.b(), c.d()])", vec!["a.b()", "c.d()"]),
        ("`${await github.list()}`", vec!["github.list()"]),
        ("new Foo.Bar()", vec!["Foo.Bar"]),
        ("const f = () => github.list(); f()", vec!["github.list()"]),
        (
            "for (const x of await github.list()) slack.post(x)",
            vec!["github.list()", "slack.post()"],
        ),
        ("x = 5", vec!["x"]),
        ("globalThis.github.list()", vec!["github.list?()"]),
        ("globalThis.console.log(1)", vec![]),
        ("globalThis.x = 1", vec!["x?"]),
    ] {
        assert_eq!(names(code), expected, "{code}");
    }
}

#[test]
fn names_that_stand_for_tools_are_followed() {
    for (code, expected) in [
        ("const g = github; g.list()", vec!["github", "github.list()"]),
        ("let g = github; g.list()", vec!["github", "github.list()"]),
        ("let g = github; g = 5; g.list()", vec!["github"]),
        (
            "const { list, get: read } = github; list(); read({})",
            vec!["github.list", "github.get", "github.list()", "github.get()"],
        ),
        ("const { list = null } = github; list()", vec!["github.list", "github.list()"]),
        ("const { github } = tools; github.list()", vec!["github", "github.list()"]),
        ("const { github: { list } } = tools; list()", vec!["github.list", "github.list()"]),
        ("const t = tools; t.github.list()", vec!["github.list()"]),
        ("const { list, ...rest } = github", vec!["github"]),
        ("const f = github.list; f({})", vec!["github.list", "github.list()"]),
        ("const log = console.log; log(1)", vec![]),
        ("const github = { list() {} }; github.list()", vec![]),
        ("function f(github) { github.list() } f(1)", vec![]),
        ("declare const github: any; github.list()", vec!["github.list()"]),
        ("declare namespace github { function list(): void } github.list()", vec!["github.list()"]),
        ("declare function foo(): void; foo()", vec!["foo()"]),
    ] {
        assert_eq!(names(code), expected, "{code}");
    }
}

#[test]
fn careful_uses_are_guarded() {
    for (code, expected) in [
        ("typeof github", vec!["github?"]),
        ("if (typeof github !== 'undefined') github.list()", vec!["github?", "github.list?()"]),
        ("github?.list()", vec!["github.list?()"]),
        ("github.list?.({})", vec!["github.list?()"]),
        ("tools?.github?.list({})", vec!["github.list?()"]),
        ("typeof fetch === 'function' ? fetch('x') : 1", vec!["fetch?"]),
    ] {
        assert_eq!(names(code), expected, "{code}");
    }
}

#[test]
fn types_name_nothing() {
    let code = "interface A { b: Foo } type B = Bar<Baz>; enum C { D = 1, E } \
                class F<T extends Q> implements R { constructor(private x: S) {} } \
                namespace N { export const y = 1 } \
                const z: Map<U, V> = new Map<U, V>(); const w = z as unknown as W satisfies X; \
                function g(this: Y, h?: typeof z): asserts h is ZZ {} \
                [C.D, N.y, new F(1), w, g]";
    assert_eq!(names(code), Vec::<String>::new());
}

#[test]
fn what_is_not_here_is_found_with_what_to_use() {
    for (code, expected) in [
        ("await fetch('http://x')", "1:7 fetch is not available: no network here; call a tool"),
        (
            "process.env.HOME",
            "1:1 process is not available: no environment here; pass values in with input; \
          files are scratch.write(path, text)",
        ),
        (
            "const fs = require('fs')",
            "1:12 require is not available: no modules here; tools are \
          globals",
        ),
        (
            "new Intl.NumberFormat()",
            "1:5 Intl is not available: use x.toLocaleString(), a.localeCompare(b) \
          or code of your own",
        ),
        (
            "import { writeFile } from 'node:fs/promises'\n1",
            "1:1 import is not available: a run's own files are scratch.write(path, text) and \
          scratch.read(path)",
        ),
        (
            "import x from 'y'\n1",
            "1:1 import is not available: tools are globals; call them as \
          server.tool({ ... })",
        ),
        (
            "await import('y')",
            "1:7 import() is not available: tools are globals; call them as \
          server.tool({ ... })",
        ),
        (
            "1\nexport default 5",
            "2:1 export is not available: end with return x, or with the \
          value as the last expression",
        ),
        ("import.meta.url", "1:1 import.meta is not available: there are no modules or files here"),
        ("@foo class A {}", "1:1 decorators are not available: call the function yourself"),
    ] {
        let found = findings(code);
        assert_eq!(found.first().map(String::as_str), Some(expected), "{code}");
    }
}

#[test]
fn an_upstream_may_be_called_like_something_absent() {
    assert_eq!(names("fetch.fetch({ url: 'x' })"), ["fetch.fetch()"]);
    assert_eq!(names("process.list({})"), ["process.list()"]);
    assert_eq!(names("import type { A } from 'b'; export type { A }; 1"), Vec::<String>::new());
}

#[test]
fn syntax_errors_have_their_place() {
    let found = findings("const a = 1\nconst b = {\n  c: 1,,\n}");
    assert!(found.first().is_some_and(|f| f.starts_with("3:8 syntax error: ")), "{found:?}");
    let found = findings("let a = 1;\nlet a = 2;");
    assert!(found.first().is_some_and(|f| f.contains("syntax error: ")), "{found:?}");
    for code in ["await = 1", "(", "a b", "'", "`${", "return return", "class { }", "<div/>"] {
        assert!(!findings(code).is_empty(), "{code}");
    }
    let found = findings(&"(".repeat(100_000));
    assert_eq!(found.len(), 1);
    assert!(found.iter().all(|f| f.contains("nests too deeply")), "{found:?}");
}

#[test]
fn literal_arguments_are_known() {
    let code = "github.list_issues({\n  owner: 'a', n: -1, f: 1.5, t: `x`, u: null,\n  \
                l: ['b', 2], 'k-k': { deep: true }, x: y, ...z, [q]: 1\n}, ...rest)";
    let reading = of(code);
    let call = reading.uses.references.iter().find(|r| r.root == "github").unwrap();
    let arguments = call.arguments.as_ref().unwrap();
    assert_eq!(arguments.len(), 2);
    assert_eq!(arguments[1].value, Literal::Unknown);
    assert_eq!(arguments[0].keyword, None);
    let Literal::Object { fields, open } = &arguments[0].value else { panic!() };
    assert!(open);
    let known = |name: &str| {
        let field = fields.iter().find(|(field, ..)| field == name).unwrap();
        (field.1.clone(), field.2.line, field.2.column)
    };
    assert_eq!(known("owner"), (Literal::Known(json!("a")), 2, 3));
    assert_eq!(known("n").0, Literal::Known(json!(-1)));
    assert_eq!(known("f").0, Literal::Known(json!(1.5)));
    assert_eq!(known("t").0, Literal::Known(json!("x")));
    assert_eq!(known("u").0, Literal::Known(json!(null)));
    assert_eq!(known("l").0, Literal::Known(json!(["b", 2])));
    assert_eq!(known("x").0, Literal::Unknown);
    assert_eq!((known("k-k").1, known("k-k").2), (3, 16));
    let Literal::Object { fields: deep, open: false } = known("k-k").0 else { panic!() };
    assert_eq!(deep[0].1, Literal::Known(json!(true)));
}

#[test]
fn arrays_end_where_they_are_unknown() {
    let reading = of("a.b({ c: [1, d, ...e, 2] })");
    let arguments = reading.uses.references[0].arguments.as_ref().unwrap();
    let Literal::Object { fields, .. } = &arguments[0].value else { panic!() };
    let items = vec![Literal::Known(json!(1)), Literal::Unknown];
    assert_eq!(fields[0].1, Literal::Array { items, open: true });
}

#[test]
fn references_are_in_order_and_bounded() {
    let reading = of("zeta.b();\nalpha.c()");
    let at: Vec<Position> = reading.uses.references.iter().map(|r| r.at).collect();
    assert_eq!(at, [Position { line: 1, column: 1 }, Position { line: 2, column: 1 }]);
    assert_eq!(of(&"a.b();".repeat(5_000)).uses.references.len(), 2_000);
}

#[test]
fn races_are_noticed() {
    assert!(of("Promise.race([a.b(), c.d()])").races);
    assert!(of("const p = 1; (() => Promise.any([a.b()]))()").races);
    assert!(!of("Promise.all([a.b()])").races);
}

/// The statements that run, without what stands around them.
fn body(code: &str) -> String {
    let text = of(code).text;
    let body = text.strip_prefix("(async () => {\n").unwrap().strip_suffix("})").unwrap();
    body.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[test]
fn the_last_value_is_returned() {
    for (code, expected) in [
        ("1 + 1", "return 1 + 1;"),
        ("const a = 1; a", "const a = 1; return a;"),
        ("return 5", "return 5;"),
        ("'use what'", "return \"use what\";"),
        ("({ a: 1 })", "return { a: 1 };"),
        ("if (input) { 1 } else 2", "if (input) { return 1; } else return 2;"),
        (
            "try { await 1 } catch { 2 } finally { 3 }",
            "try { return await 1; } catch { return 2; } finally { 3; }",
        ),
        ("async () => { return 5 }", "return (async () => { return 5; })();"),
        ("async function f() { return 5 }", "async function f() { return 5; }"),
        ("(x) => x", "return (x) => x;"),
        ("const a = 1", "const a = 1;"),
        ("#!/usr/bin/env node\n1", "return 1;"),
        ("const a: number = <any>1; a!", "const a = 1; return a;"),
        ("", ""),
        ("// nothing", ""),
    ] {
        assert_eq!(body(code), expected, "{code}");
    }
}

#[test]
fn typescript_becomes_javascript() {
    let text = body("enum A { B = 'b', C = 'c' } const enum D { E = 1 << 3 } A.B + D.E");
    assert!(text.contains("A[\"B\"] = \"b\"") && !text.contains("enum"), "{text}");
    let text = body("namespace N { export const a = 1 } N.a");
    assert!(text.contains("N.a") && !text.contains("namespace"), "{text}");
    let text = body("class P { constructor(private readonly x: number, y?: string) {} } new P(1)");
    assert!(text.contains("this.x = x") && !text.contains("private"), "{text}");
    let text = body("abstract class Q<T> { abstract a(): T; declare b: T; c?: T } 1");
    assert!(!text.contains("abstract") && !text.contains("declare"), "{text}");
}

#[test]
fn places_lead_back_to_the_own_text() {
    let code = "interface A {\n  b: string;\n}\n\n// é\nconst x: A = { b: 'é' };   y.z(x);";
    let reading = of(code);
    let (line, text) = reading
        .text
        .lines()
        .enumerate()
        .find_map(|(at, line)| line.contains("y.z").then_some((at, line)))
        .unwrap();
    let line = u32::try_from(line).unwrap() + 1;
    let column = u32::try_from(text.find("y.z").unwrap()).unwrap() + 1;
    let places = reading.places.backs(&[(line, column), (1, 1), (9_999, 1)]);
    assert_eq!(places, [Position { line: 6, column: 28 }]);
}

#[test]
fn no_absent_name_is_listed_twice() {
    let names: Vec<&str> = crate::js::absent::names().collect();
    let once: HashSet<&str> = names.iter().copied().collect();
    assert_eq!(names.len(), once.len());
}

#[test]
fn a_missing_await_is_found() {
    for (code, expected) in [
        (
            "github.list().items",
            "1:1 await is missing: github.list(...) gives a promise; write \
          await github.list(...)",
        ),
        ("const r = github.list({});\nconsole.log(r.items.length)", "2:13 await is missing: "),
        ("const r = github.list({});\nr.items.map(x => x)", "2:1 await is missing: "),
        ("const r = github.list({});\nr[0]", "2:1 await is missing: "),
        ("const { items } = github.list()", "1:19 await is missing: "),
        ("const [a] = tools.github.list()", "1:13 await is missing: "),
        ("for (const x of github.list()) {}", "1:17 await is missing: "),
        ("[...github.list()]", "1:5 await is missing: "),
        ("({ ...github.list() })", "1:7 await is missing: "),
        ("`${github.count()}`", "1:4 await is missing: "),
        ("1 + github.count()", "1:5 await is missing: "),
        ("if (!github.check()) 1", "1:6 await is missing: "),
        ("if (github.check()) 1", "1:5 await is missing: "),
        ("github.check() ? 1 : 2", "1:1 await is missing: "),
        ("search('x').results", "1:1 await is missing: search(...)"),
        ("tools[input.a][input.b]().x", "1:1 await is missing: tools[...](...)"),
        ("const g = github; g.list().items", "1:19 await is missing: github.list(...)"),
        ("const { list } = github; list().items", "1:26 await is missing: github.list(...)"),
        ("github?.list()?.items", "1:1 await is missing: "),
    ] {
        let found = findings(code);
        let first = found.first().map(String::as_str).unwrap_or_default();
        assert!(first.starts_with(expected), "{code}: {found:?}");
        assert_eq!(found.len(), 1, "{code}: {found:?}");
    }
}

#[test]
fn a_missing_await_over_an_array_is_found() {
    let told = "await is missing: the items are promises of github.get(...); write await \
                Promise.all(...) around the array";
    for (code, place) in [
        ("const r = [1, 2].map(n => github.get({ n }));\nr.map(x => x.iso)", "2:12 "),
        ("const r = [1, 2].map((n) => { return github.get({ n }) });\nr[0].iso", "2:1 "),
        ("[1].map(n => github.get({ n }))\n.filter(({ ok }) => ok)", "2:10 "),
        ("const r = [1].map(n => github.get({ n }));\nr.reduce((sum, x) => sum + x.n, 0)", "2:28 "),
        ("const r = [1].map(n => github.get({ n }));\nfor (const x of r) x.n", "2:20 "),
        ("const r = [1].map(n => github.get({ n }));\nconst [x] = r; x.n", "2:16 "),
    ] {
        assert_eq!(findings(code), [[place, told].concat()], "{code}");
    }
    let found = findings("const r = [1].map(async (n) => n + 1);\nr.filter(x => x > 1)");
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(found[0].starts_with("2:15 await is missing: the items are promises; "), "{found:?}");
}

#[test]
fn promises_may_be_promises() {
    for code in [
        "const rs = [1].map(n => github.get({ n })); rs.length; rs.map(r => r.then(x => x.n)); rs",
        "const rs = [1].map(async n => n); for (const r of rs) { const x = await r; x.n }",
        "const rs = [1].map(n => github.get({ n })); rs.map(async r => (await r).n)",
        "let rs = [1].map(n => github.get({ n })); rs = await Promise.all(rs); rs.map(r => r.n)",
        "(await github.list()).items",
        "const r = github.list(); (await r).items",
        "const r = github.list(); await Promise.all([r, github.get()])",
        "github.list().then(r => r.items).catch(() => 1).finally(() => 2)",
        "const r = await github.list(); r.items; `${r.a}${r.b + 1}`",
        "let r = github.list(); r = await r; r.items",
        "const rs = [1, 2].map(n => github.get({ n })); (await Promise.all(rs)).map(r => r.x)",
        "for await (const x of [github.list()]) { x.y }",
        "const f = async () => github.list(); (await f()).items",
        "return { a: github.list(), b: [github.get()] }",
        "typeof github.list(); void github.list()",
        "github.list() instanceof Promise",
        "const r = input ? github.list() : null; if (r) await r",
        "for (const r of await Promise.all([github.a(), github.b()])) { r.x }",
        "function f(r) { return r.items } github.list().then(f)",
        "JSON.parse('{}').x; Math.max(1).toFixed(); console.log(1)",
    ] {
        assert_eq!(of(code).uses.findings, [], "{code}");
    }
}

#[test]
fn what_is_let_through_fits_the_stack() {
    // A worker's main thread has 8 MB; built for development a level costs several times more.
    let deepest = || {
        for (open, close) in [
            ("(", ")"),
            ("[", "]"),
            ("{", "}"),
            ("[{a:", "}]"),
            ("`${", "}`"),
            ("!", ""),
            ("typeof ", ""),
            ("a=>", ""),
            ("async()=>{", "}"),
            ("function f(){", "}"),
            ("a=", ""),
            ("a?b:", ""),
            ("a?", ":b"),
            ("a**", ""),
            ("a+", ""),
            ("a&&", ""),
            ("a\n.b", ""),
            ("a()", ""),
            ("if(a)", ""),
            ("if(a){}else ", ""),
            ("for(;;)", ""),
            ("a:", ""),
            ("class A{b=", "}"),
            ("class A{static{", "}}"),
            ("f(1,", ")"),
            ("x as ", "A"),
            ("<A>", ""),
            ("let x:A<", ">"),
            ("let {a=", "}=1"),
        ] {
            let code = |n: usize| format!("{}1{}", open.repeat(n), close.repeat(n));
            let (mut most, mut step) = (1, 1_024);
            while step > 0 {
                if crate::js::nesting::too_deep(&code(most + step)).is_none() {
                    most += step;
                }
                step /= 2;
            }
            assert!((100..2_000).contains(&most), "{open}: {most}");
            let _read = of(&code(most)).uses;
        }
    };
    std::thread::Builder::new().stack_size(8 << 20).spawn(deepest).unwrap().join().unwrap();
}

#[test]
fn a_fence_around_a_program_is_taken_off() {
    assert_eq!(body("```ts\nreturn 1\n```"), "return 1;");
    assert_eq!(body("\n ```\n1\n```\n"), "return 1;");
    assert_eq!(body("```typescript \nconst t = `x`; t\n```"), "const t = `x`; return t;");
    assert_eq!(body("`a`"), "return `a`;");
    let found = findings("\n```js\n\n  fetch('x')\n```");
    assert!(found.first().is_some_and(|f| f.starts_with("4:3 fetch")), "{found:?}");
}
