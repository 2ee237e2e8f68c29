//! A program's own files.

use super::{ok, run, script};
use narrows_types::Limit;
use narrows_types::frame::End;
use serde_json::{Value, json};

#[test]
fn what_is_written_is_read() {
    for (code, value) in [
        (
            "scratch.write('a.txt', 'one')\nscratch.append('a.txt', ' two')\nscratch.read('a.txt')",
            json!("one two"),
        ),
        (
            "scratch.append('a', 'x')\nscratch.write('a', '€😀')\n[scratch.read('a'), list(scratch.bytes('a'))]",
            json!(["€😀", [226, 130, 172, 240, 159, 152, 128]]),
        ),
        (
            "scratch.write('b', b'h\\xc3')\nscratch.append('b', b'\\xa4')\n[scratch.read('b'), scratch.bytes('b') == 'hä'.encode()]",
            json!(["hä", true]),
        ),
        (
            "scratch.write('j', {'a': [1, None]})\nscratch.append('j', (1, 2))\nscratch.read('j')",
            json!(r#"{"a":[1,null]}[1,2]"#),
        ),
        (
            "scratch.write('e', '')\n[scratch.read('e'), len(scratch.bytes('e')), scratch.exists('e')]",
            json!(["", 0, true]),
        ),
        (
            "for p in ['b', 'out/2', 'a', 'out/1']:\n    scratch.write(p, p)\n[scratch.list(), scratch.list('out/'), scratch.list(prefix='/scratch/o'), scratch.list('x')]",
            json!([["a", "b", "out/1", "out/2"], ["out/1", "out/2"], ["out/1", "out/2"], []]),
        ),
        (
            "scratch.write('./a', 'x')\n[scratch.read('/scratch/a'), scratch.delete('a'), scratch.delete('a'), scratch.exists('a'), scratch.list()]",
            json!(["x", true, false, false, []]),
        ),
        (
            "scratch.write('d/e/f', '1')\nscratch.delete('d/e/f')\nscratch.write('d', 'now a file')\nscratch.read('d')",
            json!("now a file"),
        ),
        (
            "await scratch.write('a', 'x')\nr = await scratch.read('a')\n[r, await asyncio.gather(scratch.read('a'), github.f(x=1)), tools.scratch.read(path='a')]",
            json!(["x", ["x", {"x": 1}], "x"]),
        ),
        (
            "async def f():\n    await scratch.write('a', 'x')\n    return await scratch.read('a')\n\nawait f()",
            json!("x"),
        ),
        ("w = scratch.write\nw('a', 'x')\nscratch.read('a')", json!("x")),
    ] {
        assert_eq!(run(code).value(), value, "{code}");
    }
}

#[test]
fn pythons_own_files_are_the_same() {
    for (code, value) in [
        (
            "from pathlib import Path\nPath('a.txt').write_text('hä')\n[scratch.read('a.txt'), Path('/scratch/a.txt').read_text(), Path('a.txt').read_bytes() == b'h\\xc3\\xa4']",
            json!(["hä", "hä", true]),
        ),
        (
            "with open('a.txt', 'w') as f:\n    f.write('one\\n')\n    f.write('two\\n')\nwith open('a.txt', 'a') as f:\n    f.write('three')\nwith open('a.txt') as f:\n    lines = f.readlines()\n[lines, scratch.read('a.txt')]",
            json!([["one\n", "two\n", "three"], "one\ntwo\nthree"]),
        ),
        (
            "with open('b', 'wb') as f:\n    n = f.write(b'\\xff\\x00')\nwith open('b', 'rb') as f:\n    data = f.read()\n[n, list(data)]",
            json!([2, [255, 0]]),
        ),
        (
            "from pathlib import Path\np = Path('out')\np.mkdir()\n(p / 'a').write_text('1')\n(p / 'b').write_text('22')\n[sorted([x.name for x in p.iterdir()]), p.is_dir(), p.is_file(), (p / 'b').stat().st_size, p.exists(), Path('no').exists(), str(Path('x').resolve())]",
            json!([["a", "b"], true, false, 2, true, false, "/scratch/x"]),
        ),
        (
            "from pathlib import Path\nPath('a/b/c').mkdir(parents=True, exist_ok=True)\nPath('a/b/c/d').write_text('x')\nPath('a/b/c/d').rename('e')\nPath('a/b/c').rmdir()\n[scratch.list(), Path('a/b').is_dir(), Path('a/b/c').exists(), sorted([str(x) for x in Path('.').iterdir()])]",
            json!([["e"], true, false, ["a", "e"]]),
        ),
        (
            "from pathlib import Path\nPath('a').write_text('x')\nPath('a').unlink()\nPath('/scratch').is_dir() and not Path('a').exists()",
            json!(true),
        ),
        (
            "from pathlib import Path\n[Path(p).exists() for p in ['/etc', '/etc/passwd', '..', '../a', '/', '/proc/self/environ', '.']]",
            json!([false, false, false, false, false, false, true]),
        ),
    ] {
        assert_eq!(run(code).value(), value, "{code}");
    }
}

#[test]
fn mistakes_are_told_with_the_next_step() {
    let bad = "is no path for scratch.write: write one such as notes.txt or out/a.csv, of at most 255 bytes and 16 levels, without ..";
    for (code, name, said) in [
        ("scratch.read('a')", "FileNotFoundError", "no file a; there are none yet".to_owned()),
        ("scratch.write('b', '')\nscratch.write('c', '')\nscratch.read('a')", "FileNotFoundError", "no file a; there are b, c".to_owned()),
        ("for i in range(10, 25):\n    scratch.write(f'f{i}', '')\nscratch.bytes('a')", "FileNotFoundError", "no file a; there are f10, f11, f12, f13, f14, f15, f16, f17, f18, f19 and 5 more".to_owned()),
        ("scratch.write('o/a', '')\nscratch.read('o')", "IsADirectoryError", "o is a folder: scratch.list(\"o/\") tells its files".to_owned()),
        ("scratch.write('o/a', '')\nscratch.write('o', '')", "IsADirectoryError", "o is a folder: write to a file in it, such as o/a.txt".to_owned()),
        ("scratch.write('o', '')\nscratch.write('o/a/b', '')", "NotADirectoryError", "o is a file: nothing can lie in it".to_owned()),
        ("scratch.write('b', b'\\xff')\nscratch.read('b')", "ValueError", "b is no text: read it by scratch.bytes(\"b\")".to_owned()),
        ("scratch.read(5)", "TypeError", "scratch.read takes a path, got int: scratch.read(\"notes.txt\")".to_owned()),
        ("scratch.read()", "TypeError", "scratch.read takes a path, got nothing: scratch.read(\"notes.txt\")".to_owned()),
        ("scratch.write('a', 5)", "TypeError", "scratch.write takes text, bytes, a dict or a list, got int: scratch.write(\"notes.txt\", str(value))".to_owned()),
        ("scratch.write('a', 'b', 'c')", "TypeError", "scratch.write takes path and data".to_owned()),
        ("scratch.write('a', content='b')", "TypeError", "scratch.write takes path and data".to_owned()),
        ("scratch.list(5)", "TypeError", "scratch.list takes the beginning of paths, got int: scratch.list(\"out/\")".to_owned()),
        ("scratch.write('../a', '')", "ValueError", format!("\"../a\" {bad}")),
        ("scratch.write('a\\0b', '')", "ValueError", format!("\"a\\u0000b\" {bad}")),
        ("getattr(scratch, 'open')('a')", "TypeError", "scratch.open is not a function".to_owned()),
        ("open('a')", "FileNotFoundError", "[Errno 2] No such file or directory: 'a'".to_owned()),
        ("open('o/a', 'w')", "FileNotFoundError", "[Errno 2] No such file or directory: 'o/a'".to_owned()),
        ("scratch.write('o/a', '')\nopen('o', 'w')", "IsADirectoryError", "[Errno 21] Is a directory: 'o'".to_owned()),
        ("scratch.write('o/a', '')\nfrom pathlib import Path\nPath('o').rmdir()", "OSError", "[Errno 39] Directory not empty: 'o'".to_owned()),
        ("from pathlib import Path\nPath('a').mkdir()\nPath('a').mkdir()", "FileExistsError", "[Errno 17] File exists: 'a'".to_owned()),
        ("from pathlib import Path\nPath('/etc/passwd').read_text()", "PermissionError", "'/etc/passwd' is no path here: files are in /scratch, without ..".to_owned()),
        ("from pathlib import Path\nPath('a/../../etc').write_text('x')", "PermissionError", String::new()),
        ("from pathlib import Path\nPath('x' * 300).write_text('x')", "PermissionError", String::new()),
    ] {
        let (kind, message, _) = run(code).threw();
        assert_eq!(kind, name, "{code}: {message}");
        assert!(said.is_empty() || message == said, "{code}: {message}");
    }
    // What is thrown can be caught, awaited or not.
    let code = "try:\n    await scratch.read('a')\nexcept FileNotFoundError:\n    return 1";
    assert_eq!(run(code).value(), json!(1));
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
        (
            "while True:\n    try:\n        scratch.append('a', 'x')\n    except Exception:\n        pass",
            Limit::DiskBytes,
        ),
        (
            "try:\n    scratch.write('a', 'é' * 501)\nexcept BaseException:\n    pass\n1",
            Limit::DiskBytes,
        ),
        ("scratch.write('a', list(range(1000)))", Limit::DiskBytes),
        ("i = 0\nwhile True:\n    i += 1\n    scratch.write(f'f{i}', '')", Limit::Files),
        ("scratch.write('a/b/c/d/e', '')\nscratch.write('f', '')", Limit::Files),
        ("from pathlib import Path\nfor i in range(6):\n    Path(f'd{i}').mkdir()", Limit::Files),
        ("from pathlib import Path\nPath('a/b/c/d/e/f').mkdir(parents=True)", Limit::Files),
        ("f = open('a', 'w')\nwhile True:\n    f.write('x' * 99)", Limit::DiskBytes),
    ] {
        assert_eq!(limit(code), reached, "{code}");
    }
    let code = "for i in range(100):\n    scratch.write('a', 'x' * 1000)\n    scratch.write(f'd/{i}', '')\n    scratch.delete(f'd/{i}')\n\
                scratch.delete('a')\nscratch.write('b', 'x' * 1000)\nscratch.list()";
    let seen = script(code).limits(|limits| (limits.disk_bytes, limits.files) = (1_000, 3)).run();
    assert_eq!(seen.value(), json!(["b"]));
}

