//! Secrets inside text: found wherever they stand, and something else put in their place.
//!
//! `import` puts a reference there, `config show` a mask; both must find the same secrets.

use super::secret::{
    bare_user, is_reference, plain, secret_name, secret_value, strip_scheme, userinfo,
};
use super::tree::{Kind, Tree};

/// Gives what stands in the place of a secret: from its name and the secret itself.
pub(crate) type Put<'p> = dyn FnMut(&str, &str) -> String + 'p;

/// The value of the variable, header or option `name` without its secrets.
pub(crate) fn value(name: &str, text: &str, put: &mut Put<'_>) -> String {
    if text.is_empty() || plain(name, text) || is_reference(text) {
        return text.to_owned();
    }
    if !secret_name(name) {
        return inside(text, name, put);
    }
    if text.contains("://") {
        let out = inside(text, name, put);
        if out != text || text.contains("${") {
            return out;
        }
    }
    let (scheme, bare) = strip_scheme(text);
    format!("{scheme}{}", put(name, bare))
}

/// The same for a value of the config. A number may be a password too.
pub(crate) fn scalar(name: &str, tree: &mut Tree, put: &mut Put<'_>) {
    let text = match &tree.kind {
        Kind::Text(text) => text.clone(),
        Kind::Number(number) => number.to_string(),
        _ => return,
    };
    let out = value(name, &text, put);
    if out != text {
        tree.kind = Kind::Text(out);
    }
}

/// The arguments of a command without their secrets.
pub(crate) fn args(items: &mut [Tree], put: &mut Put<'_>) {
    let mut before = String::new();
    for item in items {
        let Kind::Text(text) = &mut item.kind else { continue };
        let old = text.clone();
        let names_next = before.starts_with('-') && !before.contains('=') && secret_name(&before);
        let whole = text.starts_with('-') || matches!(before.as_str(), "-e" | "--env");
        *text = match text.split_once('=') {
            _ if names_next && !text.starts_with('-') => value(&before, text, put),
            // All that follows is the value, blanks too.
            Some((name, rest)) if whole && is_name(name) => {
                format!("{name}={}", value(name, rest, put))
            }
            _ => inside(text, "secret", put),
        };
        before = old;
    }
}

/// Text with any number of secrets in it: `NAME=value`, `Name: value`, urls, keys.
pub(crate) fn inside(text: &str, default: &str, put: &mut Put<'_>) -> String {
    let (scheme, bare) = strip_scheme(text);
    if !scheme.is_empty() && !bare.contains(char::is_whitespace) && !is_reference(bare) {
        return format!("{scheme}{}", put(default, bare));
    }
    let (mut out, mut rest) = (String::new(), text);
    let (mut hint, mut flag) = (default, None);
    while !rest.is_empty() {
        let (gap, after) = cut(rest, rest.len() - rest.trim_start_matches(ends_word).len());
        out.push_str(gap);
        let (name, behind) = cut(after, name_len(after));
        let joint = joint(behind).filter(|_| !name.is_empty() && !secret_value(name));
        if let Some(joint) = joint.filter(|_| secret_name(name)) {
            let (between, tail) = cut(behind, joint);
            let (secret, tail) = cut(tail, value_len(between, tail));
            let hidden = value(name, secret, put);
            out.extend([name, between, hidden.as_str()]);
            (rest, hint, flag) = (tail, default, None);
        } else if joint.is_some() && behind.starts_with(['=', ':']) {
            let (sign, tail) = cut(behind, 1);
            out.extend([name, sign]);
            (rest, hint, flag) = (tail, name, None);
        } else {
            let (word, tail) = cut(after, word_len(after));
            let named = flag
                .take()
                .filter(|_| !word.is_empty() && !word.starts_with('-') && !is_reference(word));
            out.push_str(&match named {
                Some(name) if !plain(name, word) => put(name, word),
                _ if word.contains("://") => url(word, put),
                _ if secret_value(word) => put(hint, word),
                _ => word.to_owned(),
            });
            let names_next = word.starts_with('-') && secret_name(word);
            flag = match word {
                "Bearer" | "bearer" => Some("token"),
                _ => names_next.then_some(word),
            };
            (rest, hint) = (tail, default);
        }
    }
    out
}

fn cut(text: &str, at: usize) -> (&str, &str) {
    text.split_at_checked(at).unwrap_or((text, ""))
}

fn ends_word(c: char) -> bool {
    c.is_whitespace() || matches!(c, '"' | '\'' | '`' | ';')
}

fn in_name(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.')
}

fn is_name(text: &str) -> bool {
    !text.is_empty() && text.chars().all(in_name)
}

fn name_len(text: &str) -> usize {
    text.len() - text.trim_start_matches(in_name).len()
}

/// Bytes until one of these ends, references passed over whole.
fn len_until(text: &str, ends: impl Fn(char) -> bool) -> usize {
    let mut in_reference = false;
    let mut before = ' ';
    for (at, c) in text.char_indices() {
        in_reference = (in_reference || (before == '$' && c == '{')) && c != '}';
        if !in_reference && ends(c) {
            return at;
        }
        before = c;
    }
    text.len()
}

/// Bytes of the first word; never none where there is text.
fn word_len(text: &str) -> usize {
    len_until(text, ends_word)
}

/// Bytes between a name and its value: `=`, `: `, `": "`, `="`.
fn joint(text: &str) -> Option<usize> {
    let unquoted = text.strip_prefix(['"', '\'']).unwrap_or(text);
    let rest = unquoted.trim_start_matches(' ').strip_prefix(['=', ':'])?;
    if rest.starts_with("//") || rest.starts_with(':') {
        return None;
    }
    let rest = rest.trim_start_matches(' ');
    let rest = rest.strip_prefix(['"', '\'', '`']).unwrap_or(rest);
    Some(text.len() - rest.len())
}

