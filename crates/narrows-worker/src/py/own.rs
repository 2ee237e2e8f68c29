//! What Narrows itself answers: how a program calls it, and what leaves.

use monty::ReplFunctionCall;
use monty_types::{ExcType, MontyException, MontyObject};
use serde_json::value::RawValue;

use super::calls::refused;
use super::value;

/// One built-in that leaves as a call.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Own {
    /// Its name for the host.
    pub(super) tool: &'static str,
    /// Its name for the program.
    shown: &'static str,
    /// Arguments that may stand without their names; all but `optional` must be given.
    positional: &'static [&'static str],
    /// Which of them may be left out.
    optional: usize,
    /// What else there is.
    keywords: &'static [&'static str],
}

const fn own(
    (tool, shown): (&'static str, &'static str),
    positional: &'static [&'static str],
    optional: usize,
    keywords: &'static [&'static str],
) -> Own {
    Own { tool, shown, positional, optional, keywords }
}

const ALL: [Own; 7] = [
    own(("search", "search"), &["query"], 0, &["server", "limit", "detail", "language"]),
    own(("artifact", "artifact"), &["handle"], 0, &[]),
    own(("ask", "ask"), &["question", "schema"], 1, &[]),
    own(("session_get", "session.get"), &["key"], 0, &["namespace"]),
    own(("session_set", "session.set"), &["key", "value"], 0, &["namespace", "ttl_s"]),
    own(("session_delete", "session.delete"), &["key"], 0, &["namespace"]),
    own(("session_list", "session.list"), &[], 0, &["namespace", "prefix"]),
];

/// The functions that are names of their own.
pub(super) const FUNCTIONS: [&str; 3] = ["search", "artifact", "ask"];

/// The built-in that the program means by a name.
pub(super) fn find(shown: &str) -> Option<&'static Own> {
    ALL.iter().find(|own| own.shown == shown)
}

impl Own {
    /// The arguments of a call.
    pub(super) fn arguments(
        &self,
        call: &ReplFunctionCall,
        bytes_max: u64,
    ) -> Result<Box<RawValue>, MontyException> {
        let wrong = |why: &str| {
            let message = format!("{} {why}: write {}", self.shown, self.example());
            MontyException::new(ExcType::TypeError, Some(message))
        };
        let few = self.positional.len();
        if call.args.len() > few {
            return Err(self.too_many());
        }
        let named = |name: &str| MontyObject::String(name.to_owned());
        let first = self.positional.iter().zip(&call.args);
        let mut arguments: Vec<(MontyObject, MontyObject)> =
            first.map(|(name, value)| (named(name), value.clone())).collect();
        for (key, value) in &call.kwargs {
            let known = |name: &&&str| matches!(key, MontyObject::String(key) if key == **name);
            let Some(name) = self.positional.iter().chain(self.keywords).find(known) else {
                return Err(wrong(&format!("has no argument {key}")));
            };
            if arguments.iter().any(|(other, _)| *other == named(name)) {
                return Err(wrong(&format!("got {name} twice")));
            }
            // None stands for an argument that is left out, but it is a value like others.
            if *name == "value" || *value != MontyObject::None {
                arguments.push((key.clone(), value.clone()));
            }
        }
        for name in self.positional.iter().take(few - self.optional) {
            match arguments.iter().find(|(key, _)| *key == named(name)) {
                None => return Err(wrong(&format!("misses {name}"))),
                Some((_, MontyObject::String(_))) => {}
                Some(_) if ["key", "question"].contains(name) => {
                    return Err(wrong(&format!("takes a str as {name}")));
                }
                Some(_) => {}
            }
        }
        arguments.retain(|(key, value)| *key == named("value") || *value != MontyObject::None);
        value::arguments_to_json(&arguments, bytes_max)
            .map_err(|unfit| refused(self.shown, &unfit, bytes_max))
    }

    fn too_many(&self) -> MontyException {
        let names = self.positional.join(", ");
        let takes = match self.positional.len() {
            0 => format!("keyword arguments: {}", self.keywords.join(", ")),
            1 => format!("one positional argument: {names}"),
            few => format!("{few} positional arguments: {names}"),
        };
        let message = format!("{} takes {takes}", self.shown);
        MontyException::new(ExcType::TypeError, Some(message))
    }

    /// How it is called.
    fn example(&self) -> String {
        let needed = self.positional.iter().take(self.positional.len() - self.optional);
        let needed: Vec<String> = needed
            .map(|name| if *name == "value" { (*name).to_owned() } else { format!("\"{name}\"") })
            .collect();
        format!("{}({})", self.shown, needed.join(", "))
    }
}
