//! What is passed on: parameters, results and definitions as text, with only that changed which
//! belongs to one hop or to one era.

use crate::{Revision, meta};
use narrows_types::raw::{self, Broken, Edit};
use std::borrow::Cow;

/// What a client says to us and not to upstreams.
const ONE_HOP: [&str; 5] = [
    meta::PROTOCOL_VERSION,
    meta::CLIENT_CAPABILITIES,
    meta::CLIENT_INFO,
    meta::LOG_LEVEL,
    meta::PROGRESS_TOKEN,
];

/// Where in the parameters of a request the thing stands that it is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Subject {
    /// A member of them: `name`, `uri`, `taskId`.
    Member(&'static str),
    /// A member of `ref`: `name`, `uri` (`completion/complete`).
    Reference(&'static str),
}

/// What an upstream is told of one request.
#[derive(Debug, Clone, Copy)]
pub struct Onward<'a> {
    /// The thing that the request is about and the upstream's own name for it, if it has another
    /// than the client uses.
    pub subject: Option<(Subject, &'a str)>,
    /// The revision that was agreed on with the upstream.
    pub revision: Revision,
    /// What the caller can do (a JSON object); told to modern upstreams.
    pub capabilities: &'a str,
    /// Who asks (a JSON object); told to modern upstreams.
    pub info: Option<&'a str>,
    /// The log messages wanted; told to modern upstreams.
    pub log_level: Option<&'a str>,
    /// The token (JSON) for progress, put in only if the client asked for progress itself.
    pub progress_token: &'a str,
    /// Our part of the trace.
    pub span: Option<u64>,
    /// The upstream may read the client's `baggage`.
    pub baggage: bool,
    /// Members (JSON values) in place of those of the same name.
    pub added: &'a [(&'a str, &'a str)],
}

/// The parameters of a client as they go to one upstream.
pub fn params_onward<'a>(params: &'a str, onward: &Onward<'_>) -> Result<Cow<'a, str>, Broken> {
    let about = match onward.subject {
        None => None,
        Some((Subject::Member(key), name)) => Some((key, raw::quoted(name))),
        Some((Subject::Reference(key), name)) => {
            let reference = raw::get(params, "ref").ok_or(Broken)?;
            let name = raw::quoted(name);
            Some(("ref", raw::edit(reference, &[Edit::Set(key, &name)])?.into_owned()))
        }
    };
    let meta = meta_onward(raw::get(params, "_meta").unwrap_or("{}"), onward)?;
    let mut edits: Vec<Edit<'_>> = Vec::with_capacity(2 + onward.added.len());
    edits.extend(onward.added.iter().map(|(key, value)| Edit::Set(key, value)));
    edits.extend(about.as_ref().map(|(key, value)| Edit::Set(key, value)));
    edits.push(if meta == "{}" { Edit::Remove("_meta") } else { Edit::Set("_meta", &meta) });
    raw::edit(params, &edits)
}

fn meta_onward<'a>(meta: &'a str, onward: &Onward<'_>) -> Result<Cow<'a, str>, Broken> {
    let mut edits: Vec<Edit<'_>> = Vec::with_capacity(9);
    let revision = raw::quoted(onward.revision.as_str());
    let level = onward.log_level.map(raw::quoted);
    let parent = raw::get_text(meta, meta::TRACE_PARENT);
    let parent = parent.and_then(|parent| continued(&parent, onward.span)).map(|p| raw::quoted(&p));
    if raw::get(meta, meta::PROGRESS_TOKEN).is_some() {
        edits.push(Edit::Set(meta::PROGRESS_TOKEN, onward.progress_token));
    }
    if onward.revision.is_modern() {
        edits.push(Edit::Set(meta::PROTOCOL_VERSION, &revision));
        edits.push(Edit::Set(meta::CLIENT_CAPABILITIES, onward.capabilities));
        edits.extend(onward.info.map(|info| Edit::Set(meta::CLIENT_INFO, info)));
        edits.extend(level.as_deref().map(|level| Edit::Set(meta::LOG_LEVEL, level)));
    }
    if let Some(parent) = &parent {
        edits.push(Edit::Set(meta::TRACE_PARENT, parent));
    } else {
        edits.extend([meta::TRACE_PARENT, meta::TRACE_STATE].map(Edit::Remove));
    }
    if !onward.baggage {
        edits.push(Edit::Remove(meta::BAGGAGE));
    }
    // The first edit of a key counts: what was set above is not removed again.
    edits.extend(ONE_HOP.map(Edit::Remove));
    raw::edit(meta, &edits)
}

/// A `traceparent` under which our own span is the parent; none if it is not well formed, or there
/// is nothing to put in its place and it is malformed.
pub fn continued(parent: &str, span: Option<u64>) -> Option<String> {
    let hex = |text: &str, length: usize| {
        text.len() == length && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
    };
    let mut parts = parent.splitn(5, '-');
    let (version, trace, old, flags) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    let whole = parts.next().is_none() || version != "00";
    let well_formed = hex(version, 2)
        && version != "ff"
        && hex(trace, 32)
        && hex(old, 16)
        && hex(flags, 2)
        && whole
        && trace.bytes().any(|b| b != b'0')
        && old.bytes().any(|b| b != b'0');
    let span = span.filter(|span| *span != 0);
    well_formed.then(|| match span {
        // What a later version says beyond these four parts is not ours to pass on.
        Some(span) => format!("00-{trace}-{span:016x}-{flags}"),
        None => format!("00-{trace}-{old}-{flags}"),
    })
}

/// How long a result may be kept, and by whom.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Keep {
    /// Milliseconds.
    pub ttl_ms: u64,
    /// By the client that asked alone.
    pub private: bool,
}

