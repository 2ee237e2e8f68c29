//! The program's own time.

use super::{ok, prepare, script};
use crate::link::{Link, LinkError};
use crate::scripted::{ONE_AT_A_TIME, next, send};
use narrows_types::frame::{Call, FromWorker, Go, Reply, ToWorker};
use serde_json::json;
use std::os::unix::net::UnixStream;
use std::sync::PoisonError;

#[test]
fn looks_and_replies_tell_the_time() {
    let mut times_us = vec![1_500_000, 700_000, 2_000_000];
    let host = move |call: &Call| {
        let at_us = times_us.remove(0);
        vec![Reply { at_us, ..ok(call.id, &json!(1)) }]
    };
    let code = "from datetime import datetime, date, timezone\nt = []\nfor i in range(3):\n    \
                t.append(str(datetime.now())[17:])\n    github.get(i=i)\n\
                t.append(datetime.now(timezone.utc).timestamp() - 1767225600)\n\
                return t + [str(date.today())]";
    let seen = script(code).host(host).run();
    let expected = json!(["00", "01.500000", "01.500001", 2.0, "2026-01-01"]);
    assert_eq!(seen.value(), expected);
}

#[test]
fn replies_are_taken_in_the_order_in_which_they_came() {
    // All are there when the last call, which is waited for at once, has its result. Monty lists
    // what it waits for in no order, each time another one.
    let code = "done = []\nasync def one(i, t):\n    await t\n    done.append(i)\n\
                ts = [github.f(n=i) for i in range(40)]\ngithub.last()['n']\n\
                await asyncio.gather(*[one(i, ts[i]) for i in range(40)])\nreturn done";
    let mut held = Vec::new();
    let seen = script(code)
        .host(|call| {
            held.insert(0, ok(call.id, &json!({ "n": 1 })));
            if call.tool == "f" {
                return Vec::new();
            }
            held.rotate_left(1);
            std::mem::take(&mut held)
        })
        .run();
    assert_eq!(seen.value(), json!((0..40).rev().collect::<Vec<_>>()));
}

/// Runs a program whose host is the test itself.
fn with_host(code: &str, host: impl FnOnce(&mut UnixStream)) -> Result<(), LinkError> {
    let _one = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let (inside, mut outside) = UnixStream::pair().unwrap();
    let program = script(code).program;
    let worker = std::thread::Builder::new()
        .stack_size(8 << 20)
        .spawn(move || prepare().unwrap().run(&mut Link::new(inside), &program))
        .unwrap();
    host(&mut outside);
    drop(outside);
    worker.join().unwrap()
}

#[test]
fn who_waits_says_so() {
    let code = "async def f():\n    print(1)\n    await github.a()\n    print(2)\n    return github.b()\nawait f()";
    let mut seen = Vec::new();
    let ended = with_host(code, |outside| {
        assert!(matches!(next(outside), Some(FromWorker::Uses(_))));
        send(outside, &ToWorker::Go(Go { namespaces: vec!["github".to_owned()] }));
        send(outside, &ToWorker::Ping);
        while let Some(frame) = next(outside) {
            match frame {
                FromWorker::Log(log) => seen.push(log.text),
                FromWorker::Call(call) => seen.push(call.tool),
                FromWorker::Done(_) => break,
                FromWorker::Idle => {
                    seen.push("idle".to_owned());
                    if seen.len() == 3 {
                        send(outside, &ToWorker::Ping);
                        send(outside, &ToWorker::Reply(ok(1, &json!(1))));
                        send(outside, &ToWorker::Ping);
                    } else if seen.len() == 7 {
                        send(outside, &ToWorker::Reply(ok(2, &json!(1))));
                    }
                }
                other => panic!("{other:?}"),
            }
        }
    });
    assert!(ended.is_ok());
    assert_eq!(seen, ["1", "a", "idle", "idle", "2", "b", "idle"]);
}

#[test]
fn a_ping_before_the_program_goes_breaks_the_protocol() {
    let ended = with_host("1", |outside| {
        send(outside, &ToWorker::Ping);
        assert!(matches!(next(outside), Some(FromWorker::Uses(_))));
        assert!(next(outside).is_none());
    });
    assert!(matches!(ended, Err(LinkError::Bad(_))));
}
