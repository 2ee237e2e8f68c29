//! The config in force, as valid TOML, every line with where it comes from.

use super::problem::dotted;
use super::secret::{is_reference, secret_name, secret_value, trivial};
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
        ["servers", _, "env" | "headers", name] => mask_named(&mut out, name),
        ["servers", _, "url" | "command"] => mask_text(&mut out),
        ["servers", _, "args"] => mask_args(&mut out),
        _ => {}
    }
    out
}

fn mask_named(tree: &mut Tree, name: &str) {
    let Kind::Text(text) = &mut tree.kind else { return };
    if !is_reference(text) && !trivial(text) && (secret_name(name) || secret_value(text)) {
        MASK.clone_into(text);
    }
}

fn mask_text(tree: &mut Tree) {
    let Kind::Text(text) = &mut tree.kind else { return };
    *text = mask_url(text);
}

fn mask_args(tree: &mut Tree) {
    let Kind::List(items) = &mut tree.kind else { return };
    let mut secret_next = false;
    for item in items {
        let Kind::Text(text) = &mut item.kind else { continue };
        let names_secret = text.starts_with('-') && secret_name(text);
        match text.split_once('=') {
            Some((flag, value))
                if (secret_name(flag) || secret_value(value)) && !is_reference(value) =>
            {
                *text = format!("{flag}={MASK}");
            }
            _ if secret_next && !is_reference(text) => MASK.clone_into(text),
            _ if secret_value(text) && !is_reference(text) => *text = mask_url(text),
            _ => {}
        }
        secret_next = names_secret && !text.contains('=');
    }
}

/// A url without its password and the values of its query; other secrets wholly.
pub(crate) fn mask_url(text: &str) -> String {
    let Some((scheme, rest)) = text.split_once("://") else {
        return if secret_value(text) { MASK.to_owned() } else { text.to_owned() };
    };
    let (main, query) = rest.split_once('?').map_or((rest, None), |(m, q)| (m, Some(q)));
    let main = match main.split_once('@') {
        Some((user, host)) if user.contains(':') && !user.contains('/') => {
            format!("{}:{MASK}@{host}", user.split(':').next().unwrap_or_default())
        }
        _ => main.to_owned(),
    };
    let segments = main.split('/').map(|s| if secret_value(s) { MASK } else { s });
    let main = segments.collect::<Vec<_>>().join("/");
    let query = query.map_or_else(String::new, |query| {
        let pairs = query.split('&').map(|pair| match pair.split_once('=') {
            Some((name, value))
                if !is_reference(value) && (secret_name(name) || secret_value(value)) =>
            {
                format!("{name}={MASK}")
            }
            _ => pair.to_owned(),
        });
        format!("?{}", pairs.collect::<Vec<_>>().join("&"))
    });
    format!("{scheme}://{main}{query}")
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
