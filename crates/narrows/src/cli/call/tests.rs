use super::arguments;

fn given(words: &[&str]) -> Result<String, String> {
    let words: Vec<String> = words.iter().map(|&w| w.to_owned()).collect();
    arguments(&words).map(|raw| raw.get().to_owned()).map_err(|f| f.to_string())
}

#[test]
fn arguments_are_an_object_or_pairs() {
    assert_eq!(given(&[]).unwrap(), "{}");
    assert_eq!(given(&[r#" {"a": 1} "#]).unwrap(), r#"{"a": 1}"#);
    assert_eq!(given(&["a=1", "b:=1", "c=x=y"]).unwrap(), r#"{"a":"1","b":1,"c":"x=y"}"#);
    // Numbers keep every digit.
    assert_eq!(
        given(&[r#"{"n":12345678901234567890123}"#]).unwrap(),
        r#"{"n":12345678901234567890123}"#
    );
}

#[test]
fn wrong_arguments_are_told_apart() {
    let hint = "; the forms are one JSON object, KEY=VALUE (text) and KEY:=JSON";
    assert_eq!(given(&["abc"]).unwrap_err(), format!("`abc` is no argument{hint}"));
    assert!(given(&["a:=x"]).unwrap_err().starts_with("`a:=x` holds no JSON: expected value"));
    assert!(given(&["{a}"]).unwrap_err().starts_with("`{a}` is no JSON object: "));
    assert!(given(&["a=1", "a=2"]).unwrap_err().starts_with("`a=2` names no key, or one"));
}
