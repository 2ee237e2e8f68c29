//! Two runs laid beside each other: what a request brought back directly, and what it brought back
//! through Narrows.

use crate::tap::{Exchange, header};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

/// For each request the answers that it got, both without what differs from run to run.
type Answers = BTreeMap<String, Vec<String>>;

const MODERN: &str = "2026-07-28";
/// Minted anew in each run.
const MINTED: [&str; 8] = [
    "id",
    "taskId",
    "requestState",
    "progressToken",
    "createdAt",
    "lastUpdatedAt",
    "requestId",
    "io.modelcontextprotocol/subscriptionId",
];
/// What a request is told apart by, beside its body.
const HEADERS: [&str; 5] =
    ["mcp-protocol-version", "mcp-method", "mcp-name", "mcp-param-value", "origin"];

/// What differs, in words; nothing is the wanted end.
pub(crate) fn differences(direct: &[Exchange], through: &[Exchange]) -> Vec<String> {
    let (direct, through) = (answers(direct), answers(through));
    let mut found = Vec::new();
    for (request, wanted) in &direct {
        let got = through.get(request).map_or(&[][..], Vec::as_slice);
        if wanted != got {
            let wanted = wanted.join("\n             ");
            let got = got.join("\n             ");
            found.push(format!("{request}\n     direct: {wanted}\n    through: {got}"));
        }
    }
    for request in through.keys().filter(|request| !direct.contains_key(*request)) {
        found.push(format!("only through Narrows: {request}"));
    }
    found
}

fn answers(exchanges: &[Exchange]) -> Answers {
    let mut answers = Answers::new();
    // How a session ends and how its standing stream opens is the transport's, not the upstream's.
    for exchange in exchanges.iter().filter(|exchange| exchange.verb == "POST") {
        let body: Value =
            serde_json::from_str(&exchange.body).unwrap_or_else(|_| json!(exchange.body));
        let method = body["method"].as_str().unwrap_or_default().to_owned();
        let request = request(exchange, &body, &method);
        answers.entry(request).or_default().push(answer(exchange, &method));
    }
    for (request, answers) in &mut answers {
        answers.sort();
        // A task is asked about as often as it takes.
        if request.contains("\"tasks/") {
            answers.dedup();
        }
    }
    answers
}

fn request(exchange: &Exchange, body: &Value, method: &str) -> String {
    let mut headers = Map::new();
    for name in HEADERS {
        let value = header(&exchange.headers, name);
        let minted =
            (name == "mcp-name" && method.starts_with("tasks/")) || value.contains("127.0.0.1");
        if !value.is_empty() {
            headers.insert(name.to_owned(), json!(if minted { "*" } else { value }));
        }
    }
    format!("{} {} {}", exchange.verb, Value::Object(headers), plain(body, None))
}

fn answer(exchange: &Exchange, method: &str) -> String {
    let modern = header(&exchange.headers, "mcp-protocol-version") == MODERN;
    let mut messages: Vec<Value> = exchange.messages.iter().map(|m| plain(m, None)).collect();
    if matches!(exchange.status, 403 | 404) {
        // The text of a refusal is free; an unknown method has its code.
        messages.retain(|message| message["error"]["code"] == -32601);
    }
    if !modern {
        // Logs may take the stream of their request or the standing one.
        messages.retain(|message| message["method"] != "notifications/message");
    }
    for message in &mut messages {
        let Some(result) = message.get_mut("result").and_then(Value::as_object_mut) else {
            continue;
        };
        if !modern {
            // Words of the newest revision, which the fixture says to everybody.
            result.retain(|name, _| name != "ttlMs" && name != "cacheScope");
        }
        if method == "server/discover" {
            // Narrows speaks for itself there.
            result.retain(|name, _| name != "ttlMs" && name != "supportedVersions");
        }
    }
    format!("{} {}", exchange.status, json!(messages))
}

/// A value without what differs from run to run, and with its members in order.
fn plain(value: &Value, key: Option<&str>) -> Value {
    match value {
        Value::String(_) | Value::Number(_) if key.is_some_and(|key| MINTED.contains(&key)) => {
            json!("*")
        }
        // An error that Narrows finds itself is told in its own words: the code must agree, and
        // the data that a revision prescribes.
        Value::Object(members) if key == Some("error") && members.contains_key("code") => {
            let needed = members.get("data").and_then(|data| data.get("requiredCapabilities"));
            json!({"code": members["code"], "needed": needed})
        }
        Value::Object(members) => {
            let mut sorted: Vec<(&String, &Value)> =
                members.iter().filter(|(name, value)| !names_the_server(name, value)).collect();
            sorted.sort_by_key(|(name, _)| *name);
            let plain = |(name, value): (&String, &Value)| (name.clone(), plain(value, Some(name)));
            Value::Object(sorted.into_iter().map(plain).collect())
        }
        Value::Array(items) => items.iter().map(|item| plain(item, None)).collect(),
        _ => value.clone(),
    }
}

/// Narrows names itself on every modern result, also where the fixture names nobody.
fn names_the_server(name: &str, value: &Value) -> bool {
    let is_name = |name: &str| name == "serverInfo" || name.ends_with("/serverInfo");
    let meta = value.as_object().filter(|_| name == "_meta");
    is_name(name)
        || meta.is_some_and(|meta| !meta.is_empty() && meta.keys().all(|key| is_name(key)))
}
