//! The real parts that the tests use: installed once, pinned, under `.cache`.

use crate::ledger;
use crate::microvm;
use crate::shell::{self, Fail, Run, say};
use std::fs;
use std::path::{Path, PathBuf};

/// The Python environments, each from `external/py/NAME.txt`.
const ENVIRONMENTS: [&str; 5] = ["servers", "sqlite", "tools", "fastmcp", "langchain"];
/// What comes from npm, each from `external/NAME/package.json`.
const FOLDERS: [&str; 2] = ["npm", "conformance"];
/// What programs import, from `external/packages/package.json`; nothing of it runs here.
const PACKAGES: &str = "packages";
/// Programs and the Debian packages that have them.
const PROGRAMS: [(&str, &str, &str); 9] = [
    ("node", "--version", "nodejs"),
    ("npm", "--version", "npm"),
    ("git", "--version", "git"),
    ("cc", "--version", "gcc"),
    ("curl", "--version", "curl"),
    ("redis-server", "--version", "redis-server"),
    ("clang-16", "--version", "clang-16"),
    ("wasm-ld-16", "--version", "lld-16"),
    ("lz4", "--version", "lz4"),
];

/// The package of virtual machines.
const QEMU: &str = "qemu-system-x86";

/// Those that are in no path, or are started by every question: how to see them, and their package.
const HIDDEN: [(&str, &str); 9] = [
    ("ls /usr/lib/postgresql/*/bin/initdb", "postgresql"),
    ("ls /usr/lib/rabbitmq/lib/rabbitmq_server-*/sbin/rabbitmq-server", "rabbitmq-server"),
    ("PATH=$PATH:/usr/sbin nats-server --version", "nats-server"),
    ("PATH=$PATH:/usr/sbin dockerd --version", "docker.io"),
    ("PATH=$PATH:/usr/sbin runc --version", "runc"),
    ("PATH=$PATH:/usr/sbin apparmor_parser --version", "apparmor"),
    ("podman --version", "podman"),
    ("runsc --version", "runsc"),
    ("ls /usr/lib/llvm-16/lib/clang/*/lib/wasi/*-wasm32.a", "libclang-rt-16-dev-wasm32"),
];

/// Where the parts are.
pub(crate) struct Parts {
    cache: PathBuf,
}

impl Parts {
    /// Tells a test run where they are.
    pub(crate) fn describe(&self, run: &mut Run) {
        run.env("NARROWS_PARTS", &self.cache.to_string_lossy());
    }
}

/// Installs the peers that the benchmarks run beside us.
pub(crate) fn install_peers(parts: &Parts) -> Result<(), Fail> {
    let external = shell::root().join("crates/narrows-testkit/external");
    npm(&external.join("gateways"), &parts.cache.join("gateways"), &[])?;
    // Its code mode names a version of the isolate that only a newer Node has.
    let sandboxes = parts.cache.join("sandboxes");
    npm(&external.join("sandboxes"), &sandboxes, &["--legacy-peer-deps"])?;
    // Two environments: they want different versions of the same packages.
    for name in ["peers", "mcp-proxy"] {
        python(
            &external.join("py").join(format!("{name}.txt")),
            &parts.cache.join("py").join(name),
        )?;
    }
    Ok(())
}

/// Installs what is missing. Quick when nothing is.
pub(crate) fn install() -> Result<Parts, Fail> {
    let root = shell::root();
    let cache = root.join(".cache");
    let external = root.join("crates/narrows-testkit/external");
    fs::create_dir_all(&cache)?;
    let without = ledger::without()?;
    debian(&without)?;
    if !ledger::needless(QEMU, &without) {
        microvm(None)?;
    }
    for name in FOLDERS {
        npm(&external.join(name), &cache.join(name), &[])?;
    }
    npm(&external.join(PACKAGES), &cache.join(PACKAGES), &["--ignore-scripts"])?;
    for name in ENVIRONMENTS {
        python(&external.join("py").join(format!("{name}.txt")), &cache.join("py").join(name))?;
    }
    Ok(Parts { cache })
}

