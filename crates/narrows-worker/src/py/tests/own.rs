//! What a program asks of Narrows itself.

use super::{failed, ok, run, script};
use serde_json::json;

#[test]
fn a_person_is_asked() {
    for code in [
        "r = await ask('go on?', {'type': 'string'})\nr['schema']",
        "r = ask('go on?', schema={'type': 'string'})\nr['schema']",
        "f = ask\nf(question='go on?', schema={'type': 'string'})['schema']",
        "async def main():\n    return (await ask('go on?', {'type': 'string'}))['schema']\nawait main()",
        "async def main():\n    return ask('go on?', {'type': 'string'})['schema']\nawait main()",
        "t = ask('go on?', {'type': 'string'})\n(await t)['schema']",
        "(await asyncio.gather(ask('go on?', {'type': 'string'})))[0]['schema']",
    ] {
        let seen = run(code);
        assert_eq!(seen.value(), json!({"type": "string"}), "{code}");
        let sent = r#"narrows.ask {"question":"go on?","schema":{"type":"string"}}"#;
        assert_eq!(seen.tools(), [sent], "{code}");
    }
    let seen = run("await ask('a')\nawait ask('b', None)");
    assert_eq!(
        seen.tools(),
        [r#"narrows.ask {"question":"a"}"#, r#"narrows.ask {"question":"b"}"#]
    );
    let seen = script("try:\n    await ask('x')\nexcept ToolError as e:\n    return str(e)")
        .host(|call| vec![failed(call.id, "ask", "the client cannot ask")])
        .run();
    assert_eq!(seen.value(), json!("ask: the client cannot ask (sent {owner: string})"));
}

#[test]
fn questions_leave_together() {
    let mut held = Vec::new();
    let seen = script("await asyncio.gather(*[ask(q) for q in 'abc'])")
        .host(|call| {
            held.push(ok(call.id, &json!(call.id)));
            if held.len() < 3 { Vec::new() } else { held.drain(..).rev().collect() }
        })
        .run();
    assert_eq!(seen.value(), json!([1, 2, 3]));
}

#[test]
fn a_session_keeps_values() {
    let seen = run("await session.set('k', {'a': 1}, ttl_s=60, namespace='n')\n\
         await session.get('k')\nsession.get(key='k', namespace='n')\n\
         await session.delete('k')\nawait session.list()\nsession.list(prefix='k')\n\
         session.set('k', None)\nsession.get('k', namespace=None)\n\
         await tools['session']['get']('t')\ns = session\n(await s.get('z'))['key']");
    assert_eq!(seen.value(), json!("z"));
    assert_eq!(
        seen.tools(),
        [
            r#"narrows.session_set {"key":"k","value":{"a":1},"ttl_s":60,"namespace":"n"}"#,
            r#"narrows.session_get {"key":"k"}"#,
            r#"narrows.session_get {"key":"k","namespace":"n"}"#,
            r#"narrows.session_delete {"key":"k"}"#,
            "narrows.session_list {}",
            r#"narrows.session_list {"prefix":"k"}"#,
            r#"narrows.session_set {"key":"k","value":null}"#,
            r#"narrows.session_get {"key":"k"}"#,
            r#"narrows.session_get {"key":"t"}"#,
            r#"narrows.session_get {"key":"z"}"#,
        ]
    );
}

#[test]
fn wrong_arguments_of_built_ins_are_told() {
    for (code, said) in [
        ("ask()", "ask misses question: write ask(\"question\")"),
        ("ask(5)", "ask takes a str as question: write ask(\"question\")"),
        ("ask('a', {}, 1)", "ask takes 2 positional arguments: question, schema"),
        ("session.get()", "session.get misses key: write session.get(\"key\")"),
        ("session.set('k')", "session.set misses value: write session.set(\"key\", value)"),
        (
            "session.set('k', 1, ttl=5)",
            "session.set has no argument ttl: write session.set(\"key\", value)",
        ),
        ("session.get('k', key='j')", "session.get got key twice: write session.get(\"key\")"),
        ("session.list('p')", "session.list takes keyword arguments: namespace, prefix"),
        ("getattr(session, 'foo')()", "session.foo is not a function"),
    ] {
        let (name, message, _) = run(code).threw();
        assert_eq!((name.as_str(), message.as_str()), ("TypeError", said), "{code}");
    }
}

#[test]
fn built_ins_are_told_as_free_names() {
    let seen = run("await ask('x')\nawait session.get('k')");
    let told: Vec<_> = seen.uses.references.iter().map(|r| (&*r.root, r.path.join("."))).collect();
    assert_eq!(told, [("ask", String::new()), ("session", "get".to_owned())]);
    let own =
        "class S:\n    def get(self, key):\n        return 1\nsession = S()\nsession.get('k')";
    assert_eq!(run(own).value(), json!(1));
    // A function that calls them cannot be handed to a builtin.
    assert_eq!(run("sorted(['a'], key=lambda x: session.get(x))").findings().len(), 1);
}

#[test]
fn a_server_of_the_same_name_stands_before_a_built_in() {
    let code =
        "await session.put(a=1)\nawait tools.session.get(b=2)\nawait ask.user()\nask.me()['x']";
    let seen = script(code)
        .servers(&["session", "ask"])
        .host(|call| vec![ok(call.id, &json!({ "x": 1 }))])
        .run();
    let sent = ["session.put {\"a\":1}", "session.get {\"b\":2}", "ask.user {}", "ask.me {}"];
    assert_eq!((seen.tools(), seen.value()), (sent.map(str::to_owned).to_vec(), json!(1)));
}
