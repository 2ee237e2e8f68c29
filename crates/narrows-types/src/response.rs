//! A bare value as the answer to a question.

use crate::durable::{Action, Asked, Response};
use crate::raw;
use serde_json::value::RawValue;

impl Response {
    /// Reads a bare value as what it stands for: the only member that the question's schema wants,
    /// or, where it wants none, consent (`true`, `"yes"`) or refusal (`false`, `"no"`, `null`). An
    /// object stays as it is, and so does what stands for nothing.
    pub fn settle(&mut self, asked: &Asked) {
        let Some(content) = self.content.as_deref().map(RawValue::get) else { return };
        if self.action != Action::Accept || content.starts_with('{') {
            return;
        }
        let schema = asked.schema.as_deref().map_or("{}", RawValue::get);
        let properties = raw::get(schema, "properties").unwrap_or("{}");
        let names: Vec<_> = raw::members(properties).map_while(Result::ok).map(|m| m.key).collect();
        let required = raw::get(schema, "required").unwrap_or("[]");
        let required: Vec<_> =
            raw::elements(required).map_while(Result::ok).filter_map(raw::text).collect();
        let only = match (names.as_slice(), required.as_slice()) {
            ([], _) => return self.consent(),
            ([name], _) | (_, [name]) => name,
            _ => return,
        };
        let object = format!("{{{}:{content}}}", raw::quoted(only));
        self.content = RawValue::from_string(object).ok();
    }

    fn consent(&mut self) {
        match self.content.as_deref().map(RawValue::get) {
            Some("true" | r#""yes""# | r#""true""#) => {
                self.content = RawValue::from_string("{}".to_owned()).ok();
            }
            Some("false" | r#""no""# | r#""false""# | "null") => {
                self.action = Action::Decline;
                self.content = None;
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::durable::AskedKind;

    fn settled(schema: &str, content: &str) -> (Action, Option<String>) {
        let raw = |text: &str| RawValue::from_string(text.to_owned()).unwrap();
        let asked = Asked {
            id: "q1".to_owned(),
            kind: AskedKind::Ask,
            about: String::new(),
            message: "?".to_owned(),
            schema: Some(raw(schema)),
        };
        let (id, content) = (String::new(), Some(raw(content)));
        let mut response = Response { id, action: Action::Accept, content, by_agent: false };
        response.settle(&asked);
        (response.action, response.content.map(|content| content.get().to_owned()))
    }

    #[test]
    fn a_bare_value_is_the_only_member() {
        let one = r#"{"type":"object","properties":{"a b":{"type":"boolean"}}}"#;
        let accepted = |text: &str| (Action::Accept, Some(text.to_owned()));
        assert_eq!(settled(one, "false"), accepted(r#"{"a b":false}"#));
        assert_eq!(settled(one, r#"{"x":1}"#), accepted(r#"{"x":1}"#));
        let two = r#"{"properties":{"choice":{},"value":{}},"required":["choice"]}"#;
        assert_eq!(settled(two, r#""retry""#), accepted(r#"{"choice":"retry"}"#));
        let either = r#"{"properties":{"a":{},"b":{}}}"#;
        assert_eq!(settled(either, "1"), accepted("1"));
    }

    #[test]
    fn where_nothing_is_asked_for_it_is_consent_or_none() {
        let none = r#"{"type":"object","properties":{}}"#;
        assert_eq!(settled(none, "true"), (Action::Accept, Some("{}".to_owned())));
        for no in ["false", r#""no""#, "null"] {
            assert_eq!(settled(none, no), (Action::Decline, None), "{no}");
        }
        assert_eq!(
            settled(none, r#""perhaps""#),
            (Action::Accept, Some(r#""perhaps""#.to_owned()))
        );
    }
}
