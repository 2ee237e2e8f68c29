use crate::{Catalog, Observations, Shape};
use narrows_types::{
    Argument, Language, Literal, Position, Reference, ServerListing, ToolSpec, Uses,
};
use serde_json::{Value, json};
use std::sync::Arc;

fn catalog() -> Catalog {
    let schema = json!({
        "type": "object",
        "properties": {
            "owner": {"type": "string"},
            "repo": {"type": "string"},
            "state": {"enum": ["open", "closed"]},
            "count": {"$ref": "#/$defs/count"},
        },
        "required": ["owner", "repo"],
        "$defs": {"count": {"type": "integer", "minimum": 1}},
    });
    let tool = |name: &str, schema: &Value| {
        let value = json!({"name": name, "inputSchema": schema});
        Arc::new(serde_json::from_value::<ToolSpec>(value).unwrap())
    };
    let open = json!({"type": "object", "properties": {"a": {}}, "additionalProperties": true});
    let tools = vec![
        tool("list_issues", &schema),
        tool("get-me", &json!({"type": "object"})),
        tool("any", &open),
    ];
    let github = ServerListing { server: "github".to_owned(), tools, ..ServerListing::default() };
    let later = ServerListing { server: "my-store".to_owned(), ..ServerListing::default() };
    Catalog::build(vec![github, later], &Observations::default())
}

fn at(column: u32) -> Position {
    Position { line: 1, column }
}

fn object(value: &Value) -> Argument {
    Argument { keyword: None, value: Literal::Known(value.clone()), at: at(20) }
}

fn keyword(name: &str, value: Value) -> Argument {
    Argument { keyword: Some(name.to_owned()), value: Literal::Known(value), at: at(30) }
}

fn found(
    root: &str,
    path: &[&str],
    arguments: Option<Vec<Argument>>,
    language: Language,
) -> Vec<String> {
    let reference = Reference {
        root: root.to_owned(),
        path: path.iter().map(|p| (*p).to_owned()).collect(),
        at: at(1),
        arguments,
        guarded: false,
    };
    let uses = Uses { references: vec![reference], findings: Vec::new() };
    catalog().check(&uses, language).findings.into_iter().map(|f| f.message).collect()
}

fn call(arguments: Vec<Argument>) -> Vec<String> {
    found("github", &["list_issues"], Some(arguments), Language::TypeScript)
}

