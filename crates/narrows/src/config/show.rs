//! The config in force, as valid TOML, every line with where it comes from.

use super::hide;
use super::problem::dotted;
use super::secret::is_reference;
use super::tree::{Kind, Tree};

/// What stands where a secret stood.
pub(crate) const MASK: &str = "***";

/// One line `key = value  # place` for each value, secrets masked, references kept.
pub(crate) fn show(written: &Tree) -> String {
    let mut lines = Vec::new();
    walk(written, &mut Vec::new(), &mut lines);
    let width = lines.iter().map(|(text, _)| text.chars().count()).max().unwrap_or(0).min(60);
    lines
        .iter()
        .fold(String::new(), |all, (text, place)| all + &format!("{text:width$}  # {place}\n"))
}

fn walk(tree: &Tree, path: &mut Vec<String>, lines: &mut Vec<(String, String)>) {
    match &tree.kind {
        Kind::Table(entries) if !entries.is_empty() => {
            for entry in entries {
                path.push(entry.key.clone());
                walk(&entry.value, path, lines);
                path.pop();
            }
        }
        Kind::Null => {}
        _ => {
            let value = toml_value(&masked(tree, path));
            lines.push((format!("{} = {value}", dotted(path)), tree.place.to_string()));
        }
    }
}

/// The value without its secrets.
pub(crate) fn masked(tree: &Tree, path: &[String]) -> Tree {
    let mut out = tree.clone();
    let names: Vec<&str> = path.iter().map(String::as_str).collect();
    match names.as_slice() {
        ["servers", _, "env" | "headers" | "oauth", name] => {
            hide::scalar(name, &mut out, &mut mask);
        }
        ["keys", _, "key"] => hide::scalar("key", &mut out, &mut mask),
        ["store", "url"] | ["jobs", "wakes"] => {
            if let Kind::Text(text) = &mut out.kind {
                *text = mask_store(text);
            }
        }
        ["servers", _, "url" | "command"] => {
            if let Kind::Text(text) = &mut out.kind {
                *text = mask_url(text);
            }
        }
        ["servers", _, "args"] => {
            if let Kind::List(items) = &mut out.kind {
                hide::args(items, &mut mask);
            }
        }
        _ => {}
    }
    out
}

fn mask(_name: &str, _secret: &str) -> String {
    MASK.to_owned()
}

/// A url or a word of a command without its secrets.
pub(crate) fn mask_url(text: &str) -> String {
    hide::inside(text, "secret", &mut mask)
}

/// The url of a store or a broker without its secrets. What stands between the first `:` and the last `@` is
/// its password, whatever it is made of: a password that should have been encoded is none the less
/// a password.
fn mask_store(url: &str) -> String {
    let parts = url.split_once("://").and_then(|(scheme, rest)| {
        let (login, place) = rest.rsplit_once('@')?;
        Some((scheme, login, place))
    });
    let Some((scheme, login, place)) = parts.filter(|(scheme, ..)| *scheme != "sqlite") else {
        return mask_url(url);
    };
    let login = match login.split_once(':') {
        Some((user, password)) if !is_reference(password) => format!("{user}:{MASK}"),
        // Redis takes a lone word for a user, most people mean a password; NATS takes it for a token.
        None if (scheme.starts_with("redis") || scheme == "nats") && !is_reference(login) => {
            MASK.to_owned()
        }
        _ => login.to_owned(),
    };
    mask_url(&format!("{scheme}://{login}@{place}"))
}

/// The value as TOML writes it on one line.
fn toml_value(tree: &Tree) -> String {
    match &tree.kind {
        Kind::Text(text) => toml_edit::Value::from(text.as_str()).to_string(),
        Kind::List(items) => {
            let items: Vec<String> = items.iter().map(toml_value).collect();
            format!("[{}]", items.join(", "))
        }
        Kind::Table(entries) => {
            let pair = |e: &super::tree::Entry| {
                format!("{} = {}", dotted(&[&e.key]), toml_value(&e.value))
            };
            format!("{{{}}}", entries.iter().map(pair).collect::<Vec<_>>().join(", "))
        }
        Kind::Null => "\"\"".to_owned(),
        Kind::Bool(b) => b.to_string(),
        Kind::Number(n) => n.to_string(),
    }
}
