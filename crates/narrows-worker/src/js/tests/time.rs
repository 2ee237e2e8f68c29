//! The program's own time.

use super::{ok, run, script};
use crate::link::Link;
use crate::scripted::{next, send};
use narrows_types::Limit;
use narrows_types::frame::{Call, End, FromWorker, Go, Reply, ToWorker};
use serde_json::json;
use std::os::unix::net::UnixStream;

/// The time at which a host answers each call, in order.
fn told(times_us: &[u64]) -> impl FnMut(&Call) -> Vec<Reply> {
    let mut times_us = times_us.to_vec();
    move |call| {
        let at_us = times_us.remove(0);
        vec![Reply { at_us, ..ok(call.id, &json!(call.tool)) }]
    }
}

#[test]
fn each_look_at_the_clock_is_a_microsecond() {
    let seen = run("const t = performance.now(); const d = Date.now();\n\
         return [t, performance.now(), d, new Date().getTime() - d, performance.now()]");
    assert_eq!(seen.value(), json!([0, 0.002, 1_767_225_600_000_u64, 0, 0.004]));
    let seen = run("const t = Date.now(); let n = 0; while (Date.now() < t + 50) n++; return n");
    assert_eq!(seen.value(), json!(49_999));
}

#[test]
fn replies_tell_the_time() {
    let code = "const t = []; for (const _ of [1, 2, 3]) { await github.get({}); t.push(performance.now()) }\n\
                return [t, Date.now() - 1767225600000]";
    let seen = script(code).host(told(&[5_000, 2_000, 7_500])).run();
    assert_eq!(seen.value(), json!([[5, 5.001, 7.5], 7]));
}

#[test]
fn a_jump_does_not_stop_the_clock() {
    let code = "await github.a({}); await new Promise(r => setTimeout(r, 1000)); const t = performance.now();\n\
                await github.b({}); return [t, performance.now()]";
    let seen = script(code).host(told(&[2_000, 5_000])).run();
    assert_eq!(seen.value(), json!([1_002, 1_005]));
}

#[test]
fn wakes_are_asked_for_while_calls_are_under_way() {
    // The hour before is the program's own: the host knows nothing of it.
    let code = "await new Promise(r => setTimeout(r, 3_600_000)); const slow = github.slow({});\n\
                const late = new Promise(r => setTimeout(r, 20, 'late')); setTimeout(() => {}, 5);\n\
                return [await Promise.race([slow, late]), performance.now()]";
    let seen = script(code).host(|_| Vec::new()).run();
    assert_eq!(seen.value(), json!(["late", 3_600_020]));
    assert_eq!(seen.wakes, [(2, 5_000), (3, 20_000)]);
}

#[test]
fn one_wake_is_enough_for_one_time() {
    let code = "const fired = []; for (const n of [1, 2, 3]) setTimeout(() => fired.push(n), 10);\n\
                const a = github.a({}); const b = github.b({}); await a; await b; return fired";
    let mut held = Vec::new();
    let seen = script(code)
        .host(|call| {
            // Both come before the time is there.
            held.push(Reply { at_us: 1_000, ..ok(call.id, &json!(1)) });
            if held.len() < 2 { Vec::new() } else { std::mem::take(&mut held) }
        })
        .asleep()
        .run();
    assert_eq!((seen.value(), seen.wakes), (json!([]), vec![(3, 10_000)]));
}

#[test]
fn ids_have_no_gaps_and_wakes_are_no_calls() {
    let code = "for (let i = 0; i < 3; i++) {\n\
                  await Promise.race([github.hang({}), new Promise(r => setTimeout(r, 10))]);\n\
                }\n\
                await github.get({})";
    let host = |call: &Call| match call.tool.as_str() {
        "hang" => Vec::new(),
        _ => vec![ok(call.id, &json!(1))],
    };
    let seen = script(code).host(host).limits(|l| l.calls = 4).run();
    assert_eq!(seen.value(), json!(1));
    assert_eq!(seen.calls.iter().map(|call| call.id).collect::<Vec<_>>(), [1, 3, 5, 7]);
    assert_eq!(seen.wakes, [(2, 10_000), (4, 20_000), (6, 30_000)]);
    let seen = script(code).host(host).limits(|l| l.calls = 3).run();
    assert!(matches!(seen.end(), End::Limit(Limit::Calls)), "{:?}", seen.end());
}

