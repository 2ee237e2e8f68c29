//! What programs do that mean harm.

use super::{Seen, run, script};
use narrows_types::frame::End;
use narrows_types::{Limit, Limits};
use serde_json::json;
use std::time::{Duration, Instant};

/// Limits that are soon reached.
fn tight(limits: &mut Limits) {
    limits.cpu_ms = 200;
    limits.wall_ms = 2_000;
    limits.memory_bytes = 16 << 20;
    limits.value_bytes = 1 << 20;
    limits.log_bytes = 4 << 10;
    limits.calls = 50;
}

fn limit(code: &str) -> Limit {
    let seen = script(code).limits(tight).run();
    match seen.end() {
        End::Limit(limit) => *limit,
        other => panic!("{code}: {other:?}"),
    }
}

fn tightly(code: &str) -> Seen {
    script(code).limits(tight).run()
}

#[test]
fn endless_programs_end() {
    for code in [
        "for (;;) {}",
        "try { for (;;) {} } catch { return 'caught' } finally { for (;;) {} }",
        "async function f() { for (;;) await null } await f()",
        "const f = async () => { await 0; f() }; f(); await new Promise(() => {})",
        "const f = () => queueMicrotask(f); f(); await new Promise(() => {})",
        "(async () => { for (;;) {} })().catch(() => {}); 1",
        "/^(a+)+$/.test('a'.repeat(40) + 'b')",
        "[3, 2, 1].sort(() => { for (;;) {} })",
        "return { toJSON() { for (;;) {} } }",
        "return { get a() { for (;;) {} } }",
        "throw { get message() { for (;;) {} } }",
        "return new Proxy({}, { ownKeys() { for (;;) {} } })",
        "new Function('for (;;) {}')()",
        "(0, eval)('for (;;) {}')",
        "function* g() { for (;;) yield 1 } for (const _ of g()) {}",
    ] {
        let begun = Instant::now();
        assert_eq!(limit(code), Limit::CpuMs, "{code}");
        assert!(begun.elapsed() < Duration::from_secs(30), "{code}: {:?}", begun.elapsed());
    }
}

#[test]
fn timers_without_end_end() {
    let seen = tightly("setInterval(() => {}, 1); await new Promise(() => {})");
    assert!(matches!(seen.end(), End::Limit(Limit::CpuMs | Limit::WallMs)), "{:?}", seen.end());
}

#[test]
fn waiting_ends() {
    let seen =
        script("await github.get({})").limits(|l| l.wall_ms = 100).host(|_| Vec::new()).run();
    assert!(matches!(seen.end(), End::Limit(Limit::WallMs)), "{:?}", seen.end());
}

#[test]
fn hoarders_end() {
    for code in [
        "const a = []; for (;;) a.push(new Array(1000).fill(0))",
        "let s = 'x'; for (;;) s += s",
        "'x'.repeat(1e9)",
        "new Array(1e7).fill({})",
        "const m = new Map(); for (let i = 0; ; i++) m.set(i, { i })",
        "new ArrayBuffer(1e9)",
    ] {
        let seen = tightly(code);
        match seen.end() {
            End::Limit(Limit::MemoryBytes | Limit::CpuMs) => {}
            // Too long for a string, or a buffer: refused by the language.
            End::Threw(error) if ["RangeError", "InternalError"].contains(&error.name.as_str()) => {
            }
            other => panic!("{code}: {other:?}"),
        }
    }
    assert_eq!(
        tightly("try { new Uint8Array(1e8) } catch { return 'went on' }").value(),
        json!("went on")
    );
}

#[test]
fn a_chain_of_promises_ends() {
    // Where memory ends in the middle of a job, the job is gone, and with it all that it held.
    // Filling it takes longer than what is tight.
    let code = "const f = () => Promise.resolve().then(f); await f()";
    let seen = script(code).limits(tight).limits(|limits| limits.cpu_ms = 10_000).run();
    let end = seen.end();
    assert!(matches!(end, End::Limit(Limit::MemoryBytes) | End::Deadlock), "{end:?}");
}

#[test]
fn deep_programs_end() {
    for code in [
        "function f() { return f() + 1 } f()",
        "let o = {}; for (let i = 0; i < 1e5; i++) o = { o }; return o",
        "const f = () => [1].map(f); f()",
        "const p = new Proxy({}, { get: (t, k) => p[k] }); p.x",
    ] {
        // Writing a value looks for it among all those that it is in: that takes its time.
        let seen = script(code).limits(|limits| limits.cpu_ms = 10_000).run();
        assert!(matches!(seen.end(), End::Limit(Limit::Stack)), "{code}: {:?}", seen.end());
    }
    let code = "function f() { return f() + 1 } try { f() } catch (e) { return e.name }";
    assert_eq!(tightly(code).value(), json!("RangeError"));
}

