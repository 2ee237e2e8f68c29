//! Header names of Streamable HTTP and the encoding of their values.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// The revision of the request.
pub const PROTOCOL_VERSION: &str = "mcp-protocol-version";
/// The method of a modern request.
pub const METHOD: &str = "mcp-method";
/// The tool, prompt or resource that a modern request is about.
pub const NAME: &str = "mcp-name";
/// The session of a legacy connection.
pub const SESSION: &str = "mcp-session-id";
/// Start of the headers that repeat annotated arguments.
pub const PARAM: &str = "mcp-param-";

const OPEN: &str = "=?base64?";
const CLOSE: &str = "?=";

/// The value as a header may carry it: plain where it is safe, else wrapped as base64.
pub fn encode(value: &str) -> String {
    let safe = value.bytes().all(|b| (0x20..0x7f).contains(&b));
    if safe && value.trim() == value && !value.starts_with(OPEN) {
        return value.to_owned();
    }
    format!("{OPEN}{}{CLOSE}", STANDARD.encode(value))
}

/// The value that a header carries; `None` if its wrapping is broken.
pub fn decode(value: &str) -> Option<String> {
    // Half a wrapping is none.
    let Some(inner) = value.strip_prefix(OPEN).and_then(|rest| rest.strip_suffix(CLOSE)) else {
        return Some(value.to_owned());
    };
    let bytes = STANDARD.decode(inner).ok()?;
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::{decode, encode};

    #[test]
    fn values_survive_the_header() {
        for value in ["plain", "", "h\u{fc}lle", "a\nb", " edge ", "=?base64?x?=", "\u{1f600}"] {
            assert_eq!(decode(&encode(value)).as_deref(), Some(value));
            assert!(encode(value).is_ascii());
        }
        assert_eq!(decode("=?base64?!?="), None);
        assert_eq!(decode("=?base64?YQ==").as_deref(), Some("=?base64?YQ=="));
    }
}
