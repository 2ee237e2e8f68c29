//! What programs do that mean well.

use super::{failed, ok, run, script};
use narrows_types::Limit;
use narrows_types::frame::End;
use serde_json::{Value, json};

/// The values of programs.
fn values(programs: &[(&str, Value)]) {
    for (code, value) in programs {
        assert_eq!(&run(code).value(), value, "{code}");
    }
}

#[test]
fn the_value_is_what_is_returned_or_comes_last() {
    values(&[
        ("return 1", json!(1)),
        ("const x = 2; x", json!(2)),
        ("", json!(null)),
        ("undefined", json!(null)),
        ("await Promise.resolve(3)", json!(3)),
        ("type A = { a: number }; const a: A = { a: 1 }; a satisfies A", json!({"a": 1})),
        ("enum E { A = 1, B } return [E.A, E[2]]", json!([1, "B"])),
        ("class P { constructor(readonly x: number) {} } new P(4).x", json!(4)),
        ("if (true) { return 'a' } return 'b'", json!("a")),
        ("({ a: 1 })", json!({"a": 1})),
    ]);
}

#[test]
fn values_become_json() {
    values(&[
        ("return new Map([['a', 1]])", json!({"a": 1})),
        ("return new Map([[1, 2]])", json!([[1, 2]])),
        ("return { s: new Set([1, 2]) }", json!({"s": [1, 2]})),
        ("return 12345678901234567890n", json!("12345678901234567890")),
        ("return new TypeError('no')", json!({"name": "TypeError", "message": "no"})),
        ("return new Uint8Array([1, 2])", json!([1, 2])),
        ("return [undefined, NaN, () => 1]", json!([null, null, null])),
        ("return new Date(0)", json!("1970-01-01T00:00:00.000Z")),
        ("return '\\ud800a'", json!("\u{fffd}a")),
    ]);
}

#[test]
fn calls_leave_and_come_back() {
    let seen =
        run("const a = await github.get({ id: 1 }); return (await my_store['list-x']()).n ?? a");
    assert_eq!(seen.tools(), ["github.get {\"id\":1}", "my_store.list-x {}"]);
    assert_eq!(seen.value(), json!({"id": 1}));
    let seen = run("return tools.github.get({ q: 'x' })");
    assert_eq!(seen.tools(), ["github.get {\"q\":\"x\"}"]);
    assert_eq!(seen.value(), json!({"q": "x"}));
}

#[test]
fn calls_in_parallel_leave_before_the_first_reply() {
    let mut held = Vec::new();
    let seen = script("return Promise.all([...Array(20).keys()].map(i => github.get({ i })))")
        .host(|call| {
            held.push(ok(call.id, &json!(call.id)));
            if held.len() < 20 { Vec::new() } else { held.drain(..).rev().collect() }
        })
        .run();
    assert_eq!(seen.value(), json!((1..=20).collect::<Vec<_>>()));
}

#[test]
fn promises_that_nobody_awaited_are_awaited() {
    values(&[
        ("return github.get({ a: 1 })", json!({"a": 1})),
        ("return [github.get({ a: 1 }), 2]", json!([{"a": 1}, 2])),
        ("return { x: github.get({ a: 1 }) }", json!({"x": {"a": 1}})),
    ]);
    let (name, message, _) = run("return { x: { y: github.get() } }").threw();
    assert_eq!((name.as_str(), message.contains("await it")), ("TypeError", true), "{message}");
    let (_, message, _) = run("await github.get({ id: github.first() })").threw();
    assert!(message.contains("await it"), "{message}");
}

#[test]
fn calls_that_nobody_awaited_are_not_cut_off() {
    let seen =
        run("[1, 2].forEach(async i => { await github.a({ i }); await github.b({ i }) }); 0");
    assert_eq!(seen.calls.len(), 4);
}

#[test]
fn tools_errors_can_be_caught() {
    let host =
        |call: &narrows_types::frame::Call| vec![failed(call.id, "github.get", "no such id")];
    let code = "try { await github.get({ id: 1 }) } catch (e) {\n\
                return [e instanceof ToolError, e instanceof Error, e.name, e.tool, e.message, e.arguments] }";
    let seen = script(code).host(host).run();
    let message = "github.get: no such id (sent {owner: string})";
    assert_eq!(
        seen.value(),
        json!([true, true, "ToolError", "github.get", message, "{owner: string}"])
    );
    let seen = script("const a = 1;\nawait github.get({})").host(host).run();
    assert_eq!(seen.threw(), ("ToolError".to_owned(), message.to_owned(), vec![(2, 14)]));
}

