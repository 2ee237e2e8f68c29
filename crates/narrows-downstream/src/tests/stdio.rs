//! Lines in, lines out.

use super::{Config, Ledger, PATIENCE, config, front, meta};
use crate::stdio::{Guest, serve_front};
use serde_json::{Value, json};
use std::sync::Arc;
use tokio::io::{
    AsyncBufReadExt, AsyncWriteExt, BufReader, DuplexStream, Lines, ReadHalf, WriteHalf,
};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

struct Pipe {
    writer: WriteHalf<DuplexStream>,
    lines: Lines<BufReader<ReadHalf<DuplexStream>>>,
    ledger: Ledger,
    shutdown: CancellationToken,
    tasks: JoinSet<std::io::Result<()>>,
}

impl Pipe {
    fn open(config: Config) -> Self {
        let (front, ledger) = front(config);
        let (ours, theirs) = tokio::io::duplex(64 << 10);
        let (reader, writer) = tokio::io::split(theirs);
        let shutdown = CancellationToken::new();
        let mut tasks = JoinSet::new();
        let guest = Guest { from_network: false, key: None, mode: None };
        tasks.spawn(serve_front(Arc::new(front), guest, shutdown.clone(), reader, writer));
        let (reader, writer) = tokio::io::split(ours);
        let lines = BufReader::new(reader).lines();
        Self { writer, lines, ledger, shutdown, tasks }
    }

    async fn write(&mut self, line: &str) {
        self.writer.write_all(format!("{line}\n").as_bytes()).await.unwrap();
    }

    async fn request(&mut self, id: u64, method: &str, params: Value) {
        let message = json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params});
        self.write(&message.to_string()).await;
    }

    async fn modern(&mut self, id: u64, method: &str, mut params: Value) {
        params["_meta"] = meta();
        self.request(id, method, params).await;
    }

    async fn run(&mut self, id: u64, code: &str) {
        let params = json!({"name": "run", "arguments": {"code": code}});
        self.modern(id, "tools/call", params).await;
    }

    async fn initialize(&mut self, version: &str) -> Value {
        let params = json!({"protocolVersion": version, "capabilities": {}, "clientInfo": {}});
        self.request(0, "initialize", params).await;
        let answer = self.read().await;
        self.write(r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#).await;
        answer["result"].clone()
    }

    async fn next(&mut self) -> Option<Value> {
        let line = tokio::time::timeout(PATIENCE, self.lines.next_line());
        let line = line.await.expect("a line in time").unwrap()?;
        Some(serde_json::from_str(&line).expect("nothing but protocol"))
    }

    async fn read(&mut self) -> Value {
        self.next().await.expect("a message")
    }

    async fn end(mut self) -> Vec<Value> {
        self.writer.shutdown().await.unwrap();
        self.rest().await
    }

    async fn rest(mut self) -> Vec<Value> {
        let mut rest = Vec::new();
        while let Some(message) = self.next().await {
            rest.push(message);
        }
        self.tasks.join_next().await.unwrap().unwrap().unwrap();
        rest
    }
}

#[tokio::test]
async fn every_legacy_revision_is_agreed_on_and_others_get_the_latest() {
    for (asked, given) in [
        ("2024-11-05", "2024-11-05"),
        ("2025-03-26", "2025-03-26"),
        ("2025-06-18", "2025-06-18"),
        ("2025-11-25", "2025-11-25"),
        ("2026-07-28", "2025-11-25"),
        ("1999-01-01", "2025-11-25"),
    ] {
        let mut pipe = Pipe::open(config());
        let result = pipe.initialize(asked).await;
        let mut capabilities = json!({"tools": {}, "resources": {}});
        if given == "2025-11-25" {
            let requests = json!({"tools": {"call": {}}});
            capabilities["tasks"] = json!({"list": {}, "cancel": {}, "requests": requests});
        }
        assert_eq!(
            result,
            json!({
                "protocolVersion": given,
                "capabilities": capabilities,
                "serverInfo": {"name": "narrows", "version": env!("CARGO_PKG_VERSION")},
                "instructions": "read me",
            })
        );
        pipe.request(1, "tools/list", json!({})).await;
        let list = pipe.read().await;
        assert_eq!(list["result"], json!({"tools": [{"name": "search"}, {"name": "run"}]}));
        pipe.request(2, "ping", json!({})).await;
        assert_eq!(pipe.read().await, json!({"jsonrpc": "2.0", "id": 2, "result": {}}));
        assert_eq!(pipe.end().await, Vec::<Value>::new());
    }
}

