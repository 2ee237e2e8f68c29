//! What a refusal says in `WWW-Authenticate`.

use super::scopes_of;
use reqwest::header::{HeaderMap, WWW_AUTHENTICATE};

/// Bytes of the header that are read.
const HEADER_BYTES_MAX: usize = 8 << 10;

/// The parameters of a `Bearer` challenge.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Challenge {
    /// Where the resource's metadata is.
    pub(super) metadata: Option<String>,
    pub(super) scopes: Vec<String>,
    pub(super) error: Option<String>,
}

impl Challenge {
    /// The first `Bearer` challenge among the headers; empty without one.
    pub(super) fn read(headers: &HeaderMap) -> Self {
        let values = headers.get_all(WWW_AUTHENTICATE).iter().filter_map(|v| v.to_str().ok());
        values
            .filter(|value| value.len() <= HEADER_BYTES_MAX)
            .find_map(Self::parse)
            .unwrap_or_default()
    }

    fn parse(text: &str) -> Option<Self> {
        let mut rest = after_scheme(text)?;
        let mut found = Self::default();
        while let Some((name, value, left)) = parameter(rest) {
            rest = left;
            match name.to_ascii_lowercase().as_str() {
                "resource_metadata" => found.metadata = found.metadata.or(Some(value)),
                "scope" => found.scopes = scopes_of(&value),
                "error" => found.error = found.error.or(Some(value)),
                _ => {}
            }
        }
        Some(found)
    }

    /// The token lacks a scope.
    pub(super) fn wants_more_scope(&self) -> bool {
        self.error.as_deref() == Some("insufficient_scope")
    }
}

/// What follows the word `Bearer` where a challenge begins.
fn after_scheme(text: &str) -> Option<&str> {
    let mut quoted = false;
    let mut begins = true;
    for (at, c) in text.char_indices() {
        let word = text.get(at..at + 6).is_some_and(|word| word.eq_ignore_ascii_case("bearer"));
        if begins && !quoted && word {
            let rest = text.get(at + 6..).unwrap_or_default();
            if rest.is_empty() || rest.starts_with([' ', '\t']) {
                return Some(rest);
            }
        }
        quoted ^= c == '"';
        begins = c == ',' || (begins && c.is_whitespace());
    }
    None
}

/// One `name=value`, and what is left. A word without `=` begins the next challenge.
fn parameter(text: &str) -> Option<(&str, String, &str)> {
    let text = text.trim_start_matches([' ', '\t', ',']);
    let (name, rest) = text.split_once('=')?;
    let name = name.trim();
    if name.is_empty() || name.contains([' ', '\t', '"', ',']) {
        return None;
    }
    let rest = rest.trim_start();
    let Some(quoted) = rest.strip_prefix('"') else {
        let end = rest.find([',', ' ', '\t']).unwrap_or(rest.len());
        return Some((name, rest.get(..end)?.to_owned(), rest.get(end..)?));
    };
    let mut value = String::new();
    let mut chars = quoted.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return Some((name, value, quoted.get(at + 1..)?)),
            '\\' => value.extend(chars.next().map(|(_, c)| c)),
            c => value.push(c),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::Challenge;
    use reqwest::header::{HeaderMap, HeaderValue, WWW_AUTHENTICATE};

    fn read(values: &[&'static str]) -> Challenge {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(WWW_AUTHENTICATE, HeaderValue::from_static(value));
        }
        Challenge::read(&headers)
    }

    #[test]
    fn a_challenge_is_read_in_every_form() {
        let whole = Challenge {
            metadata: Some("https://x.example/m?a=b,c".to_owned()),
            scopes: vec!["a:b".to_owned(), "c".to_owned()],
            error: Some("insufficient_scope".to_owned()),
        };
        for value in [
            r#"Bearer scope="a:b c", resource_metadata="https://x.example/m?a=b,c", error="insufficient_scope""#,
            r#"bearer error=insufficient_scope,SCOPE="a:b c" , resource_metadata="https://x.example/m?a=b,c""#,
            r#"Basic realm="say \"Bearer x=1\"", Bearer realm="r", scope="a:b c", error="insufficient_scope", resource_metadata="https://x.example/m?a=b,c""#,
        ] {
            assert_eq!(read(&[value]), whole, "{value}");
            assert_eq!(read(&["Basic realm=x", value]), whole, "{value}");
        }
        assert!(whole.wants_more_scope());
    }

    #[test]
    fn what_is_no_challenge_says_nothing() {
        for value in ["", "Bearer", "Basic realm=\"Bearer\"", "BearerX scope=a", "Bearer scope=\"a"]
        {
            assert_eq!(read(&[value]), Challenge::default(), "{value}");
        }
        // The parameters of the next challenge are not ours.
        assert_eq!(read(&["Bearer realm=\"r\", DPoP scope=\"x\""]), Challenge::default());
    }
}
