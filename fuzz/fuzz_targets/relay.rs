//! What is passed on is changed as text only where it is to be, whatever the text is.
#![no_main]

use libfuzzer_sys::fuzz_target;
use narrows_protocol::Revision;
use narrows_protocol::relay::{Keep, Onward, Subject, params_onward, to_legacy, to_modern};
use narrows_protocol::rounds::{InputRequired, Retry, digest};
use narrows_protocol::seal::Seal;
use narrows_types::raw::{self, Edit};
use serde_json::{Map, Value};

fuzz_target!(|data: &[u8]| {
    let Ok(text) = std::str::from_utf8(data) else { return };
    // Text that is no JSON must not make anything panic.
    let _items = raw::elements(text).count();
    let _edited = raw::edit(text, &[Edit::Set("a", "1"), Edit::Remove("b")]);
    let seal = Seal::new([7; 32], &[]);
    assert!(seal.open("fuzz", &[], 0, text).is_err());
    let onward = Onward {
        subject: Some((Subject::Member("name"), "n")),
        revision: Revision::LATEST,
        capabilities: "{}",
        info: None,
        log_level: None,
        progress_token: "1",
        span: Some(5),
        baggage: false,
        added: &[],
    };
    let written = params_onward(text, &onward);
    let (modern, legacy) =
        (to_modern(text, Some("{}"), Some(Keep { ttl_ms: 1, private: true })), to_legacy(text));
    let _questions = InputRequired::read(text).map(|asks| asks.write());
    let _retry = Retry::read(text);
    let _digest = digest("tools/call", text);
    // Text that is an object is changed as the object is.
    let Ok(whole) = serde_json::from_str::<Map<String, Value>>(text) else { return };
    let read = |text: &str| serde_json::from_str::<Map<String, Value>>(text).unwrap();
    let members: Vec<_> = raw::members(text).map(Result::unwrap).collect();
    for (key, value) in &whole {
        let last = members.iter().rev().find(|member| member.key == *key).unwrap();
        assert_eq!(&serde_json::from_str::<Value>(last.value).unwrap(), value);
    }
    let modern = read(&modern.unwrap());
    assert!(modern.contains_key("resultType"));
    let legacy = read(&legacy.unwrap());
    assert!(!legacy.contains_key("resultType") && !legacy.contains_key("ttlMs"));
    if whole.get("_meta").is_none_or(Value::is_object) {
        assert_eq!(read(&written.unwrap())["name"], "n");
    }
});
