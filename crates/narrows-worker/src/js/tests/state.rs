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
fn each_program_begins_with_its_own_clock_chance_input_and_files() {
    let first = "scratch.write('a', 'b'); await new Promise(r => setTimeout(r, 60_000)); \
                 console.count(); console.time(); return [performance.now() >= 60_000, input]";
    let again = "const t = performance.now(); console.count(); console.timeEnd(); \
                 return [Date.now(), input, Math.random(), scratch.list(), t]";
    let second = || {
        let mut second = script(again).seed(2);
        second.program.now_ms += 86_400_000;
        second
    };
    let seen = kept(vec![script(first).input(&json!(5)), second()]);
    assert_eq!(seen[0].value(), json!([true, 5]));
    assert_eq!(seen[0].logs, ["default: 1"]);
    // As if nobody had been there before.
    let alone = second().run();
    assert_eq!((seen[1].value(), &seen[1].logs), (alone.value(), &alone.logs));
    let two = seen[1].value();
    assert_eq!((&two[0], &two[4]), (&json!(1_767_312_000_000_u64), &json!(0)));
}

/// What an earlier program left under way is heard by nobody, reaches no tool, and hears nothing of
/// what a later one is told.
#[test]
fn leftovers_neither_speak_nor_listen() {
    let silent = |_: &_| Vec::new();
    let left = "var stolen = [], refused = [];\n\
                const spy = p => p.then(x => stolen.push(x), e => refused.push(e.message));\n\
                setInterval(() => files.read({ timer: 1 }), 100);\n\
                spy(files.read({ one: 1 })); spy(files.read({ two: 2 }));\n\
                const late = () => { console.log('late'); show(1); spy(files.read({ late: 1 })) };\n\
                setTimeout(() => { Promise.resolve().then(() => spy(files.read({ late: 1 }))).then(late); throw new Error('over') });\n\
                await new Promise(() => {})";
    let seen = kept(vec![
        script(left).host(silent),
        script("const r = await files.read({ secret: 1 }); await new Promise(r => setTimeout(r, 500)); return [r, stolen, refused]")
            .host(|call| vec![ok(call.id, &json!("told"))]),
        script("stolen"),
    ]);
    assert_eq!(seen[0].threw().1, "over");
    assert_eq!(seen[0].calls.len(), 2, "{:?}", seen[0].calls);
    // It was tried, once the program had ended.
    assert_eq!(seen[1].value(), json!(["told", [], ["the program has ended"]]));
    assert_eq!(seen[1].calls.len(), 1, "{:?}", seen[1].calls);
    let said: usize = seen.iter().map(|seen| seen.logs.len() + seen.shown.len()).sum();
    assert_eq!((said, seen[2].calls.len()), (0, 0));
    assert_eq!(seen[2].value(), json!([]));
}

#[test]
fn nothing_is_held_for_what_an_earlier_program_left() {
    // The next program gives none of these numbers anew.
    for left in [
        "files.read({}); files.read({}).then(() => big)",
        "setTimeout(() => 0); setTimeout(() => big, 9)",
    ] {
        let first = format!(
            "(() => {{ const big = new Uint8Array(14 << 20); {left} }})(); throw new Error('over')"
        );
        let limited = |code: &str| {
            script(code).limits(|limits| limits.memory_bytes = 24 << 20).host(|_: &_| Vec::new())
        };
        let seen = kept(vec![limited(&first), limited("new Uint8Array(14 << 20).length")]);
        assert_eq!(seen[1].value(), json!(14 << 20), "{left}");
    }
}

#[test]
fn what_is_left_neither_changes_an_end_nor_puts_it_off() {
    let endless = "setTimeout(() => { Promise.resolve().then(() => { for (;;); }); throw new Error('x') });\n\
                   await new Promise(() => {})";
    let seen = kept(vec![script(endless), script("1")]);
    assert_eq!(seen[0].threw().1, "x");
    // The program itself may take 10 s.
    let cpu_us = seen[0].done.as_ref().unwrap().usage.cpu_us;
    assert!(cpu_us < 5_000_000, "{cpu_us}");
    assert!(seen[1].done.is_none());
}

#[test]
fn a_worker_whose_program_never_rests_ends() {
    let endless = "setTimeout(() => { (async () => { for (;;) await null })(); throw new Error('x') });\n\
                   await new Promise(() => {})";
    let seen = kept(vec![script(endless), script("1")]);
    assert_eq!(seen[0].threw().1, "x");
    assert!(seen[1].done.is_none());
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

/// What an earlier program used and gave back is not this one's, and neither is its `null`.
#[test]
fn an_end_is_that_of_this_program() {
    let limited = |code: &str| script(code).limits(|limits| limits.memory_bytes = 40 << 20);
    let seen = kept(vec![
        limited(
            "const check = x => { if (!x) throw null };\n\
             let big = new Uint8Array(37 << 20).fill(1); big = undefined; 1",
        ),
        limited("await new Promise(() => {})"),
        limited("check(0)"),
        limited("typeof check"),
    ]);
    assert!(matches!(seen[1].end(), End::Deadlock), "{:?}", seen[1].end());
    assert_eq!(seen[2].threw().1, "null");
    assert_eq!(seen[3].value(), json!("function"));
}

#[test]
fn memory_that_is_used_up_by_small_things_is_told_as_such() {
    for greedy in [
        "const a = []; for (;;) a.push([a.length])",
        "globalThis.a = []; for (;;) a.push([a.length])",
    ] {
        let limited = |code: &str| script(code).limits(|limits| limits.memory_bytes = 32 << 20);
        let seen = kept(vec![limited("1"), limited(greedy), limited("1")]);
        assert!(matches!(seen[1].end(), End::Limit(Limit::MemoryBytes)), "{:?}", seen[1].end());
        assert!(seen[2].done.is_none());
    }
}

#[test]
fn places_are_in_the_text_of_this_program() {
    let own = "const x = {}\n\nx.nope()";
    let seen = kept(vec![
        script("function f(o) {\n\n  return o.nope()\n}"),
        script("const a = 1\nconst b = 2\n\n\n  f({})"),
        script(own),
        script("let y = ;"),
        script("new RegExp(f({ nope: () => '(' }))"),
    ]);
    let (name, message, at) = seen[1].threw();
    // Which function it was that there is not stands in another text.
    assert_eq!((name.as_str(), message.as_str()), ("TypeError", "not a function"));
    assert_eq!(at.iter().map(|(line, _)| *line).collect::<Vec<_>>(), [5]);
    let alone = script(own).run();
    assert_eq!(seen[2].threw(), alone.threw());
    assert!(alone.threw().1.ends_with(" is not a function"), "{:?}", alone.threw());
    assert_eq!(seen[3].findings(), script("let y = ;").run().findings());
    assert_eq!(seen[4].threw().2.len(), 1);
}

#[test]
fn names_that_could_be_ours_are_not_taken() {
    let seen = kept(vec![
        script("const $narrows_keep = 1"),
        script("(($narrows_keep) => $narrows_keep)(2)"),
    ]);
    let told = "1:7 $narrows_keep is taken: names that begin with $narrows_ are not free";
    assert_eq!(seen[0].findings(), [told]);
    assert_eq!(seen[1].value(), json!(2));
    assert_eq!(script("const $narrows_keep = 3; $narrows_keep").run().value(), json!(3));
}