/// Makes the kernel of microvm guests: in the cache, or where it is wanted.
pub(crate) fn microvm(folder: Option<&Path>) -> Result<PathBuf, Fail> {
    let folder = folder.map_or_else(|| shell::root().join(".cache/microvm"), Path::to_owned);
    microvm::image(&folder)?;
    Ok(folder)
}

fn debian(without: &[String]) -> Result<(), Fail> {
    let mut missing: Vec<&str> = PROGRAMS
        .iter()
        .filter(|(program, flag, _)| !shell::works(program, &[flag]))
        .map(|(_, _, package)| *package)
        .collect();
    if !shell::works("python3", &["-c", "import venv, ensurepip"]) {
        missing.extend(["python3", "python3-venv"]);
    }
    let hidden = HIDDEN.iter().filter(|(look, _)| !shell::works("sh", &["-c", look]));
    missing.extend(hidden.map(|(_, package)| *package));
    missing.retain(|package| !ledger::needless(package, without));
    apt(&missing, &[])?;
    let qemu = shell::works("qemu-system-x86_64", &["--version"]);
    if qemu || ledger::needless(QEMU, without) {
        return Ok(());
    }
    // What it recommends is windows, sound and firmware for other machines.
    apt(&[QEMU], &["--no-install-recommends"])
}

fn apt(packages: &[&str], options: &[&str]) -> Result<(), Fail> {
    if packages.is_empty() {
        return Ok(());
    }
    let list = packages.join(" ");
    say(&format!("the tests need Debian packages: {list}\n"));
    let sudo: &[&str] = if shell::works("test", &["-w", "/usr/bin"]) { &[] } else { &["sudo"] };
    let install = [&["apt-get", "install", "-y", "-q"], options, packages].concat();
    for step in [vec!["apt-get", "update", "-q"], install] {
        let words: Vec<&str> = sudo.iter().copied().chain(step).collect();
        let (program, args) = words.split_first().ok_or_else(|| Fail("no words".to_owned()))?;
        let mut run = shell::tool(program, args);
        run.env("DEBIAN_FRONTEND", "noninteractive");
        run.run().map_err(|Fail(why)| Fail(format!("{why}; install by hand: {list}")))?;
    }
    Ok(())
}

fn npm(list: &Path, target: &Path, options: &[&str]) -> Result<(), Fail> {
    let wanted = fs::read_to_string(list.join("package.json"))?;
    if !stale(target, &wanted) {
        return Ok(());
    }
    say("installing MCP servers and clients from npm\n");
    fs::create_dir_all(target)?;
    fs::write(target.join("package.json"), &wanted)?;
    let install = ["install", "--no-audit", "--no-fund", "--loglevel=error"];
    shell::tool("npm", &[&install, options].concat()).folder(target).run()?;
    stamp(target, &wanted)
}

fn python(list: &Path, target: &Path) -> Result<(), Fail> {
    let wanted = fs::read_to_string(list)?;
    if !stale(target, &wanted) {
        return Ok(());
    }
    say(&format!("installing Python packages of {}\n", list.display()));
    if target.exists() {
        fs::remove_dir_all(target)?;
    }
    let folder = target.to_string_lossy().into_owned();
    shell::tool("python3", &["-m", "venv", &folder]).run()?;
    let pip = target.join("bin/pip").to_string_lossy().into_owned();
    let file = list.to_string_lossy().into_owned();
    shell::tool(&pip, &["install", "-q", "--disable-pip-version-check", "-r", &file]).run()?;
    stamp(target, &wanted)
}

/// Whether what was installed is not what is wanted now.
fn stale(target: &Path, wanted: &str) -> bool {
    !fs::read_to_string(target.join("narrows.stamp")).is_ok_and(|found| found == wanted)
}

fn stamp(target: &Path, wanted: &str) -> Result<(), Fail> {
    Ok(fs::write(target.join("narrows.stamp"), wanted)?)
}
