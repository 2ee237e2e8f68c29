//! The one place that reads the process's surroundings: variables, home, current folder.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// The surroundings, read once.
#[derive(Clone)]
pub(crate) struct Environment {
    vars: BTreeMap<String, String>,
    /// Where Narrows was started.
    pub(crate) cwd: PathBuf,
    /// Folders follow the habits of macOS instead of XDG's.
    pub(crate) mac: bool,
}

impl Environment {
    /// Those of this process. Variables that are not UTF-8 do not exist here.
    pub(crate) fn of_process() -> Self {
        let vars = std::env::vars_os()
            .filter_map(|(k, v)| Some((k.into_string().ok()?, v.into_string().ok()?)))
            .collect();
        let cwd = std::env::current_dir().unwrap_or_else(|_gone| PathBuf::from("/"));
        Self { vars, cwd, mac: cfg!(target_os = "macos") }
    }

    /// Made-up surroundings.
    #[cfg(test)]
    pub(crate) fn of(cwd: &Path, vars: &[(&str, &str)]) -> Self {
        let vars = vars.iter().map(|&(k, v)| (k.to_owned(), v.to_owned())).collect();
        Self { vars, cwd: cwd.to_owned(), mac: false }
    }

    /// A variable that is set and not empty.
    pub(crate) fn var(&self, name: &str) -> Option<&str> {
        self.vars.get(name).map(String::as_str).filter(|v| !v.is_empty())
    }

    /// A variable that is set, also to nothing.
    pub(crate) fn raw(&self, name: &str) -> Option<&str> {
        self.vars.get(name).map(String::as_str)
    }

    pub(crate) fn vars(&self) -> impl Iterator<Item = (&str, &str)> {
        self.vars.iter().map(|(k, v)| (k.as_str(), v.as_str()))
    }

    pub(crate) fn home(&self) -> PathBuf {
        self.var("HOME").map_or_else(|| PathBuf::from("/"), PathBuf::from)
    }

    fn xdg(&self, name: &str, fallback: &str) -> PathBuf {
        match self.var(name).map(Path::new) {
            Some(path) if path.is_absolute() => path.to_owned(),
            _ => self.home().join(fallback),
        }
    }

    /// `$XDG_CONFIG_HOME`.
    pub(crate) fn config_home(&self) -> PathBuf {
        self.xdg("XDG_CONFIG_HOME", ".config")
    }

    /// `$XDG_DATA_HOME`.
    pub(crate) fn data_home(&self) -> PathBuf {
        self.xdg("XDG_DATA_HOME", ".local/share")
    }

    /// Our own data: the store and the cache of listings.
    pub(crate) fn data_dir(&self) -> PathBuf {
        self.data_home().join("narrows")
    }

    /// Where desktop applications keep their settings.
    pub(crate) fn app_support(&self) -> PathBuf {
        if self.mac { self.home().join("Library/Application Support") } else { self.config_home() }
    }

    /// `~/x` with the home folder put in.
    pub(crate) fn tilde(&self, path: &Path) -> PathBuf {
        match path.strip_prefix("~") {
            Ok(rest) => self.home().join(rest),
            Err(_no_tilde) => path.to_owned(),
        }
    }

    /// The file that `command` runs: an executable itself, or one found on `PATH`.
    pub(crate) fn find_command(&self, command: &str) -> Option<PathBuf> {
        if command.contains('/') {
            let path = self.cwd.join(command);
            return executable(&path).then_some(path);
        }
        let path = self.var("PATH").unwrap_or("/usr/local/bin:/usr/bin:/bin");
        std::env::split_paths(path).map(|dir| dir.join(command)).find(|p| executable(p))
    }
}

/// Whether it is a program.
pub(crate) fn executable(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    std::fs::metadata(path).is_ok_and(|m| m.is_file() && m.permissions().mode() & 0o111 != 0)
}

/// The path as a person writes it: relative to here or to the home folder where it lies there.
pub(crate) fn short(path: &Path, env: &Environment) -> String {
    if let Ok(rest) = path.strip_prefix(&env.cwd)
        && env.cwd != Path::new("/")
    {
        return rest.display().to_string();
    }
    match path.strip_prefix(env.home()) {
        Ok(rest) if env.home() != Path::new("/") => format!("~/{}", rest.display()),
        _ => path.display().to_string(),
    }
}
