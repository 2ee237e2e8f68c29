//! A program's scratch files, as `scratch.write(...)` and as Python's own files.

mod files;
mod os;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use monty::ReplFunctionCall;
use monty_types::{ExcType, ExtFunctionResult, MontyException, MontyObject, OsFunctionCall};
use narrows_types::{Limit, Limits};
use serde::{Deserialize, Serialize};
use serde_json::value::{RawValue, to_raw_value};
use serde_json::{Value, json};
use std::borrow::Cow;
use std::collections::BTreeMap;

use super::value::{self, Strange, Unfit};
use files::{Disk, Trouble};

/// The functions that give their results at once.
const NAMES: [&str; 7] = ["write", "append", "read", "bytes", "list", "exists", "delete"];

/// The functions that leave as calls.
const LEAVING: [&str; 3] = [KEEP, SAVE, LOAD];
const KEEP: &str = "keep";
const SAVE: &str = "save";
/// What comes back is put where the files are.
pub(super) const LOAD: &str = "load";

/// Whether there is such a function.
pub(super) fn has(name: &str) -> bool {
    leaves(name) || NAMES.contains(&name)
}

/// Whether it leaves as a call.
pub(super) fn leaves(name: &str) -> bool {
    LEAVING.contains(&name)
}

/// The files of one run.
#[derive(Debug)]
pub(super) struct Scratch {
    disk: Disk,
    value_bytes: u64,
}

fn heard<T: Into<ExtFunctionResult>>(
    result: Result<T, Trouble>,
) -> Result<ExtFunctionResult, Limit> {
    match result {
        Ok(value) => Ok(value.into()),
        Err(Trouble::Limit(limit)) => Err(limit),
        Err(Trouble::Raised(kind, message)) => Ok(MontyException::new(kind, Some(message)).into()),
    }
}

fn wrong(message: String) -> Trouble {
    Trouble::Raised(ExcType::TypeError, message)
}

impl Scratch {
    pub(super) fn new(limits: &Limits) -> Self {
        Self { disk: Disk::new(limits), value_bytes: limits.value_bytes }
    }

    /// Answers a call of the operating system that has to do with files.
    pub(super) fn os(&mut self, call: &OsFunctionCall) -> Option<Result<ExtFunctionResult, Limit>> {
        self.disk.os(call).map(heard)
    }

    /// Does what `scratch.name(...)` does.
    pub(super) fn call(
        &mut self,
        name: &str,
        call: &ReplFunctionCall,
    ) -> Result<ExtFunctionResult, Limit> {
        heard(self.answer(name, call))
    }

    /// The tool and the arguments of what leaves as a call.
    pub(super) fn leave(
        &self,
        name: &str,
        call: &ReplFunctionCall,
    ) -> Result<(String, Box<RawValue>), MontyException> {
        let args = self.leaving(name, call).and_then(|args| {
            let args = to_raw_value(&args).map_err(|why| wrong(why.to_string()))?;
            let most = self.value_bytes;
            if args.get().len() as u64 > most {
                let why = format!("scratch.{name}: the arguments are longer than {most} bytes");
                return Err(wrong(why));
            }
            Ok(args)
        });
        match args {
            Ok(args) => Ok((format!("scratch_{name}"), args)),
            Err(Trouble::Raised(kind, message)) => Err(MontyException::new(kind, Some(message))),
            Err(Trouble::Limit(limit)) => {
                Err(MontyException::new(ExcType::OSError, Some(format!("{limit} is reached"))))
            }
        }
    }

    fn leaving(&self, name: &str, call: &ReplFunctionCall) -> Result<Value, Trouble> {
        if name != KEEP {
            let [] = Self::arguments(name, call, [])?;
            let files =
                |(path, bytes): (&String, &Vec<u8>)| (path.clone(), json!(Saved::of(bytes)));
            let files: serde_json::Map<String, Value> = self.disk.all().map(files).collect();
            return Ok(if name == SAVE { json!({ "files": files }) } else { json!({}) });
        }
        let [given] = Self::arguments(name, call, ["path"])?;
        let path = Self::path(name, given)?;
        Ok(match Saved::of(self.disk.get(path)?) {
            Saved::Text(text) => json!({ "path": path, "text": text }),
            Saved::Base64(base64) => json!({ "path": path, "base64": base64 }),
        })
    }

    /// Takes what came back for `scratch.load()`.
    pub(super) fn load(&mut self, json: &str) -> Result<ExtFunctionResult, Limit> {
        let loaded = serde_json::from_str::<BTreeMap<String, Saved>>(json)
            .map_err(|why| wrong(format!("scratch.load: {why}")))
            .and_then(|files| {
                for (path, file) in &files {
                    let path = Disk::path(LOAD, path)?;
                    self.disk.put(path, &file.bytes()?, false)?;
                }
                let paths = files.into_keys().map(MontyObject::String);
                Ok(MontyObject::List(paths.collect()))
            });
        heard(loaded)
    }

