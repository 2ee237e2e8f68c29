//! TypeScript by a `deno` binary of the user's, for programs that need what the embedded engine
//! lacks: V8 and what the web has.
//!
//! This worker reads, checks and strips the program as for the embedded engine; a process beside
//! it, which is jailed too and has no permission of Deno's, evaluates it. That one is started anew
//! for each worker, for V8 has threads and cannot be forked.
//!
//! What differs from the embedded engine: V8 knows one limit on its heap for all runs, the config's;
//! a run's own is looked at between turns, and the kernel holds all its memory to little more than
//! that, which ends V8, or an allocation fails; what V8 does in threads of its own (`crypto.subtle`,
//! `WebAssembly`) takes real time, of which the run's clock knows nothing.

mod modules;

use crate::jail::outside::{Anew, Start};
use crate::jail::sockets;
use crate::js::{self, Given, Reading};
use crate::relay::{Beside, Reader, Text};
use modules::Modules;
use narrows_types::{Host, Network};
use serde_json::json;
use std::collections::HashSet;
use std::ffi::CString;
use std::fmt::Write as _;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// The names that a program finds there, but for those that yield to a server.
const GLOBALS: &str = include_str!("globals.txt");
/// What is there too where there is a network.
const FETCH: &str = "fetch";
/// What speaks for the program.
const EVALUATOR: &str = include_str!("evaluator.js");
/// What gives a program its modules.
const MODULES: &str = include_str!("modules.js");
/// The heap that V8 is started with beyond the most that a run may have: what is young in it is copied
/// to and fro.
const HEAP_SPARE_MIB: u64 = 16;
/// What a run may have where nobody says.
const MEMORY_BYTES: u64 = 496 << 20;
/// The name under which the evaluator, and nobody after it, finds what tidies up the heap.
const GC: &str = "__tidy__";
/// Memory for data that V8 has taken once it waits for a program: half a gigabyte of it is for
/// machine code to come.
const IDLE_BYTES: u64 = 576 << 20;
/// The same of each of its threads, of which there is one for each processor up to so many.
const THREAD_BYTES: u64 = 8 << 20;
const THREADS_MAX: u32 = 16;
/// What Deno is told: nothing from the network or from files of its own.
const ARGUMENTS: [&str; 8] = [
    "run",
    "--quiet",
    "--no-prompt",
    "--no-remote",
    "--no-config",
    "--no-lock",
    "--cached-only",
    "--no-code-cache",
];
/// It keeps nothing anywhere: this is no folder.
const ENVIRONMENT: [&str; 4] = ["DENO_DIR=/dev/null", "NO_COLOR=1", "HOME=/", "TZ=UTC0"];
/// Shared libraries, and the dynamic linker's list of them.
const LIBRARIES: [&str; 5] = ["/lib", "/lib64", "/usr/lib", "/usr/lib64", "/etc/ld.so.cache"];

/// What reads programs is warm; the binary is found.
pub(crate) type Prepared = Beside<TypeScript>;

/// Reads programs for what there is in Deno.
pub(crate) struct TypeScript {
    globals: HashSet<String>,
    modules: Modules,
}

/// What the config says of Deno.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Settings<'a> {
    /// The binary.
    pub(crate) binary: Option<&'a Path>,
    /// A folder with `package.json` and `node_modules`, which programs may import from.
    pub(crate) packages: Option<&'a Path>,
    /// What no run goes beyond.
    pub(crate) memory_bytes: Option<u64>,
}

