//! A program that is run again, and gets the same replies in the same order, sends the same frames
//! byte for byte. First it runs against a host that answers in its own real time, in any order;
//! then against that host's record, at once and with pauses.

use crate::evaluate;
use crate::scripted::{ONE_AT_A_TIME, next, send};
use narrows_types::frame::{
    Call, CallError, FromWorker, Go, PREFIX_BYTES, Program, Reply, ToWorker,
};
use narrows_types::{Language, Limits, Usage};
use serde_json::{Value, json};
use std::collections::VecDeque;
use std::os::unix::net::UnixStream;
use std::sync::PoisonError;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::{Duration, Instant};

/// Longer than any run here takes on a busy machine.
const LONG: Duration = Duration::from_mins(1);

/// A run under way, and what it has sent.
struct Run {
    socket: UnixStream,
    frames: Receiver<FromWorker>,
    sent: Vec<Vec<u8>>,
    calls: Vec<Call>,
    done: bool,
}

impl Run {
    fn begin(language: Language, code: &str) -> Self {
        let (inside, socket) = UnixStream::pair().unwrap();
        let worker = thread::Builder::new().stack_size(8 << 20);
        worker.spawn(move || evaluate(inside, language)).unwrap();
        let mut reader = socket.try_clone().unwrap();
        let (tell, frames) = channel();
        thread::spawn(move || {
            while let Some(frame) = next(&mut reader) {
                if tell.send(frame).is_err() {
                    return;
                }
            }
        });
        let limits = Limits::default();
        let (code, input) = (code.to_owned(), None);
        let (now_ms, seed) = (1_767_225_600_000, 7);
        let program = Program { code, language, input, limits, now_ms, seed, state: false };
        let mut run = Self { socket, frames, sent: Vec::new(), calls: Vec::new(), done: false };
        run.send(&ToWorker::Run(Box::new(program)));
        assert!(matches!(run.take(LONG), Some(FromWorker::Uses(uses)) if uses.findings.is_empty()));
        run.send(&ToWorker::Go(Go { namespaces: vec!["host".to_owned()] }));
        run
    }

    fn send(&mut self, frame: &ToWorker) {
        send(&mut self.socket, frame);
    }

    /// Waits for the next frame.
    fn take(&mut self, time: Duration) -> Option<FromWorker> {
        let mut frame = match self.frames.recv_timeout(time) {
            Ok(frame) => frame,
            Err(RecvTimeoutError::Timeout) => return None,
            Err(RecvTimeoutError::Disconnected) => panic!("the worker ended without a word"),
        };
        match &mut frame {
            FromWorker::Idle => return Some(frame),
            FromWorker::Done(done) => {
                done.usage = Usage::default();
                self.done = true;
            }
            FromWorker::Call(call) => self.calls.push(call.clone()),
            _ => {}
        }
        self.sent.push(frame.encode().unwrap());
        Some(frame)
    }
}

/// What the host says to a call, and when: `ms` of the arguments after it was made.
fn answer(call: &Call, at: Duration) -> (Duration, Reply) {
    let args: Value = serde_json::from_str(call.args.get()).unwrap();
    if call.tool == "wait" {
        let at = Duration::from_micros(args["until_us"].as_u64().unwrap());
        return (at, Reply { id: call.id, ok: true, at_us: 0, body: "null".to_owned() });
    }
    let fails = call.tool == "fail";
    let (tool, arguments) = (call.tool.clone(), String::new());
    let error = CallError { tool, message: format!("no {args}"), arguments };
    let body = if fails { serde_json::to_string(&error).unwrap() } else { args.to_string() };
    let reply = Reply { id: call.id, ok: !fails, at_us: 0, body };
    (at + Duration::from_millis(args["ms"].as_u64().unwrap_or(0)), reply)
}

