//! The same programs in both engines: every frame is the same, byte for byte, but for what was used.

use crate::link::Link;
use narrows_types::frame::{
    Call, CallError, Done, End, FromWorker, Go, PREFIX_BYTES, Program, Reply, ToWorker,
};
use narrows_types::{Language, Limit, Limits, Usage};
use std::io::{Read, Write};
use std::mem::ManuallyDrop;
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

type Frames = Vec<Vec<u8>>;

#[derive(Debug, Clone, Copy)]
enum Which {
    Native,
    Wasm,
}

fn program(code: &str, limits: Limits) -> Program {
    let (code, language, input) = (code.to_owned(), Language::TypeScript, None);
    Program { code, language, input, limits, now_ms: 1_767_225_600_000, seed: 7, state: false }
}

/// Runs a program against a host that answers each call at once with its arguments, or with an
/// error if they ask for one.
fn run(which: Which, program: Program) -> Frames {
    let (inside, mut host) = UnixStream::pair().unwrap();
    let worker = std::thread::Builder::new().stack_size(8 << 20).spawn(move || {
        let mut link = Link::new(inside);
        match which {
            Which::Native => {
                ManuallyDrop::new(crate::js::prepare().unwrap()).run(&mut link, &program)
            }
            Which::Wasm => ManuallyDrop::new(super::prepare().unwrap()).run(&mut link, &program),
        }
    });
    let mut frames = Frames::new();
    let mut calls = 0;
    while let Some(frame) = next(&mut host) {
        let mut frame = FromWorker::decode(&frame).unwrap();
        let answer = match &mut frame {
            FromWorker::Uses(uses) if !uses.findings.is_empty() => None,
            FromWorker::Uses(_) => Some(ToWorker::Go(Go { namespaces: vec!["host".to_owned()] })),
            FromWorker::Call(call) => {
                calls += 1;
                Some(ToWorker::Reply(answer(call, calls * 250)))
            }
            FromWorker::Done(done) => {
                done.usage = Usage::default();
                None
            }
            _ => None,
        };
        let refused = matches!(&frame, FromWorker::Uses(_)) && answer.is_none();
        frames.push(frame.encode().unwrap());
        if refused {
            break;
        }
        if let Some(answer) = answer {
            host.write_all(&answer.encode().unwrap()).unwrap_or_default();
        }
    }
    drop(host);
    // An error only says that the host went away.
    let _ended = worker.unwrap().join().unwrap();
    frames
}

fn next(stream: &mut UnixStream) -> Option<Vec<u8>> {
    let mut prefix = [0; PREFIX_BYTES];
    stream.read_exact(&mut prefix).ok()?;
    let mut frame = vec![0; u32::from_le_bytes(prefix) as usize];
    stream.read_exact(&mut frame).ok()?;
    Some(frame)
}

fn answer(call: &Call, at_us: u64) -> Reply {
    let (id, body) = (call.id, call.args.get().to_owned());
    if call.tool != "fail" {
        return Reply { id, ok: true, at_us, body };
    }
    let error = CallError { tool: "host.fail".to_owned(), message: body, arguments: "{}".into() };
    Reply { id, ok: false, at_us, body: serde_json::to_string(&error).unwrap() }
}

fn end(frames: &Frames) -> End {
    match FromWorker::decode(&frames.last().unwrap()[PREFIX_BYTES..]).unwrap() {
        FromWorker::Done(done) => {
            let Done { end, .. } = *done;
            end
        }
        other => panic!("no end: {other:?}"),
    }
}

fn same(code: &str) {
    let [native, wasm] =
        [Which::Native, Which::Wasm].map(|which| run(which, program(code, Limits::default())));
    let decode = |bytes: &Vec<u8>| FromWorker::decode(&bytes[PREFIX_BYTES..]).unwrap();
    let other = native.iter().zip(&wasm).find(|(one, other)| one != other);
    let other = other.map(|(one, other)| (decode(one), decode(other)));
    assert!(other.is_none(), "{code}\n{other:#?}");
    assert_eq!(native.len(), wasm.len(), "{code}");
}