/// Finds the binary and the packages, and says how it is started.
///
/// # Errors
/// They are not there: why, one line.
pub(crate) fn prepare(
    settings: Settings<'_>,
    network: Option<&Network>,
    once: bool,
) -> Result<Prepared, String> {
    let binary = settings.binary.ok_or("no deno is configured: name its binary")?;
    let binary = binary
        .canonicalize()
        .map_err(|error| format!("no deno at {}: {error}", binary.display()))?;
    let text = |bytes: &[u8]| CString::new(bytes).map_err(|error| error.to_string());
    let mut command = vec![text(binary.as_os_str().as_bytes())?];
    for argument in ARGUMENTS {
        command.push(text(argument.as_bytes())?);
    }
    let modules = Modules::find(settings.packages)?;
    for argument in packages(&modules)? {
        command.push(text(argument.as_bytes())?);
    }
    let most = settings.memory_bytes.unwrap_or(MEMORY_BYTES);
    let heap = most.div_ceil(1 << 20).saturating_add(HEAP_SPARE_MIB);
    let flags = format!("--v8-flags=--expose-gc-as={GC},--max-old-space-size={heap}");
    command.push(text(flags.as_bytes())?);
    if let Some(network) = network.filter(|network| !network.is_none()) {
        let hosts: Vec<String> = network.hosts().flat_map(Host::with_ports).collect();
        command.push(text(format!("--allow-net={}", hosts.join(",")).as_bytes())?);
    }
    let globals = if network.is_some() { format!("{GLOBALS} {FETCH}") } else { GLOBALS.to_owned() };
    command.push(text(script(&globals, &modules)?.as_bytes())?);
    let proxies = sockets::environment(network.is_some());
    let environment = ENVIRONMENT.into_iter().map(str::to_owned).chain(proxies);
    let environment = environment.map(|one| text(one.as_bytes())).collect::<Result<_, _>>()?;
    let mut visible: Vec<PathBuf> =
        LIBRARIES.iter().map(PathBuf::from).filter(|path| path.exists()).collect();
    visible.push(binary);
    visible.extend(modules.folder().map(Path::to_owned));
    let threads = std::thread::available_parallelism().map_or(1, usize::from).try_into();
    let threads: u32 = threads.unwrap_or(u32::MAX);
    let stacks = THREAD_BYTES.saturating_mul(threads.min(THREADS_MAX).into());
    let anew = Some(Anew { threads, idle_bytes: IDLE_BYTES.saturating_add(stacks) });
    let (scratch, opening) = (None, Vec::new());
    let network = network.is_some();
    let start = Start { command, environment, visible, scratch, opening, anew, once, network };
    let globals = globals.split_whitespace().map(str::to_owned).collect();
    Ok(Beside::new(start, TypeScript { globals, modules }))
}

/// What Deno is told of packages: it takes them as they are, and installs nothing.
fn packages(modules: &Modules) -> Result<Vec<String>, String> {
    let Some(folder) = modules.folder() else { return Ok(vec!["--no-npm".to_owned()]) };
    let folder = folder.to_str().filter(|folder| !folder.contains(','));
    let folder = folder.ok_or("the folder of packages has a name that deno does not take")?;
    Ok(vec!["--node-modules-dir=manual".to_owned(), format!("--allow-read={folder}")])
}

/// The main module, as an address that needs no file.
fn script(globals: &str, modules: &Modules) -> Result<String, String> {
    let names = globals.split_whitespace().collect::<Vec<_>>().join(" ");
    let (prelude, builtins) = (js::PRELUDE, modules.told()?);
    let module = format!(
        "import * as Node from \"node:module\";\n\
         const GLOBALS = \"{names}\", GC = \"{GC}\", BUILTINS = {builtins};\n\
         const PRELUDE = {prelude};\nconst MODULES = {MODULES};\n{EVALUATOR}"
    );
    let mut address = String::from("data:text/javascript;charset=utf-8,");
    // One argument has 128 KiB at most, so only what means something else there is escaped.
    for byte in module.bytes() {
        // Writing to a String cannot fail.
        let _: Result<(), _> = match byte {
            b' '..=b'~' if !b"%#?".contains(&byte) => address.write_char(char::from(byte)),
            _ => write!(address, "%{byte:02x}"),
        };
    }
    Ok(address)
}

impl Reader for TypeScript {
    const SAMPLE: &'static str = js::SAMPLE;

    fn read<'p>(&'p self, code: &'p str) -> Text<'p> {
        let importable = |module: &str| self.modules.importable(module);
        let given = Given { globals: &self.globals, importable: Some(&importable), state: false };
        let Reading { uses, text, imports, races, places, .. } = js::read_with(code, given);
        let own = move |error: &mut narrows_types::ProgramError| {
            let at: Vec<(u32, u32)> = error.at.iter().map(|at| (at.line, at.column)).collect();
            error.at = places.backs(&at);
        };
        Text {
            uses,
            script: text,
            more: json!({ "imports": imports, "races": races }),
            own: Box::new(own),
        }
    }
}