#[tokio::test]
async fn structure_is_for_those_who_know_it() {
    for (version, structured) in [("2025-03-26", false), ("2025-06-18", true)] {
        let mut pipe = Pipe::open(config());
        pipe.initialize(version).await;
        let params = json!({"name": "run", "arguments": {"code": "x"}});
        pipe.request(1, "tools/call", params).await;
        let result = pipe.read().await["result"].clone();
        assert_eq!(result["content"][0]["text"], "ran x");
        assert_eq!(result["content"][1]["text"], "shown");
        assert_eq!(result.get("structuredContent").is_some(), structured, "{version}");
        assert!(result.get("resultType").is_none());
    }
}

#[tokio::test]
async fn both_eras_interleave_on_one_pipe() {
    let mut pipe = Pipe::open(config());
    pipe.modern(1, "server/discover", json!({})).await;
    let found = pipe.read().await["result"].clone();
    assert_eq!(found["supportedVersions"], json!(["2026-07-28"]));
    assert_eq!(found["resultType"], "complete");
    assert_eq!(found["instructions"], "read me");
    assert_eq!(found["_meta"]["io.modelcontextprotocol/serverInfo"]["name"], "narrows");
    assert!(found["ttlMs"].as_u64().unwrap() > 0);
    assert_eq!(found["cacheScope"], "private");
    pipe.initialize("2025-06-18").await;
    pipe.modern(2, "tools/list", json!({})).await;
    assert_eq!(pipe.read().await["result"]["resultType"], "complete");
    pipe.request(3, "tools/list", json!({})).await;
    assert!(pipe.read().await["result"].get("resultType").is_none());
    pipe.modern(4, "ping", json!({})).await;
    assert_eq!(pipe.read().await["error"]["code"], -32601, "modern clients have no ping");
    pipe.request(5, "server/discover", json!({})).await;
    assert_eq!(pipe.read().await["error"]["code"], -32602, "discover needs its _meta");
}

#[tokio::test]
async fn before_any_handshake_only_ping_is_answered() {
    let mut pipe = Pipe::open(config());
    pipe.request(1, "ping", json!({})).await;
    assert_eq!(pipe.read().await["result"], json!({}));
    pipe.request(2, "tools/list", json!({})).await;
    let error = pipe.read().await["error"].clone();
    assert_eq!(error["code"], -32602);
    assert!(error["message"].as_str().unwrap().contains("send initialize first"), "{error}");
}

