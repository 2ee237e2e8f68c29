//! The fake's guest: a process instead of a machine.
#![expect(clippy::exit, reason = "the process stands for a machine, which is switched off")]

use crate::api::refuse;
use nix::sys::memfd::{MFdFlags, memfd_create};
use std::fs::{self, File};
use std::io::{BufRead, BufReader, Write};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::os::unix::process::ExitStatusExt;
use std::process::Command;

/// The head of an entry of a `newc` archive.
const HEAD: usize = 110;

/// What the guest boots from.
#[derive(Debug, Default)]
pub(crate) struct Guest {
    /// The archive, and the arguments of its first program.
    boot: Option<(Vec<u8>, Vec<String>)>,
    /// Where the host connects.
    socket: Option<(String, UnixListener)>,
}

impl Guest {
    pub(crate) fn boot_source(
        &mut self,
        kernel: &str,
        initrd: &str,
        line: &str,
    ) -> Result<(), String> {
        let kernel = fs::read(kernel).map_err(|error| format!("The kernel file: {error}"))?;
        if !kernel.starts_with(b"\x7fELF") {
            return refuse("Kernel Loader: failed to load ELF kernel image");
        }
        let initrd = fs::read(initrd).map_err(|error| format!("The initrd file: {error}"))?;
        let (options, args) = line.split_once(" -- ").unwrap_or((line, ""));
        if !options.contains("console=ttyS0") || !options.contains("reboot=k") {
            return refuse("this fake wants a console, and a guest that can end");
        }
        self.boot = Some((initrd, args.split_whitespace().map(str::to_owned).collect()));
        Ok(())
    }

    pub(crate) fn listen(&mut self, path: &str) -> Result<(), String> {
        let listener = UnixListener::bind(path);
        let listener =
            listener.map_err(|error| format!("Cannot create backend for vsock device: {error}"))?;
        self.socket = Some((path.to_owned(), listener));
        Ok(())
    }

    /// Tells that it listens, as a guest does once its worker is warm, and waits beside the API.
    pub(crate) fn boot(&mut self) -> Result<(), String> {
        let (Some((archive, args)), Some((_, listener))) = (&self.boot, &self.socket) else {
            return refuse("Cannot start microvm without kernel configuration.");
        };
        let listener = listener.try_clone().map_err(|error| error.to_string())?;
        let args = args.clone();
        let init = unpack(archive)?;
        println!("\n{}", narrows_types::guest::LISTENS);
        std::thread::spawn(move || serve(&listener, &init, &args));
        Ok(())
    }

    pub(crate) fn save(&self, state: &str, memory: &str) -> Result<(), String> {
        let (Some((archive, args)), Some((path, _))) = (&self.boot, &self.socket) else {
            return refuse("there is no machine");
        };
        let saved = fs::write(state, format!("{path}\n{}", args.join(" ")))
            .and_then(|()| fs::write(memory, archive));
        saved.map_err(|error| format!("Cannot create snapshot: {error}"))
    }

    pub(crate) fn load(&mut self, state: &str, memory: &str) -> Result<(), String> {
        let failed = |error: std::io::Error| format!("Load snapshot error: {error}");
        let state = fs::read_to_string(state).map_err(failed)?;
        let memory = fs::read(memory).map_err(failed)?;
        let Some((path, args)) = state.split_once('\n') else { return refuse("no snapshot") };
        self.boot = Some((memory, args.split_whitespace().map(str::to_owned).collect()));
        self.listen(path)?;
        self.boot()
    }
}

/// Takes the first entry, the first program, out of the archive: into memory, for a hypervisor may
/// not execute what it has written to its folder.
fn unpack(archive: &[u8]) -> Result<File, String> {
    let bad = || "this is no archive whose first entry is the first program".to_owned();
    let number = |at: usize| {
        let digits = archive.get(at..at + 8).and_then(|digits| std::str::from_utf8(digits).ok());
        usize::from_str_radix(digits.unwrap_or_default(), 16).map_err(|_no_number| bad())
    };
    let (size, length) = (number(54)?, number(94)?);
    if archive.get(HEAD..HEAD + length) != Some(b"init\0") {
        return Err(bad());
    }
    let start = (HEAD + length).next_multiple_of(4);
    let program = archive.get(start..start + size).ok_or_else(bad)?;
    let text = |error: std::io::Error| error.to_string();
    let file = memfd_create(c"init", MFdFlags::MFD_CLOEXEC).map_err(|error| error.to_string())?;
    let mut file = File::from(file);
    file.write_all(program).map_err(text)?;
    Ok(file)
}

/// Lets the host connect to the guest's port, and runs the worker on the connection.
fn serve(listener: &UnixListener, init: &File, args: &[String]) {
    let words: Vec<&str> = args.iter().map(String::as_str).collect();
    let ["guest", "--engine", engine, "--link", link, rest @ ..] = words.as_slice() else {
        println!("\n{} it has other arguments", narrows_types::guest::FAILED);
        std::process::exit(0);
    };
    let asked = link.replace("vsock:", "CONNECT ");
    let connection = listener.accept().expect("a connection").0;
    let mut line = String::new();
    let asks = connection.try_clone().expect("a descriptor");
    BufReader::with_capacity(1, asks).read_line(&mut line).expect("a request");
    if line.trim_end() != asked {
        // The real one closes a connection to a port that nobody listens on.
        return;
    }
    let status = run(connection, init, engine, rest);
    let (kind, number) = match (status.code(), status.signal()) {
        (Some(code), _) => ("exit", code),
        (_, signal) => ("signal", signal.unwrap_or_default()),
    };
    println!("\n{} {kind} {number} 0", narrows_types::guest::ENDED);
    std::process::exit(0);
}

fn run(
    mut connection: UnixStream,
    init: &File,
    engine: &str,
    rest: &[&str],
) -> std::process::ExitStatus {
    // The number of the host's port, which means nothing to it.
    connection.write_all(b"OK 1073741824\n").expect("a connection");
    let out = OwnedFd::from(connection.try_clone().expect("a descriptor"));
    let mut command = Command::new(format!("/proc/self/fd/{}", init.as_raw_fd()));
    command.args(["--engine", engine, "--link", "stdio"]).args(rest);
    let mut child = command.stdin(OwnedFd::from(connection)).stdout(out).spawn().expect("a worker");
    // The command holds the connection, which has to end with the worker.
    drop(command);
    child.wait().expect("a child")
}
