use super::{Broken, Edit, edit, elements, get, get_text, members, quoted, text};
use proptest::prelude::*;
use serde_json::value::RawValue;
use serde_json::{Map, Value, json};
use std::borrow::Cow;

#[test]
fn members_are_found_whatever_is_between_them() {
    let object = " {\n\"a\" : [1, {\"b\":\"]}\\\"\"}] ,\t\"\\u0062\":-1.50e3,\"c\":\"x\\\\\"\r\n} ";
    let read: Vec<_> = members(object).map(|m| m.unwrap()).collect();
    let read: Vec<_> = read.iter().map(|m| (m.key.as_ref(), m.value)).collect();
    let expected = [("a", "[1, {\"b\":\"]}\\\"\"}]"), ("b", "-1.50e3"), ("c", "\"x\\\\\"")];
    assert_eq!(read, expected);
    assert_eq!(members("{}").count(), 0);
    assert_eq!(members(" { } ").count(), 0);
    let items: Vec<_> = elements("[ 1 ,\"a,]\", {\"x\":[]} ]").map(|e| e.unwrap()).collect();
    assert_eq!(items, ["1", "\"a,]\"", "{\"x\":[]}"]);
}

#[test]
fn of_two_with_one_key_the_last_counts() {
    assert_eq!(get(r#"{"a":1,"b":2,"\u0061":3}"#, "a"), Some("3"));
    assert_eq!(get("{\"a\":1}", "b"), None);
    assert_eq!(get_text(r#"{"a":"\u00e9\n"}"#, "a").as_deref(), Some("\u{e9}\n"));
    assert_eq!(get_text("{\"a\":1}", "a"), None);
}

#[test]
fn what_is_no_object_is_told() {
    for broken in [
        "",
        " ",
        "[]",
        "1",
        "{",
        "{\"a\"",
        "{\"a\":",
        "{\"a\":1",
        "{\"a\":1,}",
        "{,}",
        "{\"a\" 1}",
        "{\"a\":}",
        "{\"a\":1}}",
        "{\"a\":1}x",
        "{\"a\\",
        "{\"a\":\"\\",
        "{\"a\":]}",
        "{a:1}",
        "{\"a\":1 \"b\":2}",
    ] {
        assert!(members(broken).any(|m| m == Err(Broken)), "{broken}");
        assert_eq!(edit(broken, &[]), Err(Broken), "{broken}");
    }
}

#[test]
fn what_is_not_changed_keeps_every_byte() {
    let object = r#"{ "a" : 1.50 , "b":[ ] ,"c":"\u00e9", "d":{} }"#;
    let change = |edits: &[Edit<'_>]| edit(object, edits).unwrap();
    assert!(matches!(change(&[]), Cow::Borrowed(same) if same == object));
    assert!(matches!(change(&[Edit::Remove("x"), Edit::Default("a", "2")]), Cow::Borrowed(_)));
    assert!(matches!(change(&[Edit::Set("a", "1.50")]), Cow::Borrowed(_)));
    assert_eq!(change(&[Edit::Set("b", "\"n\"")]), r#"{"a" : 1.50,"b":"n","c":"\u00e9", "d":{}}"#);
    assert_eq!(change(&[Edit::Remove("a")]), r#"{"b":[ ] ,"c":"\u00e9", "d":{}}"#);
    assert_eq!(change(&[Edit::Remove("d"), Edit::Remove("b")]), r#"{"a" : 1.50,"c":"\u00e9"}"#);
    assert_eq!(
        change(&[Edit::Default("e", "5"), Edit::Set("f", "6")]),
        r#"{"a" : 1.50 , "b":[ ] ,"c":"\u00e9", "d":{},"e":5,"f":6}"#
    );
    assert_eq!(edit("{}", &[Edit::Set("a\"", "1")]).unwrap(), "{\"a\\\"\":1}");
    assert_eq!(edit("{\"a\":1}", &[Edit::Remove("a")]).unwrap(), "{}");
    assert_eq!(edit(r#"{"a":1,"b":0,"a":2}"#, &[Edit::Set("a", "3")]).unwrap(), r#"{"a":3,"b":0}"#);
    assert_eq!(edit(r#"{"a":1,"b":0,"a":2}"#, &[Edit::Remove("a")]).unwrap(), r#"{"b":0}"#);
}

fn any_value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<i32>().prop_map(|n| Value::from(f64::from(n) / 8.0)),
        any::<String>().prop_map(Value::from),
        "[\\\\\"{}\\[\\],: ]{0,8}".prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 48, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            prop::collection::vec((any_key(), inner), 0..6)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

fn any_key() -> impl Strategy<Value = String> {
    prop_oneof!["[ab\"\\\\]{0,2}", any::<String>()]
}

/// An object with members of which some may have the same key.
fn any_object() -> impl Strategy<Value = (Vec<(String, Value)>, String)> {
    let blanks = || prop_oneof![Just(""), Just(" "), Just("\n\t"), Just("\r\n ")];
    let member = (any_key(), any_value(), blanks(), blanks(), any::<bool>());
    prop::collection::vec(member, 0..6).prop_map(|members| {
        let mut json = String::from("{");
        for (at, (key, value, before, after, pretty)) in members.iter().enumerate() {
            let comma = if at == 0 { "" } else { "," };
            let (key, value) = (
                quoted(key),
                if *pretty {
                    serde_json::to_string_pretty(value).unwrap()
                } else {
                    value.to_string()
                },
            );
            json.extend([comma, before, &key, after, ":", before, &value, after]);
        }
        json.push('}');
        (members.into_iter().map(|(key, value, ..)| (key, value)).collect(), json)
    })
}

proptest! {
    #[test]
    fn members_are_those_that_serde_reads((expected, json) in any_object()) {
        let read: Vec<_> = members(&json).map(|m| m.unwrap()).collect();
        prop_assert_eq!(read.len(), expected.len());
        for (member, (key, value)) in read.iter().zip(&expected) {
            prop_assert_eq!(member.key.as_ref(), key.as_str());
            prop_assert_eq!(&serde_json::from_str::<Value>(member.value).unwrap(), value);
        }
        let whole: Map<String, Value> = serde_json::from_str(&json).unwrap();
        for (key, value) in &whole {
            let ours: Value = serde_json::from_str(get(&json, key).unwrap()).unwrap();
            prop_assert_eq!(&ours, value);
        }
    }

    #[test]
    fn a_change_is_that_of_the_value((_, json) in any_object(), a in any_key(), b in any_key(),
        c in any_key(), new in any_value()) {
        prop_assume!(a != b && b != c && a != c);
        let new = new.to_string();
        let edits = [Edit::Set(&a, &new), Edit::Remove(&b), Edit::Default(&c, &new)];
        let changed = edit(&json, &edits).unwrap();
        let mut whole: Map<String, Value> = serde_json::from_str(&json).unwrap();
        let new: Value = serde_json::from_str(&new).unwrap();
        whole.insert(a.clone(), new.clone());
        whole.shift_remove(&b);
        whole.entry(c.as_str()).or_insert(new);
        let ours: Map<String, Value> = serde_json::from_str(&changed).unwrap();
        prop_assert_eq!(&ours, &whole);
        let times = members(&changed).filter(|m| m.as_ref().unwrap().key == a).count();
        prop_assert_eq!(times, 1);
    }

    #[test]
    fn elements_are_those_that_serde_reads(list in prop::collection::vec(any_value(), 0..6)) {
        for json in [json!(list).to_string(), serde_json::to_string_pretty(&list).unwrap()] {
            let raw: Vec<&RawValue> = serde_json::from_str(&json).unwrap();
            let ours: Vec<_> = elements(&json).map(|e| e.unwrap()).collect();
            prop_assert_eq!(ours, raw.iter().map(|r| r.get()).collect::<Vec<_>>());
        }
    }

    #[test]
    fn nothing_makes_it_panic(json in "[{}\\[\\]\":, \\\\a1\u{e9}]{0,24}") {
        for member in members(&json).chain(members(&format!("{{\"a\":{json}"))).flatten() {
            prop_assert!(member.value.len() <= json.len() + 5);
        }
        prop_assert!(elements(&json).count() <= json.len() + 1);
        let _changed = edit(&json, &[Edit::Set("a", "1"), Edit::Remove("1")]);
        let _text = text(&json);
    }

    #[test]
    fn texts_survive(any in any::<String>()) {
        let json = quoted(&any);
        prop_assert_eq!(text(&json).unwrap(), any.as_str());
        prop_assert_eq!(serde_json::from_str::<String>(&json).unwrap(), any);
    }
}