#[test]
fn files_leave_by_calls_only() {
    let saved: Value = json!({ "a": { "text": "ä" }, "o/b": { "base64": "/wAB" } });
    let code = "scratch.write('a', 'ä')\nscratch.write('o/b', b'\\xff\\x00\\x01')\n\
                h = await scratch.keep('a')\nscratch.keep('o/b')\nawait scratch.save()\n\
                scratch.delete('a')\nscratch.delete('o/b')\n\
                [h, await scratch.load(), scratch.read('a'), list(scratch.bytes('o/b')), scratch.load()]";
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
    assert_eq!(seen.value(), json!(["art_x", ["a", "o/b"], "ä", [255, 0, 1], ["a", "o/b"]]));
    assert_eq!(
        seen.tools(),
        [
            r#"narrows.scratch_keep {"path":"a","text":"ä"}"#,
            r#"narrows.scratch_keep {"path":"o/b","base64":"/wAB"}"#,
            r#"narrows.scratch_save {"files":{"a":{"text":"ä"},"o/b":{"base64":"/wAB"}}}"#,
            "narrows.scratch_load {}",
            "narrows.scratch_load {}",
        ]
    );
    let seen = script("try:\n    scratch.load()\nexcept Exception:\n    pass\n1")
        .limits(|limits| limits.files = 2)
        .host(|call| vec![ok(call.id, &saved)])
        .run();
    assert!(matches!(seen.end(), End::Limit(Limit::Files)), "{:?}", seen.end());
    for hostile in [json!({ "../a": { "text": "x" } }), json!(5), json!({ "a": { "base64": "?" } })]
    {
        let seen =
            script("try:\n    scratch.load()\nexcept Exception as e:\n    return scratch.list()")
                .host(|call| vec![ok(call.id, &hostile)])
                .run();
        assert_eq!(seen.value(), json!([]), "{hostile}");
    }
}

#[test]
fn a_server_of_the_same_name_stands_before_them() {
    let seen = script("(await scratch.read(path='x'))['path']").servers(&["scratch"]).run();
    assert_eq!(seen.value(), json!("x"));
    assert_eq!(seen.tools(), [r#"scratch.read {"path":"x"}"#]);
}