impl Keep {
    /// The word on the wire.
    pub fn scope(self) -> &'static str {
        if self.private { "private" } else { "public" }
    }

    /// Of two parts of one result: the shorter time, and private if either is.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self { ttl_ms: self.ttl_ms.min(other.ttl_ms), private: self.private || other.private }
    }

    /// What a result says of itself; what it does not say is not kept, and private.
    pub fn of(result: &str) -> Self {
        let ttl_ms = raw::get(result, "ttlMs").and_then(|ttl| serde_json::from_str(ttl).ok());
        let scope = raw::get_text(result, "cacheScope");
        Self { ttl_ms: ttl_ms.unwrap_or_default(), private: scope.as_deref() != Some("public") }
    }
}

/// A result as a client of the modern era wants it: what it lacks is added.
pub fn to_modern<'a>(
    result: &'a str,
    server_info: Option<&str>,
    keep: Option<Keep>,
) -> Result<Cow<'a, str>, Broken> {
    let kind = raw::get_text(result, "resultType");
    let complete = kind.as_deref().is_none_or(|kind| kind == "complete");
    let (ttl, scope) = match keep.filter(|_| complete) {
        None => (None, None),
        Some(keep) => (Some(keep.ttl_ms.to_string()), Some(raw::quoted(keep.scope()))),
    };
    let meta = match server_info {
        None => None,
        Some(info) => {
            let meta = raw::get(result, "_meta").filter(|meta| meta.starts_with('{'));
            match raw::edit(meta.unwrap_or("{}"), &[Edit::Default(meta::SERVER_INFO, info)])? {
                Cow::Borrowed(_) => None,
                Cow::Owned(meta) => Some(meta),
            }
        }
    };
    let mut edits = vec![Edit::Default("resultType", "\"complete\"")];
    edits.extend(ttl.as_deref().map(|ttl| Edit::Default("ttlMs", ttl)));
    edits.extend(scope.as_deref().map(|scope| Edit::Default("cacheScope", scope)));
    edits.extend(meta.as_deref().map(|meta| Edit::Set("_meta", meta)));
    raw::edit(result, &edits)
}

