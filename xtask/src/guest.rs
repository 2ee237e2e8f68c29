//! `cargo xtask guest`: the module of WebAssembly that programs are evaluated in, built from the
//! sources of `QuickJS` that come with the crate that the worker uses. The module is kept in the
//! repository, for the compiler is not everywhere; `ci` builds it anew and compares.

use crate::shell::{self, Fail, say};
use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};

const FOLDER: &str = "crates/narrows-worker/src/wasm";
const CRATE: &str = "rquickjs-sys";
const CLANG: &str = "clang-16";
const SOURCES: [&str; 4] = ["libregexp", "libunicode", "quickjs", "dtoa"];

/// The libraries of the crate say that they are for this target, which has no system at all.
const COMPILE: [&str; 14] = [
    "--target=wasm32-unknown-unknown",
    "-O2",
    "-w",
    "-nostdlib",
    "-mbulk-memory",
    "-D_GNU_SOURCE",
    "-DEMSCRIPTEN=1",
    "-DFE_DOWNWARD=0",
    "-DFE_UPWARD=0",
    "-isystem",
    "vendor/wasi-libc/include",
    "-Iquickjs",
    "-Iwasm-shim",
    "-Lvendor/wasi-libc/lib",
];

/// The stack comes first: what runs over it is beyond the memory, not in somebody's values.
const LINK: [&str; 5] =
    ["-Wl,--no-entry", "-Wl,--stack-first", "-Wl,-z,stack-size=1048576", "-Wl,--strip-all", "-lc"];

/// Builds the module where it is kept.
pub(crate) fn build() -> Result<(), Fail> {
    compile(&shell::root().join(FOLDER).join("guest.wasm"))
}

/// Builds it elsewhere and compares.
pub(crate) fn check() -> Result<(), Fail> {
    let kept = fs::read(shell::root().join(FOLDER).join("guest.wasm"))?;
    let folder = std::env::temp_dir().join(format!("narrows-guest-{}", std::process::id()));
    fs::create_dir_all(&folder)?;
    let fresh = folder.join("guest.wasm");
    let built = compile(&fresh).and_then(|()| Ok(fs::read(&fresh)?));
    fs::remove_dir_all(&folder)?;
    if built? == kept {
        say("the guest is what its sources say\n");
        return Ok(());
    }
    Err(Fail(format!("{FOLDER}/guest.wasm is not what its sources give: run cargo xtask guest")))
}

/// Compiles with paths relative to the crate, so that the bytes do not depend on where it lies.
fn compile(target: &Path) -> Result<(), Fail> {
    let sources = sources()?;
    let folder = shell::root().join(FOLDER);
    let resources = shell::tool(CLANG, &["--print-resource-dir"]).output()?;
    let builtins = format!("{}/lib/wasi/libclang_rt.builtins-wasm32.a", resources.trim());
    let own = folder.join("guest.c");
    let map = format!("-ffile-prefix-map={}=.", folder.display());
    let files: Vec<String> = SOURCES.iter().map(|name| format!("quickjs/{name}.c")).collect();
    let mut run = shell::tool(CLANG, &COMPILE).folder(&sources);
    run.args(&files);
    run.args(&[map, own.display().to_string()]);
    run.args(&LINK.map(str::to_owned));
    run.args(&[builtins, "-o".to_owned(), target.display().to_string()]);
    run.run()
}

/// Where cargo keeps the crate with the sources, in the version that the worker is locked to.
fn sources() -> Result<PathBuf, Fail> {
    let metadata = shell::cargo(&["metadata", "--format-version", "1"]).output()?;
    let metadata: Value =
        serde_json::from_str(&metadata).map_err(|e| Fail(format!("cargo metadata: {e}")))?;
    let packages = metadata.get("packages").and_then(Value::as_array);
    let package = packages
        .into_iter()
        .flatten()
        .find(|package| package.get("name").and_then(Value::as_str) == Some(CRATE));
    let manifest = package.and_then(|p| p.get("manifest_path")).and_then(Value::as_str);
    let folder = manifest.and_then(|manifest| Path::new(manifest).parent());
    folder.map(Path::to_owned).ok_or_else(|| Fail(format!("{CRATE} is not there")))
}