#[test]
fn a_wake_that_nobody_needs_any_more_changes_nothing() {
    // It comes while the next call is under way, and never.
    let code = "const t = setTimeout(() => console.log('fired'), 10); await github.first({}); clearTimeout(t);\n\
                return github.second({})";
    let first = |call: &Call| match call.tool.as_str() {
        "first" => Vec::new(),
        _ => vec![
            Reply { at_us: 12_000, ..ok(2, &json!(null)) },
            Reply { at_us: 13_000, ..ok(call.id, &json!(2)) },
        ],
    };
    let mut asked = 0;
    let late = script(code)
        .host(move |call| {
            asked += 1;
            if asked == 1 { vec![ok(call.id, &json!(1))] } else { first(call) }
        })
        .asleep()
        .run();
    assert_eq!((late.value(), late.wakes, late.logs.len()), (json!(2), vec![(2, 10_000)], 0));
    let never = script(code).asleep().run();
    assert_eq!((never.value(), never.wakes), (json!({}), vec![(2, 10_000)]));
}

#[test]
fn a_timer_that_sets_the_next_does_not_keep_replies_out() {
    for again in ["setTimeout(poll)", "setTimeout(poll, 0)", "setImmediate(poll)"] {
        let code = format!(
            "let done = 0, n = 0; github.get({{}}).then(() => done = 1);\n\
             await new Promise(r => (function poll() {{ n++; done ? r() : {again} }})()); return n"
        );
        let seen = script(&code).run();
        assert_eq!(seen.value(), json!(2), "{again}");
    }
}

#[test]
fn wakes_are_limited() {
    // Past the limit the timer waits for the reply, which comes with the last wake.
    let code = "let n = 0; const i = setInterval(() => n++, 1); await github.get({}); clearInterval(i); return n";
    let mut outside = begin(code);
    let mut wakes = 0;
    let end = loop {
        match next(&mut outside).unwrap() {
            FromWorker::Call(call) if call.tool == "wait" => {
                wakes += 1;
                let body = "null".to_owned();
                let reply = Reply { id: call.id, ok: true, at_us: 0, body };
                send(&mut outside, &ToWorker::Reply(reply));
                if wakes == 10_000 {
                    send(&mut outside, &ToWorker::Reply(ok(1, &json!(null))));
                }
            }
            FromWorker::Done(done) => break done.end,
            _ => {}
        }
    };
    assert!(matches!(end, End::Value(json) if json.get() == "10000"));
}

/// Begins a run whose host is the test itself.
fn begin(code: &str) -> UnixStream {
    let (inside, mut outside) = UnixStream::pair().unwrap();
    let program = script(code).program;
    std::thread::Builder::new()
        .stack_size(8 << 20)
        .spawn(move || super::prepare().unwrap().run(&mut Link::new(inside), &program))
        .unwrap();
    assert!(matches!(next(&mut outside), Some(FromWorker::Uses(_))));
    let namespaces = vec!["github".to_owned()];
    send(&mut outside, &ToWorker::Go(Go { namespaces }));
    outside
}

#[test]
fn who_waits_says_so() {
    let mut outside = begin("console.log(1); await github.a({}); console.log(2); github.b({})");
    send(&mut outside, &ToWorker::Ping);
    let mut seen = Vec::new();
    while let Some(frame) = next(&mut outside) {
        match frame {
            FromWorker::Log(log) => seen.push(log.text),
            FromWorker::Call(call) => seen.push(call.tool),
            FromWorker::Done(_) => break,
            FromWorker::Idle => {
                seen.push("idle".to_owned());
                if seen.len() == 3 {
                    send(&mut outside, &ToWorker::Ping);
                    send(&mut outside, &ToWorker::Reply(ok(1, &json!(1))));
                    send(&mut outside, &ToWorker::Ping);
                } else if seen.len() == 7 {
                    send(&mut outside, &ToWorker::Reply(ok(2, &json!(1))));
                }
            }
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(seen, ["1", "a", "idle", "idle", "2", "b", "idle"]);
}

#[test]
fn a_ping_before_the_program_goes_breaks_the_protocol() {
    let (inside, mut outside) = UnixStream::pair().unwrap();
    send(&mut outside, &ToWorker::Ping);
    let program = script("1").program;
    let ended = super::prepare().unwrap().run(&mut Link::new(inside), &program);
    assert!(matches!(ended, Err(crate::link::LinkError::Bad(_))));
}
