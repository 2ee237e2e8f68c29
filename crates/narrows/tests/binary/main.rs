//! The real binary, as a person or a script uses it.
#![expect(clippy::unwrap_used, clippy::panic, reason = "tests fail by panicking")]

mod commands;
mod durable;
mod engine;
mod lowered;
mod modes;
mod network;

use std::path::Path;
use std::process::{Command, Output, Stdio};

/// A home and a current folder that nobody else uses.
struct Desk {
    dir: tempfile::TempDir,
}

/// What a command said.
struct Said {
    code: i32,
    out: String,
    err: String,
}

impl Desk {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        for folder in ["home", "work"] {
            std::fs::create_dir(dir.path().join(folder)).unwrap();
        }
        Self { dir }
    }

    fn work(&self) -> std::path::PathBuf {
        self.dir.path().join("work")
    }

    fn home(&self) -> std::path::PathBuf {
        self.dir.path().join("home")
    }

    fn write(&self, name: &str, text: &str) {
        let path = self.dir.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.dir.path().join(name)).unwrap()
    }

    fn run(&self, args: &[&str]) -> Said {
        self.run_with(args, &[], "")
    }

    fn run_with(&self, args: &[&str], vars: &[(&str, &str)], input: &str) -> Said {
        use std::io::Write as _;
        let mut child = command(&self.work(), &self.home())
            .args(args)
            .envs(vars.iter().copied())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        // A command that does not read its input may be gone already.
        drop(child.stdin.take().unwrap().write_all(input.as_bytes()));
        let Output { status, stdout, stderr } = child.wait_with_output().unwrap();
        let tidy = |bytes: Vec<u8>| {
            let text = String::from_utf8(bytes).unwrap();
            text.replace(self.dir.path().to_str().unwrap(), "DIR")
        };
        Said { code: status.code().unwrap(), out: tidy(stdout), err: tidy(stderr) }
    }
}

#[expect(clippy::disallowed_methods, reason = "this test starts the binary under test")]
fn command(work: &Path, home: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_narrows"));
    command.current_dir(work).env_clear().env("HOME", home).env("PATH", "/usr/bin:/bin");
    command
}
