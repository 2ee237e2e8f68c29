//! TypeScript by a `deno` binary of the user's, for programs that need what the embedded engine
//! lacks: V8 and what the web has.
//!
//! This worker reads, checks and strips the program as for the embedded engine; a process beside
//! it, which is jailed too and has no permission of Deno's, evaluates it. That one is started anew
//! for each worker, for V8 has threads and cannot be forked.
//!
//! What differs from the embedded engine: V8 knows one limit on its heap for all runs
//! ([`HEAP_MIB`]); a run's own is looked at between turns, and the kernel holds all its memory to
//! little more than that, which ends V8, or an allocation fails; what V8 does in threads of its
//! own (`crypto.subtle`, `WebAssembly`) takes real time, of which the run's clock knows nothing;
//! packages of npm cannot be imported yet.

use crate::jail::outside::{Anew, Start};
use crate::js::{self, Reading};
use crate::relay::{Beside, Reader, Text};
use serde_json::json;
use std::collections::HashSet;
use std::ffi::CString;
use std::fmt::Write as _;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// The names that a program finds there, but for those that yield to a server.
const GLOBALS: &str = include_str!("globals.txt");
/// What speaks for the program.
const EVALUATOR: &str = include_str!("evaluator.js");
/// The heap that V8 is started with, before the run's own limit is known.
const HEAP_MIB: u32 = 512;
/// The name under which the evaluator, and nobody after it, finds what tidies up the heap.
const GC: &str = "__tidy__";
/// Memory for data that V8 has taken once it waits for a program: half a gigabyte of it is for
/// machine code to come.
const IDLE_BYTES: u64 = 576 << 20;
/// The same of each of its threads, of which there is one for each processor up to so many.
const THREAD_BYTES: u64 = 8 << 20;
const THREADS_MAX: u32 = 16;
/// What Deno is told: nothing from the network, from packages or from files of its own.
const ARGUMENTS: [&str; 9] = [
    "run",
    "--quiet",
    "--no-prompt",
    "--no-remote",
    "--no-npm",
    "--no-config",
    "--no-lock",
    "--cached-only",
    "--no-code-cache",
];
/// It keeps nothing anywhere.
const ENVIRONMENT: [&str; 4] = ["DENO_DIR=/nothing", "NO_COLOR=1", "HOME=/", "TZ=UTC0"];
/// Shared libraries, and the dynamic linker's list of them.
const LIBRARIES: [&str; 5] = ["/lib", "/lib64", "/usr/lib", "/usr/lib64", "/etc/ld.so.cache"];

/// What reads programs is warm; the binary is found.
pub(crate) type Prepared = Beside<TypeScript>;

/// Reads programs for what there is in Deno.
pub(crate) struct TypeScript {
    globals: HashSet<String>,
}

/// Finds the binary and says how it is started.
///
/// # Errors
/// It is not there: why, one line.
pub(crate) fn prepare(binary: Option<&Path>, once: bool) -> Result<Prepared, String> {
    let binary = binary.ok_or("no deno is configured: name its binary")?;
    let binary = binary
        .canonicalize()
        .map_err(|error| format!("no deno at {}: {error}", binary.display()))?;
    let text = |bytes: &[u8]| CString::new(bytes).map_err(|error| error.to_string());
    let mut command = vec![text(binary.as_os_str().as_bytes())?];
    for argument in ARGUMENTS {
        command.push(text(argument.as_bytes())?);
    }
    let flags = format!("--v8-flags=--expose-gc-as={GC},--max-old-space-size={HEAP_MIB}");
    command.push(text(flags.as_bytes())?);
    command.push(text(script().as_bytes())?);
    let environment =
        ENVIRONMENT.iter().map(|one| text(one.as_bytes())).collect::<Result<_, _>>()?;
    let mut visible: Vec<PathBuf> =
        LIBRARIES.iter().map(PathBuf::from).filter(|path| path.exists()).collect();
    visible.push(binary);
    let threads = std::thread::available_parallelism().map_or(1, usize::from).try_into();
    let threads: u32 = threads.unwrap_or(u32::MAX);
    let stacks = THREAD_BYTES.saturating_mul(threads.min(THREADS_MAX).into());
    let anew = Some(Anew { threads, idle_bytes: IDLE_BYTES.saturating_add(stacks) });
    let (scratch, opening) = (None, Vec::new());
    let start = Start { command, environment, visible, scratch, opening, anew, once };
    let globals = GLOBALS.split_whitespace().map(str::to_owned).collect();
    Ok(Beside::new(start, TypeScript { globals }))
}

/// The main module, as an address that needs no file.
fn script() -> String {
    let names = GLOBALS.split_whitespace().collect::<Vec<_>>().join(" ");
    let prelude = js::PRELUDE;
    let module = format!(
        "const GLOBALS = \"{names}\", GC = \"{GC}\";\nconst PRELUDE = {prelude};\n{EVALUATOR}"
    );
    let mut address = String::from("data:text/javascript;charset=utf-8,");
    for byte in module.bytes() {
        // Writing to a String cannot fail.
        let _: Result<(), _> = match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b'(' | b')' => {
                address.write_char(char::from(byte))
            }
            _ => write!(address, "%{byte:02x}"),
        };
    }
    address
}

impl Reader for TypeScript {
    const SAMPLE: &'static str = js::SAMPLE;

    fn read<'p>(&'p self, code: &'p str) -> Text<'p> {
        let Reading { uses, text, races, places } = js::read(code, &self.globals);
        let own = move |error: &mut narrows_types::ProgramError| {
            let at: Vec<(u32, u32)> = error.at.iter().map(|at| (at.line, at.column)).collect();
            error.at = places.backs(&at);
        };
        Text { uses, script: text, more: json!({ "races": races }), own: Box::new(own) }
    }
}
