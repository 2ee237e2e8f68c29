//! Running other programs, from the root of the repository.

#![expect(clippy::print_stdout, reason = "a repository program talks to its terminal")]

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// Why a step failed, one line.
pub(crate) struct Fail(pub(crate) String);

impl From<std::io::Error> for Fail {
    fn from(error: std::io::Error) -> Self {
        Self(error.to_string())
    }
}

/// One program to run.
pub(crate) struct Run {
    line: String,
    command: Command,
}

/// Prints and flushes.
pub(crate) fn say(text: &str) {
    print!("{text}");
    // A closed terminal is no reason to fail.
    let _closed = std::io::Write::flush(&mut std::io::stdout());
}

/// The root of the repository.
pub(crate) fn root() -> PathBuf {
    let own = Path::new(env!("CARGO_MANIFEST_DIR"));
    own.parent().unwrap_or(own).to_owned()
}

/// The names in a folder, sorted.
pub(crate) fn list(folder: &Path) -> Result<Vec<String>, Fail> {
    let mut names = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        names.push(entry?.file_name().to_string_lossy().into_owned());
    }
    names.sort();
    Ok(names)
}

/// A cargo command.
pub(crate) fn cargo(args: &[&str]) -> Run {
    tool("cargo", args)
}

/// Any command.
#[expect(clippy::disallowed_methods, reason = "xtask's one place that starts programs")]
pub(crate) fn tool(program: &str, args: &[&str]) -> Run {
    let mut command = Command::new(program);
    command.args(args).current_dir(root()).stdin(Stdio::null());
    Run { line: format!("{program} {}", args.join(" ")), command }
}

/// Whether a command exists and succeeds.
pub(crate) fn works(program: &str, args: &[&str]) -> bool {
    let mut run = tool(program, args);
    run.command.stdout(Stdio::null()).stderr(Stdio::null());
    run.command.status().is_ok_and(|s| s.success())
}

impl Run {
    pub(crate) fn args(&mut self, args: &[String]) {
        self.command.args(args);
        for arg in args {
            self.line.push(' ');
            self.line.push_str(arg);
        }
    }

    pub(crate) fn env(&mut self, key: &str, value: &str) {
        self.command.env(key, value);
    }

    pub(crate) fn folder(mut self, folder: &Path) -> Self {
        self.command.current_dir(folder);
        self
    }

    /// Runs it to its end with its output on ours.
    pub(crate) fn run(&mut self) -> Result<(), Fail> {
        say(&format!("$ {}\n", self.line));
        let status = self.command.status().map_err(|e| Fail(format!("{}: {e}", self.line)))?;
        if status.success() { Ok(()) } else { Err(Fail(format!("{}: {status}", self.line))) }
    }

    /// Starts it and waits for its first line, `ready`. It ends when its standard input does:
    /// however we end, it does not stay.
    pub(crate) fn serve(&mut self) -> Result<Server, Fail> {
        let program = self.command.get_program().to_string_lossy().into_owned();
        let mut child = self.command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let mut line = String::new();
        if let Some(output) = child.stdout.take() {
            BufReader::new(output).read_line(&mut line)?;
        }
        if line.trim_end() != "ready" {
            return Err(Fail(format!("{program}: a server for the tests did not start")));
        }
        Ok(Server { child })
    }

    /// Runs it and gives its standard output.
    pub(crate) fn output(&mut self) -> Result<String, Fail> {
        let output = self.command.stderr(Stdio::inherit()).output()?;
        if !output.status.success() {
            return Err(Fail(format!("{}: {}", self.line, output.status)));
        }
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }
}

/// A program that runs beside us.
pub(crate) struct Server {
    child: Child,
}

impl Server {
    /// Ends it and waits until it is gone.
    pub(crate) fn end(mut self) -> Result<(), Fail> {
        drop(self.child.stdin.take());
        self.child.wait()?;
        Ok(())
    }
}
