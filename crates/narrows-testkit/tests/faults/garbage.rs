//! A server that talks nonsense: what it says to one call is that call's affair only.

use crate::ground::{Ground, Visitor, memory_kb};
use crate::house::{House, Http};
use serde_json::{Value, json};

/// The longest line is 64 MiB, and it is held but a few times.
const PEAK_MIB_MAX: u64 = 300;

/// What comes of a call to which a server says something strange.
enum End {
    /// Its answer is taken.
    Well,
    /// It fails, and these words say why.
    Fails(&'static [&'static str]),
    /// Nothing was an answer: it ends at its deadline.
    Late,
    /// Who only passes it on does so, with these words; who reads it fails.
    PassesOn(&'static str),
    /// It is strange, but no lie.
    Passes(&'static str),
}

use End::{Fails, Late, Passes, PassesOn, Well};

/// What is said, and what comes of it.
const CASES: [(&str, End); 27] = [
    ("not JSON first", Well),
    ("bytes first", Well),
    ("open brackets first", Well),
    ("an error for nobody first", Well),
    ("an empty batch first", Well),
    ("questions first", Well),
    ("the id as text", Well),
    ("a batch", Well),
    ("twice", Well),
    ("half", Late),
    ("another id", Late),
    ("nothing", Fails(&["broke the protocol", "either `result` or `error`"])),
    ("an error and a result", Fails(&["broke the protocol", "either `result` or `error`"])),
    ("a text", Fails(&["broke the protocol"])),
    ("a list", Fails(&["broke the protocol"])),
    ("content of a wrong kind", PassesOn(r#"{"content":{"type":7}}"#)),
    ("no UTF-8", Fails(&["broke the protocol", "invalid unicode"])),
    ("half a letter", PassesOn(r#""text":"\ud800""#)),
    ("a code that is none", Fails(&["broke the protocol", "1e+300"])),
    ("an error without end", Fails(&["nononono"])),
    ("deep", Passes("[[[[[[[[")),
    ("large", Fails(&["answered 20971", "the limit is 8388608"])),
    ("half and the end", Fails(&["exited with code 3"])),
    ("not JSON first", Well),
    ("a line without end", Fails(&["it sent a message of more than 67108864 bytes"])),
    ("not JSON first", Well),
    ("twice", Well),
];

/// All that comes back from a call.
fn through(http: &Http, visitor: &Visitor<'_>, door: &str, kind: &str) -> String {
    let arguments = json!({"kind": kind});
    let post =
        |path: &str, body: &Value| http.send(&format!("POST {path} HTTP/1.1"), &body.to_string()).1;
    match door {
        "mcp" => visitor.text(
            "tools/call",
            &json!({"name": "mcp.garble", "arguments": arguments}),
            "whatever",
        ),
        "rest" => post("/v1/tools/rest/garble", &arguments),
        _ => {
            let code = format!(
                "try {{ return JSON.stringify(await program.garble({arguments})).slice(0, 200); }}
                 catch (e) {{ return String(e.message).slice(0, 400); }}"
            );
            let told = post("/v1/run", &json!({"code": code, "language": "typescript"}));
            let told: Value = serde_json::from_str(&told).unwrap();
            // Without a value, the text says why there is none.
            told["value"].as_str().unwrap_or_else(|| told["text"].as_str().unwrap()).to_owned()
        }
    }
}

fn judge(door: &str, kind: &str, end: &End, answer: &str) {
    let late = format!("{door}.garble did not answer within 2000 ms");
    let words: &[&str] = match end {
        Well => &[r#""well""#],
        Fails(words) => words,
        Late => &[late.as_str()],
        PassesOn(words) if door == "mcp" => &[words],
        PassesOn(_) => &["broke the protocol"],
        Passes(_) if door == "program" => &["the recursion is too deep"],
        Passes(words) => &[words],
    };
    for word in words {
        assert!(answer.contains(word), "{door}, {kind}: {word} in {answer:.500}");
    }
    assert!(
        !answer.contains(r#""again""#),
        "{door}, {kind}: the first answer counts: {answer:.500}"
    );
}

fn talks_nonsense(door: &str) {
    let ground = Ground::new();
    let mut nonsense = ground.faulty(door);
    nonsense["call_timeout_ms"] = json!(2_000);
    let house = House::with(&json!({
        "serve": {"mode": "mcp"},
        "limits": {"result_bytes": 4 << 20},
        "servers": {door: nonsense, "good": ground.faulty("good")},
    }));
    let http = house.http();
    let visitor = Visitor::open(&http);
    visitor.echo("good", "before");
    let good = ground.process("good");
    for (kind, end) in CASES {
        judge(door, kind, &end, &through(&http, &visitor, door, kind));
        visitor.echo("good", kind);
        visitor.echo(door, kind);
    }
    assert_eq!(ground.process("good"), good, "nobody else was touched");
    let peak = memory_kb(http.child.id(), "VmHWM:") >> 10;
    println!("{door}: {} kinds of nonsense, {peak} MiB at most", CASES.len());
    assert!(peak < PEAK_MIB_MAX, "{peak} MiB");
}

#[test]
fn nonsense_in_place_of_answers_that_are_passed_on() {
    talks_nonsense("mcp");
}

#[test]
fn nonsense_in_place_of_answers_that_are_read() {
    talks_nonsense("rest");
}

#[test]
fn nonsense_in_place_of_answers_that_a_program_gets() {
    talks_nonsense("program");
}
