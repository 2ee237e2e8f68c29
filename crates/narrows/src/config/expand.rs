//! `${NAME}`, `${NAME:-default}`, `${env:NAME}`, `${file:path}`, and what VS Code's and Cursor's
//! files hold beside them.

use super::environment::Environment;
use super::problem::{Problem, dotted};
use super::tree::{Kind, Tree};
use std::path::{Path, PathBuf};

/// Bytes of a file that `${file:...}` reads.
const SECRET_FILE_BYTES_MAX: u64 = 64 << 10;
/// Bytes of a text after expansion.
const TEXT_BYTES_MAX: usize = 256 << 10;

/// What references are looked up in.
pub(crate) struct Scope<'e> {
    pub(crate) env: &'e Environment,
    /// The folder of the config file; relative paths start here.
    pub(crate) base: PathBuf,
    /// Questions that a VS Code file asks: id and description.
    pub(crate) inputs: Vec<(String, String)>,
}

impl Scope<'_> {
    /// Replaces every reference below `tree`. `path` is where the tree stands.
    pub(crate) fn expand(
        &self,
        tree: &mut Tree,
        path: &mut Vec<String>,
        problems: &mut Vec<Problem>,
    ) {
        let place = tree.place.clone();
        match &mut tree.kind {
            Kind::Text(text) if text.contains("${") => match self.text(text) {
                Ok(expanded) => *text = expanded,
                Err(what) => problems.push(
                    Problem::new(format!("`{}` {}", dotted(path), what.0)).at(&place).hint(what.1),
                ),
            },
            Kind::List(items) => {
                for (index, item) in items.iter_mut().enumerate() {
                    path.push(format!("[{index}]"));
                    self.expand(item, path, problems);
                    path.pop();
                }
            }
            Kind::Table(entries) => {
                for entry in entries {
                    path.push(entry.key.clone());
                    self.expand(&mut entry.value, path, problems);
                    path.pop();
                }
            }
            _ => {}
        }
    }

    /// One text with its references replaced; else what is wrong and the next step.
    pub(crate) fn text(&self, text: &str) -> Result<String, (String, String)> {
        let mut out = String::with_capacity(text.len());
        let mut rest = text;
        while let Some(at) = rest.find("${") {
            let (before, tail) = rest.split_at_checked(at).unwrap_or((rest, ""));
            let inner = tail.strip_prefix("${").unwrap_or_default();
            if let Some(kept) = before.strip_suffix('$') {
                out.push_str(kept);
                out.push_str("${");
                rest = inner;
                continue;
            }
            out.push_str(before);
            let Some((reference, after)) = inner.split_once('}') else {
                return Err((
                    "has a `${` that is never closed".to_owned(),
                    "write `$${` for a plain `${`".to_owned(),
                ));
            };
            out.push_str(&self.reference(reference)?);
            rest = after;
            if out.len() > TEXT_BYTES_MAX {
                return Err((format!("grows beyond {TEXT_BYTES_MAX} bytes"), String::new()));
            }
        }
        out.push_str(rest);
        Ok(out)
    }

    fn reference(&self, reference: &str) -> Result<String, (String, String)> {
        let (name, default) = match reference.split_once(":-") {
            Some((name, default)) => (name, Some(default)),
            None => (reference, None),
        };
        if let Some(path) = name.strip_prefix("file:") {
            return self.file(path);
        }
        if let Some(id) = name.strip_prefix("input:") {
            return self.input(id);
        }
        let folder = |path: &Path| Ok(path.display().to_string());
        match name {
            "userHome" => return folder(&self.env.home()),
            "workspaceFolder" => return folder(&self.env.cwd),
            "workspaceFolderBasename" => {
                return folder(Path::new(self.env.cwd.file_name().unwrap_or_default()));
            }
            "pathSeparator" | "/" => return Ok("/".to_owned()),
            _ => {}
        }
        let variable = name.strip_prefix("env:").unwrap_or(name);
        let plain = |c: char| c.is_ascii_alphanumeric() || c == '_';
        if variable.is_empty() || !variable.chars().all(plain) {
            return Err((
                format!("has the unknown reference `${{{}}}`", reference.escape_debug()),
                "known are ${NAME}, ${NAME:-default}, ${env:NAME}, ${file:PATH}; write `$${` for a plain `${`"
                    .to_owned(),
            ));
        }
        match (default, self.env.raw(variable)) {
            // As in a shell, `:-` also replaces an empty value.
            (Some(default), None | Some("")) => Ok(default.to_owned()),
            (_, Some(value)) => Ok(value.to_owned()),
            (None, None) => Err((
                format!("needs the environment variable {variable}, which is not set"),
                format!("set it, or write ${{{variable}:-default}}"),
            )),
        }
    }

    fn file(&self, path: &str) -> Result<String, (String, String)> {
        let full = self.base.join(self.env.tilde(Path::new(path)));
        let failed =
            |why: String| (format!("needs the file {}: {why}", full.display()), String::new());
        let size = std::fs::metadata(&full).map_err(|e| failed(e.to_string()))?.len();
        if size > SECRET_FILE_BYTES_MAX {
            return Err(failed(format!("{size} bytes, at most {SECRET_FILE_BYTES_MAX} are read")));
        }
        let text = std::fs::read_to_string(&full).map_err(|e| failed(e.to_string()))?;
        Ok(text.trim_end_matches(['\n', '\r']).to_owned())
    }

    /// VS Code asks a person; Narrows takes the answer from the environment.
    fn input(&self, id: &str) -> Result<String, (String, String)> {
        let variable = input_variable(id);
        if let Some(value) = self.env.raw(&variable) {
            return Ok(value.to_owned());
        }
        let asked = self.inputs.iter().find(|(known, _)| known == id).map(|(_, text)| text);
        let what =
            asked.filter(|t| !t.is_empty()).map_or_else(String::new, |t| format!(" (\"{t}\")"));
        Err((
            format!("needs an answer that VS Code would ask a person for{what}"),
            format!("set the environment variable {variable}"),
        ))
    }
}

/// The variable that answers `${input:github-token}`: `GITHUB_TOKEN`.
pub(crate) fn input_variable(id: &str) -> String {
    variable_name(id)
}

/// Any text as the name of an environment variable.
pub(crate) fn variable_name(text: &str) -> String {
    let name: String = text
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_uppercase() } else { '_' })
        .collect();
    if name.starts_with(|c: char| c.is_ascii_digit()) { format!("_{name}") } else { name }
}
