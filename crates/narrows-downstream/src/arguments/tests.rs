use super::*;
use narrows_types::Kind;

fn raw(text: &str) -> Box<RawValue> {
    RawValue::from_string(text.to_owned()).unwrap()
}

fn run_error(text: &str) -> String {
    let fault = run(Some(&raw(text))).unwrap_err();
    assert_eq!(fault.kind, Kind::Invalid);
    fault.to_string()
}

fn search_error(text: &str) -> String {
    search(Some(&raw(text))).unwrap_err().to_string()
}

#[test]
fn a_full_run_is_read() {
    let ask = run(Some(&raw(
        r#"{"code":"return input","language":"py","input":{"a": 1.0},"timeout_ms":5,"output_bytes":9}"#,
    )))
    .unwrap();
    assert_eq!(ask.code, "return input");
    assert_eq!(ask.language, Language::Python);
    assert_eq!(ask.input.unwrap().get(), r#"{"a": 1.0}"#, "byte for byte");
    assert_eq!((ask.timeout_ms, ask.output_bytes), (Some(5), Some(9)));
}

#[test]
fn what_is_left_out_or_null_has_its_default() {
    let ask = run(Some(&raw(r#"{"code":"1","language":null,"timeout_ms":null}"#))).unwrap();
    assert_eq!(ask.language, Language::TypeScript);
    assert!(ask.input.is_none());
    assert!(ask.timeout_ms.is_none());
    let ask = search(Some(&raw(r#"{"query":"send mail"}"#))).unwrap();
    assert_eq!(ask.queries, ["send mail"]);
    assert_eq!(ask.limit, LIMIT_DEFAULT);
    assert_eq!(ask.detail, Detail::Signatures);
}

#[test]
fn a_null_input_is_an_input() {
    let ask = run(Some(&raw(r#"{"code":"1","input":null}"#))).unwrap();
    assert_eq!(ask.input.unwrap().get(), "null");
}

#[test]
fn mistakes_of_run_are_named() {
    assert_eq!(run(None).unwrap_err().to_string(), format!("`code` is missing; {RUN_SHAPE}"));
    assert!(run_error("[]").starts_with("the arguments of run are not an object; run takes {code"));
    assert!(run_error(r#"{"code":7}"#).starts_with("`code` must be a string, not 7"));
    assert!(run_error(r#"{"cod":"1"}"#).starts_with("run takes no `cod`; did you mean `code`?"));
    assert!(run_error(r#"{"code":"1","timeoutMs":1}"#).contains("did you mean `timeout_ms`?"));
    assert!(
        run_error(r#"{"code":"1","zzzzzz":1}"#).starts_with("run takes no `zzzzzz`; run takes")
    );
    assert!(run_error(r#"{"code":"1","language":"ruby"}"#).contains(r#"not "ruby""#));
    for bad in ["-1", "0", "1.5", r#""5""#, "true"] {
        let error = run_error(&format!(r#"{{"code":"1","timeout_ms":{bad}}}"#));
        assert!(error.contains("at least 1"), "{bad}: {error}");
    }
}

#[test]
fn mistakes_of_search_are_named() {
    assert!(search_error("{}").starts_with("`query` is missing"));
    assert!(search_error(r#"{"query":3}"#).contains("a string or an array of strings, not 3"));
    assert!(search_error(r#"{"queries":"x"}"#).contains("did you mean `query`?"));
    assert!(search_error(r#"{"query":"x","detail":"all"}"#).contains("\"full\""));
}

#[test]
fn a_hostile_key_does_not_flood_the_error() {
    let key = "k".repeat(100_000);
    let error = run_error(&format!(r#"{{"code":"1","{key}":1}}"#));
    assert!(error.len() <= narrows_types::fault::FAULT_BYTES_MAX + 2, "{}", error.len());
}

#[test]
fn several_queries_and_a_limit() {
    let ask = search(Some(&raw(r#"{"query":["a","b"],"limit":3}"#))).unwrap();
    assert_eq!((ask.limit, ask.queries), (3, vec!["a".to_owned(), "b".to_owned()]));
}
