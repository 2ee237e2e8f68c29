//! The engine with tools that only wait.

use narrows_engine::{Config, Engine, Parts};
use narrows_sandbox::Sandbox;
use narrows_store::{Clock, Note, Store};
use narrows_types::{
    Annotations, Answer, Ask, Durability, Language, Principal, RunAsk, RunEnd, RunId, RunState,
    SessionsAsk, What,
};
use narrows_upstream::{Builtin, Fleet, Launch, NativeTool, ServerConfig};
use serde::Deserialize;
use serde_json::{Value, json};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

pub(crate) struct House {
    pub(crate) engine: Engine,
    pub(crate) store: Store,
}

#[derive(Deserialize)]
struct Wait {
    ms: u64,
}

#[derive(Deserialize)]
struct Add {
    k: u64,
}

fn tools() -> Vec<NativeTool> {
    let one = |name: &str| {
        let member = json!({name: {"type": "integer"}});
        json!({"type": "object", "properties": member, "required": [name]})
    };
    let twice = Annotations { idempotent_hint: Some(true), ..Annotations::default() };
    let wait = |name: &str| {
        NativeTool::new(name, "Waits.", one("ms"), |Wait { ms }| async move {
            tokio::time::sleep(Duration::from_millis(ms)).await;
            Ok(json!({"waited": ms}))
        })
    };
    let add = NativeTool::new("add", "Adds one.", one("k"), |Add { k }| async move {
        Ok(json!({"v": k + 1}))
    });
    // `write` must not be made twice, as far as anybody knows.
    vec![wait("wait").annotations(twice), wait("write"), add.annotations(twice)]
}

impl House {
    pub(crate) async fn open(url: &str) -> Self {
        let host = Launch::Builtin(Builtin::Native(tools()));
        let servers = vec![ServerConfig::new("host", host)];
        let fleet = narrows_upstream::Config { servers, ..narrows_upstream::Config::default() };
        let worker = PathBuf::from(env!("CARGO_BIN_EXE_jailed-worker"));
        let sandbox = narrows_sandbox::Config::new(worker, vec!["worker".to_owned()]);
        let sandbox = narrows_sandbox::Config { start_ms: 20_000, ..sandbox };
        let sessions_max = 20_000;
        let store = narrows_store::Config {
            url: url.to_owned(),
            sessions_max,
            ..narrows_store::Config::default()
        };
        let store = Store::open(&store, Clock::system()).await.unwrap();
        let jobs = narrows_engine::Jobs { parallel: 16, ..narrows_engine::Jobs::default() };
        let parts = Parts {
            fleet: Fleet::start(fleet).unwrap(),
            sandbox: Sandbox::start(sandbox).await.unwrap(),
            store: store.clone(),
            config: Config { jobs, ..Config::default() },
        };
        let engine = Engine::start(parts).await.unwrap();
        Self { engine, store }
    }

    pub(crate) async fn close(&self) {
        self.engine.shutdown().await;
        self.store.close().await;
    }

    pub(crate) async fn ask(&self, what: What) -> Answer {
        let ask =
            Ask { principal: Principal::local(), client: Arc::default(), deadline: None, what };
        self.engine.ask(ask, None).await.unwrap()
    }

    async fn report(&self, what: What) -> RunId {
        let Answer::Run(report) = self.ask(what).await else { panic!("no run") };
        assert!(matches!(report.end, RunEnd::Returned(_)), "{:?}", report.end);
        report.run
    }

    /// Runs a program to its end.
    pub(crate) async fn run(&self, language: Language, code: &str, kept: Durability) -> RunId {
        let (code, durability) = (code.to_owned(), Some(kept));
        self.report(What::Run(RunAsk { code, language, durability, ..RunAsk::default() })).await
    }

    /// A run with the same journal but its end, which must tell of so many answers.
    pub(crate) async fn copy(&self, run: &RunId, copy: usize, answers: usize) -> RunId {
        let owner = Principal::local().name;
        let deadline = tokio::time::Instant::now() + Duration::from_secs(30);
        let mut entries = loop {
            let mut entries = Vec::new();
            while entries.len() % 1_000 == 0 {
                let from = entries.len() as u64;
                let page = self.store.journal(&owner, run, from, 1_000).await.unwrap();
                if page.is_empty() {
                    break;
                }
                entries.extend(page);
            }
            let last = entries.last().map(|last| serde_json::from_slice::<Value>(last).unwrap());
            if last.is_some_and(|last| last.get("end").is_some()) {
                break entries;
            }
            assert!(tokio::time::Instant::now() < deadline);
            tokio::time::sleep(Duration::from_millis(5)).await;
        };
        entries.pop();
        let answered = entries.iter().filter(|entry| entry.starts_with(b"{\"answered\""));
        assert_eq!(answered.count(), answers);
        let mut row = self.store.run(&owner, run).await.unwrap().row;
        let copy = RunId(format!("{}{copy}", run.as_str()));
        (row.run, row.state) = (copy.clone(), RunState::Running);
        let (run, row) = (copy.clone(), Some((row, None)));
        let note = Note { principal: owner, run, from: 0, entries, row };
        assert_eq!(self.store.note(&[note]).await.unwrap(), [true]);
        copy
    }

    /// An interrupted run goes on to its end.
    pub(crate) async fn resume(&self, run: RunId) {
        self.report(What::Resume { run, answers: Vec::new(), background: false }).await;
    }

    pub(crate) async fn session(&self) {
        let create = SessionsAsk::Create { idle_s: None, life_s: None, budget: None };
        let Answer::Session(_) = self.ask(What::Sessions(create)).await else {
            panic!("no session")
        };
    }
}
