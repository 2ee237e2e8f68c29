//! Programs as models write them: none of this may be refused or mean something else.

use super::{run, script};
use serde_json::Value;

/// Programs with the JSON of their values.
const PROGRAMS: &[(&str, &str)] = &[
    (
        "interface Issue { id: number; labels?: string[] }\n\
             const issues = [{ id: 1, labels: ['bug'] }, { id: 2 }] as Issue[];\n\
             const open: Record<string, number> = {};\n\
             for (const { id, labels = [] } of issues) for (const l of labels) open[l] = (open[l] ?? 0) + id;\n\
             return { total: issues.length, open };",
        r#"{"total": 2, "open": {"bug": 1}}"#,
    ),
    (
        "async function main(): Promise<number[]> {\n  const ids = [1, 2, 3];\n  const all = await Promise.all(\n\
             ids.map(async (id) => {\n      const r = await github.get_issue({ owner: 'a', number: id });\n\
             return (r as { number: number }).number * 2;\n    }),\n  );\n  return all;\n}\n\nawait main();",
        "[2, 4, 6]",
    ),
    (
        "const results = await Promise.allSettled([files.read({ path: 'a' }), Promise.reject(new Error('no'))]);\n\
             results.map((r) => r.status === 'fulfilled' ? r.value.path : r.reason.message)",
        r#"["a", "no"]"#,
    ),
    (
        "async () => {\n  const { path } = await files.read({ path: 'x' });\n  return path;\n}",
        r#""x""#,
    ),
    (
        "(async () => {\n  const r = await files.read({ path: 'y' });\n  return r.path;\n})()",
        r#""y""#,
    ),
    (
        "const tools_used = ['a', 'b'];\nlet out = '';\nfor await (const r of tools_used.map((path) => files.read({ path }))) out += r.path;\nout",
        r#""ab""#,
    ),
    (
        "enum Level { Low = 'low', High = 'high' }\nconst by = Object.groupBy([1, 5, 9], (n) => n > 4 ? Level.High : Level.Low);\nby",
        r#"{"low": [1], "high": [5, 9]}"#,
    ),
    (
        "class Page<T> {\n  #items: T[] = [];\n  static size = 2;\n  constructor(private readonly start = 0) {}\n\
             add(...xs: T[]) { this.#items.push(...xs); return this; }\n  get last(): T | undefined { return this.#items.at(-1); }\n\
             *[Symbol.iterator]() { yield* this.#items; }\n}\n\
             const p = new Page<number>(3).add(3, 1, 2);\n[[...p].toSorted((a, b) => a - b), p.last, Page.size]",
        "[[1, 2, 3], 2, 2]",
    ),
    (
        "const text = '2024-05-06 warn: disk\\n2024-05-07 info: ok';\n\
             const re = /^(?<day>\\d{4}-\\d{2}-\\d{2}) (?<level>\\w+): (?<rest>.*)$/gm;\n\
             [...text.matchAll(re)].filter((m) => m.groups!.level === 'warn').map((m) => ({ ...m.groups }))",
        r#"[{"day": "2024-05-06", "level": "warn", "rest": "disk"}]"#,
    ),
    (
        "try {\n  await github.fail({});\n} catch (e: unknown) {\n  const err = e as Error;\n  console.error(`failed: ${err.message}`);\n}\n'done'",
        r#""done""#,
    ),
    (
        "const sleep = (ms: number) => new Promise<void>((r) => setTimeout(r, ms));\n\
             let tries = 0;\nwhile (true) { if (++tries >= 3) break; await sleep(1000 * 2 ** tries); }\ntries",
        "3",
    ),
    (
        "const withTimeout = <T,>(p: Promise<T>, ms: number) => Promise.race([p, new Promise<never>((_, no) => setTimeout(() => no(new Error('late')), ms))]);\n\
             await withTimeout(Promise.resolve(7), 1000)",
        "7",
    ),
    (
        "const seen = new Set<string>(['a', 'b']);\nconst more = new Set(['b', 'c']);\n\
             const m = new Map<string, number>([['x', 1]]);\n\
             ({ both: [...seen.intersection(more)], m: Object.fromEntries(m), d: new Date(0).toISOString().slice(0, 10), n: (1234.5).toFixed(2), p: '7'.padStart(3, '0') })",
        r#"{"both": ["b"], "m": {"x": 1}, "d": "1970-01-01", "n": "1234.50", "p": "007"}"#,
    ),
    (
        "type Row = { a: number; b: string };\nconst rows: Row[] = JSON.parse('[{\"a\":1,\"b\":\"x\"}]');\n\
             const csv = ['a,b', ...rows.map((r: Row) => `${r.a},${r.b}`)].join('\\n');\nconst out = { csv } satisfies { csv: string };\nout",
        r#"{"csv": "a,b\n1,x"}"#,
    ),
    (
        "const read = async (p: string) => { try { return await files.read({ path: p }) } catch { return null } };\n\
             const [a, b] = await Promise.all([read('1'), read('2')]);\n({ a: a?.path, b: b?.path, c: a?.missing?.deep ?? 'none' })",
        r#"{"a": "1", "b": "2", "c": "none"}"#,
    ),
    (
        "let r = files.read({ path: 'p' }).then((x: any) => x.path.toUpperCase()).catch(() => 'bad').finally(() => {});\nawait r",
        r#""P""#,
    ),
    (
        "function* ids() { for (let i = 0; ; i++) yield i }\nconst first: number[] = [];\nouter: for (const i of ids()) { if (i > 3) break outer; first.push(i) }\nfirst",
        "[0, 1, 2, 3]",
    ),
    (
        "const server = 'files', tool = 'read';\nconst r = await tools[server][tool]({ path: 'dyn' });\nr.path",
        r#""dyn""#,
    ),
    (
        "const { read, write: put = null } = files;\nconst r = await read({ path: 'q' });\n[r.path, typeof put]",
        r#"["q", "function"]"#,
    ),
    (
        "if (typeof github !== 'undefined' && github?.list) {\n  const r = await github.list({ n: 1 });\n  r.n;\n} else {\n  0;\n}",
        "1",
    ),
    (
        "using x = { [Symbol.dispose]() {} };\nconst { promise, resolve } = Promise.withResolvers<number>();\nresolve(4);\nawait promise",
        "4",
    ),
    (
        "const big = 2n ** 64n; const e = new Error('outer', { cause: 'inner' });\n[String(big), e.cause, [3, 1, 2].sort().at(0), 'a-b'.replaceAll('-', '+'), Object.hasOwn({ a: 1 }, 'a')]",
        r#"["18446744073709551616", "inner", 1, "a+b", true]"#,
    ),
    (
        "var total = 0\nfor (var i = 0; i < 3; i++) {\n  total += i\n}\nfunction helper(x) { return x * 2 }\nconsole.log('total', total)\nhelper(total)",
        "6",
    ),
    (
        "const groups = [1, 2, 3, 4].reduce((acc, n) => {\n  (acc[n % 2 ? 'odd' : 'even'] ||= []).push(n);\n  return acc;\n}, {} as Record<string, number[]>);\ngroups",
        r#"{"odd": [1, 3], "even": [2, 4]}"#,
    ),
    (
        "const x = <const T extends readonly unknown[]>(t: T): T => t;\nabstract class A { abstract f(): number; g() { return this.f() } }\nclass B extends A { override f() { return 2 } }\nx([new B().g()])",
        "[2]",
    ),
];

