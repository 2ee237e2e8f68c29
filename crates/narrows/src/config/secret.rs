//! Text that may be a secret: never printed, never logged.

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{self, Deserialize, Deserializer, Visitor};
use std::borrow::Cow;
use std::fmt;

/// Text that may be a secret. `Debug` shows dots; only [`expose`](Self::expose) gives it.
#[derive(Clone, Default, PartialEq, Eq)]
pub(crate) struct Secret(String);

impl Secret {
    /// The text itself, for whoever hands it on to where it belongs.
    pub(crate) fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

impl From<String> for Secret {
    fn from(text: String) -> Self {
        Self(text)
    }
}

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_string(Scalar).map(Self)
    }
}

/// Text, or a number or truth value that stands for its text (`PORT = 8080`).
struct Scalar;

impl Visitor<'_> for Scalar {
    type Value = String;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("text")
    }

    fn visit_str<E: de::Error>(self, s: &str) -> Result<String, E> {
        Ok(s.to_owned())
    }

    fn visit_bool<E: de::Error>(self, b: bool) -> Result<String, E> {
        Ok(b.to_string())
    }

    fn visit_u64<E: de::Error>(self, n: u64) -> Result<String, E> {
        Ok(n.to_string())
    }

    fn visit_i64<E: de::Error>(self, n: i64) -> Result<String, E> {
        Ok(n.to_string())
    }

    fn visit_f64<E: de::Error>(self, n: f64) -> Result<String, E> {
        Ok(n.to_string())
    }
}

impl JsonSchema for Secret {
    fn schema_name() -> Cow<'static, str> {
        "Text".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_generator: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": ["string", "number", "boolean"] })
    }
}

/// Parts of names whose values are secret.
const SECRET_NAMES: [&str; 13] = [
    "token",
    "secret",
    "password",
    "passwd",
    "passphrase",
    "apikey",
    "accesskey",
    "privatekey",
    "authorization",
    "credential",
    "cookie",
    "bearer",
    "signature",
];
/// How well-known secrets begin.
const SECRET_STARTS: [&str; 22] = [
    "ghp_",
    "gho_",
    "ghu_",
    "ghs_",
    "github_pat_",
    "glpat-",
    "sk-",
    "sk_",
    "rk_",
    "pk_live",
    "xox",
    "AKIA",
    "ASIA",
    "AIza",
    "ya29.",
    "eyJ",
    "npm_",
    "pypi-",
    "hf_",
    "dop_v1_",
    "lin_api_",
    "ntn_",
];

/// Whether a value of this name is likely a secret: `GITHUB_TOKEN`, `x-api-key`, `--password`.
pub(crate) fn secret_name(name: &str) -> bool {
    let lower = words(name);
    let squeezed: String = lower.chars().filter(char::is_ascii_alphanumeric).collect();
    let words = lower.split(|c: char| !c.is_ascii_alphanumeric());
    SECRET_NAMES.iter().any(|part| squeezed.contains(part))
        || words
            .into_iter()
            .any(|word| matches!(word, "key" | "pat" | "pwd" | "pass" | "dsn" | "auth" | "oauth"))
}

/// The name in lower case, `accountKey` as two words.
fn words(name: &str) -> String {
    let mut out = String::new();
    let mut small = false;
    for c in name.chars() {
        if small && c.is_ascii_uppercase() {
            out.push('-');
        }
        small = c.is_ascii_lowercase();
        out.push(c.to_ascii_lowercase());
    }
    out
}

/// Whether this text is too plain to be a secret under this name: `MAX_TOKENS=4096`. Digits alone
/// may be a password, so the name has to say that they count something.
pub(crate) fn plain(name: &str, text: &str) -> bool {
    if matches!(text, "true" | "false" | "yes" | "no" | "on" | "off" | "0" | "1") {
        return true;
    }
    let name = words(name);
    let counts = name.split(|c: char| !c.is_ascii_alphanumeric()).any(|word| {
        let units = ["tokens", "port", "ttl", "timeout", "seconds", "ms", "expiry", "lifetime"];
        let sizes = ["max", "min", "limit", "length", "len", "size", "count", "bytes", "budget"];
        units.contains(&word) || sizes.contains(&word)
    });
    text.chars().all(|c| c.is_ascii_digit()) && (counts || !secret_name(&name))
}

/// Whether this text looks like a secret by itself.
pub(crate) fn secret_value(text: &str) -> bool {
    let bare = strip_scheme(text).1;
    let known = SECRET_STARTS.iter().any(|start| bare.starts_with(start)) && bare.len() >= 16;
    known || (bare.len() != text.len()) || userinfo(text).is_some() || random_looking(bare)
}