/// Runs a program in real time: its frames, and the replies that it was given.
fn live(language: Language, code: &str) -> (Vec<Vec<u8>>, VecDeque<Reply>) {
    let mut run = Run::begin(language, code);
    let begun = Instant::now();
    let mut open: Vec<(Duration, Reply)> = Vec::new();
    let mut told = VecDeque::new();
    while !run.done {
        open.sort_by_key(|(at, _)| std::cmp::Reverse(*at));
        let now = begun.elapsed();
        if open.last().is_some_and(|(at, _)| *at <= now) {
            let (_, mut reply) = open.pop().unwrap();
            reply.at_us = u64::try_from(now.as_micros()).unwrap();
            run.send(&ToWorker::Reply(reply.clone()));
            told.push_back(reply);
            continue;
        }
        let time = open.last().map_or(LONG, |(at, _)| at.saturating_sub(now));
        if let Some(FromWorker::Call(call)) = run.take(time) {
            open.push(answer(&call, begun.elapsed()));
        }
        assert!(begun.elapsed() < LONG);
    }
    (run.sent, told)
}

/// Runs it again with the same replies, each as soon as its call is there, after a pause; with
/// `ping` when the program waits and nothing before.
fn again(
    (language, code): (Language, &str),
    mut told: VecDeque<Reply>,
    (pause, ping): (Duration, bool),
) -> Vec<Vec<u8>> {
    let mut run = Run::begin(language, code);
    if ping {
        run.send(&ToWorker::Ping);
    }
    while !run.done {
        let frame = run.take(LONG).unwrap();
        if ping && !matches!(frame, FromWorker::Idle) {
            continue;
        }
        let calls = u32::try_from(run.calls.len()).unwrap();
        while let Some(reply) = told.pop_front_if(|reply| reply.id <= calls) {
            rest(pause);
            run.send(&ToWorker::Reply(reply));
            if ping {
                run.send(&ToWorker::Ping);
                break;
            }
        }
    }
    run.sent
}

#[expect(clippy::disallowed_methods, reason = "the pause of a slow host")]
fn rest(pause: Duration) {
    thread::sleep(pause);
}

fn same(language: Language, code: &str) -> Vec<Call> {
    let _one = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let (sent, told) = live(language, code);
    let frame = |bytes: &Vec<u8>| FromWorker::decode(&bytes[PREFIX_BYTES..]).unwrap();
    for way in [(Duration::ZERO, false), (Duration::from_millis(3), false), (Duration::ZERO, true)]
    {
        let other = again((language, code), told.clone(), way);
        let first = sent.iter().zip(&other).find(|(one, other)| one != other);
        let first = first.map(|(one, other)| (frame(one), frame(other)));
        assert!(first.is_none(), "{way:?} {code}\n{first:#?}");
        assert_eq!(sent.len(), other.len(), "{way:?} {code}");
    }
    let calls = sent.iter().map(frame);
    calls
        .filter_map(|frame| if let FromWorker::Call(call) = frame { Some(call) } else { None })
        .collect()
}

fn wakes(calls: &[Call]) -> usize {
    calls.iter().filter(|call| call.tool == "wait").count()
}

