//! A program's own files.

use super::{ok, run, script};
use narrows_types::Limit;
use narrows_types::frame::End;
use serde_json::{Value, json};

#[test]
fn what_is_written_is_read() {
    for (code, value) in [
        (
            "scratch.write('a.txt', 'one'); scratch.append('a.txt', ' two'); return scratch.read('a.txt')",
            json!("one two"),
        ),
        (
            "scratch.append('a.txt', 'ä'); scratch.write('a.txt', '€😀'); return [scratch.read('a.txt'), scratch.bytes('a.txt')]",
            json!(["€😀", [226, 130, 172, 240, 159, 152, 128]]),
        ),
        (
            "scratch.write('b', new Uint8Array([104, 195])); scratch.append('b', new Uint8Array([164]).buffer); return [scratch.read('b'), scratch.bytes('b') instanceof Uint8Array]",
            json!(["hä", true]),
        ),
        (
            "const b = new Uint8Array([1, 2]); scratch.write('b', b); b[0] = 9; scratch.bytes('b')[1] = 9; return scratch.bytes('b')",
            json!([1, 2]),
        ),
        (
            "scratch.write('b', new Uint8Array(new Uint8Array([1, 2, 3, 4]).buffer, 1, 2)); scratch.append('b', new Uint16Array([515])); return scratch.bytes('b')",
            json!([2, 3, 3, 2]),
        ),
        (
            "scratch.write('j', { a: [1, null], b: new Map([['c', 2n]]) }); return scratch.read('j')",
            json!(r#"{"a":[1,null],"b":{"c":"2"}}"#),
        ),
        (
            "scratch.write('j', []); scratch.append('j', [1]); return scratch.read('j')",
            json!("[][1]"),
        ),
        (
            "scratch.write('a', '\\ud800x'); return [scratch.read('a'), scratch.bytes('a').length]",
            json!(["\u{fffd}x", 4]),
        ),
        (
            "scratch.write('e', ''); return [scratch.read('e'), scratch.bytes('e').length, scratch.exists('e')]",
            json!(["", 0, true]),
        ),
        (
            "for (const p of ['b', 'out/2', 'a', 'out/1']) scratch.write(p, p); return [scratch.list(), scratch.list('out/'), scratch.list('/scratch/o'), scratch.list('x')]",
            json!([["a", "b", "out/1", "out/2"], ["out/1", "out/2"], ["out/1", "out/2"], []]),
        ),
        (
            "scratch.write('./a', 'x'); return [scratch.read('/scratch/a'), scratch.delete('a'), scratch.delete('a'), scratch.exists('a'), scratch.list()]",
            json!(["x", true, false, false, []]),
        ),
        (
            "scratch.write('d/e/f', '1'); scratch.delete('d/e/f'); scratch.write('d', 'now a file'); return scratch.read('d')",
            json!("now a file"),
        ),
        (
            "scratch.write('__proto__', 'x'); scratch.write('constructor/toString', 'y'); return [scratch.list(), scratch.read('__proto__')]",
            json!([["__proto__", "constructor/toString"], "x"]),
        ),
        (
            "const { write, read } = scratch; write('a', 'x'); return [await read('a'), await write('b', 'y'), tools.scratch.list().length]",
            json!(["x", null, 2]),
        ),
        (
            "scratch.write('big', 'x'.repeat(1e6)); for (let i = 0; i < 100; i++) scratch.append('big', 'é'); return [scratch.bytes('big').length, scratch.read('big').length]",
            json!([1_000_200, 1_000_100]),
        ),
    ] {
        let seen = run(code);
        assert_eq!(seen.value(), value, "{code}");
        assert_eq!(seen.tools(), [] as [&str; 0], "{code}");
    }
}

#[test]
fn mistakes_are_told_with_the_next_step() {
    let bad = "is no path for scratch.write: write one such as notes.txt or out/a.csv, of at most 255 bytes and 16 levels, without ..";
    for (code, said) in [
        ("scratch.read('a')", "Error: no file a; there are none yet".to_owned()),
        ("scratch.write('b', ''); scratch.write('c', ''); scratch.read('a')", "Error: no file a; there are b, c".to_owned()),
        ("for (let i = 10; i < 25; i++) scratch.write(`f${i}`, ''); scratch.bytes('a')", "Error: no file a; there are f10, f11, f12, f13, f14, f15, f16, f17, f18, f19 and 5 more".to_owned()),
        ("scratch.write('o/a', ''); scratch.read('o')", "Error: o is a folder: scratch.list(\"o/\") tells its files".to_owned()),
        ("scratch.write('o/a', ''); scratch.write('o', '')", "Error: o is a folder: write to a file in it, such as o/a.txt".to_owned()),
        ("scratch.write('o', ''); scratch.write('o/a/b', '')", "Error: o is a file: nothing can lie in it".to_owned()),
        ("scratch.write('b', new Uint8Array([255])); scratch.read('b')", "Error: b is no text: read it by scratch.bytes(\"b\")".to_owned()),
        ("scratch.read()", "TypeError: scratch.read takes a path, got undefined: scratch.read(\"notes.txt\")".to_owned()),
        ("scratch.write('a', 5)", "TypeError: scratch.write takes text, bytes, an object or an array, got a number: scratch.write(\"notes.txt\", `${value}`)".to_owned()),
        ("scratch.list(5)", "TypeError: scratch.list takes the beginning of paths, got a number: scratch.list(\"out/\")".to_owned()),
        ("scratch.write('../a', '')", format!("Error: \"../a\" {bad}")),
        ("scratch.write('/etc/passwd', '')", format!("Error: \"/etc/passwd\" {bad}")),
        ("scratch.write('', '')", format!("Error: \"\" {bad}")),
        ("scratch.write('a\\0b', '')", format!("Error: \"a\\u0000b\" {bad}")),
    ] {
        let code = format!("try {{ {code} }} catch (e) {{ return `${{e.name}}: ${{e.message}}` }}");
        assert_eq!(run(&code).value(), json!(said), "{code}");
    }
}

#[test]
fn no_path_leads_anywhere_else() {
    let code = "const no = ['/', '//a', 'a//b', 'a/', './', '.', '..', 'a/..', 'a/../b', '/scratch', '/scratch/', '/scratch/../a',\n\
                  'a\\\\b', 'a\\nb', '\\ud800', 'x'.repeat(256), 'é'.repeat(128), 'x'.repeat(1e6), 'a/'.repeat(1e5) + 'a', 'a/'.repeat(16) + 'a', '\\x7f'];\n\
                const yes = ['...', 'a..b', '.hidden', 'a b', 'é'.repeat(127), 'a/'.repeat(15) + 'a', 'C:', '~', '%2e%2e', '/scratch/scratch/x'];\n\
                const took = p => { try { scratch.write(p, p); return true } catch (e) { if (e.message.length > 400) throw e; return false } };\n\
                return [no.filter(took), yes.filter(took).length - yes.length, scratch.list().length - yes.length]";
    assert_eq!(run(code).value(), json!([[], 0, 0]));
}

fn limit(code: &str) -> Limit {
    let seen = script(code)
        .limits(|limits| {
            (limits.disk_bytes, limits.files) = (1_000, 5);
            limits.memory_bytes = 64 << 20;
        })
        .run();
    match seen.end() {
        End::Limit(limit) => *limit,
        other => panic!("{code}: {other:?}"),
    }
}

#[test]
fn more_than_the_limits_ends_the_run_whatever_it_catches() {
    for (code, reached) in [
        ("for (;;) try { scratch.append('a', 'x') } catch {}", Limit::DiskBytes),
        ("try { scratch.write('a', 'é'.repeat(501)) } catch {} return 1", Limit::DiskBytes),
        ("scratch.write('a', new Uint8Array(999)); scratch.append('b', '12')", Limit::DiskBytes),
        ("for (let i = 0; ; i++) try { scratch.write(`f${i}`, '') } catch {}", Limit::Files),
        ("scratch.write('a/b/c/d/e', ''); scratch.write('f', '')", Limit::Files),
        (
            "const parts = []; for (let i = 0; ; i++) { scratch.write('a', 'x'); parts.push(scratch.bytes('a')) }",
            Limit::MemoryBytes,
        ),
    ] {
        assert_eq!(limit(code), reached, "{code}");
    }
    // What is written over or deleted counts no more.
    let code = "for (let i = 0; i < 100; i++) { scratch.write('a', 'x'.repeat(1000)); scratch.write(`d/${i}`, ''); scratch.delete(`d/${i}`) }\n\
                scratch.delete('a'); scratch.write('b', 'x'.repeat(1000)); return scratch.list()";
    let seen = script(code).limits(|limits| (limits.disk_bytes, limits.files) = (1_000, 3)).run();
    assert_eq!(seen.value(), json!(["b"]));
    let none = script("return [scratch.list(), scratch.exists('a')]")
        .limits(|limits| (limits.disk_bytes, limits.files) = (0, 0))
        .run();
    assert_eq!(none.value(), json!([[], false]));
}

#[test]
fn files_leave_by_calls_only() {
    let saved: Value =
        json!({ "a": { "text": "ä" }, "o/b": { "base64": "/wAB" }, "e": { "base64": "" } });
    let code = "scratch.write('a', 'ä'); scratch.write('o/b', new Uint8Array([255, 0, 1])); scratch.write('e', new Uint8Array(0));\n\
                const h = await scratch.keep('a'); await scratch.keep('o/b'); await scratch.save();\n\
                const all = ['a', 'o/b', 'e']; all.map(p => scratch.delete(p));\n\
                return [h, await scratch.load(), all.map(p => scratch.bytes(p))]";
    let seen = script(code)
        .host(|call| {
            let answer = match call.tool.as_str() {
                "scratch_keep" => json!("art_x"),
                "scratch_load" => saved.clone(),
                _ => json!(null),
            };
            vec![ok(call.id, &answer)]
        })
        .run();
    assert_eq!(seen.value(), json!(["art_x", ["a", "e", "o/b"], [[195, 164], [255, 0, 1], []]]));
    assert_eq!(
        seen.tools(),
        [
            r#"narrows.scratch_keep {"path":"a","text":"ä"}"#,
            r#"narrows.scratch_keep {"path":"o/b","base64":"/wAB"}"#,
            r#"narrows.scratch_save {"files":{"a":{"text":"ä"},"e":{"base64":""},"o/b":{"base64":"/wAB"}}}"#,
            "narrows.scratch_load {}",
        ]
    );
    let (_, said, _) = run("await scratch.keep('a')").threw();
    assert_eq!(said, "no file a; there are none yet");
    // What comes back counts as what is written.
    let seen = script("try { await scratch.load() } catch {} return 1")
        .limits(|limits| limits.files = 2)
        .host(|call| vec![ok(call.id, &saved)])
        .run();
    assert!(matches!(seen.end(), End::Limit(Limit::Files)), "{:?}", seen.end());
}

#[test]
fn only_what_leaves_has_to_be_awaited() {
    for code in [
        "return scratch.read('a').length",
        "for (const p of scratch.list()) p;",
        "if (scratch.exists('a')) 1",
    ] {
        assert_eq!(run(code).messages(), [] as [&str; 0], "{code}");
    }
    let code = "return scratch.keep('a').length";
    assert!(run(code).messages()[0].contains("await is missing"), "{:?}", run(code).messages());
}

#[test]
fn a_server_of_the_same_name_stands_before_them() {
    let seen = script("return [(await scratch.read({ path: 'x' })).path, (await tools.scratch.write({})) instanceof Object]")
        .servers(&["scratch"])
        .run();
    assert_eq!(seen.value(), json!(["x", true]));
    assert_eq!(seen.tools(), [r#"scratch.read {"path":"x"}"#, "scratch.write {}"]);
}

#[test]
fn a_program_that_breaks_the_language_breaks_its_own_files_only() {
    let code = "Map.prototype.get = () => ({ parts: ['forged'], size: -1e9 }); RegExp.prototype.exec = () => ['x'];\n\
                String.prototype.startsWith = () => false; Array.prototype.sort = () => ['forged'];\n\
                scratch.write('a', 'x'); scratch.write('../../b', 'y');\n\
                for (let i = 0; ; i++) scratch.append('a', 'x'.repeat(100))";
    assert_eq!(limit(code), Limit::DiskBytes);
}
