//! What the README and the guide tell people to type works as it stands there.

use crate::house::{House, Http, binary, repository};
use serde_json::json;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

/// A fenced block of a document: its language and its text.
fn blocks() -> Vec<(String, String, String)> {
    let mut files = vec![repository().join("README.md")];
    let guide = std::fs::read_dir(repository().join("docs/guide")).unwrap();
    files.extend(guide.map(|entry| entry.unwrap().path()));
    let mut blocks = Vec::new();
    for file in files {
        let text = std::fs::read_to_string(&file).unwrap();
        let name = file.file_name().unwrap().to_string_lossy().into_owned();
        for block in text.split("\n```").skip(1).step_by(2) {
            let (language, text) = block.split_once('\n').unwrap();
            blocks.push((name.clone(), language.to_owned(), text.to_owned()));
        }
    }
    assert!(blocks.len() > 10, "{} blocks", blocks.len());
    blocks
}

/// The commands of one program in all documents, without their comments.
fn commands(program: &str) -> Vec<String> {
    let plain = blocks().into_iter().filter(|(_, language, _)| ["", "sh"].contains(&&**language));
    let lines: Vec<String> = plain
        .flat_map(|(_, _, text)| {
            let joined = text.replace("\\\n", " ");
            joined.lines().map(str::to_owned).collect::<Vec<_>>()
        })
        .collect();
    let is = |line: &String| line.strip_prefix(program).is_some_and(|rest| rest.starts_with(' '));
    lines.into_iter().filter(is).map(|l| l.split("  #").next().unwrap().to_owned()).collect()
}

/// Whether a line is about something of the reader's: a run, a job, a program, a server that is not
/// here, all that a machine has. Then only its form can be right.
fn is_of_the_readers(line: &str) -> bool {
    let words = [
        "RUN",
        "JOB",
        "SESSION",
        "github",
        "open_issues",
        "nightly.ts",
        "prog.ts",
        "report.py",
        "step",
        "doctor",
    ];
    words.iter().any(|word| line.contains(word))
}

/// The exit code of a command line that is not understood.
const USAGE: i32 = 2;

/// A shell line in a home of its own, with the built `narrows` in its path.
fn shell(house: &House, line: &str) -> Output {
    let path = binary("narrows").parent().map(PathBuf::from).unwrap();
    let path = format!("{}:{}", path.display(), std::env::var("PATH").unwrap());
    let mut command = Command::new("sh");
    command.args(["-c", line]).current_dir(house.files()).stdin(Stdio::null());
    command.envs(house.env()).env("PATH", path).output().unwrap()
}

#[test]
fn every_command_line_works() {
    let house = House::new(&json!({}));
    let lines = commands("narrows");
    assert!(lines.len() >= 5, "{lines:?}");
    let stays =
        |line: &String| line.starts_with("narrows serve") || line.starts_with("narrows worker");
    for line in lines.iter().filter(|line| !stays(line)) {
        let output = shell(&house, line);
        let said = String::from_utf8_lossy(&output.stderr);
        let fine = if is_of_the_readers(line) {
            // Clap's own words for a line that it does not understand.
            output.status.code() != Some(USAGE) || !said.contains("--help")
        } else {
            output.status.success()
        };
        assert!(fine, "{line}: {said}");
    }
}

#[test]
fn every_request_works() {
    let house = House::new(&json!({"time": {"builtin": "time"}}));
    let Http { address, .. } = &house.http();
    let lines = commands("curl");
    assert!(lines.len() >= 3, "{lines:?}");
    for line in lines {
        let theirs = is_of_the_readers(&line);
        let silent = if theirs { "-s" } else { "-sf" };
        let line = line.replace("127.0.0.1:7300", address).replace("-s", silent);
        let output = shell(&house, &line);
        assert!(output.status.success(), "{line}: {output:?}");
        assert!(output.stdout.starts_with(b"{"), "{line}: {output:?}");
        let told = String::from_utf8_lossy(&output.stdout);
        assert!(!theirs || told.contains("does not exist"), "{line}: {told}");
    }
}

#[test]
fn every_program_is_well_formed() {
    let house = House::new(&json!({"time": {"builtin": "time"}, "files": {"builtin": "files"}}));
    let mut agent = house.agent();
    agent.initialize();
    let mut seen = 0;
    for (file, language, code) in blocks() {
        let language = match language.as_str() {
            "ts" => "typescript",
            "python" => "python",
            _ => continue,
        };
        seen += 1;
        let result = agent.run(language, &code);
        let text = result["content"][0]["text"].as_str().unwrap();
        // Servers of the examples that are not here, handles that only look like one, and what
        // only an engine imports that no config here offers.
        let known = [
            "github is not defined",
            "issues is not defined",
            "art_...",
            "import is not available",
            "urllib.request is not available here",
        ];
        let fine = result["isError"] != true || known.iter().any(|word| text.contains(word));
        assert!(fine, "{file}: {code}\n{text}");
        assert!(!text.contains("syntax"), "{file}: {code}\n{text}");
    }
    assert!(seen >= 5, "{seen} programs");
}
