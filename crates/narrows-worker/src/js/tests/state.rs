//! Programs of one session, one after the other in one worker.

use super::{Seen, kept, ok, script};
use narrows_types::Limit;
use narrows_types::frame::End;
use serde_json::{Value, json};

fn values(codes: &[&str]) -> Vec<Value> {
    kept(codes.iter().map(|code| script(code)).collect()).iter().map(Seen::value).collect()
}

#[test]
fn names_of_the_outermost_level_stay() {
    let first = "const rows: number[] = [1, 2]; let n = 0; var old = 'v'; enum Colour { Red = 7 }\n\
                 function add(by: number) { n += by; return n }\n\
                 class Box<T> { constructor(public of: T) {} }\n\
                 const { a, ...rest } = { a: 1, b: 2 }; interface Gone { x: 1 } rows.length";
    let second = "n += 10; add(1); rows.push(3); const box = new Box(rows);\n\
                  return [n, box.of, old, Colour.Red, a, rest]";
    let third = "const n = 'anew'; return [n, add(1), box.of.length]";
    assert_eq!(
        values(&[first, second, third, "n"]),
        [
            json!(2),
            json!([11, [1, 2, 3], "v", 7, 1, { "b": 2 }]),
            json!(["anew", 12, 3]),
            json!("anew"),
        ]
    );
}

#[test]
fn a_constant_stays_one() {
    let seen = kept(vec![script("const c = 1"), script("c = 2"), script("c")]);
    assert!(
        matches!(&seen[1].done.as_ref().unwrap().end, End::Threw(error) if error.name == "TypeError")
    );
    assert_eq!(seen[2].value(), json!(1));
}

#[test]
fn what_a_program_did_not_come_to_define_is_as_it_was() {
    let seen = kept(vec![
        script("let a = 1"),
        script("const b = 2; throw new Error('x'); let a = 9, c = 3"),
        script("return [a, b, typeof c]"),
    ]);
    assert_eq!(seen[2].value(), json!([1, 2, "undefined"]));
}

#[test]
fn what_an_earlier_program_had_is_not_what_this_one_has() {
    let tight = |code| script(code).limits(|limits| limits.memory_bytes = 64 << 20);
    let large = "new Uint8Array(62e6).fill(1); 1";
    let seen = kept([large, "throw null", "await new Promise(() => {})"].map(tight).into());
    let end = |at: usize| &seen[at].done.as_ref().unwrap().end;
    assert_eq!(seen[0].value(), json!(1));
    assert!(matches!(end(1), End::Threw(_)), "{:?}", end(1));
    assert!(matches!(end(2), End::Deadlock), "{:?}", end(2));
}

#[test]
fn names_inside_of_blocks_and_functions_go() {
    let seen = kept(vec![
        script("{ let inner = 1 } for (const i of [1]) {} (() => { const deep = 1 })(); 1"),
        script("return [typeof inner, typeof i, typeof deep]"),
    ]);
    assert_eq!(seen[1].value(), json!(["undefined", "undefined", "undefined"]));
}

#[test]
fn a_program_with_findings_changes_nothing() {
    let seen = kept(vec![
        script("let a = 1"),
        script("let a = ; 2"),
        script("require('fs'); a = 2"),
        script("a"),
    ]);
    assert!(!seen[1].uses.findings.is_empty() && !seen[2].uses.findings.is_empty());
    assert_eq!(seen[3].value(), json!(1));
}

#[test]
fn functions_of_earlier_programs_reach_the_tools_of_this_one() {
    let seen = kept(vec![
        script("const load = async () => (await files.read({ path: 'x' })).path; await load()"),
        script("return [await load(), await load()]"),
    ]);
    assert_eq!(seen[1].value(), json!(["x", "x"]));
    let ids: Vec<u32> = seen[1].calls.iter().map(|call| call.id).collect();
    assert_eq!(ids, [1, 2]);
}

#[test]
fn each_program_begins_with_its_own_clock_input_and_files() {
    let code =
        "scratch.write('a', 'b'); const first = Date.now(); return [first, input, Math.random()]";
    let again = "return [Date.now(), input, Math.random(), scratch.list(), performance.now()]";
    let seen = kept(vec![script(code).input(&json!(5)), script(again)]);
    let (one, two) = (seen[0].value(), seen[1].value());
    assert_eq!((&one[0], &one[1]), (&two[0], &json!(5)));
    assert_eq!((&two[1], &two[3], &one[2]), (&json!(null), &json!([]), &two[2]));
}

/// Whatever an earlier program left under way is heard by nobody, and hears nothing of what a later
/// one is told.
#[test]
fn leftovers_neither_speak_nor_listen() {
    let silent = |_: &_| Vec::new();
    let left = "var stolen = []; const spy = p => p.then(x => { stolen.push(x); files.read({ stolen }) });\n\
                setInterval(() => files.read({ timer: 1 }), 1);\n\
                spy(files.read({ one: 1 })); spy(files.read({ two: 2 }));\n\
                Promise.resolve().then(async function again() { console.log('late'); files.read({ late: 1 }).catch(() => {}) });\n\
                throw new Error('over')";
    let seen = kept(vec![
        script(left).host(silent),
        script("const r = await files.read({ secret: 1 }); await new Promise(r => setTimeout(r, 50)); return [r, stolen]")
            .host(|call| vec![ok(call.id, &json!("told"))]),
        script("stolen"),
    ]);
    assert_eq!(seen[1].value(), json!(["told", []]));
    assert_eq!(seen[1].calls.len(), 1, "{:?}", seen[1].calls);
    assert_eq!((seen[1].logs.len(), seen[2].calls.len()), (0, 0));
    assert_eq!(seen[2].value(), json!([]));
}

#[test]
fn a_worker_whose_program_never_rests_ends() {
    let endless = "setTimeout(() => { (async () => { for (;;) await null })(); throw new Error('x') });\n\
                   await new Promise(() => {})";
    let seen = kept(vec![script(endless), script("1")]);
    assert!(seen[0].done.is_some() && seen[1].done.is_none());
}

#[test]
fn limits_are_those_of_one_program() {
    let calls = "for (let i = 0; i < 3; i++) await files.read({}); 'done'";
    let three = || script(calls).limits(|limits| limits.calls = 3);
    let seen =
        kept(vec![three(), three(), script(calls).limits(|limits| limits.calls = 2), script("1")]);
    assert_eq!((seen[0].value(), seen[1].value()), (json!("done"), json!("done")));
    assert!(matches!(seen[2].done.as_ref().unwrap().end, End::Limit(Limit::Calls)));
    assert!(seen[3].done.is_none());
}

#[test]
fn memory_is_that_of_all_of_them() {
    let grow = "globalThis.big ??= []; big.push(new Uint8Array(8 << 20)); big.length";
    let limited = || script(grow).limits(|limits| limits.memory_bytes = 20 << 20);
    let seen = kept(vec![limited(), limited(), limited()]);
    assert_eq!(seen[1].value(), json!(2));
    assert!(matches!(seen[2].done.as_ref().unwrap().end, End::Limit(Limit::MemoryBytes)));
}