#[test]
fn unknown_names_come_with_the_nearest() {
    let ts = Language::TypeScript;
    insta::assert_debug_snapshot!(found("githb", &["list_issues"], None, ts), @r#"
    [
        "githb is not defined; did you mean github?",
    ]
    "#);
    insta::assert_debug_snapshot!(found("fetch", &[], None, ts), @r#"
    [
        "fetch is not defined; servers: github, my_store",
    ]
    "#);
    insta::assert_debug_snapshot!(found("github", &["list_isues"], None, ts), @r#"
    [
        "github.list_isues does not exist; nearest: github.list_issues(owner, repo, state?, count?)",
    ]
    "#);
    assert!(found("github", &["get_me"], Some(vec![]), ts).is_empty());
    assert!(found("github", &["get-me"], Some(vec![]), ts).is_empty());
    assert!(found("my_store", &["whatever"], Some(vec![]), ts).is_empty(), "not listed yet");
}

#[test]
fn built_ins_are_known_unless_a_server_has_their_name() {
    let found = |root: &str, path: &[&str], called: bool| {
        found(root, path, called.then(Vec::new), Language::Python)
    };
    for (root, path, called) in [
        ("ask", &[] as &[&str], true),
        ("ask", &[], false),
        ("ask", &["bind"], true),
        ("session", &[], false),
        ("session", &["get"], true),
        ("session", &["list"], false),
        ("scratch", &["write"], true),
        ("scratch", &[], false),
    ] {
        assert_eq!(found(root, path, called), [] as [&str; 0], "{root} {path:?}");
    }
    for (root, path, said) in [
        (
            "session",
            &["put"] as &[&str],
            "session.put does not exist; it has get, set, delete and list",
        ),
        ("session", &[], "session is no function; it has get, set, delete and list"),
        (
            "scratch",
            &["open"],
            "scratch.open does not exist; it has write, append, read, bytes, list, exists, delete, \
             keep, save and load",
        ),
        ("ask", &["user"], "ask is a function: write ask(\"question\")"),
    ] {
        assert_eq!(found(root, path, true), [said]);
    }
    let named = |name: &str| ServerListing {
        server: name.to_owned(),
        ..listing(vec![spec("put", &json!({}))])
    };
    let catalog = Catalog::build(vec![named("session"), named("ask")], &Observations::default());
    let reference = |root: &str, member: &str| Reference {
        root: root.to_owned(),
        path: vec![member.to_owned()],
        at: at(1),
        arguments: None,
        guarded: false,
    };
    let references = vec![reference("session", "put"), reference("ask", "get")];
    let checked = catalog.check(&Uses { references, findings: Vec::new() }, Language::TypeScript);
    assert_eq!(checked.namespaces, ["ask", "session"]);
    let said: Vec<_> = checked.findings.iter().map(|found| found.message.as_str()).collect();
    assert_eq!(said, ["ask.get does not exist; it has put"]);
}

#[test]
fn arguments_are_checked_as_far_as_they_are_known() {
    assert!(call(vec![object(&json!({"owner": "a", "repo": "b", "state": "open"}))]).is_empty());
    insta::assert_debug_snapshot!(call(vec![object(&json!({"owner": "a", "rpo": "b"}))]), @r#"
    [
        "github.list_issues has no parameter rpo; did you mean repo?",
        "github.list_issues lacks repo; parameters: (owner, repo, state?, count?)",
    ]
    "#);
    insta::assert_debug_snapshot!(call(vec![object(&json!({"owner": 5, "repo": "b", "state": "opn", "count": 0}))]), @r#"
    [
        "github.list_issues: owner: 5 is not of type \"string\"; parameters: (owner, repo, state?, count?)",
        "github.list_issues: state: \"opn\" is not one of \"open\" or \"closed\"; parameters: (owner, repo, state?, count?)",
        "github.list_issues: count: 0 is less than the minimum of 1; parameters: (owner, repo, state?, count?)",
    ]
    "#);
    let some =
        Literal::Object { fields: vec![("owner".to_owned(), Literal::Unknown, at(5))], open: true };
    assert!(call(vec![Argument { keyword: None, value: some, at: at(5) }]).is_empty());
    assert!(call(vec![Argument { keyword: None, value: Literal::Unknown, at: at(5) }]).is_empty());
    insta::assert_debug_snapshot!(call(vec![object(&json!("a")), object(&json!("b"))]), @r#"
    [
        "github.list_issues takes one object: github.list_issues({...}) with (owner, repo, state?, count?)",
    ]
    "#);
    let open = vec![object(&json!({"b": 1}))];
    assert!(found("github", &["any"], Some(open), Language::TypeScript).is_empty());
}

#[test]
fn python_takes_keywords() {
    let py = |arguments| found("github", &["list_issues"], Some(arguments), Language::Python);
    assert!(py(vec![keyword("owner", json!("a")), keyword("repo", json!("b"))]).is_empty());
    assert!(py(vec![keyword("owner", json!("a")), keyword("", Value::Null)]).is_empty());
    insta::assert_debug_snapshot!(py(vec![object(&json!("a"))]), @r#"
    [
        "github.list_issues takes keyword arguments: github.list_issues(name=value) with (owner, repo, state?, count?)",
    ]
    "#);
    insta::assert_debug_snapshot!(py(vec![keyword("owner", json!("a")), keyword("repos", json!("b"))]), @r#"
    [
        "github.list_issues lacks repo; parameters: (owner, repo, state?, count?)",
        "github.list_issues has no parameter repos; did you mean repo?",
    ]
    "#);
}

#[test]
fn calls_are_validated_in_short_words() {
    let catalog = catalog();
    let tool = catalog.resolve("github", "list_issues").unwrap();
    let validate = |arguments: Value| {
        catalog.validate(tool, &serde_json::value::to_raw_value(&arguments).unwrap())
    };
    assert!(validate(json!({"owner": "a", "repo": "b"})).is_ok());
    let fault = validate(json!({"owner": 1, "state": "x"})).unwrap_err();
    insta::assert_snapshot!(fault, @r#"github.list_issues: "repo" is a required property; owner: 1 is not of type "string"; state: "x" is not one of "open" or "closed"; parameters: (owner, repo, state?, count?)"#);
    let fault = validate(json!([])).unwrap_err();
    insta::assert_snapshot!(fault, @"github.list_issues: the arguments must be an object; (owner, repo, state?, count?)");
    let missing = catalog.resolve("github", "list_isues").err().unwrap();
    insta::assert_snapshot!(missing, @"unknown tool github.list_isues; did you mean github.list_issues(owner, repo, state?, count?)?");
}

#[test]
fn a_name_that_does_not_exist_is_told_once_and_a_server_is_no_function() {
    let at = |line| Position { line, column: 1 };
    let reference = |root: &str, path: &[&str], line| Reference {
        root: root.to_owned(),
        path: path.iter().map(|p| (*p).to_owned()).collect(),
        at: at(line),
        arguments: Some(Vec::new()),
        guarded: false,
    };
    let uses = Uses {
        references: vec![
            reference("githb", &["x"], 3),
            reference("githb", &["y"], 2),
            reference("github", &["nope"], 5),
            reference("github", &["nope"], 4),
            reference("github", &[], 6),
        ],
        ..Uses::default()
    };
    let findings = catalog().check(&uses, Language::TypeScript).findings;
    let told: Vec<String> =
        findings.iter().map(|f| format!("{}: {}", f.at.line, f.message)).collect();
    insta::assert_debug_snapshot!(told, @r#"
    [
        "2: githb is not defined; did you mean github?",
        "4: github.nope does not exist; it has list_issues, get_me, any",
        "6: github is a server, no function; call a tool of it, such as github.list_issues",
    ]
    "#);
}

fn spec(name: &str, schema: &Value) -> Arc<ToolSpec> {
    let value = json!({"name": name, "inputSchema": schema});
    Arc::new(serde_json::from_value(value).unwrap())
}

fn listing(tools: Vec<Arc<ToolSpec>>) -> ServerListing {
    ServerListing { server: "files".to_owned(), tools, ..ServerListing::default() }
}

#[test]
fn what_was_compiled_stays_while_the_schema_does() {
    let (text, number) = (json!({"type": "string"}), json!({"type": "integer"}));
    let of = |a: &Value| json!({"type": "object", "properties": {"a": a}});
    let tools = vec![spec("read", &of(&text)), spec("write", &of(&text)), spec("seek", &of(&text))];
    let none = Observations::default();
    let first = Catalog::build(vec![listing(tools.clone())], &none);

    // A shape was learned: nothing but that changed.
    let mut observed = Observations::default();
    observed.insert("files".to_owned(), "read".to_owned(), Shape::of(&json!({"a": 1})));
    let second =
        first.rebuild(vec![listing(tools.clone())], &observed, &crate::Exposure::default());
    assert!(second.lists_as(&first));
    let contracts = |catalog: &Catalog| -> Vec<_> {
        catalog.tools().map(|t| Arc::clone(&t.tool.contract)).collect()
    };
    assert!(contracts(&first).iter().zip(contracts(&second)).all(|(a, b)| Arc::ptr_eq(a, &b)));
    let signature =
        |c: &Catalog| c.signature(c.resolve("files", "read").unwrap(), Language::TypeScript);
    assert_ne!(signature(&first), signature(&second));

    // The list was read again: one tool is equal, one takes something else, one is gone.
    let again = vec![spec("write", &of(&number)), spec("read", &of(&text))];
    let third = second.rebuild(vec![listing(again)], &observed, &crate::Exposure::default());
    assert!(!third.lists_as(&second));
    let contract = |c: &Catalog, tool| Arc::clone(&c.resolve("files", tool).unwrap().tool.contract);
    assert!(Arc::ptr_eq(&contract(&first, "read"), &contract(&third, "read")));
    assert!(!Arc::ptr_eq(&contract(&first, "write"), &contract(&third, "write")));
    let write = third.resolve("files", "write").unwrap();
    let arguments = serde_json::value::to_raw_value(&json!({"a": "x"})).unwrap();
    assert!(third.validate(write, &arguments).is_err());
}

#[test]
fn each_parameter_is_compiled_once_and_only_with_what_it_needs() {
    let catalog = catalog();
    let tool = catalog.resolve("github", "list_issues").unwrap();
    let parameters = tool.parameters();
    let schema = &tool.tool.spec.input_schema;
    for field in ["owner", "count"] {
        let at = parameters.find(field).unwrap();
        let first = parameters.validator(at, schema).unwrap();
        assert!(std::ptr::eq(first, parameters.validator(at, schema).unwrap()));
        assert!(!first.is_valid(&json!(0)), "{field}");
    }
    assert!(std::ptr::eq(parameters, tool.parameters()));
}

#[test]
fn a_finding_is_short_whatever_a_tool_requires() {
    let names: Vec<String> = (0..150).map(|i| format!("{i}{}", "n".repeat(500))).collect();
    let members: serde_json::Map<String, Value> =
        names.iter().map(|name| (name.clone(), json!({"type": "string"}))).collect();
    let schema = json!({"type": "object", "properties": members, "required": names});
    let catalog =
        Catalog::build(vec![listing(vec![spec("read", &schema)])], &Observations::default());
    let reference = |arguments| Reference {
        root: "files".to_owned(),
        path: vec!["read".to_owned()],
        at: at(1),
        arguments: Some(arguments),
        guarded: false,
    };
    let unknown: serde_json::Map<String, Value> =
        (0..500).map(|i| (format!("zz{i}"), json!(1))).collect();
    for arguments in [vec![], vec![object(&Value::Object(unknown))]] {
        let uses = Uses { references: vec![reference(arguments)], findings: Vec::new() };
        let findings = catalog.check(&uses, Language::TypeScript).findings;
        assert!(!findings.is_empty() && findings.len() <= 50);
        for finding in findings {
            assert!(finding.message.len() < 2_500, "{}", finding.message);
        }
    }
}