/// A result of the modern era as a client of a legacy revision wants it.
pub fn to_legacy(result: &str) -> Result<Cow<'_, str>, Broken> {
    let meta = match raw::get(result, "_meta").filter(|meta| meta.starts_with('{')) {
        None => None,
        Some(meta) => match raw::edit(meta, &[Edit::Remove(meta::SERVER_INFO)])? {
            Cow::Borrowed(_) => None,
            Cow::Owned(meta) => Some(meta),
        },
    };
    let mut edits = ["resultType", "ttlMs", "cacheScope"].map(Edit::Remove).to_vec();
    edits.extend(meta.as_deref().map(|meta| match meta {
        "{}" => Edit::Remove("_meta"),
        meta => Edit::Set("_meta", meta),
    }));
    raw::edit(result, &edits)
}

/// The parameters of `notifications/progress` with the token (JSON) of whoever asked.
pub fn with_progress_token<'a>(params: &'a str, token: &str) -> Result<Cow<'a, str>, Broken> {
    raw::edit(params, &[Edit::Set(meta::PROGRESS_TOKEN, token)])
}

/// A tool, prompt, resource or template under another name (`key` is `name`, `uri`,
/// `uriTemplate`), and with other words if there are some.
pub fn renamed<'a>(
    definition: &'a str,
    key: &str,
    name: &str,
    description: Option<&str>,
) -> Result<Cow<'a, str>, Broken> {
    let (name, description) = (raw::quoted(name), description.map(raw::quoted));
    let mut edits = vec![Edit::Set(key, &name)];
    edits.extend(description.as_deref().map(|text| Edit::Set("description", text)));
    raw::edit(definition, &edits)
}

#[cfg(test)]
mod tests {
    use super::{Keep, Onward, Subject, continued, params_onward, renamed, to_legacy, to_modern};
    use crate::Revision;
    use serde_json::{Value, json};
    use std::borrow::Cow;

    const ONWARD: Onward<'static> = Onward {
        subject: None,
        revision: Revision::V2025_11_25,
        capabilities: r#"{"roots":{}}"#,
        info: Some(r#"{"name":"c"}"#),
        log_level: Some("debug"),
        progress_token: "7",
        span: Some(0xabc),
        baggage: false,
        added: &[],
    };

