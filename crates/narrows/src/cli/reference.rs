//! The documents that are made from the program, and the test that they are current.
//!
//! `NARROWS_WRITE_DOCS=1 cargo nextest run -p narrows reference` writes them.

use super::args::Cli;
use clap::{Command, CommandFactory as _};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

const HEAD: &str = "\
# Command line

Made from the program's own help; `narrows COMMAND --help` says the same. Answers go to standard
output, everything else to standard error; `--json` makes every answer JSON, also an error:
`{\"error\": {\"kind\": ..., ...}}`.

## Exit codes

| code | means |
|---|---|
| 0 | done |
| 1 | the program threw or waits for ever, or a tool said that it failed; `doctor`: a check failed; `job`: it failed; `runs replay`, `runs diff`: it ends otherwise |
| 2 | wrong usage or config, something named does not exist |
| 3 | the program was rejected before it ran |
| 4 | a limit or a deadline was reached |
| 5 | a server could not be reached or broke the protocol |
| 6 | a worker was lost, Narrows cannot serve now, or a defect of Narrows |
| 7 | the program waits for answers: `narrows answer` |
";

fn help(command: &mut Command) -> String {
    let text = command.render_long_help().to_string();
    text.lines().map(|line| line.trim_end().to_owned() + "\n").collect()
}

/// The global options stand above, once.
fn own_help(command: &Command) -> String {
    let mut own = command.clone().term_width(100).mut_args(|arg| {
        let global = arg.get_help_heading() == Some("Global options");
        arg.hide(global)
    });
    help(&mut own)
}

fn reference() -> String {
    let mut cli = Cli::command().term_width(100);
    cli.build();
    let mut text = HEAD.to_owned();
    write!(text, "\n## narrows\n\n```text\n{}```\n", help(&mut cli)).unwrap();
    for command in cli.get_subcommands_mut().filter(|c| c.get_name() != "help") {
        let name = format!("narrows {}", command.get_name());
        write!(text, "\n## {name}\n\n```text\n{}```\n", own_help(command)).unwrap();
        for command in command.get_subcommands_mut().filter(|c| c.get_name() != "help") {
            let name = format!("{name} {}", command.get_name());
            write!(text, "\n### {name}\n\n```text\n{}```\n", own_help(command)).unwrap();
        }
    }
    text
}

fn docs(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/reference").join(name)
}

fn current(name: &str, text: &str) {
    let path = docs(name);
    if std::env::var_os("NARROWS_WRITE_DOCS").is_some() {
        std::fs::write(&path, text).unwrap();
    }
    let written = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        written == text,
        "{} is stale; write it with: NARROWS_WRITE_DOCS=1 cargo test -p narrows reference",
        path.display()
    );
}

#[test]
fn the_command_line_reference_is_current() {
    current("cli.md", &reference());
}

#[test]
fn the_schema_of_the_config_is_current() {
    current("config.schema.json", &super::schema());
}

#[test]
fn the_command_line_is_consistent() {
    Cli::command().debug_assert();
}
