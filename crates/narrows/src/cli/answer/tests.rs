use super::*;
use narrows_types::AskedKind;
use serde_json::json;

fn asked(id: &str, schema: &Value) -> Asked {
    Asked {
        id: id.to_owned(),
        kind: AskedKind::Ask,
        about: String::new(),
        message: "which?".to_owned(),
        schema: RawValue::from_string(schema.to_string()).ok(),
    }
}

fn branch(id: &str) -> Asked {
    let properties = json!({"branch": {"type": "string", "enum": ["main", "next"]}});
    asked(id, &json!({"type": "object", "properties": properties, "required": ["branch"]}))
}

fn push(id: &str) -> Asked {
    let properties = json!({"remote": {"type": "string"}, "force": {"type": "boolean"}});
    asked(id, &json!({"type": "object", "properties": properties}))
}

fn said(questions: &[Asked], words: &[&str]) -> Result<Vec<(String, Value)>, String> {
    let words: Vec<String> = words.iter().map(|&word| word.to_owned()).collect();
    let answers = given(questions, &words).map_err(|fail| fail.to_string())?;
    let content = |answer: &Response| answer.content.as_ref().unwrap().get().to_owned();
    let each = answers.iter().map(|a| (a.id.clone(), serde_json::from_str(&content(a)).unwrap()));
    Ok(each.collect())
}

#[test]
fn one_open_question_needs_no_id() {
    let one = [branch("q1")];
    let right = Ok(vec![("q1".to_owned(), json!({"branch": "main"}))]);
    for words in ["main", "q1=main", "q1.branch=main", r#"{"branch": "main"}"#] {
        assert_eq!(said(&one, &[words]), right, "{words}");
    }
    assert!(said(&one, &["other"]).unwrap_err().contains("must be one of main, next"));
    assert!(said(&one, &["main", "next"]).unwrap_err().contains("answered twice"));
    assert!(said(&[], &["main"]).unwrap_err().contains("waits for no answer"));
}

#[test]
fn several_questions_are_told_apart() {
    let two = [branch("q1"), push("q2")];
    assert_eq!(
        said(&two, &["q2.remote=7", "q1=next", "q2.force=no"]),
        Ok(vec![
            ("q2".to_owned(), json!({"remote": "7", "force": false})),
            ("q1".to_owned(), json!({"branch": "next"})),
        ])
    );
    assert!(said(&two, &["main"]).unwrap_err().contains("open are q1, q2"));
    assert!(said(&two, &["q2.colour=red"]).unwrap_err().contains("asks for no `colour`"));
}

#[test]
fn a_question_without_a_schema_takes_anything() {
    let free = [Asked { schema: None, ..branch("q1") }];
    assert_eq!(said(&free, &["[1, 2]"]), Ok(vec![("q1".to_owned(), json!([1, 2]))]));
    assert_eq!(said(&free, &["a=b"]), Ok(vec![("q1".to_owned(), json!("a=b"))]));
}

#[test]
fn no_is_said_to_all_or_to_some() {
    let two = [branch("q1"), push("q2")];
    let all = refusals(&two, &[], true).unwrap();
    assert_eq!(all.iter().map(|a| a.action).collect::<Vec<_>>(), [Action::Decline; 2]);
    let one = refusals(&two, &["q2".to_owned()], false).unwrap();
    assert_eq!((one.len(), one[0].id.as_str(), one[0].action), (1, "q2", Action::Cancel));
    assert!(refusals(&two, &["q3".to_owned()], true).is_err());
}

#[test]
fn a_prompt_shows_choices_and_the_default() {
    let fields = Field::all(&branch("q1"));
    assert_eq!((fields[0].prompt().as_str(), fields[0].required), ("branch (main, next)", true));
    let schema =
        json!({"properties": {"n": {"type": "integer", "title": "How many", "default": 3}}});
    let fields = Field::all(&asked("q1", &schema));
    assert_eq!(fields[0].prompt(), "How many [3]");
    assert_eq!((fields[0].read("4"), fields[0].read("4.5").is_err()), (Ok(json!(4)), true));
}

#[test]
fn consent_is_given_and_refused_in_a_word() {
    let asks = [asked("q1", &json!({"type": "object", "properties": {}}))];
    for (word, action) in
        [("yes", Action::Accept), ("true", Action::Accept), ("no", Action::Decline)]
    {
        let answers = given(&asks, &[word.to_owned()]).unwrap();
        assert_eq!(answers[0].action, action, "{word}");
    }
}