#[test]
fn both_send_the_same_frames() {
    for code in [
        include_str!("../js/sample.ts").replace("sample.", "host.").as_str(),
        "return 1 + 1",
        "return await host.a({ b: [1, 'ä😀', null], c: { d: 1e300 } })",
        "const r = await Promise.all([1, 2, 3].map(n => host.f({ n }))); return r.map(x => x.n)",
        "try { await host.fail({ x: 1 }) } catch (e) { return [e.name, e.message, e.tool, e] }",
        "await host.fail({ x: 1 })",
        "host.fail({ y: 2 }); host.fine({}); return 'left'",
        "Promise.reject(new Error('unheard')); Promise.reject(3); return 4",
        "const t = []; setTimeout(() => t.push(Date.now()), 50); setInterval(() => t.push(performance.now()), 7);\n\
         await new Promise(r => setTimeout(r, 60)); t.push(Math.random(), Math.random(), `${new Date()}`); return t",
        "await Promise.race([host.a({}), new Promise(r => setTimeout(r, 5, 'late'))])",
        "setTimeout(() => { throw new Error('late') }, 5); return 1",
        "console.log({ a: [1, { b: new Map([[1, new Set([2])]]) }], d: new Date(0), e: new Error('x'), f: () => 1, s: Symbol('q'), g: 12n });\n\
         console.warn('w\\nx'); console.error(undefined, null, NaN, -0); console.table([1, 2]); console.count(); console.assert(false, 'no')",
        "progress(0.5, 'half'); progress('only'); progress(1 / 3, { a: 1 }); show([1, { b: 2 }]); show(() => 1); return 'shown'",
        "enum A { B = 1, C } interface D { e: A } const d: D = { e: A.C }; return d satisfies D",
        "const f = (n: number): number => n < 2 ? n : f(n - 1) + f(n - 2); return f(18)",
        "function a() { null.x }\nfunction b() { a() }\nb()",
        "const deep = n => n ? deep(n - 1) : undefined.x\ndeep(20)",
        "[3, 1].map(x => { throw new RangeError('r' + x) })",
        "class E extends Error {}; throw new E('own', { cause: new Error('why') })",
        "throw new AggregateError([new Error('a'), 'b'], 'all')",
        "throw { code: 5 }",
        "throw null",
        "const x = 1; x()",
        "await host.a(1)",
        "await host.a({ toJSON() { return undefined } })",
        "const a = {}; a.a = a; await host.a(a)",
        "const a = {}; a.a = a; return a",
        "return (",
        "const a = 1; const a = 2",
        "let o: any = {}; return o?.a?.b ?? 'none'",
        "return new RegExp('(')",
        "await new Promise(() => {})",
        "function f() { return f() + 1 } f()",
        "let o = {}; for (let i = 0; i < 1e5; i++) o = { o }; return o",
        "function f() { return f() + 1 } try { f() } catch (e) { return e.name + e.message }",
        "const o: any = {}; o.o = new Proxy({}, { get: () => 7 }); return o.o.x",
        "await session.set('k', { a: 1 }); await ask('what?'); return await search('x')",
        "await session.set('k')",
        "tools.host.x({ a: 1 }); await tools['host']['y']({})",
        "return [typeof Atomics, typeof SharedArrayBuffer, typeof WeakRef, typeof Intl, typeof WebAssembly]",
        "return Object.getOwnPropertyNames(globalThis).sort()",
        "return new Error('x').stack.split('\\n').length",
        "const b = new TextEncoder().encode('häß'); return [...b, new TextDecoder().decode(b), btoa('a'), structuredClone({ b })]",
        "return new URL('../x?y=1#z', 'https://a.b/c/d').href",
        "return ['b', 'ä', 'a', 'Z'].sort((x, y) => x.localeCompare(y))",
        "return (1234567.891).toLocaleString() + new Date(1e12).toLocaleDateString()",
        "const d = new Date(2026, 5, 1, 12); return [d.getTimezoneOffset(), d.toString(), d.toISOString(), `${new Date(1969, 0)}`]",
        "for (let i = 0; i < 5000; i++) console.log('line', i); return 'flood'",
        "return 'x'.repeat(100).replace(/x/g, m => m + '\\u{1F600}').length",
        "return JSON.stringify('\\ud800') + '\\udfff'",
        "return [...'a\\u{1F600}'.matchAll(/./gu)].map(m => m.index)",
        "const re = /(?<y>\\d{4})-(?<m>\\d\\d)/; return re.exec('on 2026-11-21').groups",
        "return [2n ** 200n, -7n / 2n, BigInt.asIntN(8, 255n), (10n ** 30n).toString(36)]",
        "return new Function('a', 'return a * 2')(21)",
        "scratch.write('a', 'ä€'); scratch.append('a', new Uint8Array([255])); return [scratch.bytes('a'), scratch.list(), scratch.exists('b')]",
        "scratch.write('o/a', { x: 1 }); await scratch.keep('o/a'); return scratch.read('o')",
        "for (let i = 0; ; i++) try { scratch.write(`f${i}`, '') } catch (e) { console.log(e) }",
        "try { scratch.write('a', new Uint8Array(1 << 25)) } catch (e) { return `${e}` }",
        "scratch.write('../a', '')",
        "host.a({}); host.b({}); await host.c({}); for (const i of [1, 2]) await host.d({ i })",
    ] {
        same(code);
    }
}

