//! The engine over a store in memory, real workers, and an upstream that counts what is asked of it.

use crate::course::{Course, Journal};
use narrows_engine::{Config, Engine, Parts};
use narrows_sandbox::Sandbox;
use narrows_store::{Clock, Note, Store};
use narrows_types::{
    Action, Annotations, Answer, Ask, AskedKind, Durability, Language, Principal, Response, RunAsk,
    RunEnd, RunId, RunReport, RunState, What,
};
use narrows_upstream::{Builtin, Fleet, Launch, NativeTool, ServerConfig};
use serde::Deserialize;
use serde_json::value::to_raw_value;
use serde_json::{Value, json};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// Longer than anything here takes on a busy machine.
const LONG: Duration = Duration::from_mins(1);
/// Entries read at once.
const PAGE: u64 = 10_000;

/// The upstream's side: what it was asked, and how long it takes for each answer.
#[derive(Debug, Default)]
pub(crate) struct Counter {
    made: Vec<String>,
    tokens: u64,
    pauses: Vec<u8>,
}

impl Counter {
    /// Counts a call. Gives a number that no other call has, and the milliseconds that it takes.
    fn count(&mut self, tool: &str, k: u64) -> (u64, u64) {
        self.made.push(format!("{tool} {k}"));
        self.tokens += 1;
        let turn = usize::try_from(self.tokens).unwrap();
        let pause = self.pauses.get(turn % self.pauses.len().max(1)).copied();
        (self.tokens, u64::from(pause.unwrap_or(0)))
    }
}

/// One program and how it is run.
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    pub(crate) code: String,
    pub(crate) language: Language,
    pub(crate) durability: Durability,
    /// Milliseconds that the upstream takes for one call after the other.
    pub(crate) pauses: Vec<u8>,
}

pub(crate) struct House {
    engine: Engine,
    store: Store,
    counter: Arc<Mutex<Counter>>,
    copies: Mutex<u32>,
}

#[derive(Deserialize)]
struct Arguments {
    k: u64,
}

fn tools(counter: &Arc<Mutex<Counter>>) -> Vec<NativeTool> {
    let input = json!({"type": "object", "properties": {"k": {"type": "integer"}},
        "required": ["k"]});
    let tool = |name: &'static str| {
        let counter = Arc::clone(counter);
        NativeTool::new(name, "Counts.", input.clone(), move |Arguments { k }| {
            let (token, pause) = counter.lock().unwrap().count(name, k);
            async move {
                tokio::time::sleep(Duration::from_millis(pause)).await;
                match name {
                    "fail" => Err(format!("no {k}")),
                    "vault" => Ok(json!({"v": k + 5, "key": "hunter2"})),
                    _ => Ok(json!({"v": k * 7 + 1, "t": token})),
                }
            }
        })
    };
    let twice = Annotations { idempotent_hint: Some(true), ..Annotations::default() };
    let secret = json!({"type": "object", "properties": {"v": {"type": "integer"},
        "key": {"type": "string", "format": "password"}}});
    vec![
        tool("echo").annotations(twice),
        tool("fail").annotations(twice),
        tool("vault").annotations(twice).output_schema(secret),
        // Nobody says that it may be made twice.
        tool("once"),
    ]
}

impl House {
    pub(crate) async fn open() -> Self {
        let counter = Arc::new(Mutex::new(Counter::default()));
        let host = Launch::Builtin(Builtin::Native(tools(&counter)));
        let servers = vec![ServerConfig::new("host", host)];
        let fleet = narrows_upstream::Config { servers, ..narrows_upstream::Config::default() };
        let worker = PathBuf::from(env!("CARGO_BIN_EXE_jailed-worker"));
        let sandbox = narrows_sandbox::Config::new(worker, vec!["worker".to_owned()]);
        let sandbox = narrows_sandbox::Config { warm: 1, start_ms: 20_000, ..sandbox };
        let store =
            narrows_store::Config { url: "memory:".to_owned(), ..narrows_store::Config::default() };
        let store = Store::open(&store, Clock::system()).await.unwrap();
        let parts = Parts {
            fleet: Fleet::start(fleet).unwrap(),
            sandbox: Sandbox::start(sandbox).await.unwrap(),
            store: store.clone(),
            config: Config::default(),
        };
        let engine = Engine::start(parts).await.unwrap();
        Self { engine, store, counter, copies: Mutex::default() }
    }

