//! What the config names of this machine for the engines `deno` and `cpython`: whoever finds out at
//! the first program finds out too late.

use super::Check;
use crate::config::settings::Sandbox;
use crate::config::{Environment, environment};
use std::fs::{self, Metadata};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::Path;

/// What is wrong with a path, and the next step.
type Wrong = (String, &'static str);

impl Check<'_> {
    /// Interpreters and folders with packages.
    pub(super) fn paths(&mut self, sandbox: &Sandbox, env: &Environment) {
        type Look = fn(&Path) -> Result<(), Wrong>;
        let paths: [(&str, &Option<_>, Look); 4] = [
            ("deno_path", &sandbox.deno_path, |path| {
                program(path, "`npm install deno` brings one: name its `deno`")
            }),
            ("cpython_path", &sandbox.cpython_path, |path| {
                program(path, "name a python3 of 3.9 or newer, or leave it out for the system's")
            }),
            ("venv_path", &sandbox.venv_path, virtual_environment),
            ("npm_path", &sandbox.npm_path, packages),
        ];
        for (key, path, look) in paths {
            let Some(path) = path else { continue };
            let path = env.tilde(path);
            let looked = if path.is_absolute() {
                look(&path)
            } else {
                Err(("is relative".to_owned(), "write it from the root on, or from ~"))
            };
            if let Err((wrong, next)) = looked {
                let what = format!("`sandbox.{key}` is {}, which {wrong}", path.display());
                self.told(&["sandbox", key], what, next);
            }
        }
    }
}

/// What is there, if programs, who are nobody, may read it.
fn seen(path: &Path, next: &'static str) -> Result<Metadata, Wrong> {
    const READ: u32 = 0o4;
    let found = fs::metadata(path).map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => ("does not exist".to_owned(), next),
        _ => (format!("cannot be looked at: {error}"), next),
    })?;
    // Whoever is not root stays who he is.
    let root = fs::metadata("/proc/self").is_ok_and(|own| own.uid() == 0);
    let needed = if found.is_dir() { READ | 0o1 } else { READ };
    if root && found.permissions().mode() & needed != needed {
        let next = "programs run as nobody: `chmod -R o+rX` makes it readable for everybody";
        return Err(("not everybody may read".to_owned(), next));
    }
    Ok(found)
}

fn program(path: &Path, next: &'static str) -> Result<(), Wrong> {
    if !seen(path, next)?.is_file() {
        return Err(("is no file".to_owned(), next));
    }
    if !environment::executable(path) {
        return Err(("cannot be executed".to_owned(), "`chmod +x` makes it a program"));
    }
    Ok(())
}

fn folder(path: &Path, next: &'static str) -> Result<(), Wrong> {
    if seen(path, next)?.is_dir() { Ok(()) } else { Err(("is no folder".to_owned(), next)) }
}

fn virtual_environment(path: &Path) -> Result<(), Wrong> {
    let next = "`python3 -m venv` makes one, its `bin/pip install` fills it";
    folder(path, next)?;
    let versions = path.join("lib").read_dir().into_iter().flatten().flatten();
    if versions.map(|version| version.path().join("site-packages")).any(|own| own.is_dir()) {
        return Ok(());
    }
    Err(("has no lib/python3.*/site-packages".to_owned(), next))
}

fn packages(path: &Path) -> Result<(), Wrong> {
    let next = "`npm install --ignore-scripts NAME` in it makes what is needed";
    folder(path, next)?;
    let inside = |name: &str, (wrong, next)| (format!("has a {name} that {wrong}"), next);
    seen(&path.join("package.json"), next).map_err(|wrong| inside("package.json", wrong))?;
    folder(&path.join("node_modules"), next).map_err(|wrong| inside("node_modules", wrong))
}
