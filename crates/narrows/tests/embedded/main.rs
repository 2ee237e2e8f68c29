//! The example, used as an agent uses it.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::disallowed_methods,
    reason = "a test fails by panicking, and ends the one child that it starts"
)]

use serde_json::{Value, json};
use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};

/// The example in operation; dropping it ends it.
struct Shop(Child);

impl Drop for Shop {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

fn shop() -> (Shop, String) {
    let tests = std::env::current_exe().unwrap();
    let example = tests.parent().unwrap().parent().unwrap().join("examples/nested");
    let mut child = Command::new(&example)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap_or_else(|e| panic!("{}: {e}; cargo test builds it", example.display()));
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    (Shop(child), line.trim().to_owned())
}

fn post(url: &str, body: &Value) -> Value {
    let answer = Command::new("curl")
        .args(["-sS", "-m", "60", "-H", "content-type: application/json", "-d", &body.to_string()])
        .arg(url)
        .output()
        .unwrap();
    serde_json::from_slice(&answer.stdout)
        .unwrap_or_else(|e| panic!("{e}: {}", String::from_utf8_lossy(&answer.stdout)))
}

#[test]
fn the_house_works_nested_in_another_application() {
    let (_shop, url) = shop();
    let page = Command::new("curl").args(["-sS", url.trim_end_matches("agent/mcp")]).output();
    assert_eq!(String::from_utf8_lossy(&page.unwrap().stdout), "the shop");
    let code = "const [a, b] = await Promise.all([1, 2].map(pieces => shop.price({item: 'tea', \
                pieces})));\ntry { await shop.price({item: 'gold', pieces: 1}) } \
                catch (e) { return [a.cents + b.cents, e.message] }";
    let rest = url.replace("/mcp", "/v1/run");
    let answer = post(&rest, &json!({"code": code, "language": "typescript"}));
    let text = answer.to_string();
    assert!(text.contains("750") && text.contains("there is tea"), "{text}");
    let rest = url.replace("/mcp", "/v1/run");
    let answer =
        post(&rest, &json!({"code": "[n * 2 for n in (1, 512)][1]", "language": "python"}));
    assert!(answer.to_string().contains("1024"), "{answer}");
}