    pub(crate) async fn close(&self) {
        self.engine.shutdown().await;
    }

    /// Runs a program, never interrupted but by its own questions.
    pub(crate) async fn run(&self, plan: &Plan) -> Course {
        let ask = RunAsk {
            code: plan.code.clone(),
            language: plan.language,
            output_bytes: Some(64 << 10),
            durability: Some(plan.durability),
            ..RunAsk::default()
        };
        self.carry_out(What::Run(ask), plan).await
    }

    /// Goes on from the first entries of a run's journal, as whoever finds them after a crash.
    pub(crate) async fn go_on(&self, course: &Course, entries: usize, plan: &Plan) -> Course {
        let owner = Principal::local().name;
        let mut row = self.store.run(&owner, &course.run).await.unwrap().row;
        let copy = {
            let mut copies = self.copies.lock().unwrap();
            *copies += 1;
            RunId(format!("run_copy{:016}", *copies))
        };
        (row.run, row.state) = (copy.clone(), RunState::Running);
        row.questions.clear();
        let note = Note {
            principal: owner,
            run: copy.clone(),
            from: 0,
            entries: course.journal.raw[..entries].to_vec(),
            row: Some((row, None)),
        };
        assert_eq!(self.store.note(&[note]).await.unwrap(), [true]);
        let resume = What::Resume { run: copy, answers: Vec::new(), background: false };
        self.carry_out(resume, plan).await
    }

    /// Asks, answers every question, until the run is over.
    async fn carry_out(&self, what: What, plan: &Plan) -> Course {
        {
            let mut counter = self.counter.lock().unwrap();
            counter.pauses.clone_from(&plan.pauses);
            counter.made.clear();
        }
        let mut report = self.ask(what).await;
        let mut unknown = Vec::new();
        while let RunEnd::Paused { questions } = &report.end {
            assert!(!questions.is_empty());
            let mut answers = Vec::new();
            for asked in questions {
                let content = match asked.kind {
                    AskedKind::Unknown => {
                        assert_eq!(asked.about, "host.once");
                        unknown.push(asked.id.clone());
                        json!({"choice": "retry"})
                    }
                    _ => json!({"answer": "yes"}),
                };
                let content = Some(to_raw_value(&content).unwrap());
                answers.push(Response {
                    id: asked.id.clone(),
                    action: Action::Accept,
                    content,
                    by_agent: false,
                });
            }
            let run = report.run.clone();
            report = self.ask(What::Resume { run, answers, background: false }).await;
        }
        unknown.sort();
        let made = std::mem::take(&mut self.counter.lock().unwrap().made);
        let journal = self.journal(&report.run).await;
        Course::new(report, journal, unknown, made)
    }

    async fn ask(&self, what: What) -> RunReport {
        let client = Arc::default();
        let ask = Ask { principal: Principal::local(), client, deadline: Some(LONG), what };
        match self.engine.ask(ask, None).await {
            Ok(Answer::Run(report)) => *report,
            other => panic!("{other:?}"),
        }
    }

    /// A run's journal, once it is whole: it may be written behind the answer.
    async fn journal(&self, run: &RunId) -> Journal {
        let whole = async {
            loop {
                let owner = Principal::local().name;
                let raw = self.store.journal(&owner, run, 0, PAGE).await.unwrap();
                let last: Option<Value> =
                    raw.last().map(|entry| serde_json::from_slice(entry).unwrap());
                if last.is_some_and(|last| last.get("end").is_some()) {
                    return Journal::new(raw);
                }
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        };
        tokio::time::timeout(LONG, whole).await.unwrap()
    }
}
