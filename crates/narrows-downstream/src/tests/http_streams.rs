//! Streams that a client of a session comes back to.

use super::client::{Connection, Sent, Server};
use super::config;
use serde_json::{Value, json};

/// A request that wants to hear of progress, in a session.
fn call(session: &str, code: &str) -> Sent<'static> {
    let meta = json!({"progressToken": "t"});
    let params = json!({"name": "run", "arguments": {"code": code}, "_meta": meta});
    Sent::message("tools/call", &params).header("mcp-session-id", session)
}

fn back(session: &str, event: &str) -> Sent<'static> {
    Sent::new("GET", "/mcp", "")
        .header("Accept", "text/event-stream")
        .header("mcp-session-id", session)
        .header("last-event-id", event)
}

/// What an event stream says: ids, pauses, messages.
#[derive(Debug, Default)]
struct Heard {
    ids: Vec<String>,
    retries: Vec<u64>,
    messages: Vec<Value>,
}

fn heard(text: &str) -> Heard {
    let mut heard = Heard::default();
    for line in text.lines() {
        let Some((field, value)) = line.split_once(':') else { continue };
        let value = value.trim();
        match field {
            "id" => heard.ids.push(value.to_owned()),
            "retry" => heard.retries.push(value.parse().unwrap()),
            "data" if !value.is_empty() => {
                heard.messages.push(serde_json::from_str(value).unwrap());
            }
            _ => {}
        }
    }
    heard
}

/// Reads until so many messages came.
async fn until(connection: &mut Connection, messages: usize) -> Heard {
    assert_eq!(connection.head().await.0, 200);
    let mut text = String::new();
    while heard(&text).messages.len() < messages {
        text.push_str(&connection.chunk().await.expect("the stream goes on"));
    }
    heard(&text)
}

#[tokio::test]
async fn a_client_that_is_told_to_poll_gets_its_answer() {
    let server = Server::start(config()).await;
    let session = server.session("2025-11-25").await;
    let reply = server.send(&call(&session, "poll")).await;
    let first = heard(&reply.body);
    // Behind the length of the chunk: an event with an id and no message comes first.
    assert!(reply.body.contains("id: 1-0\nretry: 500\ndata: \n\n"), "{reply:?}");
    assert_eq!((first.ids.len(), first.messages.len()), (1, 0), "{reply:?}");
    assert_eq!(first.retries.last(), Some(&10));
    let reply = server.send(&back(&session, &first.ids[0])).await;
    let rest = heard(&reply.body);
    assert_eq!(rest.messages.len(), 1, "{reply:?}");
    assert_eq!(rest.messages[0]["id"], 7);
    assert!(rest.messages[0]["result"].is_object());
    // Its answer may have been lost on the way: it is there once more.
    let again = heard(&server.send(&back(&session, &first.ids[0])).await.body);
    assert_eq!(again.messages, rest.messages);
    let nothing = heard(&server.send(&back(&session, &rest.ids[0])).await.body);
    assert!(nothing.messages.is_empty());
}

#[tokio::test]
async fn a_lost_connection_loses_nothing() {
    let server = Server::start(config()).await;
    let session = server.session("2025-11-25").await;
    let mut connection = server.open().await;
    connection.write(&call(&session, "slow").bytes()).await;
    let before = until(&mut connection, 1).await;
    assert_eq!(before.messages[0]["method"], "notifications/progress");
    drop(connection);
    let from_start = heard(&server.send(&back(&session, &before.ids[0])).await.body);
    assert_eq!(from_start.messages.len(), 2);
    assert_eq!(from_start.messages[0], before.messages[0]);
    let from_there = heard(&server.send(&back(&session, &before.ids[1])).await.body);
    assert_eq!(from_there.messages, from_start.messages[1..]);
    assert_eq!(server.ledger.cut_off.load(std::sync::atomic::Ordering::SeqCst), 0);
}

#[tokio::test]
async fn clients_that_vanish_leave_nothing() {
    const CLIENTS: usize = 60;
    let server = Server::start(config()).await;
    let session = server.session("2025-11-25").await;
    let mut connections = Vec::new();
    for id in 0..CLIENTS {
        let mut sent = call(&session, "stuck");
        sent.body = sent.body.replace("\"id\":7", &format!("\"id\":{id}"));
        let mut connection = server.open().await;
        connection.write(&sent.bytes()).await;
        until(&mut connection, 1).await;
        connections.push(connection);
    }
    server.ledger.started(CLIENTS).await;
    drop(connections);
    server.ledger.cut_off(CLIENTS).await;
    // Their ids and their streams are free again.
    let reply = server.send(&call(&session, "slow")).await;
    assert_eq!(heard(&reply.body).messages.len(), 2, "{reply:?}");
}

#[tokio::test]
async fn ending_a_session_ends_its_streams() {
    let server = Server::start(config()).await;
    let session = server.session("2025-11-25").await;
    let mut connection = server.open().await;
    connection.write(&call(&session, "stuck").bytes()).await;
    until(&mut connection, 1).await;
    let end = Sent::new("DELETE", "/mcp", "").header("mcp-session-id", &session);
    assert_eq!(server.send(&end).await.status, 204);
    assert_eq!(connection.chunk().await, None);
    server.ledger.cut_off(1).await;
}

#[tokio::test]
async fn older_revisions_have_no_ids_and_no_pauses() {
    let server = Server::start(config()).await;
    let session = server.session("2025-06-18").await;
    let reply = server.send(&call(&session, "slow")).await;
    let all = heard(&reply.body);
    assert_eq!((all.ids.len(), all.messages.len()), (0, 2), "{reply:?}");
    let reply = server.send(&call(&session, "poll")).await;
    assert_eq!(reply.json()["id"], 7, "{reply:?}");
}