#[test]
fn wrong_arguments_are_told_at_once() {
    for (code, part) in [
        (
            "await github.get('a')",
            "github.get takes one object, got a string: write github.get({key: value})",
        ),
        ("await github.get([1])", "got an array"),
        ("await github.get(null)", "got null"),
        ("await github.get({}, 1)", "got 2 arguments"),
        ("await github.get(github.list())", "a promise that nobody awaited"),
    ] {
        let (name, message, _) = run(code).threw();
        assert_eq!(name, "TypeError");
        assert!(message.contains(part), "{code}: {message}");
    }
}

#[test]
fn errors_tell_where() {
    let code = "interface A { x: number }\nfunction f(a: A): number {\n  return (a as any).y.z;\n}\n\nconst n: number = f({ x: 1 });\nn";
    let (name, message, at) = run(code).threw();
    assert_eq!(name, "TypeError");
    assert!(message.contains("undefined"), "{message}");
    let lines: Vec<u32> = at.iter().map(|(line, _)| *line).collect();
    assert_eq!(lines, [3, 6], "{at:?}");
    let (name, message, _) = run("throw 'bad'").threw();
    assert_eq!((name.as_str(), message.as_str()), ("Error", "bad"));
    let (name, message, _) =
        run("class MyError extends Error { name = 'MyError' } throw new MyError('x')").threw();
    assert_eq!((name.as_str(), message.as_str()), ("MyError", "x"));
}

#[test]
fn what_is_said_arrives() {
    let seen = run(
        "console.log('a', 1, { b: [1, 'x'], c: null }); console.error(new Error('e'));\n\
         console.log(new Map([['k', 1]]), github.get({}), undefined, 1n, () => 1);\nconsole.log('two\\nlines')",
    );
    assert_eq!(
        seen.logs,
        [
            "a 1 {b:[1,\"x\"],c:null}",
            "Error: e",
            "Map{\"k\"=>1} [promise: await it] undefined 1n [function]",
            "two",
            "lines"
        ]
    );
    let seen = run("progress(0.5, 'half'); progress('x'); show({ a: 1 }); show(input)");
    assert_eq!(seen.progress, [(Some(0.5), "half".to_owned()), (None, "x".to_owned())]);
    assert_eq!(seen.shown, [json!({"a": 1}), json!(null)]);
}

#[test]
fn the_house_answers_search_and_artifact() {
    let seen = run(
        "await search('issues', { limit: 3 }); await artifact('a_1'); await search({ query: 'q' })",
    );
    assert_eq!(
        seen.tools(),
        [
            "narrows.search {\"query\":\"issues\",\"limit\":3}",
            "narrows.artifact {\"handle\":\"a_1\"}",
            "narrows.search {\"query\":\"q\"}"
        ]
    );
}

#[test]
fn input_is_bound() {
    let seen = script("return input.a.b").input(&json!({"a": {"b": [1]}})).run();
    assert_eq!(seen.value(), json!([1]));
}

#[test]
fn time_jumps_where_nothing_else_can_happen() {
    let begun = std::time::Instant::now();
    values(&[
        (
            "await new Promise(r => setTimeout(r, 3_600_000)); return Math.round(performance.now() / 3_600_000)",
            json!(1),
        ),
        (
            "let n = 0; await new Promise(r => { const i = setInterval(() => { if (++n == 5) { clearInterval(i); r() } }, 1000) }); n",
            json!(5),
        ),
        (
            "const o = []; setTimeout(() => o.push(2), 20); setTimeout(() => o.push(1), 10); clearTimeout(setTimeout(() => o.push(9), 5)); await new Promise(r => setTimeout(r, 30)); o",
            json!([1, 2]),
        ),
        (
            "return Promise.race([new Promise(r => setTimeout(r, 50, 'late')), new Promise(r => setTimeout(r, 5, 'soon'))])",
            json!("soon"),
        ),
        (
            "return [new Date().toISOString().slice(0, 16), Date.now() >= 1767225600000, typeof Date(), new Date(5).getTime(), new Date() instanceof Date]",
            json!(["2026-01-01T00:00", true, "string", 5, true]),
        ),
    ]);
    assert!(begun.elapsed().as_secs() < 60);
}

#[test]
fn a_timer_fires_while_a_call_is_pending() {
    let code = "const slow = github.get({}); return Promise.race([slow, new Promise(r => setTimeout(r, 20, 'timeout'))])";
    let seen = script(code).host(|_| Vec::new()).run();
    assert_eq!(seen.value(), json!("timeout"));
}

#[test]
fn chance_is_seeded() {
    let one = run("[Math.random(), Math.random()]").value();
    assert_eq!(one, run("[Math.random(), Math.random()]").value());
    let other = script("[Math.random(), Math.random()]").seed(2).run().value();
    assert_ne!(one, other);
    assert_eq!(run("let n = 0; for (let i = 0; i < 1000; i++) { const r = Math.random(); if (!(r >= 0 && r < 1)) n++ } n").value(), json!(0));
}