#[test]
fn javascript_does_the_same_again() {
    for (code, wakes_min) in [
        (
            "const t = [Date.now(), performance.now(), Math.random(), new Date()];\n\
             await host.a({ ms: 3 }); t.push(Date.now(), performance.now(), Math.random(), `${new Date()}`);\n\
             const until = Date.now() + 20; let n = 0; while (Date.now() < until) n++; console.log(n);\n\
             await host.b({ ms: 2, t }); return [t, n, performance.now()]",
            0,
        ),
        (
            "const log = [];\n\
             const one = async i => { for (let k = 0; k < 3; k++) {\n\
               const r = await host.f({ ms: Math.floor(Math.random() * 6), i, k, at: performance.now() });\n\
               log.push([i, k, r.at]); console.log(i, k, performance.now()) } };\n\
             await Promise.all([...Array(12).keys()].map(one)); return log",
            0,
        ),
        (
            "const late = ms => new Promise(r => setTimeout(r, ms, 'late'));\n\
             const won = []; for (const ms of [0, 4, 8, 12, 16]) {\n\
               won.push(await Promise.race([host.slow({ ms }).then(() => 'call'), late(8)]), Date.now()) }\n\
             return won",
            1,
        ),
        (
            "scratch.write('a', `${Math.random()}`); const add = async i => scratch.append('a', `${(await host.f({ ms: i % 3, i })).i},`);\n\
             await Promise.all([...Array(9).keys()].map(add)); console.log(scratch.read('a')); await scratch.keep('a');\n\
             return scratch.bytes('a')",
            0,
        ),
        (
            "let ticks = 0; const i = setInterval(() => { ticks++; if (ticks % 4 == 0) host.tick({ ms: 3, ticks }) }, 2);\n\
             await host.long({ ms: 40 }); clearInterval(i); await new Promise(r => setTimeout(r, 50_000));\n\
             const t = setTimeout(() => console.log('never'), 5); const p = host.after({ ms: 1 }); await p; clearTimeout(t);\n\
             setTimeout(() => host.left({ ms: 2, at: performance.now() }), 3); return [ticks, performance.now()]",
            1,
        ),
        (
            "const r = await Promise.allSettled([host.fail({ ms: 4 }), host.ok({ ms: 2 }), ask('x'), session.get('k')]);\n\
             await Promise.any([host.fail({ ms: 1 }), host.ok({ ms: 3 })]); host.loose({ ms: 5 });\n\
             return r.map(x => x.status + (x.reason?.message ?? JSON.stringify(x.value)))",
            0,
        ),
    ] {
        let calls = same(Language::TypeScript, code);
        assert!(wakes(&calls) >= wakes_min, "{code}: {}", wakes(&calls));
    }
}

#[test]
fn python_does_the_same_again() {
    for code in [
        "from datetime import datetime, date\nt = [str(datetime.now())]\nawait host.a(ms=3)\n\
         t.append(str(datetime.now()))\nt.append(str(date.today()))\nprint(t)\nawait host.b(ms=1, t=t)\n\
         end = datetime.now().timestamp() + 0.001\nn = 0\nwhile datetime.now().timestamp() < end:\n    n += 1\n\
         return [t, n]",
        "from datetime import datetime\nlog = []\nasync def one(i):\n    for k in range(3):\n        \
         r = await host.f(ms=(i * 7 + k * 3) % 6, i=i)\n        log.append([i, k, str(datetime.now())])\n        \
         print(i, k)\nawait asyncio.gather(*[one(i) for i in range(12)])\nreturn log",
        "out = []\nasync def one(t):\n    out.append((await t)['i'])\n\
         ts = [host.f(ms=i % 5, i=i) for i in range(20)]\nhost.g(ms=9)['ms']\n\
         await asyncio.gather(*[one(t) for t in ts])\nreturn out",
        "ts = [host.f(ms=i % 4, i=i) for i in range(20)]\nhost.g(ms=9)\nout = []\n\
         for t in ts:\n    out.append((await t)['i'])\nreturn out",
        "async def add(i):\n    r = await host.f(ms=i % 3, i=i)\n    scratch.append('a', str(r['i']))\n\
         await asyncio.gather(*[add(i) for i in range(9)])\nprint(scratch.read('a'))\nawait scratch.keep('a')\n\
         open('b', 'w').write('x')\nreturn scratch.list()",
        "class A:\n    pass\nxs = [A() for i in range(5)]\nprint(len({hash(x) for x in xs}), [id(x) for x in xs])\n\
         print({('a', i) for i in range(9)}, {x: 1 for x in 'zyx'}, [repr(x) for x in xs])\n\
         try:\n    await host.fail(ms=1)\nexcept ToolError as e:\n    print(e)\n\
         await asyncio.gather(ask('x'), session.get('k'), host.f(ms=2))",
    ] {
        assert!(!same(Language::Python, code).is_empty());
    }
}

#[test]
fn another_order_is_another_course() {
    let code = "return Promise.race([host.a({ ms: 30 }), host.b({ ms: 1 })])";
    let (sent, mut told) = live(Language::TypeScript, code);
    assert_eq!(told.len(), 1);
    told.push_front(Reply { id: 1, body: json!({ "ms": 30 }).to_string(), ..told[0].clone() });
    let other = again((Language::TypeScript, code), told, (Duration::ZERO, false));
    assert_ne!(sent, other);
}
