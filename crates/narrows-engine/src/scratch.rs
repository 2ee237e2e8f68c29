//! Scratch files that outlive their run: as artifacts, or with their session.
//!
//! Where they are while the program runs, and that they are gone with it, is the worker's. What
//! leaves it does so by calls, so that the journal has it as all else that a program did or heard.

use crate::own::{json, read};
use crate::run::Run;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use narrows_store::ValueName;
use narrows_types::Fault;
use narrows_types::frame::Call;
use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Where a session keeps them among its values.
const NAMESPACE: &str = "scratch";
const KEY: &str = "files";

/// Media types by what a path ends with.
const MIMES: [(&str, &str); 12] = [
    ("csv", "text/csv"),
    ("gif", "image/gif"),
    ("html", "text/html"),
    ("jpeg", "image/jpeg"),
    ("jpg", "image/jpeg"),
    ("md", "text/markdown"),
    ("pdf", "application/pdf"),
    ("png", "image/png"),
    ("svg", "image/svg+xml"),
    ("webp", "image/webp"),
    ("xml", "application/xml"),
    ("zip", "application/zip"),
];

/// A file as it comes from a worker.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Body {
    Text(String),
    Base64(String),
}

impl Body {
    fn into_bytes(self) -> Result<Vec<u8>, Fault> {
        match self {
            Self::Text(text) => Ok(text.into_bytes()),
            Self::Base64(text) => BASE64_STANDARD
                .decode(text)
                .map_err(|why| Fault::invalid(format!("the file is no base64: {why}"))),
        }
    }
}

#[derive(Deserialize)]
struct KeepArguments {
    path: String,
    #[serde(flatten)]
    body: Body,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SaveArguments {
    files: BTreeMap<String, Body>,
}

/// What a file is.
fn mime(path: &str, bytes: &[u8]) -> &'static str {
    let ending = path.rsplit_once('.').map_or("", |(_, ending)| ending).to_ascii_lowercase();
    let text = str::from_utf8(bytes).ok();
    // A program that reads it again gets the value, so it must be one.
    if ending == "json" && text.is_some_and(|text| serde_json::from_str::<IgnoredAny>(text).is_ok())
    {
        return crate::report::JSON;
    }
    let known = MIMES.iter().find(|(known, _)| *known == ending).map(|(_, mime)| *mime);
    known.unwrap_or(if text.is_some() { "text/plain" } else { "application/octet-stream" })
}

fn name() -> ValueName {
    ValueName { namespace: NAMESPACE.to_owned(), key: KEY.to_owned() }
}

impl Run<'_> {
    /// `scratch.keep(path)`: the file becomes an artifact.
    pub(crate) async fn scratch_keep(&self, call: &Call) -> Result<String, Fault> {
        let KeepArguments { path, body } = read(call, "scratch.keep(path)")?;
        let bytes = body.into_bytes()?;
        let owner = &self.grant.principal.name;
        json(&self.shared.store.put_artifact(owner, mime(&path, &bytes), &bytes).await?)
    }

    /// `scratch.save()`: the session has these files from now on, and no others.
    pub(crate) async fn scratch_save(&self, call: &Call) -> Result<String, Fault> {
        let SaveArguments { files } = read(call, "scratch.save()")?;
        let session = self.own_session()?;
        let found = self.shared.store.session(&self.grant.principal.name, session).await?;
        let ends_ms = found.row.ends_at_ms;
        self.shared.store.set_value(session, &name(), &json(&files)?, ends_ms).await?;
        Ok("null".to_owned())
    }

    /// `scratch.load()`: the files that the session has.
    pub(crate) async fn scratch_load(&self) -> Result<String, Fault> {
        let kept = self.shared.store.value(self.own_session()?, &name()).await?;
        let kept = kept.unwrap_or_else(|| "{}".to_owned());
        // A program can have set another value under this name.
        serde_json::from_str::<BTreeMap<String, Body>>(&kept)
            .map_err(|_other| Fault::invalid("what the session has are no files"))?;
        Ok(kept)
    }
}

#[cfg(test)]
mod tests {
    use super::mime;

    #[test]
    fn a_file_is_what_its_path_says_unless_it_is_not() {
        for (path, bytes, is) in [
            ("a.json", &b"[1, 2]"[..], "application/json"),
            ("a.json", b"[1, 2", "text/plain"),
            ("out/table.CSV", b"a,b", "text/csv"),
            ("a.png", b"\x89PNG", "image/png"),
            ("notes", b"text", "text/plain"),
            ("v1.2/data", b"\xff\xfe", "application/octet-stream"),
        ] {
            assert_eq!(mime(path, bytes), is, "{path}");
        }
    }
}
