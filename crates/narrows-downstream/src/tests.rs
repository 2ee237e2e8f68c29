//! The doors as clients see them: over real sockets and pipes, with scripted answers behind.

mod client;
mod durable;
mod http_legacy;
mod http_modern;
mod http_sse;
mod http_streams;
mod http_wire;
mod passing;
mod pausing;
mod rest;
mod rest_durable;
mod stdio;
mod tasking;

use crate::config::Config;
use crate::conversation::{Conversation, Opening};
use crate::letters::{Letters, Lists};
use crate::mcp::{Front, Source};
use narrows_types::{
    Answer, ArtifactId, ArtifactPart, Ask, Bill, Changes, ClientSession, Content, Event, Fault,
    Kind, Offering, Origin, Principal, Retry, RunEnd, RunId, RunReport, SearchAnswer, SearchHit,
    ServerState, ServerStatus, Shaped, ToolResult, Update, Usage, What,
};
use serde_json::json;
use serde_json::value::RawValue;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::{broadcast, mpsc, watch};

/// What takes the engine's place.
pub(crate) type Script = Arc<Scripted>;

/// Answers a request.
pub(crate) type Answering = Box<
    dyn Fn(
            Ask,
            Option<mpsc::Sender<Event>>,
        ) -> Pin<Box<dyn Future<Output = Result<Answer, Fault>> + Send>>
        + Send
        + Sync,
>;

/// The engine's part, as a test wants it.
pub(crate) struct Scripted {
    pub(crate) answer: Answering,
    pub(crate) changes: watch::Sender<Changes>,
    pub(crate) updates: broadcast::Sender<Update>,
    pub(crate) offers: Vec<Offering>,
    pub(crate) definition: Option<Box<RawValue>>,
    pub(crate) farewells: Mutex<Vec<ClientSession>>,
}

impl Default for Scripted {
    fn default() -> Self {
        Self {
            answer: Box::new(|_, _| Box::pin(std::future::pending())),
            changes: watch::Sender::default(),
            updates: broadcast::Sender::new(16),
            offers: Vec::new(),
            definition: None,
            farewells: Mutex::default(),
        }
    }
}

/// A conversation of a client that declared nothing.
pub(crate) fn conversation(script: &Script) -> Arc<Conversation> {
    let opening = Opening {
        revision: narrows_protocol::Revision::LATEST_LEGACY,
        principal: Principal::local(),
        capabilities: None,
        info: None,
    };
    Conversation::open(Source::Script(Arc::clone(script)), Letters::new(Lists::ALL), opening)
}

/// How long a test waits for what must happen.
const PATIENCE: Duration = Duration::from_secs(20);

/// Counts programs that were started and those that were cut off.
#[derive(Clone, Default)]
struct Ledger {
    started: Arc<AtomicUsize>,
    cut_off: Arc<AtomicUsize>,
}