#[tokio::test]
async fn bad_lines_are_answered_and_the_next_line_is_read() {
    let mut pipe = Pipe::open(config());
    let long = "x".repeat(20_000);
    for (line, code) in [
        ("{\"jsonrpc\":", -32700),
        ("garbage", -32700),
        ("[]", -32600),
        ("7", -32600),
        ("{}", -32600),
        (r#"{"jsonrpc":"1.0","id":1,"method":"ping"}"#, -32600),
        (r#"{"jsonrpc":"2.0","id":{},"method":"ping"}"#, -32600),
        (r#"{"jsonrpc":"2.0","id":1,"method":7}"#, -32600),
        (r#"{"jsonrpc":"2.0","id":1,"method":"ping","params":[1]}"#, -32602),
        (r#"{"jsonrpc":"2.0","id":1,"method":"initialize","params":{}}"#, -32602),
        (long.as_str(), -32600),
    ] {
        pipe.write(line).await;
        let answer = pipe.read().await;
        let shown: String = line.chars().take(60).collect();
        assert_eq!(answer["error"]["code"], code, "{shown}: {answer}");
        assert!(answer["error"]["message"].as_str().unwrap().len() < 500, "{shown}");
    }
    pipe.write(r#"{"jsonrpc":"2.0","id":5,"method":5}"#).await;
    assert_eq!(pipe.read().await["id"], 5, "the client waits for this one");
    pipe.write(r#"["2.0",7,"ping",{}]"#).await;
    let answer = pipe.read().await;
    assert_eq!((&answer["id"], &answer["error"]["code"]), (&json!(null), &json!(-32600)));
    // Blank lines, notifications that nobody knows and answers to nothing are passed over.
    pipe.write("").await;
    pipe.write(r#"{"jsonrpc":"2.0","method":"notifications/unheard","params":7}"#).await;
    pipe.write(r#"{"jsonrpc":"2.0","method":"notifications/cancelled","params":{}}"#).await;
    pipe.write(r#"{"jsonrpc":"2.0","id":9,"result":{}}"#).await;
    pipe.request(3, "ping", json!({})).await;
    assert_eq!(pipe.read().await["id"], 3);
}

#[tokio::test]
async fn mistakes_in_arguments_are_results_that_the_model_reads() {
    let mut pipe = Pipe::open(config());
    let params = json!({"name": "run", "arguments": {"cod": "x"}});
    pipe.modern(1, "tools/call", params).await;
    let result = pipe.read().await["result"].clone();
    assert_eq!(result["isError"], true);
    let text = result["content"][0]["text"].as_str().unwrap();
    assert!(text.starts_with("run takes no `cod`; did you mean `code`?"), "{text}");
    pipe.run(2, "fault").await;
    let result = pipe.read().await["result"].clone();
    assert_eq!(result["structuredContent"]["error"]["kind"], "timeout");
    pipe.run(3, "bug").await;
    assert_eq!(pipe.read().await["error"]["code"], -32603, "a bug is no result");
    pipe.modern(4, "tools/call", json!({"name": "github.list_issues"})).await;
    let error = pipe.read().await["error"].clone();
    assert_eq!(error["code"], -32602);
    assert!(error["message"].as_str().unwrap().contains("a function inside a program"), "{error}");
    pipe.modern(5, "tools/cal", json!({})).await;
    let error = pipe.read().await["error"].clone();
    assert_eq!(error["message"], "unknown method tools/cal; did you mean tools/call?");
    pipe.modern(6, "tools/list", json!({"cursor": ""})).await;
    assert_eq!(pipe.read().await["error"]["code"], -32602);
}

#[tokio::test]
async fn requests_run_side_by_side_and_one_is_cancelled() {
    let mut pipe = Pipe::open(config());
    pipe.run(1, "hang").await;
    pipe.run(2, "hang").await;
    pipe.ledger.started(2).await;
    pipe.run(3, "quick").await;
    assert_eq!(pipe.read().await["id"], 3);
    pipe.run(2, "again").await;
    let refused = pipe.read().await;
    assert_eq!((&refused["id"], &refused["error"]["code"]), (&json!(2), &json!(-32600)));
    let cancel = |id: Value| {
        json!({"jsonrpc": "2.0", "method": "notifications/cancelled",
               "params": {"requestId": id, "reason": "tired"}})
        .to_string()
    };
    pipe.write(&cancel(json!("1"))).await;
    pipe.write(&cancel(json!(99))).await;
    pipe.write(&cancel(json!(1))).await;
    pipe.ledger.cut_off(1).await;
    pipe.write(&cancel(json!(2))).await;
    pipe.ledger.cut_off(2).await;
    pipe.run(4, "last").await;
    assert_eq!(pipe.read().await["id"], 4, "a cancelled request is not answered");
    assert_eq!(pipe.end().await, Vec::<Value>::new());
}

#[tokio::test]
async fn progress_comes_before_its_answer_and_grows() {
    let mut pipe = Pipe::open(config());
    let mut params = json!({"name": "run", "arguments": {"code": "progress"}, "_meta": meta()});
    params["_meta"]["progressToken"] = json!("tok");
    pipe.request(1, "tools/call", params).await;
    let mut last = 0.0;
    for message in ["half", "still half"] {
        let notice = pipe.read().await;
        assert_eq!(notice["method"], "notifications/progress");
        assert_eq!(notice["params"]["progressToken"], "tok");
        assert_eq!(notice["params"]["message"], message);
        let progress = notice["params"]["progress"].as_f64().unwrap();
        assert!(progress > last, "{progress}");
        last = progress;
    }
    assert_eq!(pipe.read().await["id"], 1);
}

#[tokio::test]
async fn too_many_requests_at_once_are_refused_and_cancelling_still_works() {
    let mut pipe = Pipe::open(config());
    for id in 0..256 {
        pipe.run(id, "hang").await;
    }
    pipe.ledger.started(256).await;
    pipe.run(300, "quick").await;
    let refused = pipe.read().await;
    assert_eq!((&refused["id"], &refused["error"]["code"]), (&json!(300), &json!(-31429)));
    let cancel = r#"{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":5}}"#;
    pipe.write(cancel).await;
    pipe.ledger.cut_off(1).await;
}

#[tokio::test]
async fn at_the_end_of_input_what_is_under_way_is_answered() {
    let mut pipe = Pipe::open(config());
    for id in 0..20 {
        pipe.run(id, "quick").await;
    }
    let mut ids: Vec<u64> =
        pipe.end().await.iter().map(|answer| answer["id"].as_u64().unwrap()).collect();
    ids.sort_unstable();
    assert_eq!(ids, (0..20).collect::<Vec<u64>>());
}

#[tokio::test]
async fn the_end_does_not_wait_for_ever_and_tells_those_it_cuts_off() {
    let mut pipe = Pipe::open(config());
    pipe.run(1, "hang").await;
    pipe.run(2, "hang").await;
    pipe.ledger.started(2).await;
    pipe.write(r#"{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":2}}"#)
        .await;
    pipe.ledger.cut_off(1).await;
    let ledger = pipe.ledger.clone();
    pipe.shutdown.cancel();
    let rest = pipe.rest().await;
    assert_eq!(rest.len(), 1, "a cancelled request is not answered: {rest:?}");
    let error = &rest[0]["error"];
    assert_eq!((&rest[0]["id"], &error["code"]), (&json!(1), &json!(-31499)), "{error}");
    assert!(error["message"].as_str().unwrap().contains("shutting down"), "{error}");
    ledger.cut_off(2).await;
}

#[tokio::test]
async fn a_client_that_vanishes_cancels_everything() {
    let mut pipe = Pipe::open(config());
    pipe.run(1, "hang").await;
    pipe.ledger.started(1).await;
    let Pipe { writer, lines, ledger, mut tasks, .. } = pipe;
    drop((writer, lines));
    tokio::time::timeout(PATIENCE, tasks.join_next())
        .await
        .expect("it ends")
        .unwrap()
        .unwrap()
        .ok();
    ledger.cut_off(1).await;
}

#[tokio::test]
async fn batches_are_for_the_revision_that_has_them() {
    let batch = r#"[{"jsonrpc":"2.0","id":1,"method":"ping"},{"jsonrpc":"2.0","method":"x"},
        {"jsonrpc":"2.0","id":2,"method":"ping"}]"#
        .replace('\n', "");
    let mut pipe = Pipe::open(config());
    pipe.initialize("2025-03-26").await;
    pipe.write(&batch).await;
    assert_eq!((&pipe.read().await["id"], &pipe.read().await["id"]), (&json!(1), &json!(2)));
    pipe.write("[]").await;
    assert_eq!(pipe.read().await["error"]["code"], -32600);
    pipe.initialize("2025-06-18").await;
    pipe.write(&batch).await;
    assert_eq!(pipe.read().await["error"]["code"], -32600);
    assert_eq!(pipe.end().await, Vec::<Value>::new());
}
