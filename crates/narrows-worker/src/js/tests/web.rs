//! What programs know from browsers and Node. That it does as the standards say was compared with
//! Node's own over many more cases; here is what must not get lost.

use super::run;
use serde_json::json;

#[test]
fn addresses_are_taken_apart_and_resolved() {
    let code = "const u = new URL('HTTPS://u:p@Example.com:443/a/../b c?x=1&y=ä#h');\n\
                [u.href, u.origin, u.host, u.port, u.pathname, u.search, u.hash, u.username,\n\
                 new URL('../c', 'https://x.y/a/b/d').href, new URL('?q', 'https://x.y/a#b').href,\n\
                 new URL('//o/p', 'https://x.y').href, `${new URL('mailto:a@b.c')}`,\n\
                 URL.canParse('nope'), URL.parse('http://') , JSON.stringify({ u })]";
    let expected = json!([
        "https://u:p@example.com/b%20c?x=1&y=%C3%A4#h",
        "https://example.com",
        "example.com",
        "",
        "/b%20c",
        "?x=1&y=%C3%A4",
        "#h",
        "u",
        "https://x.y/a/c",
        "https://x.y/a?q",
        "https://o/p",
        "mailto:a@b.c",
        false,
        null,
        "{\"u\":\"https://u:p@example.com/b%20c?x=1&y=%C3%A4#h\"}"
    ]);
    assert_eq!(run(code).value(), expected);
    let (name, message, at) = run("const a = 1;\nnew URL('nope')").threw();
    assert_eq!((name.as_str(), message.as_str()), ("TypeError", "invalid URL: nope"));
    assert_eq!(at.first().map(|at| at.0), Some(2));
}

#[test]
fn addresses_change() {
    let code = "const u = new URL('https://a.b/c');\n\
                u.searchParams.append('q', 'x y&'); u.pathname = 'd e'; u.hash = 'f'; u.port = 81;\n\
                u.protocol = 'http'; const one = u.href; u.search = '';\n\
                [one, u.href, u.searchParams.size]";
    let expected = json!(["http://a.b:81/d%20e?q=x+y%26#f", "http://a.b:81/d%20e#f", 0]);
    assert_eq!(run(code).value(), expected);
}

#[test]
fn queries_are_read_and_written() {
    let code = "const q = new URLSearchParams('?a=1&a=2&b=%C3%A4+c&d');\n\
                q.append('e', '&='); q.set('a', '3'); q.delete('d');\n\
                [q.get('b'), q.getAll('a'), q.has('d'), q.get('z'), `${q}`, [...q.keys()],\n\
                 new URLSearchParams({ x: 1, y: 'b c' }).toString(),\n\
                 Object.fromEntries(new URLSearchParams([['k', 'v']]))]";
    let expected = json!([
        "ä c",
        ["3"],
        false,
        null,
        "a=3&b=%C3%A4+c&e=%26%3D",
        ["a", "b", "e"],
        "x=1&y=b+c",
        { "k": "v" }
    ]);
    assert_eq!(run(code).value(), expected);
}

#[test]
fn text_becomes_bytes_and_text_again() {
    let code = "const bytes = new TextEncoder().encode('aé😀\\ud800');\n\
                const d = new TextDecoder(); const text = d.decode(bytes);\n\
                const halves = new TextDecoder();\n\
                const s = halves.decode(bytes.slice(0, 2), { stream: true }) + halves.decode(bytes.slice(2, 7));\n\
                let strict; try { new TextDecoder('utf-8', { fatal: true }).decode(new Uint8Array([255])) }\n\
                catch (e) { strict = e.message }\n\
                let other; try { new TextDecoder('latin1') } catch (e) { other = e.message }\n\
                [[...bytes], text, s, strict, other, atob(btoa('hi'))]";
    let expected = json!([
        [97, 195, 169, 240, 159, 152, 128, 239, 191, 189],
        "aé😀\u{fffd}",
        "aé😀",
        "the bytes are no UTF-8",
        "the encoding latin1 is not available: only utf-8 is",
        "hi"
    ]);
    assert_eq!(run(code).value(), expected);
}

#[test]
fn copies_are_deep() {
    let code = "const o = { d: new Date(5), m: new Map([['k', new Set([1])]]), e: new RangeError('x'),\n\
                r: /a/gi, b: new Uint8Array([1, 2]), n: [undefined, null] }; o.self = o;\n\
                const c = structuredClone(o); c.m.get('k').add(2);\n\
                const names = [() => 1, Symbol(), Promise.resolve()].map(f => {\n\
                  try { structuredClone({ f }) } catch (e) { return e.name } });\n\
                [c.self === c, c !== o, c.d.getTime(), o.m.get('k').size, c.m.get('k').size,\n\
                 c.e instanceof RangeError, c.r.flags, [...c.b], c.n.length, names]";
    let refused = "DataCloneError";
    let expected = json!([true, true, 5, 1, 2, true, "gi", [1, 2], 2, [refused, refused, refused]]);
    assert_eq!(run(code).value(), expected);
}