    #[test]
    fn parameters_keep_what_is_not_ours() {
        let params = r#"{ "name":"a.b" , "arguments": { "n" : 1.50 }, "_meta": {"v/k":[ ]} }"#;
        let subject = Some((Subject::Member("name"), "b"));
        let text = params_onward(params, &Onward { subject, ..ONWARD }).unwrap();
        assert_eq!(text, r#"{"name":"b","arguments": { "n" : 1.50 }, "_meta": {"v/k":[ ]}}"#);
        let same = params_onward(r#"{"name":"b"}"#, &Onward { subject, ..ONWARD }).unwrap();
        assert!(matches!(same, Cow::Borrowed(_)));
        let subject = Some((Subject::Reference("uri"), "t://{x}"));
        let params = r#"{"ref":{ "type":"ref/resource","uri":"s+t://{x}" },"argument":{}}"#;
        let text = params_onward(params, &Onward { subject, ..ONWARD }).unwrap();
        assert_eq!(text, r#"{"ref":{"type":"ref/resource","uri":"t://{x}"},"argument":{}}"#);
        assert!(params_onward("{}", &Onward { subject, ..ONWARD }).is_err());
        assert!(params_onward("[]", &ONWARD).is_err());
    }

    #[test]
    fn what_belongs_to_one_hop_is_made_anew() {
        let params = r#"{"requestState":"old","_meta":{"progressToken":"t","baggage":"b","v":1,
            "traceparent":"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "tracestate":"a=b","io.modelcontextprotocol/protocolVersion":"x",
            "io.modelcontextprotocol/clientInfo":{"name":"theirs"}}}"#;
        let trace = "00-0af7651916cd43dd8448eb211c80319c-0000000000000abc-01";
        let (revision, added) = (Revision::LATEST, [("requestState", "\"s\"")]);
        let modern = params_onward(params, &Onward { revision, added: &added, ..ONWARD }).unwrap();
        let expected = json!({"requestState": "s", "_meta": {
            "progressToken": 7, "v": 1, "traceparent": trace, "tracestate": "a=b",
            "io.modelcontextprotocol/protocolVersion": "2026-07-28",
            "io.modelcontextprotocol/clientCapabilities": {"roots": {}},
            "io.modelcontextprotocol/clientInfo": {"name": "c"},
            "io.modelcontextprotocol/logLevel": "debug"}});
        assert_eq!(serde_json::from_str::<Value>(&modern).unwrap(), expected);
        let legacy = params_onward(params, &Onward { baggage: true, ..ONWARD }).unwrap();
        let expected = json!({"requestState": "old", "_meta": {"progressToken": 7, "baggage": "b",
            "v": 1, "traceparent": trace, "tracestate": "a=b"}});
        assert_eq!(serde_json::from_str::<Value>(&legacy).unwrap(), expected);
        let broken = r#"{"_meta":{"traceparent":"00-1","tracestate":"a=b"}}"#;
        assert_eq!(params_onward(broken, &ONWARD).unwrap(), "{}");
    }

    #[test]
    fn only_a_well_formed_trace_goes_on() {
        let (trace, span) = ("0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331");
        assert!(continued(&format!("00-{trace}-{span}-01"), None).is_some());
        assert!(continued(&format!("cc-{trace}-{span}-01-more"), Some(1)).is_some());
        for broken in [
            format!("00-{trace}-{span}-01-more"),
            format!("ff-{trace}-{span}-01"),
            format!("00-{}-{span}-01", "0".repeat(32)),
            format!("00-{trace}-{}-01", "0".repeat(16)),
            format!("00-{}-{span}-01", trace.to_uppercase()),
            String::new(),
        ] {
            assert_eq!(continued(&broken, Some(1)), None, "{broken}");
        }
    }

    #[test]
    fn each_era_gets_its_own_result() {
        let (info, keep) = (Some(r#"{"name":"n"}"#), Some(Keep { ttl_ms: 5, private: true }));
        let legacy = r#"{"content":[ ],"_meta":{"v":1}}"#;
        let modern = to_modern(legacy, info, keep).unwrap();
        assert_eq!(
            modern,
            r#"{"content":[ ],"_meta":{"v":1,"io.modelcontextprotocol/serverInfo":{"name":"n"}},"resultType":"complete","ttlMs":5,"cacheScope":"private"}"#
        );
        assert!(matches!(to_modern(&modern, info, keep).unwrap(), Cow::Borrowed(_)));
        assert_eq!(to_legacy(&modern).unwrap(), legacy);
        assert!(matches!(to_legacy(legacy).unwrap(), Cow::Borrowed(_)));
        assert_eq!(to_legacy(&to_modern("{}", info, keep).unwrap()).unwrap(), "{}");
        let asks = r#"{"resultType":"input_required","requestState":"s"}"#;
        assert_eq!(to_modern(asks, None, keep).unwrap(), asks);
        assert!(to_modern("5", info, keep).is_err());
    }

    #[test]
    fn of_several_parts_the_strictest_counts() {
        let one = Keep::of(r#"{"ttlMs":60000,"cacheScope":"public"}"#);
        assert_eq!(one, Keep { ttl_ms: 60_000, private: false });
        assert_eq!(Keep::of(r#"{"ttlMs":-1}"#), Keep { ttl_ms: 0, private: true });
        let both = one.and(Keep { ttl_ms: 9, private: true });
        assert_eq!((both.ttl_ms, both.scope()), (9, "private"));
    }

    #[test]
    fn a_definition_is_renamed_in_its_text() {
        let tool = r#"{"name":"a","inputSchema":{ "name":"x" },"vendor":1.0}"#;
        assert_eq!(
            renamed(tool, "name", "s.a", Some("New \"words\"")).unwrap(),
            r#"{"name":"s.a","inputSchema":{ "name":"x" },"vendor":1.0,"description":"New \"words\""}"#
        );
    }
}