#[test]
fn programs_as_models_write_them_run() {
    for (code, expected) in PROGRAMS {
        let seen = script(code)
            .host(|call| {
                if call.tool == "fail" {
                    return vec![super::failed(call.id, "github.fail", "no such thing")];
                }
                vec![super::ok(call.id, &serde_json::from_str(call.args.get()).unwrap())]
            })
            .run();
        assert_eq!(seen.messages(), Vec::<String>::new(), "{code}");
        let expected: Value = serde_json::from_str(expected).unwrap();
        assert_eq!(seen.value(), expected, "{code}");
    }
}

#[test]
fn mistakes_of_models_are_told() {
    for (code, expected) in [
        ("const r = github.list({});\nreturn r.items.length", "await is missing: github.list(...)"),
        ("const res = await fetch('https://api.github.com'); await res.json()", "call a tool"),
        ("const fs = require('fs');", "no modules here"),
        ("import { github } from './tools';", "tools are globals"),
        ("export default async function main() {}", "end with return x"),
        ("console.log(process.env.TOKEN)", "pass values in with input"),
        ("return { a: 1, ", "syntax error"),
        ("for (const x of [1] { x }", "syntax error"),
        ("const a = 1; const a = 2;", "syntax error"),
        ("return await;", "syntax error"),
    ] {
        let seen = run(code);
        let findings = seen.messages();
        assert!(findings.iter().any(|f| f.contains(expected)), "{code}: {findings:?}");
    }
}