    fn answer(&mut self, name: &str, call: &ReplFunctionCall) -> Result<MontyObject, Trouble> {
        match name {
            "write" | "append" => {
                let [given, data] = Self::arguments(name, call, ["path", "data"])?;
                let path = Self::path(name, given)?;
                let written = match data {
                    Some(MontyObject::String(text)) => {
                        self.disk.put(path, text.as_bytes(), name == "append")
                    }
                    Some(MontyObject::Bytes(bytes)) => self.disk.put(path, bytes, name == "append"),
                    other => {
                        let json = self.json(name, other)?;
                        self.disk.put(path, json.get().as_bytes(), name == "append")
                    }
                };
                written.map(|()| MontyObject::None)
            }
            "list" => {
                let [beginning] = Self::arguments(name, call, ["prefix"])?;
                let beginning = match beginning {
                    None | Some(MontyObject::None) => "",
                    Some(MontyObject::String(text)) => text.as_str(),
                    Some(other) => {
                        let got = other.type_name();
                        return Err(wrong(format!(
                            "scratch.list takes the beginning of paths, got {got}: scratch.list(\"out/\")"
                        )));
                    }
                };
                let found = self.disk.list(beginning).into_iter();
                let found = found.map(|path| MontyObject::String(path.to_owned()));
                Ok(MontyObject::List(found.collect()))
            }
            _ => {
                let [given] = Self::arguments(name, call, ["path"])?;
                let path = Self::path(name, given)?;
                self.at(name, path)
            }
        }
    }

    fn at(&mut self, name: &str, path: &str) -> Result<MontyObject, Trouble> {
        match name {
            "bytes" => Ok(MontyObject::Bytes(self.disk.get(path)?.to_vec())),
            "exists" => Ok(MontyObject::Bool(self.disk.kind(path) == Some(files::Kind::File))),
            "delete" => Ok(MontyObject::Bool(self.disk.remove(path).is_some())),
            _ => {
                let Ok(text) = str::from_utf8(self.disk.get(path)?) else {
                    let message =
                        format!("{path} is no text: read it by scratch.bytes(\"{path}\")");
                    return Err(Trouble::Raised(ExcType::ValueError, message));
                };
                Ok(MontyObject::String(text.to_owned()))
            }
        }
    }

    /// The arguments, by their places or their names.
    fn arguments<'c, const N: usize>(
        name: &str,
        call: &'c ReplFunctionCall,
        names: [&str; N],
    ) -> Result<[Option<&'c MontyObject>; N], Trouble> {
        let takes = || wrong(format!("scratch.{name} takes {}", names.join(" and ")));
        let mut found = [None; N];
        if call.args.len() > N {
            return Err(takes());
        }
        for (place, given) in found.iter_mut().zip(&call.args) {
            *place = Some(given);
        }
        for (key, value) in &call.kwargs {
            let named =
                |(_, name): &(_, &&str)| matches!(key, MontyObject::String(key) if key == *name);
            let place = found.iter_mut().zip(&names).find(named).map(|(place, _)| place);
            match place {
                Some(place) if place.is_none() => *place = Some(value),
                _ => return Err(takes()),
            }
        }
        Ok(found)
    }

    fn path<'g>(name: &str, given: Option<&'g MontyObject>) -> Result<&'g str, Trouble> {
        match given {
            Some(MontyObject::String(given) | MontyObject::Path(given)) => Disk::path(name, given),
            other => {
                let got = other.map_or("nothing", MontyObject::type_name);
                let message = format!(
                    "scratch.{name} takes a path, got {got}: scratch.{name}(\"notes.txt\")"
                );
                Err(wrong(message))
            }
        }
    }

    fn json(&self, name: &str, data: Option<&MontyObject>) -> Result<Box<RawValue>, Trouble> {
        match data {
            Some(data @ (MontyObject::Dict(_) | MontyObject::List(_) | MontyObject::Tuple(_))) => {
                let bytes_max = self.disk.disk_bytes().saturating_add(1);
                value::to_json(data, Strange::Refuse, bytes_max).map_err(|unfit| match unfit {
                    Unfit::TooLong => Trouble::Limit(Limit::DiskBytes),
                    Unfit::NotJson(why) => wrong(format!("scratch.{name}: {why}")),
                })
            }
            other => {
                let got = other.map_or("nothing", MontyObject::type_name);
                Err(wrong(format!(
                    "scratch.{name} takes text, bytes, a dict or a list, got {got}: \
                     scratch.{name}(\"notes.txt\", str(value))"
                )))
            }
        }
    }
}

/// A file as it leaves.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Saved {
    Text(String),
    Base64(String),
}

impl Saved {
    fn of(bytes: &[u8]) -> Self {
        match str::from_utf8(bytes) {
            Ok(text) => Self::Text(text.to_owned()),
            Err(_) => Self::Base64(BASE64_STANDARD.encode(bytes)),
        }
    }

    fn bytes(&self) -> Result<Cow<'_, [u8]>, Trouble> {
        match self {
            Self::Text(text) => Ok(Cow::Borrowed(text.as_bytes())),
            Self::Base64(text) => BASE64_STANDARD
                .decode(text)
                .map(Cow::Owned)
                .map_err(|why| wrong(format!("scratch.load: {why}"))),
        }
    }
}