#[test]
fn both_give_the_same_last_digit() {
    let each = "sin cos tan asin acos atan sinh cosh tanh asinh acosh atanh exp expm1 log log1p log2 log10 cbrt sqrt fround trunc ceil floor round";
    let code = format!(
        "const out = [];\n\
         for (let i = 1; i < 400; i++) {{\n\
           const x = Math.random() * (i % 3 ? 1 : 700) * (i % 2 ? 1 : -1), y = Math.random() * 9;\n\
           for (const f of '{each}'.split(' ')) out.push(Math[f](x));\n\
           out.push(Math.pow(Math.abs(x), y), Math.atan2(x, y), Math.hypot(x, y), x % y, x ** 3, (x * 1e5) | 0);\n\
           out.push(x.toString(7), x.toFixed(9), x.toPrecision(12), x.toExponential(), Number(`${{x}}`) === x);\n\
         }}\n\
         return out.map(x => Object.is(x, -0) ? '-0' : `${{x}}`).join()"
    );
    same(&code);
}

fn tight() -> Limits {
    let (cpu_ms, wall_ms, memory_bytes) = (200, 5_000, 32 << 20);
    Limits { cpu_ms, wall_ms, memory_bytes, ..Limits::default() }
}

fn limit(code: &str) -> Limit {
    match end(&run(Which::Wasm, program(code, tight()))) {
        End::Limit(limit) => limit,
        other => panic!("{code}: {other:?}"),
    }
}

#[test]
fn loops_inside_of_built_ins_are_stopped_too() {
    for code in [
        // QuickJS does not ask whether it must stop while it does these.
        "new Array(1e8).join('ab')",
        "const a = new Array(5e7); for (;;) a.indexOf(1)",
        "let s = 'a'.repeat(3e6); for (;;) s.split('').reverse()",
        "const big = 3n ** 300000n; for (;;) big.toString()",
        "/^(a+)+$/.test('a'.repeat(40) + 'b')",
    ] {
        let begun = Instant::now();
        let reached = limit(code);
        assert!(matches!(reached, Limit::CpuMs | Limit::MemoryBytes), "{code}: {reached}");
        assert!(begun.elapsed() < Duration::from_secs(20), "{code}: {:?}", begun.elapsed());
    }
    assert_eq!(limit("new Array(1e8).join('ab')"), Limit::CpuMs);
}

#[test]
fn python_is_refused() {
    let program = Program { language: Language::Python, ..program("print(1)", tight()) };
    let frames = run(Which::Wasm, program);
    let uses = FromWorker::decode(&frames[0][PREFIX_BYTES..]).unwrap();
    let FromWorker::Uses(uses) = uses else { panic!("{uses:?}") };
    assert_eq!(frames.len(), 1);
    assert!(uses.findings[0].message.starts_with("python does not run on the wasm engine"));
}

#[test]
fn what_calls_itself_is_stopped_where_it_can_be_caught() {
    let twice = "let lo = 0, hi = 100000; while (lo + 1 < hi) {\n\
                   const n = (lo + hi) >> 1; try { deep(n); lo = n } catch (e) {\n\
                     if (e.message !== 'Maximum call stack size exceeded') throw e; hi = n } }\n\
                 return lo";
    for (deep, min) in [
        ("n => { if (n) deep(n - 1) }", 700),
        ("n => { if (n) [n].map(n => deep(n - 1)) }", 100),
        ("n => { if (n) 'a'.replace(/a/, () => deep(n - 1)) }", 100),
        ("n => { if (n) [3, 1].sort(() => deep(n - 1)) }", 100),
        ("n => { if (n) `${{ toString() { deep(n - 1); return '' } }}` }", 150),
        ("n => { let o = {}; while (n--) o = { o }; JSON.stringify(o) }", 2_000),
        ("n => JSON.parse('['.repeat(n) + ']'.repeat(n))", 2_000),
        ("n => new Function(`return ${'('.repeat(n)}1${')'.repeat(n)}`)", 300),
    ] {
        let code = format!("const deep = {deep};\n{twice}");
        let limits = Limits { cpu_ms: 60_000, wall_ms: 300_000, ..Limits::default() };
        let end = end(&run(Which::Wasm, program(&code, limits)));
        let End::Value(depth) = end else { panic!("{deep}: {end:?}") };
        let depth: u32 = depth.get().parse().unwrap();
        assert!((min..99_999).contains(&depth), "{deep}: {depth}");
    }
}