#[test]
fn floods_are_dammed() {
    let seen = tightly("for (let i = 0; i < 10000; i++) console.log('line', i); 'done'");
    assert_eq!(seen.value(), json!("done"));
    assert!(seen.logs.iter().map(String::len).sum::<usize>() < 5 << 10);
    assert!(seen.logs.last().unwrap().ends_with("more lines dropped: log_bytes is 4096"));
    assert_eq!(limit("for (;;) github.get({})"), Limit::Calls);
    let caught =
        "for (let i = 0; i < 1000; i++) { try { await github.get({}) } catch {} } 'still here'";
    assert_eq!(limit(caught), Limit::Calls);
    assert!(tightly("for (let i = 0; i < 60; i++) github.get({})").calls.len() <= 50);
    let seen = tightly("console.log('x'.repeat(1e6)); console.log({ a: 'y'.repeat(1e6) })");
    assert!(seen.logs.iter().all(|line| line.len() <= 8 << 10));
    assert_eq!(limit("for (;;) show('x'.repeat(1000))"), Limit::ValueBytes);
}

#[test]
fn values_are_limited() {
    assert_eq!(limit("return 'x'.repeat(2e6)"), Limit::ValueBytes);
    let (_, message, _) = run("const a = {}; a.a = a; return a").threw();
    assert!(message.contains("contains itself"), "{message}");
    let (name, message, _) = run("return { get a() { throw new RangeError('mine') } }").threw();
    assert_eq!((name.as_str(), message.as_str()), ("RangeError", "mine"));
    assert_eq!(run("return new Proxy({ a: 1 }, {})").value(), json!({"a": 1}));
    assert_eq!(run("return new Proxy([1, 2], {})").value(), json!([1, 2]));
}

#[test]
fn tampering_changes_nothing_for_the_host() {
    let code = "JSON.stringify = () => 'forged'; Array.prototype.push = () => { throw 1 };\n\
        Array.prototype[Symbol.iterator] = () => { throw 2 }; Promise.prototype.then = () => { throw 3 };\n\
        Object.keys = () => ['x']; Map.prototype.forEach = () => { throw 4 }; Reflect.apply = null;\n\
        Function.prototype.call = () => { throw 5 }; Promise = null; Proxy = null; String.prototype.toWellFormed = null;\n\
        Object.defineProperty(Object.prototype, 'value', { get() { throw 6 } });\n\
        const a = await github.get({ id: 1 }); console.log('still', a); return { a }";
    let seen = run(code);
    assert_eq!(seen.value(), json!({"a": {"id": 1}}));
    assert_eq!(seen.tools(), ["github.get {\"id\":1}"]);
    assert_eq!(seen.logs, ["still {id:1}"]);
    let (name, _, _) = run("Error.prepareStackTrace = () => { throw 1 }; null.x").threw();
    assert!(!name.is_empty());
    let seen =
        run("Object.prototype.then = function (r) { r('hijacked') }; return github.get({ a: 1 })");
    assert_eq!(seen.tools(), ["github.get {\"a\":1}"]);
    let seen =
        run("Date = null; Math.random = null; console = null; await github.get({}); return 1");
    assert_eq!(seen.value(), json!(1));
}

#[test]
fn nothing_is_outside() {
    for code in [
        "return (function () { return typeof this })()",
        "return typeof globalThis.process + typeof globalThis.require + typeof globalThis.std + typeof globalThis.os",
        "return ({}).constructor.constructor('return typeof process')()",
        "return (async () => {}).constructor('return typeof std')()",
        "return typeof eval('typeof bjson === \"undefined\" ? undefined : 1')",
    ] {
        let value = run(code).value();
        let text = value.as_str().unwrap_or_default().replace("undefined", "");
        assert_eq!(text, "", "{code}: {value}");
    }
    let (_, message, _) = run("await (0, eval)(\"import('std')\")").threw();
    assert!(!message.is_empty());
}

#[test]
fn namespaces_cannot_be_changed() {
    let (name, _, _) = run("github.get = () => 1; await github.get({})").threw();
    assert_eq!(name, "TypeError");
    let seen = run(
        "return `${typeof github.then} ${typeof github.toJSON} ${'get' in github} ${JSON.stringify(github)}`",
    );
    assert_eq!(seen.value(), json!("undefined undefined true {}"));
    assert_eq!(run("return github").value(), json!({}));
}

#[test]
fn what_was_thrown_is_told_within_bounds() {
    let (name, message, _) =
        run("const e = new Error('m'.repeat(1e6)); e.name = 'n'.repeat(1e6); throw e").threw();
    assert!(name.len() <= 64 && message.len() <= 8 << 10);
    let (_, message, _) = run("throw { get message() { throw 1 }, a: 1 }").threw();
    assert!(message.contains("[throws]"), "{message}");
    let (_, message, _) = run("throw null").threw();
    assert_eq!(message, "null");
    let (_, message, _) = run("throw undefined").threw();
    assert_eq!(message, "undefined");
    let (_, _, at) = run("const e = new Error('x'); e.stack = 'at f (program:99999:1)\\nprogram:1:1:1\\nprogram:-1'; throw e").threw();
    assert!(at.len() <= 1, "{at:?}");
}
