//! Programs of one session, one after the other in one worker.

use super::{Seen, kept, ok, script};
use narrows_types::Limit;
use narrows_types::frame::End;
use serde_json::{Value, json};

fn values(codes: &[&str]) -> Vec<Value> {
    kept(codes.iter().map(|code| script(code)).collect()).iter().map(Seen::value).collect()
}

#[test]
fn globals_functions_classes_and_imports_stay() {
    let first = "import json\nrows = [1, 2]\nn = 0\ndef add(by):\n    global n\n    n += by\n    return n\n\
                 class Box:\n    def __init__(self, of):\n        self.of = of\nlen(rows)";
    let second =
        "n += 10\nadd(1)\nrows.append(3)\nbox = Box(rows)\nreturn [n, box.of, json.dumps(n)]";
    assert_eq!(
        values(&[first, second, "[add(1), len(box.of)]"]),
        [json!(2), json!([11, [1, 2, 3], "11"]), json!([12, 3])]
    );
}

#[test]
fn what_a_failed_program_changed_stays_and_findings_change_nothing() {
    let seen = kept(vec![
        script("a = 1"),
        script("a = 2\nraise ValueError('x')"),
        script("a = = 3"),
        script("import subprocess\na = 4"),
        script("a"),
    ]);
    let End::Threw(error) = &seen[1].done.as_ref().unwrap().end else { panic!("{:?}", seen[1]) };
    assert_eq!((error.name.as_str(), error.at[0].line), ("ValueError", 2));
    assert!(!seen[2].uses.findings.is_empty() && !seen[3].uses.findings.is_empty());
    assert_eq!(seen[4].value(), json!(2));
}

#[test]
fn functions_of_earlier_programs_reach_the_tools_of_this_one() {
    let seen = kept(vec![
        script(
            "async def load(x):\n    return (await github.read(path=x))['path']\ndef at_once(x):\n    return files.read(path=x)['path']\nawait load('a')",
        ),
        script("await files.read(n=1)\nreturn [await load('b'), at_once('c')]"),
    ]);
    assert_eq!((seen[0].value(), seen[1].value()), (json!("a"), json!(["b", "c"])));
    let called: Vec<_> = seen[1].calls.iter().map(|call| (call.id, call.server.as_str())).collect();
    assert_eq!(called, [(1, "files"), (2, "github"), (3, "files")]);
}

#[test]
fn each_program_begins_with_its_own_input_and_files() {
    let seen = kept(vec![
        script("scratch.write('a', 'b')\nsearch = 7\nreturn input").input(&json!(5)),
        script("return [input, scratch.list(), search]"),
    ]);
    assert_eq!(seen[1].value(), json!([null, [], 7]));
}

/// What an earlier program did not wait for never comes, and hears nothing of a later one's replies.
#[test]
fn leftovers_hear_nothing() {
    let silent = |_: &_| Vec::new();
    let seen = kept(vec![
        script("left = [github.read(n=i) for i in range(3)]\nasync def spy():\n    return await left[0]\nif False:\n    await spy()\nreturn 1")
            .host(silent),
        script("a = github.read(secret=1)\nreturn await a").host(|call| vec![ok(call.id, &json!("told"))]),
        // This one makes calls of its own, and as many.
        script("a = github.read(secret=1)\nb = github.read(secret=2)\nreturn [await a, await b, await spy()]")
            .host(|call| vec![ok(call.id, &json!("told"))]),
        script("return 1"),
    ]);
    assert_eq!(seen[1].value(), json!("told"));
    assert_eq!(seen[2].calls.len(), 2, "{:?}", seen[2].calls);
    assert!(matches!(seen[2].end(), End::Deadlock | End::Threw(_)), "{:?}", seen[2].end());
    assert_eq!(seen[3].value(), json!(1));
}

#[test]
fn limits_are_those_of_one_program_and_memory_that_of_all() {
    let limited = |code: &str| script(code).limits(|limits| limits.memory_bytes = 32 << 20);
    let calls = || {
        script("for i in range(3):\n    files.read(i=i)\nreturn 'done'")
            .limits(|limits| limits.calls = 3)
    };
    let seen = kept(vec![
        calls(),
        calls(),
        script("for i in range(3):\n    files.read(i=i)").limits(|limits| limits.calls = 2),
        script("1"),
    ]);
    assert_eq!((seen[0].value(), seen[1].value()), (json!("done"), json!("done")));
    assert!(matches!(seen[2].done.as_ref().unwrap().end, End::Limit(Limit::Calls)));
    assert!(seen[3].done.is_none());
    let more = "all.append(list(range(300_000)))\nreturn len(all)";
    let seen = kept(vec![
        limited("all = []\nreturn 0"),
        limited(more),
        limited(more),
        limited(more),
        limited(more),
        limited(more),
        limited(more),
        limited(more),
    ]);
    let ends: Vec<_> =
        seen.iter().filter_map(|seen| seen.done.as_ref()).map(|done| &done.end).collect();
    assert!(matches!(ends[1], End::Value(_)), "{:?}", ends[1]);
    assert!(ends.iter().any(|end| matches!(end, End::Limit(Limit::MemoryBytes))), "{ends:?}");
}
