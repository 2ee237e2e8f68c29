//! The warm interpreter: where it is, what it may see, and what it is told.

use crate::jail::foreign;
use crate::jail::outside::Start;
use crate::jail::sockets;
use narrows_types::Limits;
use seccompiler::BpfProgram;
use serde::Serialize;
use std::ffi::CString;
use std::fmt::Write as _;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// Where Python is if nobody says.
const PYTHON: &str = "/usr/bin/python3";
/// What the interpreter runs first.
const ZYGOTE: &str = include_str!("zygote.py");
/// What evaluates a program.
const EVALUATOR: &str = concat!(
    include_str!("evaluator.py"),
    include_str!("values.py"),
    include_str!("scratch.py"),
    include_str!("names.py"),
    include_str!("program.py")
);
/// Shared libraries, the dynamic linker's list of them, and time zones. Python's own folders come
/// beside.
const LIBRARIES: [&str; 7] = [
    "/lib",
    "/lib64",
    "/usr/lib",
    "/usr/lib64",
    "/usr/local/lib",
    "/etc/ld.so.cache",
    "/usr/share/zoneinfo",
];
/// Modules that every evaluator has without importing them from files.
const PRELOAD: &str = "abc argparse array ast asyncio base64 binascii bisect calendar collections \
                       collections.abc colorsys configparser contextlib copy csv dataclasses \
                       datetime decimal difflib email.message email.utils enum fnmatch fractions \
                       functools gc graphlib hashlib heapq hmac html html.parser http inspect io \
                       ipaddress itertools json linecache locale logging math numbers operator os \
                       pathlib pickle pprint queue random re reprlib resource secrets shlex signal \
                       socket statistics string struct tempfile textwrap threading time traceback \
                       types typing unicodedata urllib.parse uuid warnings weakref \
                       xml.etree.ElementTree zlib zoneinfo encodings.idna encodings.latin_1 \
                       encodings.ascii _strptime";
/// What programs use that have a network.
const PRELOAD_NETWORK: &str = "http.client ssl urllib.error urllib.request";
/// Whom the system trusts, and its settings for that.
const AUTHORITIES: [&str; 4] =
    ["/etc/ssl/certs", "/etc/ssl/openssl.cnf", "/etc/pki/tls/certs", "/usr/share/ca-certificates"];
/// Libraries start no threads as soon as they are imported: a run has few.
const ENVIRONMENT: [&str; 9] = [
    "PYTHONHASHSEED=0",
    "PYTHONUTF8=1",
    "PYTHONDONTWRITEBYTECODE=1",
    "OMP_NUM_THREADS=1",
    "OPENBLAS_NUM_THREADS=1",
    "MKL_NUM_THREADS=1",
    "MALLOC_ARENA_MAX=2",
    "HOME=/tmp",
    "TZ=UTC0",
];

/// Where a run's own files are.
const SCRATCH: &str = "/tmp";
/// Where they are if something else is to be seen there.
const SCRATCH_ELSEWHERE: &str = "/scratch";

/// What the config says of Python.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Settings {
    /// The interpreter; `None`: the system's.
    pub(crate) python: Option<PathBuf>,
    /// A virtual environment whose packages programs may import.
    pub(crate) venv: Option<PathBuf>,
    /// What no run goes beyond.
    pub(crate) most: Limits,
    /// Programs reach a network, by a proxy outside.
    pub(crate) network: bool,
}

/// What the interpreter is told first.
#[derive(Serialize)]
struct Opening {
    /// Folders with packages.
    path: Vec<PathBuf>,
    preload: Vec<&'static str>,
    evaluator: &'static str,
    /// Each in hexadecimal digits.
    filters: Vec<String>,
    /// The number of the system call.
    clone: i64,
    /// It evaluates one program itself instead of forking.
    once: bool,
    /// The folder with each evaluator's own files.
    scratch: &'static str,
    disk_bytes: u64,
    files: u32,
    processes: u32,
    /// Where a proxy listens; 0 where there is none.
    port: u16,
    /// All that an evaluator sees beside its own files.
    visible: Vec<PathBuf>,
}

