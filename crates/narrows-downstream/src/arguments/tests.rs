use super::*;
use narrows_types::Kind;

fn raw(text: &str) -> Box<RawValue> {
    RawValue::from_string(text.to_owned()).unwrap()
}

/// The program that is asked for.
fn asked(text: &str) -> RunAsk {
    run_alone(Some(&raw(text))).unwrap()
}

fn searched(text: &str) -> SearchAsk {
    match search(Some(&raw(text))).unwrap() {
        What::Search(ask) => ask,
        other => panic!("{other:?}"),
    }
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
    let ask = asked(
        r#"{"code":"return input","language":"py","input":{"a": 1.0},"timeout_ms":5,"output_bytes":9}"#,
    );
    assert_eq!(ask.code, "return input");
    assert_eq!(ask.language, Language::Python);
    assert_eq!(ask.input.unwrap().get(), r#"{"a": 1.0}"#, "byte for byte");
    assert_eq!((ask.timeout_ms, ask.output_bytes), (Some(5), Some(9)));
}

#[test]
fn what_is_left_out_or_null_has_its_default() {
    let ask = asked(r#"{"code":"1","language":null,"timeout_ms":null}"#);
    assert_eq!(ask.language, Language::TypeScript);
    assert!(ask.input.is_none());
    assert!(ask.timeout_ms.is_none());
    let ask = searched(r#"{"query":"send mail"}"#);
    assert_eq!(ask.queries, ["send mail"]);
    assert_eq!(ask.limit, LIMIT_DEFAULT);
    assert_eq!(ask.detail, Detail::Signatures);
}

#[test]
fn a_null_input_is_an_input() {
    let ask = asked(r#"{"code":"1","input":null}"#);
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
    let ask = searched(r#"{"query":["a","b"],"limit":3}"#);
    assert_eq!((ask.limit, ask.queries), (3, vec!["a".to_owned(), "b".to_owned()]));
}

#[test]
fn a_durable_run_is_read() {
    let ask = asked(r#"{"code":"1","session":"ses_x","background":true,"durability":"sync"}"#);
    assert_eq!(ask.session, Some(SessionId("ses_x".to_owned())));
    assert!(ask.background && !ask.follow);
    assert_eq!(ask.durability, Some(Durability::Sync));
    assert!(
        run_error(r#"{"code":"1","background":"yes"}"#)
            .contains("`background` must be true or false")
    );
    assert!(run_error(r#"{"code":"1","durability":"maybe"}"#).contains("\"sync\""));
}

#[test]
fn a_run_goes_on_with_answers() {
    let what = run(Some(&raw(
        r#"{"resume":"run_x","answers":[{"id":"q1","content":{"ok":true}},{"id":"q2","action":"decline"}]}"#,
    )));
    let Ok(What::Resume { run: id, answers, background: false }) = what else { panic!("{what:?}") };
    assert_eq!((id.as_str(), answers.len()), ("run_x", 2));
    assert_eq!(answers[0].content.as_ref().unwrap().get(), r#"{"ok":true}"#);
    assert_eq!(answers[1].action, narrows_types::durable::Action::Decline);
    let what = run(Some(&raw(r#"{"resume":"run_x","answer":null,"background":true}"#)));
    let Ok(What::Resume { answers, background: true, .. }) = what else { panic!("{what:?}") };
    assert_eq!((answers[0].id.as_str(), answers[0].content.as_ref().unwrap().get()), ("", "null"));
    assert!(matches!(run(Some(&raw(r#"{"resume":"run_x"}"#))),
        Ok(What::Resume { answers, .. }) if answers.is_empty()));
    for (text, said) in [
        (r#"{"answer":1}"#, "answers without `resume`"),
        (r#"{"resume":"run_x","code":"1"}"#, "`code` does not go with `resume`"),
        (r#"{"resume":"run_x","answer":1,"answers":[]}"#, "exclude each other"),
        (r#"{"resume":"run_x","answers":[{"ident":"q1"}]}"#, "an array of {id"),
        (r#"{"resume":7}"#, "the handle of a run"),
    ] {
        let error = run_error(text);
        assert!(error.contains(said), "{text}: {error}");
    }
    assert!(run_alone(Some(&raw(r#"{"resume":"run_x"}"#))).is_err());
}

#[test]
fn handles_are_looked_up_and_words_are_searched() {
    let job = "job_abcdefghij0123456789";
    for text in [format!(r#"{{"job":"{job}"}}"#), format!(r#"{{"query":" {job} "}}"#)] {
        let what = search(Some(&raw(&text)));
        let Ok(What::Jobs(JobsAsk::Show { job: found, wait_ms })) = what else {
            panic!("{text}: {what:?}")
        };
        assert_eq!((found.as_str(), wait_ms), (job, 10_000));
    }
    let what = search(Some(&raw(r#"{"job":"run_abcdefghij0123456789"}"#)));
    assert!(matches!(what, Ok(What::Runs(RunsAsk::Show { .. }))), "{what:?}");
    for words in ["job_list", "run_tests in the project", "job_abcdefghij012345678_"] {
        assert_eq!(searched(&format!(r#"{{"query":"{words}"}}"#)).queries, [words]);
    }
    assert!(search_error(r#"{"job":"art_x"}"#).contains("job_... or run_..."));
}
