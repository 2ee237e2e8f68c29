//! What a program asks of Narrows itself.

use super::{failed, ok, run, script};
use serde_json::json;

#[test]
fn a_person_is_asked() {
    let seen = run("const a = await ask('go on?');\n\
         const [b, c] = await Promise.all([ask('b', { type: 'string' }), ask({ question: 'c' })]);\n\
         return [a.question, b.schema, c]");
    assert_eq!(seen.value(), json!(["go on?", { "type": "string" }, { "question": "c" }]));
    assert_eq!(
        seen.tools(),
        [
            r#"narrows.ask {"question":"go on?"}"#,
            r#"narrows.ask {"question":"b","schema":{"type":"string"}}"#,
            r#"narrows.ask {"question":"c"}"#,
        ]
    );
    let seen = script("try { await ask('x') } catch (e) { return [e.name, e.tool, e.message] }")
        .host(|call| vec![failed(call.id, "ask", "the client cannot ask")])
        .run();
    let message = "ask: the client cannot ask (sent {owner: string})";
    assert_eq!(seen.value(), json!(["ToolError", "ask", message]));
}

#[test]
fn questions_leave_together() {
    let mut held = Vec::new();
    let seen = script("return Promise.all(['a', 'b', 'c'].map(q => ask(q)))")
        .host(|call| {
            held.push(ok(call.id, &json!(call.id)));
            if held.len() < 3 { Vec::new() } else { held.drain(..).rev().collect() }
        })
        .run();
    assert_eq!(seen.value(), json!([1, 2, 3]));
}

#[test]
fn a_session_keeps_values() {
    let seen =
        run("await session.set('k', { a: new Map([['x', 1]]) }, { ttl_s: 60, namespace: 'n' });\n\
         await session.get('k'); await session.get('k', { namespace: 'n' });\n\
         await session.delete('k'); await session.list(); await session.list({ prefix: 'k' });\n\
         const { get } = session; return (await get('z')).key");
    assert_eq!(seen.value(), json!("z"));
    assert_eq!(
        seen.tools(),
        [
            r#"narrows.session_set {"key":"k","value":{"a":{"x":1}},"ttl_s":60,"namespace":"n"}"#,
            r#"narrows.session_get {"key":"k"}"#,
            r#"narrows.session_get {"key":"k","namespace":"n"}"#,
            r#"narrows.session_delete {"key":"k"}"#,
            "narrows.session_list {}",
            r#"narrows.session_list {"prefix":"k"}"#,
            r#"narrows.session_get {"key":"z"}"#,
        ]
    );
}

#[test]
fn wrong_arguments_of_built_ins_are_told() {
    for (code, said) in [
        ("await ask(5)", "ask takes a string: ask(\"...\")"),
        (
            "await ask('a', 'b')",
            "ask takes a JSON schema, got a string: ask(\"...\", {type: \"string\"})",
        ),
        ("await session.get()", "session.get takes a key, got undefined: session.get(\"key\")"),
        (
            "await session.set('k')",
            "session.set takes a value, got undefined: session.set(\"key\", value)",
        ),
        (
            "await session.set({ key: 'k' })",
            "session.set takes a key, got an object: session.set(\"key\", value)",
        ),
        (
            "await session.set('k', 1, { ttl: 5 })",
            "session.set has no option ttl; it has namespace, ttl_s",
        ),
        (
            "await session.get('k', 'n')",
            "session.get takes its options as an object, got a string: {namespace: ...}",
        ),
        (
            "await session.list('p')",
            "session.list takes its options as an object, got a string: {namespace: ...}",
        ),
    ] {
        let (name, message, _) = run(code).threw();
        assert_eq!((name.as_str(), message.as_str()), ("TypeError", said), "{code}");
    }
    let (_, message, _) = run("await session.set('k', github.get({}))").threw();
    assert!(message.contains("await it"), "{message}");
    let said = "await is missing: ask(...) gives a promise; write await ask(...)";
    assert_eq!(run("if (ask('go?')) github.a({})").messages(), [said]);
    let said = "await is missing: session.get(...) gives a promise; write await session.get(...)";
    assert_eq!(run("return session.get('k').x").messages(), [said]);
}

#[test]
fn built_ins_are_told_as_free_names() {
    let seen = run("await ask('x'); await session.get('k')");
    let told: Vec<_> = seen.uses.references.iter().map(|r| (&*r.root, r.path.join("."))).collect();
    assert_eq!(told, [("ask", String::new()), ("session", "get".to_owned())]);
    // They are the program's to define.
    assert_eq!(run("const session = { get: () => 1 }; return session.get('k')").value(), json!(1));
}

#[test]
fn a_server_of_the_same_name_stands_before_a_built_in() {
    let code = "await session.put({ a: 1 }); await tools.session.get({ b: 2 }); await ask.user({}); return typeof ask";
    let seen = script(code).servers(&["session", "ask"]).run();
    assert_eq!(seen.tools(), ["session.put {\"a\":1}", "session.get {\"b\":2}", "ask.user {}"]);
    assert_eq!(seen.value(), json!("object"));
    assert_eq!(run("return (await tools.session.get('k')).key").value(), json!("k"));
}