/// Finds the interpreter and the packages, and says how they are started.
///
/// # Errors
/// They are not there: why, one line.
pub(crate) fn find(settings: &Settings, sealed: bool, once: bool) -> Result<Start, String> {
    let named = settings.python.clone().or_else(|| {
        let own = settings.venv.as_ref()?.join("bin/python3");
        own.exists().then_some(own)
    });
    let named = named.unwrap_or_else(|| PYTHON.into());
    let python = named
        .canonicalize()
        .map_err(|error| format!("no python at {}: {error}", named.display()))?;
    let mut visible: Vec<PathBuf> =
        LIBRARIES.iter().map(PathBuf::from).filter(|path| path.exists()).collect();
    let (network, port) = (settings.network, if settings.network { sockets::PORT } else { 0 });
    visible.extend(AUTHORITIES.iter().map(PathBuf::from).filter(|path| network && path.exists()));
    // Its standard library, where that is no folder of the system's.
    let prefix = python.parent().and_then(Path::parent).map(|prefix| prefix.join("lib"));
    for own in prefix.into_iter().filter(|lib| lib.is_dir()).chain([python.clone()]) {
        if !visible.iter().any(|seen| own.starts_with(seen)) {
            visible.push(own);
        }
    }
    let mut path = Vec::new();
    if let Some(venv) = &settings.venv {
        let venv = venv
            .canonicalize()
            .map_err(|error| format!("no virtual environment at {}: {error}", venv.display()))?;
        path = packages(&venv);
        if path.is_empty() {
            return Err(format!("no packages in {}/lib/python3.*/site-packages", venv.display()));
        }
        visible.push(venv);
    }
    let filters = if sealed { Vec::from(foreign::evaluator(network)?) } else { Vec::new() };
    // What is to be seen may lie where programs look for a place for their own files.
    let hidden = visible.iter().any(|path| path.starts_with(SCRATCH));
    let scratch = if hidden { SCRATCH_ELSEWHERE } else { SCRATCH };
    let most = &settings.most;
    let more = if network { PRELOAD_NETWORK } else { "" };
    let opening = Opening {
        path,
        preload: PRELOAD.split_whitespace().chain(more.split_whitespace()).collect(),
        evaluator: EVALUATOR,
        filters: filters.iter().map(hex).collect(),
        clone: libc::SYS_clone,
        once,
        scratch,
        disk_bytes: if sealed && !once { most.disk_bytes } else { 0 },
        files: most.files,
        processes: most.processes,
        port,
        visible: visible.clone(),
    };
    let scratch = (opening.disk_bytes > 0).then(|| scratch.into());
    let opening = serde_json::to_vec(&opening).map_err(|error| error.to_string())?;
    let text = |bytes: &[u8]| CString::new(bytes).map_err(|error| error.to_string());
    let mut command = vec![text(python.as_os_str().as_bytes())?];
    for argument in ["-s", "-S", "-B", "-u", "-c", ZYGOTE] {
        command.push(text(argument.as_bytes())?);
    }
    let proxies = sockets::environment(network);
    let environment = ENVIRONMENT.into_iter().map(str::to_owned).chain(proxies);
    let environment = environment.map(|one| text(one.as_bytes())).collect::<Result<_, _>>()?;
    Ok(Start { command, environment, visible, scratch, opening, anew: None, once, network })
}

/// The folders of a virtual environment's packages.
fn packages(venv: &Path) -> Vec<PathBuf> {
    let versions = venv.join("lib").read_dir().into_iter().flatten().flatten();
    let folders = versions.map(|version| version.path().join("site-packages"));
    folders.filter(|folder| folder.is_dir()).collect()
}

fn hex(filter: &BpfProgram) -> String {
    let mut digits = String::new();
    for byte in foreign::bytes(filter) {
        // Writing to a String cannot fail.
        let _: Result<(), _> = write!(digits, "{byte:02x}");
    }
    digits
}