impl Ledger {
    async fn until(counter: &AtomicUsize, wanted: usize) {
        let reached = async {
            while counter.load(Ordering::SeqCst) < wanted {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        };
        tokio::time::timeout(PATIENCE, reached).await.expect("the count is reached in time");
    }

    async fn started(&self, wanted: usize) {
        Self::until(&self.started, wanted).await;
    }

    async fn cut_off(&self, wanted: usize) {
        Self::until(&self.cut_off, wanted).await;
    }
}

/// Counts itself unless it was finished.
struct Watch {
    ledger: Ledger,
    finished: bool,
}

impl Drop for Watch {
    fn drop(&mut self) {
        if !self.finished {
            self.ledger.cut_off.fetch_add(1, Ordering::SeqCst);
        }
    }
}

/// The script: what a program does is its text. `hang` never ends, `progress` reports twice,
/// `fault` fails, anything else is returned.
async fn scripted(
    ledger: Ledger,
    ask: Ask,
    events: Option<mpsc::Sender<Event>>,
) -> Result<Answer, Fault> {
    match ask.what {
        What::Run(run) => {
            let mut watch = Watch { ledger: ledger.clone(), finished: false };
            ledger.started.fetch_add(1, Ordering::SeqCst);
            let answer = program(&run.code, events).await;
            watch.finished = true;
            answer
        }
        What::Search(search) => Ok(Answer::Search(SearchAnswer {
            results: vec![SearchHit {
                server: "github".to_owned(),
                tool: "list_issues".to_owned(),
                call: "github.list_issues".to_owned(),
                signature: None,
                description: Some(search.queries.join("+")),
                input_schema: None,
                output_schema: None,
            }],
            text: "found one".to_owned(),
        })),
        What::Call(call) if call.server == "github" => {
            Ok(Answer::Call(ToolResult::text(format!("{} {}", call.tool, call.arguments))))
        }
        What::Call(call) => Err(Fault::not_found(format!("unknown server {}", call.server))),
        What::Pass(_) | What::List(_) => Err(Fault::not_found("not in the script")),
        What::Tools { .. } => Ok(Answer::Tools(Vec::new())),
        What::Servers => Ok(Answer::Servers(vec![ServerStatus {
            server: "github".to_owned(),
            transport: "stdio".to_owned(),
            state: ServerState::Ready,
            version: None,
            revision: None,
            tools: 3,
            skipped: Vec::new(),
            keeping: Vec::new(),
            last_error: None,
        }])),
        What::Artifact { handle, offset, bytes } => artifact(&handle, offset, bytes),
        What::Resume { .. }
        | What::Runs(_)
        | What::Sessions(_)
        | What::Jobs(_)
        | What::Intents(_) => durable::scripted(ask.what),
    }
}

async fn program(code: &str, events: Option<mpsc::Sender<Event>>) -> Result<Answer, Fault> {
    match code {
        "hang" => std::future::pending().await,
        "progress" => {
            let events = events.expect("the door listens");
            for (fraction, message) in [(Some(0.5), "half"), (Some(0.5), "still half")] {
                let event = Event::Progress { fraction, message: message.to_owned() };
                events.send(event).await.expect("the door listens");
            }
        }
        "poll" => {
            let events = events.expect("the door listens");
            let paused = Event::Paused { retry_ms: Some(10) };
            events.send(paused).await.expect("the door listens");
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        "slow" | "stuck" => {
            let event = Event::Progress { fraction: Some(0.5), message: "half".to_owned() };
            events.expect("the door listens").send(event).await.expect("the door listens");
            if code == "stuck" {
                std::future::pending::<()>().await;
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        "fault" => {
            return Err(
                Fault::new(Kind::Timeout, Origin::Narrows, "too late").retry(Retry::AfterMs(1_500))
            );
        }
        "bug" => return Err(Fault::bug("broken")),
        _ => {}
    }
    let value = json!({ "ran": code }).to_string();
    Ok(Answer::Run(Box::new(RunReport {
        run: RunId("run_x".to_owned()),
        end: RunEnd::Returned(Shaped {
            bytes: value.len() as u64,
            value: Some(RawValue::from_string(value).expect("JSON")),
            preview: String::new(),
            shape: String::new(),
            artifact: None,
        }),
        logs: Vec::new(),
        logs_dropped: 0,
        shown: vec![Content::text("shown")],
        calls: Vec::new(),
        usage: Usage::default(),
        bill: Bill::default(),
        text: format!("ran {code}"),
    })))
}

fn artifact(handle: &ArtifactId, offset: u64, bytes: u64) -> Result<Answer, Fault> {
    if handle.as_str() != "art_x" {
        return Err(Fault::not_found(format!("artifact {handle} does not exist")));
    }
    let body = b"{\"all\":1}";
    let part = body
        .iter()
        .skip(usize::try_from(offset).expect("small"))
        .take(usize::try_from(bytes).unwrap_or(usize::MAX))
        .copied();
    Ok(Answer::Artifact(ArtifactPart {
        handle: handle.clone(),
        mime: "application/json".to_owned(),
        total_bytes: body.len() as u64,
        offset,
        bytes: part.collect(),
        expires_at: 0,
    }))
}

fn config() -> Config {
    Config {
        instructions: "read me".to_owned(),
        tools: vec![json!({"name": "search"}), json!({"name": "run"})],
        body_bytes_max: 10_000,
        ..Config::default()
    }
}

fn front(config: Config) -> (Front, Ledger) {
    let ledger = Ledger::default();
    let counted = ledger.clone();
    let answer: Answering =
        Box::new(move |ask, events| Box::pin(scripted(counted.clone(), ask, events)));
    let script = Arc::new(Scripted { answer, ..Scripted::default() });
    (Front::new(Source::Script(script), Arc::new(config)), ledger)
}

/// The `_meta` of a modern request.
fn meta() -> serde_json::Value {
    json!({
        "io.modelcontextprotocol/protocolVersion": "2026-07-28",
        "io.modelcontextprotocol/clientCapabilities": {},
    })
}
