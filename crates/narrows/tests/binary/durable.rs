//! Runs that last: pauses, jobs, sessions and intents, each command a process of its own.

use crate::{Desk, command};
use serde_json::{Value, json};
use std::process::{Child, Stdio};

impl Desk {
    /// What a command gives as JSON, which must end with this code.
    pub(crate) fn json(&self, code: i32, args: &[&str]) -> Value {
        let args: Vec<&str> = args.iter().copied().chain(["--json"]).collect();
        let said = self.run(&args);
        assert_eq!(said.code, code, "{args:?}: {} {}", said.out, said.err);
        serde_json::from_str(&said.out).unwrap()
    }

    fn worker(&self) -> Child {
        let mut worker = command(&self.work(), &self.home());
        worker.arg("worker").stdin(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
    }
}

#[expect(clippy::disallowed_methods, reason = "this test sends a signal as a person does")]
fn signal(child: &Child) {
    let sent = std::process::Command::new("kill").arg(child.id().to_string()).status();
    assert!(sent.unwrap().success());
}

#[test]
fn a_question_waits_for_its_answer() {
    let desk = Desk::new();
    let program = "const [a, b] = await Promise.all([ask('one?'), ask('two?', {type: 'integer'})]);
        return `${a}${b + 1}`;";
    let asks = desk.json(7, &["run", "--eval", program]);
    assert_eq!(asks["end"], "paused", "{asks}");
    let run = asks["run"].as_str().unwrap();
    let listed = desk.json(0, &["runs", "list", "--state", "paused"]);
    assert_eq!(listed[0]["run"], run);
    let silent = desk.run(&["answer", run]);
    assert_eq!(silent.code, 2);
    assert!(silent.err.contains("waits for answers: q1 (one?), q2 (two?)"), "{}", silent.err);
    for (words, why) in [
        (&["q1=x", "q2=many"][..], "answer must be a number"),
        (&["q3=x"], "open are q1, q2"),
        (&["q7", "--decline"], "no question q7 is open"),
    ] {
        let said = desk.run(&[&["answer", run][..], words].concat());
        assert_eq!(said.code, 2, "{words:?}");
        assert!(said.err.contains(why), "{words:?} {}", said.err);
    }
    assert_eq!(desk.json(7, &["answer", run, "q1=x"])["questions"][0]["id"], "q2");
    assert_eq!(desk.run(&["answer", "-q", run, "41"]).out, "x42\n");
    let shown = desk.run(&["runs", "show", run]);
    assert!(shown.out.contains(" returned, ") && shown.out.contains("ask"), "{}", shown.out);
    let same = desk.json(0, &["runs", "replay", run]);
    assert_eq!(same["same"], true, "{same}");
    desk.write("work/other.ts", "return 5");
    let other = desk.json(1, &["runs", "diff", run, "other.ts"]);
    assert!(!other["differences"].as_array().unwrap().is_empty(), "{other}");
    assert_eq!(desk.run(&["runs", "show", "run_nowhere"]).code, 2);
}

#[test]
fn a_worker_does_what_was_submitted() {
    let desk = Desk::new();
    let queued =
        desk.json(0, &["job", "submit", "--eval", "return input.a + 1", "--input", "{\"a\":1}"]);
    let job = queued["job"].as_str().unwrap();
    assert_eq!(queued["state"], "queued");
    let called = desk.json(0, &["job", "submit", "--call", "time.now"]);
    let asks =
        desk.json(0, &["job", "submit", "--eval", "return await ask('sure?', {type: 'boolean'})"]);
    let cron = desk.json(0, &["job", "submit", "--call", "time.now", "--cron", "0 3 * * *"]);
    assert_eq!(desk.json(0, &["job", "schedules"])[0]["job"], cron["job"]);
    let mut worker = desk.worker();
    let done = desk.json(0, &["job", "show", job, "--wait", "60"]);
    assert_eq!((&done["state"], &done["result"]["value"]), (&json!("done"), &json!(2)), "{done}");
    let called = called["job"].as_str().unwrap();
    assert_eq!(desk.json(0, &["job", "show", called, "--wait", "60"])["state"], "done");
    let asks = asks["job"].as_str().unwrap();
    let paused = desk.json(7, &["job", "show", asks, "--wait", "60"]);
    let run = paused["run"].as_str().unwrap();
    assert_eq!(desk.run(&["answer", run, "true"]).code, 0);
    let done = desk.json(0, &["job", "show", asks, "--wait", "60"]);
    assert_eq!(done["result"]["value"], true, "{done}");
    signal(&worker);
    assert!(worker.wait().unwrap().success(), "it drains and ends well");
    assert_eq!(desk.run(&["job", "unschedule", cron["job"].as_str().unwrap()]).code, 0);
    assert_eq!(desk.json(0, &["job", "schedules"]), json!([]));
    let late = desk.json(0, &["job", "submit", "--eval", "return 1"]);
    let late = late["job"].as_str().unwrap();
    assert_eq!(desk.json(0, &["job", "cancel", late])["state"], "cancelled");
}

#[test]
fn sessions_and_intents_come_and_go() {
    let desk = Desk::new();
    let session = desk.json(0, &["session", "create", "--calls", "50"]);
    let session = session["session"].as_str().unwrap();
    let program = "await session.set('a', 7); return 1";
    let ran = desk.run(&["run", "-q", "--session", session, "--eval", program]);
    assert_eq!(ran.code, 0, "{}", ran.err);
    let program = "return await session.get('a')";
    assert_eq!(desk.run(&["run", "-q", "--session", session, "--eval", program]).out, "7\n");
    let shown = desk.json(0, &["session", "show", session]);
    assert_eq!((&shown["values"], &shown["budget"]["calls"]), (&json!(1), &json!(50)), "{shown}");
    assert_eq!(desk.run(&["session", "delete", session]).code, 0);
    assert_eq!(desk.run(&["session", "show", session]).code, 2);

    let ran = desk.json(0, &["run", "--eval", "return input.n * 2", "--input", "{\"n\":4}"]);
    let run = ran["run"].as_str().unwrap();
    let save = ["intent", "save", run, "--name", "twice", "--description", "Twice a number"];
    assert_eq!(desk.json(0, &save)["version"], 1);
    assert_eq!(desk.run(&["intent", "call", "twice", "n:=21", "-q"]).out, "42\n");
    let wrong = desk.run(&["intent", "call", "twice", "n=x"]);
    assert_eq!(wrong.code, 2, "{}", wrong.err);
    desk.write("work/twice.ts", "return input.n + input.n");
    let schema = "{\"type\":\"object\",\"properties\":{\"n\":{\"type\":\"number\"}}}";
    let save =
        ["intent", "save", "--file", "twice.ts", "--name", "twice", "--description", "Twice"];
    let tests = "[{\"input\":{\"n\":1},\"expected\":3}]";
    let failed = desk.run(&[&save[..], &["--schema", schema, "--tests", tests]].concat());
    assert!(failed.code == 2 && failed.err.contains("test 1 of intent twice"), "{}", failed.err);
    assert_eq!(desk.json(0, &[&save[..], &["--schema", schema]].concat())["version"], 2);
    assert_eq!(desk.json(0, &["intent", "rollback", "twice", "1"])["version"], 1);
    assert_eq!(desk.json(0, &["intent", "list"])[0]["versions"], 2);
    assert_eq!(desk.run(&["intent", "test", "twice"]).code, 0);
    assert_eq!(desk.run(&["intent", "delete", "twice"]).code, 0);
    assert_eq!(desk.json(0, &["intent", "list"]), json!([]));
}

#[test]
fn scratch_files_outlive_their_run_only_where_asked() {
    let desk = Desk::new();
    let program =
        "scratch.write('out/a.json', {n: 5}); scratch.write('b.bin', new Uint8Array([255]));
        const sure = await ask('sure?'); scratch.append('b.bin', sure);
        return [await scratch.keep('out/a.json'), scratch.bytes('b.bin')]";
    let asks = desk.json(7, &["run", "--eval", program]);
    let run = asks["run"].as_str().unwrap();
    let went_on = desk.json(0, &["answer", run, "x"]);
    assert_eq!(went_on["value"][1], json!([255, 120]), "{went_on}");
    assert_eq!(desk.json(0, &["runs", "replay", run])["same"], true);
    let handle = went_on["value"][0].as_str().unwrap();
    let program = format!("scratch.exists('b.bin') or (await artifact('{handle}'))['n']");
    let read = desk.run(&["run", "-q", "--language", "python", "--eval", &program]);
    assert_eq!(read.out, "5\n", "{}", read.err);

    let session = desk.json(0, &["session", "create"]);
    let session = session["session"].as_str().unwrap();
    let run = |language: &str, program: &str| {
        let args = ["run", "-q", "--session", session, "--language", language, "--eval", program];
        desk.run(&args)
    };
    let save = "scratch.write('a.txt', 'ä'); scratch.write('b', new Uint8Array([255])); await scratch.save(); return 1";
    assert_eq!(run("typescript", save).code, 0);
    assert_eq!(run("typescript", "return scratch.list()").out, "[]\n");
    let load = "p = await scratch.load()\nscratch.append('a.txt', 'b')\nscratch.delete('b')\nawait scratch.save()\np";
    let loaded = run("python", load);
    let value = |out: &str| serde_json::from_str::<Value>(out).unwrap();
    assert_eq!(value(&loaded.out), json!(["a.txt", "b"]), "{}", loaded.err);
    let load = "return [await scratch.load(), scratch.read('a.txt')]";
    assert_eq!(value(&run("typescript", load).out), json!([["a.txt"], "äb"]));
    let alone = desk.run(&["run", "--eval", "return await scratch.load()"]);
    assert!(alone.err.contains("session") || alone.out.contains("session"), "{}", alone.out);
    assert_ne!(alone.code, 0);
}