/// Bytes of the value behind such a joint.
fn value_len(joint: &str, text: &str) -> usize {
    if let Some(quote) = joint.chars().last().filter(|c| matches!(c, '"' | '\'' | '`')) {
        return len_until(text, |c| c == quote);
    }
    if joint.ends_with(": ") {
        return len_until(text, |c| matches!(c, '"' | '\'' | '\n'));
    }
    let scheme = strip_scheme(text).0.len();
    scheme + word_len(cut(text, scheme).1)
}

/// A url without its password, its keys and the secrets of its query.
fn url(url: &str, put: &mut Put<'_>) -> String {
    let mut out = url.to_owned();
    if let Some(password) = userinfo(url) {
        let stand_in = put("password", password);
        out = out.replacen(&format!(":{password}@"), &format!(":{stand_in}@"), 1);
    } else if let Some(user) = bare_user(url) {
        let stand_in = put("token", user);
        out = out.replacen(&format!("//{user}"), &format!("//{stand_in}"), 1);
    }
    let Some((main, query)) = out.split_once('?') else { return path(&out, put) };
    let main = path(main, put);
    let mut pairs = Vec::new();
    for pair in query.split('&') {
        pairs.push(match pair.split_once('=') {
            Some((name, text)) => format!("{name}={}", value(name, text, put)),
            None => pair.to_owned(),
        });
    }
    format!("{main}?{}", pairs.join("&"))
}

/// Some services put the key into the path, those of web hooks always at its end.
fn path(url: &str, put: &mut Put<'_>) -> String {
    let Some((scheme, rest)) = url.split_once("://") else { return url.to_owned() };
    let hook = rest.starts_with("hooks.") || rest.contains("/webhook");
    let last = rest.split('/').count() - 1;
    let mut segments = Vec::new();
    for (at, segment) in rest.split('/').enumerate() {
        let key = secret_value(segment) || (hook && at == last && at > 0 && segment.len() >= 16);
        let secret = key && !segment.contains(['@', ':', '$', '*']);
        segments.push(if secret { put("key", segment) } else { segment.to_owned() });
    }
    format!("{scheme}://{}", segments.join("/"))
}

#[cfg(test)]
mod tests {
    use super::{args, value};
    use crate::config::formats::Format;

    fn masked(name: &str, text: &str) -> String {
        value(name, text, &mut |_, _| "***".to_owned())
    }

    #[test]
    fn secrets_are_found_in_every_value() {
        for (name, text, out) in [
            ("U", "postgres://h/d?password=hunter2", "postgres://h/d?password=***"),
            ("U", "postgres://u:realpass@${HOST}/d", "postgres://u:***@${HOST}/d"),
            ("U", "postgres://u:${PW}@h/d", "postgres://u:${PW}@h/d"),
            ("U", "postgres://u@h/d", "postgres://u@h/d"),
            ("U", "https://k3y@sentry.example/1", "https://***@sentry.example/1"),
            ("C", "AccountName=a;AccountKey=a+b/c==;E=x", "AccountName=a;AccountKey=***;E=x"),
            (
                "HOOK",
                "https://hooks.slack.com/services/T0/B0/AbCdEfGhIjKlMnOpQrStUvWx",
                "https://hooks.slack.com/services/T0/B0/***",
            ),
            ("PGPASSWORD", "123456", "***"),
            ("DB_PASSWORD", "98765432", "***"),
            ("MAX_TOKENS", "4096", "4096"),
            ("TOKEN_TTL", "3600", "3600"),
            ("USE_AUTH", "true", "true"),
            ("AUTH_PORT", "8080", "8080"),
            ("TOKEN", "Bearer ${T}", "Bearer ${T}"),
            ("PORT", "98765432", "98765432"),
            ("J", "{\"api_key\": \"abc\", \"a\": \"b\"}", "{\"api_key\": \"***\", \"a\": \"b\"}"),
        ] {
            assert_eq!(masked(name, text), out, "{name}={text}");
        }
    }

    #[test]
    fn secrets_are_found_in_every_argument() {
        for (before, after) in [
            (r#"["-e", "DB_PASSWORD=s3cr3t x"]"#, r#"["-e","DB_PASSWORD=***"]"#),
            (r#"["-e", "NAME=ghp_0123456789abcdef"]"#, r#"["-e","NAME=***"]"#),
            (r#"["--env=API_KEY=abc"]"#, r#"["--env=API_KEY=***"]"#),
            (
                r#"["--header=Authorization: Bearer x"]"#,
                r#"["--header=Authorization: Bearer ***"]"#,
            ),
            (r#"["--auth=Bearer x"]"#, r#"["--auth=Bearer ***"]"#),
            (r#"["--password", "a b"]"#, r#"["--password","***"]"#),
            (
                r#"["-c", "API_KEY=sk-proj-abc npx foo --token t1 -y"]"#,
                r#"["-c","API_KEY=*** npx foo --token *** -y"]"#,
            ),
            (r#"["-c", "PGPASSWORD=\"123456\" psql"]"#, r#"["-c","PGPASSWORD=\"***\" psql"]"#),
            (
                r#"["git+https://ghp_0123456789abcdef@github.com/a/b"]"#,
                r#"["git+https://***@github.com/a/b"]"#,
            ),
            (r#"["-y", "@a/b@1.0", "--port=80"]"#, r#"["-y","@a/b@1.0","--port=80"]"#),
        ] {
            let mut tree = Format::Json.parse(before, &"x".into()).unwrap();
            if let super::Kind::List(items) = &mut tree.kind {
                args(items, &mut |_, _| "***".to_owned());
            }
            assert_eq!(tree.plain().to_string(), after);
        }
    }
}