#[test]
fn nothing_to_wait_for_is_a_deadlock() {
    assert!(matches!(run("await new Promise(() => {})").end(), End::Deadlock));
    assert!(matches!(
        run("await github.get({}); await new Promise(() => {})").end(),
        End::Deadlock
    ));
}

#[test]
fn main_is_called_and_an_object_is_no_block() {
    for code in [
        "async function main() { return 5 }",
        "type T = number;\nfunction help(): T { return 5 }\nconst main = async () => help() // end",
    ] {
        assert_eq!(run(code).value(), json!(5), "{code}");
    }
    for code in [
        "{a: 1, b: 'x'}",
        "const x = 1\n{\n  a: x,\n  b: 'x',\n};",
        "const all = {a: 1}\n{...all, b: 'x'}",
        "{a: 1, 'b': \"x\"}\n",
    ] {
        assert_eq!(run(code).value(), json!({"a": 1, "b": "x"}), "{code}");
    }
    assert_eq!(run("{a: 1}").value(), json!({"a": 1}));
    // Blocks stay blocks, and a main that is called already is called once.
    assert_eq!(run("let n = 0\n{ n += 1; n }").value(), json!(1));
    assert_eq!(run("let n = 0; function main() { return ++n }\nmain()").value(), json!(1));
    assert_eq!(run("function main(x) { return x }").value(), json!(null));
}

#[test]
fn usage_is_told() {
    let seen = run("let n = 0; for (let i = 0; i < 1e5; i++) n += i; n");
    let usage = seen.done.unwrap().usage;
    // Memory is counted by process: see the escape tests.
    assert!(usage.wall_us > 0 && usage.cpu_us > 0, "{usage:?}");
}

#[test]
fn results_are_limited() {
    let seen = script("await github.get({})")
        .limits(|l| l.result_bytes = 10)
        .host(|call| vec![ok(call.id, &json!("0123456789"))])
        .run();
    assert!(matches!(seen.end(), End::Limit(Limit::ResultBytes)));
}

#[test]
fn what_the_interpreter_refuses_is_a_finding() {
    for code in ["const a = 1;\nreturn /(/.test('x')", "let x = ;", "import fs from 'fs'"] {
        assert!(!run(code).messages().is_empty(), "{code}");
    }
}

#[test]
fn errors_that_nobody_awaited_are_told() {
    let seen = script("github.get({}); github.get({}).catch(() => {}); 1")
        .host(|call| vec![failed(call.id, "github.get", "no")])
        .run();
    assert_eq!(seen.value(), json!(1));
    assert_eq!(seen.logs, ["nobody awaited this error: github.get: no (sent {owner: string})"]);
}

#[test]
fn a_value_does_not_wait_for_ever_for_what_nobody_awaited() {
    let seen = script("github.get({}); 1").limits(|l| l.wall_ms = 500).host(|_| Vec::new()).run();
    assert_eq!(seen.value(), json!(1));
    assert_eq!(seen.logs, ["calls that nobody awaited and that are not done: 1"]);
}

#[test]
fn losers_of_a_race_are_not_waited_for() {
    let code = "return Promise.race([github.slow({}), github.fast({})])";
    let seen = script(code)
        .host(|call| if call.tool == "fast" { vec![ok(call.id, &json!(2))] } else { Vec::new() })
        .run();
    assert_eq!(seen.value(), json!(2));
    assert!(seen.done.unwrap().usage.wall_us < 30_000_000);
}

#[test]
fn errors_say_what_was_wrong() {
    for (code, said) in [
        (
            "const r: any = { items: {} };\nconst y = r.items.map((x: any) => x)",
            "map is not a function",
        ),
        ("const f: any = 1; f()", "f is not a function"),
        ("const r: any = {}; r.items.map(1)", "cannot read property 'map' of undefined"),
        (
            "await Promise.any([Promise.reject(new Error('one')), Promise.reject('two')])",
            "one; two",
        ),
        ("throw new Error('outer', { cause: new Error('inner') })", "outer (cause: inner)"),
    ] {
        let (_, message, _) = run(code).threw();
        assert_eq!(message, said, "{code}");
    }
}

#[test]
fn what_does_not_fit_a_frame_is_not_sent() {
    let (name, message, _) = run("await github['x'.repeat(1e6)]({})").threw();
    assert_eq!((name.as_str(), message.as_str()), ("TypeError", "no tool has so long a name"));
    let seen =
        run("progress(0.5, '\\u0001'.repeat(5000)); console.log('\\u0001'.repeat(10000)); 1");
    assert_eq!((seen.value(), seen.progress.len(), seen.logs.len()), (json!(1), 1, 1));
}
