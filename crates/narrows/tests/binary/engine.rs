//! Commands that open the whole house, over the built-in servers.

use crate::Desk;
use serde_json::Value;

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

#[test]
fn a_program_runs_in_either_language() {
    let desk = Desk::new();
    desk.write("work/a.txt", "one\ntwo\n");
    desk.write("work/p.ts", "const f = await files.read({path: input.path});\nconsole.log('read');\nreturn f.text.length;");
    let said = desk.run(&["run", "p.ts", "--input", r#"{"path": "a.txt"}"#]);
    assert_eq!((said.code, said.out.as_str()), (0, "8\n"), "{}", said.err);
    assert!(said.err.contains("read\n") && said.err.contains("1 call,"), "{}", said.err);
    desk.write("work/p.py", "f = await files.read(path='a.txt')\nf['text']");
    let said = desk.run(&["run", "p.py", "-q"]);
    assert_eq!((said.code, said.out.as_str(), said.err.as_str()), (0, "one\ntwo\n", ""));
}

#[test]
fn every_end_has_its_code() {
    let desk = Desk::new();
    for (program, code, words) in [
        ("throw new Error('no')", 1, "Error: no"),
        ("await fles.read({path: 'x'})", 3, "files"),
        ("while (true) {}", 4, "wall_ms"),
        ("await files.read({path: '/etc/passwd'})", 1, "files.read"),
    ] {
        let said = desk.run_with(&["run", "-", "--timeout-ms", "1500"], &[], program);
        assert_eq!(said.code, code, "{program}: {} {}", said.out, said.err);
        assert!(said.err.contains(words), "{program}: {}", said.err);
    }
    let said = desk.run(&["run", "-l", "python", "-q", "--eval", "1 + 1"]);
    assert_eq!(said.out.trim(), "2", "{}", said.err);
    let said = desk.run_with(&["run", "-", "--json"], &[], "return {a: 1}");
    let report = json(&said.out);
    assert_eq!(report.pointer("/end").unwrap(), "returned");
    assert_eq!(report.pointer("/value").unwrap(), &serde_json::json!({"a": 1}));
}

#[test]
fn tools_are_listed_found_called_and_counted() {
    let desk = Desk::new();
    desk.write("work/a.txt", "hello");
    let said = desk.run(&["tools", "files"]);
    assert!(
        said.out.contains("files.read") && said.out.contains("4 tools"),
        "{} {}",
        said.out,
        said.err
    );
    assert!(desk.run(&["search", "read", "a", "file"]).out.contains("files.read("));
    let said = desk.run(&["call", "files.read", "path=a.txt", "--json"]);
    assert_eq!(
        json(&said.out).pointer("/structuredContent/text").unwrap(),
        "hello",
        "{}",
        said.err
    );
    let said = desk.run(&["call", "files.read", "path=nowhere.txt"]);
    assert_eq!(said.code, 1, "{} {}", said.out, said.err);
    let said = desk.run(&["call", "files.raed", "path=a.txt"]);
    assert_eq!(said.code, 2);
    assert!(said.err.contains("unknown tool files.raed"), "{}", said.err);
    let states = json(&desk.run(&["servers", "--json"]).out);
    assert_eq!(states.as_array().unwrap().len(), 2);
    let bill = json(&desk.run(&["tokens", "--json"]).out);
    let [direct, narrows] = ["direct", "narrows"].map(|name| bill[name].as_u64().unwrap());
    assert!(direct > 500 && narrows <= 350, "{bill}");
}

#[test]
fn a_server_that_is_missing_is_named_and_stops_nobody() {
    let desk = Desk::new();
    desk.write(
        "work/narrows.toml",
        "[servers.gone]\ncommand = \"no-such-program-here\"\n[servers.time]\nbuiltin = \"time\"\n",
    );
    let said = desk.run(&["call", "time.now"]);
    assert_eq!(said.code, 0, "{}", said.err);
    let said = desk.run(&["call", "gone.x"]);
    assert_eq!(said.code, 5, "{}", said.err);
    assert!(
        said.err.contains("server gone did not start: command `no-such-program-here`"),
        "{}",
        said.err
    );
    let said = desk.run(&["doctor", "--json"]);
    assert_eq!(said.code, 1);
    let checks = json(&said.out);
    let gone = checks.as_array().unwrap().iter().find(|c| c["what"] == "server gone").unwrap();
    assert_eq!(gone["state"], "fail");
}

#[test]
fn the_demo_runs_and_counts() {
    let desk = Desk::new();
    let said = desk.run(&["demo", "--json"]);
    assert_eq!(said.code, 0, "{}", said.err);
    let demo = json(&said.out);
    assert_eq!(demo.pointer("/report/end").unwrap(), "returned");
    assert_eq!(demo.pointer("/report/value/files").unwrap(), 12);
    assert_eq!(demo.pointer("/report/calls").unwrap().as_array().unwrap().len(), 14);
    let total =
        |who: &str| demo.pointer(&format!("/tokens/{who}/total")).unwrap().as_u64().unwrap();
    assert!(total("direct") > 20 * total("narrows"), "{} {}", total("direct"), total("narrows"));
    let said = desk.run(&["demo"]);
    assert!(said.out.contains("narrows install claude-code"), "{}", said.out);
}

#[test]
fn the_examples_of_help_run() {
    let desk = Desk::new();
    let help = desk.run(&["call", "--help"]).out;
    let example = help.lines().find_map(|l| l.trim().strip_prefix("narrows call time.")).unwrap();
    let words = format!("call time.{example}");
    let said = desk.run(&words.split(' ').collect::<Vec<_>>());
    assert_eq!(said.code, 0, "{words}: {} {}", said.out, said.err);
}

#[test]
fn a_port_in_use_is_wrong_usage() {
    let desk = Desk::new();
    let held = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = held.local_addr().unwrap().to_string();
    let said = desk.run(&["serve", "--http", &address]);
    assert_eq!(said.code, 2, "{}", said.err);
    assert!(said.err.contains("cannot bind"), "{}", said.err);
}