/// `Bearer x` in two; the first part is empty where there is no scheme.
pub(crate) fn strip_scheme(text: &str) -> (&str, &str) {
    for scheme in ["Bearer ", "bearer ", "Basic ", "basic ", "Token ", "token "] {
        if let Some(rest) = text.strip_prefix(scheme) {
            return (scheme, rest);
        }
    }
    ("", text)
}

/// The password in `scheme://user:password@host`.
pub(crate) fn userinfo(url: &str) -> Option<&str> {
    let (_, rest) = url.split_once("://")?;
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let (user, _) = authority.rsplit_once('@')?;
    let (_, password) = user.split_once(':')?;
    (!password.is_empty() && !is_reference(password)).then_some(password)
}

/// What stands alone before the `@` of a url where it is a key and no user's name.
pub(super) fn bare_user(url: &str) -> Option<&str> {
    let (scheme, rest) = url.split_once("://")?;
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let (user, _) = authority.rsplit_once('@')?;
    let user = user.split_once(':').map_or(user, |(user, _)| user);
    let web = scheme.ends_with("http") || scheme.ends_with("https");
    let known = matches!(user, "" | "git") || is_reference(user);
    (!known && (web || secret_value(user))).then_some(user)
}

/// Long, one word, letters and digits mixed: a key, not a sentence, a path or a package.
fn random_looking(text: &str) -> bool {
    let plain =
        text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '=' | '+'));
    let digits = text.chars().filter(char::is_ascii_digit).count();
    let letters = text.chars().filter(char::is_ascii_alphabetic).count();
    plain && text.len() >= 32 && digits >= 4 && letters >= 8
}

/// Whether the text is nothing but references such as `${TOKEN}` (and a scheme before them).
pub(crate) fn is_reference(text: &str) -> bool {
    let mut rest = strip_scheme(text).1;
    let mut found = false;
    while let Some((before, after)) = rest.split_once("${") {
        let Some((_, behind)) = after.split_once('}') else { return false };
        if before.contains(|c: char| c.is_alphanumeric()) {
            return false;
        }
        (rest, found) = (behind, true);
    }
    found && !rest.contains(|c: char| c.is_alphanumeric())
}

#[cfg(test)]
mod tests {
    use super::{is_reference, plain, secret_name, secret_value, userinfo};

    #[test]
    fn secrets_are_known_by_their_names() {
        for name in [
            "GITHUB_TOKEN",
            "api-key",
            "--api-key",
            "X-Api-Key",
            "apiKey",
            "Authorization",
            "PGPASSWORD",
            "client_secret",
            "DB_PASS",
            "OPENAI_KEY",
            "AUTH",
            "ACCESS_KEY_ID",
            "Cookie",
            "SENTRY_DSN",
        ] {
            assert!(secret_name(name), "{name}");
        }
        for name in
            ["AUTHOR", "KEYBOARD", "PATH", "DEBUG", "monkey", "REGION", "--repository", "X-Team"]
        {
            assert!(!secret_name(name), "{name}");
        }
    }

    #[test]
    fn secrets_are_known_by_their_looks() {
        for text in [
            "ghp_0123456789abcdef0123",
            "sk-proj-0123456789abcdef",
            "xoxb-123456789012-abc",
            "Bearer x",
            "eyJhbGciOiJIUzI1NiJ9.e30.x",
            "a1b2c3d4e5f6a7b8c9d0a1b2c3d4e5f6",
            "postgres://u:p@h/d",
        ] {
            assert!(secret_value(text), "{text}");
        }
        for text in [
            "@modelcontextprotocol/server-sequential-thinking",
            "mcp-server-git",
            "https://example.com/mcp",
            "/home/me/a-rather-long-folder-name/with/2026/files",
            "Europe/Berlin",
            "sk-ip",
            "a-rather-long-name-of-some-package-or-other",
            "postgres://u:${PW}@h/d",
            "postgres://u@h/d",
        ] {
            assert!(!secret_value(text), "{text}");
        }
        assert!(
            plain("MAX_TOKENS", "4096") && plain("AUTH", "true") && !plain("PASSWORD", "123456")
        );
        assert_eq!(userinfo("postgres://u:p@ss@h/d"), Some("p@ss"));
        assert!(is_reference("Bearer ${X}") && !is_reference("x${X}"));
    }
}
