//! `narrows demo`: the main job over real files, with nothing set up, and what it costs, counted.

mod sample;

use super::exit::{Fail, of_run};
use super::output::{Output, Tone};
use super::waterfall::{Bar, waterfall};
use super::{Desk, mismatch, tokens};
use crate::assembly::House;
use crate::config::settings::{Era, Pool, Prefix, Tier};
use crate::config::{Launch, Settings, Upstream};
use narrows_catalog::tokens::count;
use narrows_types::{Answer, CallAsk, Detail, Fault, Language, RunAsk, RunReport, SearchAsk, What};
use serde::Serialize;
use serde_json::json;
use serde_json::value::RawValue;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

const PROGRAM: &str = include_str!("demo/program.ts");

/// What an agent's context pays, counted in tokens.
#[derive(Debug, Serialize)]
struct Price {
    definitions: usize,
    calls: usize,
    total: usize,
}

impl Price {
    fn new(definitions: usize, calls: usize) -> Self {
        Self { definitions, calls, total: definitions + calls }
    }
}

/// A folder that goes when the demo ends.
struct Folder(PathBuf);

impl Drop for Folder {
    fn drop(&mut self) {
        drop(std::fs::remove_dir_all(&self.0));
    }
}

impl Desk {
    pub(super) async fn demo(&self) -> Result<u8, Fail> {
        let folder = self
            .sample_folder()
            .map_err(|e| Fail::Fault(Fault::bug(format!("cannot write the sample files: {e}"))))?;
        let names = sample::write(&folder.0)
            .map_err(|e| Fail::Fault(Fault::bug(format!("cannot write the sample files: {e}"))))?;
        let house = House::open(&settings(&folder.0), &self.env).await.map_err(Fail::Fault)?;
        let shown = self.show(&house, &names).await;
        house.close().await;
        shown
    }

    fn sample_folder(&self) -> std::io::Result<Folder> {
        use std::os::unix::fs::DirBuilderExt as _;
        let parent = PathBuf::from(self.env.var("TMPDIR").unwrap_or("/tmp"));
        let path = parent.join(format!("narrows-demo-{}", std::process::id()));
        std::fs::DirBuilder::new().mode(0o700).create(&path)?;
        Ok(Folder(path))
    }

    async fn show(&self, house: &House, names: &[String]) -> Result<u8, Fail> {
        let report = run(house).await?;
        let narrows = narrows_price(house, &report).await?;
        let direct = direct_price(house, names).await?;
        let json = json!({
            "program": PROGRAM, "report": report, "tokens": {"narrows": narrows, "direct": direct},
        });
        self.out.either(&json, || text(&report, &narrows, &direct, &self.out))?;
        Ok(of_run(&report.end))
    }
}

fn settings(folder: &Path) -> Settings {
    let server = |name: &str, launch| Upstream {
        name: name.to_owned(),
        enabled: true,
        oauth: None,
        launch,
        start_timeout: Duration::from_secs(30),
        call_timeout: Duration::from_mins(1),
        idle_stop: None,
        era: Era::Auto,
        tier: Tier::Fast,
        concurrency: None,
        queue: None,
        pool: Pool::default(),
        tools_allow: Vec::new(),
        tools_hide: Vec::new(),
        tools: BTreeMap::new(),
        prefix: Prefix::Server,
        cache_ttl: None,
    };
    let mut settings = Settings::default();
    let files = Launch::Files { folders: vec![folder.to_owned()], write: false };
    settings.servers = vec![server("files", files), server("time", Launch::Time)];
    settings.store.url = "memory:".to_owned().into();
    settings.upstream.cache = false;
    settings
}

async fn run(house: &House) -> Result<Box<RunReport>, Fail> {
    let ask =
        RunAsk { code: PROGRAM.to_owned(), language: Language::TypeScript, ..RunAsk::default() };
    match house.ask(What::Run(ask), None).await.map_err(Fail::Fault)? {
        Answer::Run(report) => Ok(report),
        _ => Err(mismatch()),
    }
}

/// Two definitions, one search, one program, one answer.
async fn narrows_price(house: &House, report: &RunReport) -> Result<Price, Fail> {
    let queries = ["list the files of a folder", "read a file", "current time"].map(str::to_owned);
    let ask = SearchAsk {
        queries: queries.to_vec(),
        server: None,
        limit: 4,
        detail: Detail::Signatures,
        language: Language::TypeScript,
    };
    let Answer::Search(found) = house.ask(What::Search(ask), None).await.map_err(Fail::Fault)?
    else {
        return Err(mismatch());
    };
    let asked = count(&json!({ "query": queries }).to_string()) + count(&found.text);
    let ran = count(&json!({ "code": PROGRAM }).to_string()) + count(&report.text);
    Ok(Price::new(tokens::narrows(), asked + ran))
}

/// The same calls made one by one: every definition, every call, every result.
async fn direct_price(house: &House, names: &[String]) -> Result<Price, Fail> {
    let what = What::Tools { server: None };
    let Answer::Tools(listings) = house.ask(what, None).await.map_err(Fail::Fault)? else {
        return Err(mismatch());
    };
    let definitions = tokens::bill(&listings).direct;
    let mut calls = vec![("files", "list", json!({"path": ".", "pattern": "*.csv"}))];
    calls.extend(names.iter().map(|name| ("files", "read", json!({ "path": name }))));
    calls.push(("time", "now", json!({})));
    let mut spent = 0;
    for (server, tool, arguments) in calls {
        let text = arguments.to_string();
        spent += count(tool) + count(&text);
        let arguments = RawValue::from_string(text)
            .map_err(|e| Fail::Fault(Fault::bug(format!("the demo's arguments: {e}"))))?;
        let ask = CallAsk { server: server.to_owned(), tool: tool.to_owned(), arguments };
        let Answer::Call(result) = house.ask(What::Call(ask), None).await.map_err(Fail::Fault)?
        else {
            return Err(mismatch());
        };
        spent += count(&result.joined_text());
    }
    Ok(Price::new(definitions, spent))
}

fn text(report: &RunReport, narrows: &Price, direct: &Price, out: &Output) -> String {
    let title = |words: &str| format!("\n{}\n", out.tint(words, Tone::Strong));
    let mut all = title("The program that an agent sends");
    all.push_str(PROGRAM);
    all.push_str(&title("Its calls"));
    let bars: Vec<Bar> = report.calls.iter().map(Bar::from).collect();
    all.push_str(&waterfall(&bars, out));
    all.push_str(&title("What comes back"));
    all.push_str(report.text.trim_end());
    all.push('\n');
    all.push_str(&title("What the agent's context pays (tokens, o200k_base, counted)"));
    let row = |name: &str, a: usize, b: usize| {
        vec![(name.to_owned(), None), (a.to_string(), None), (b.to_string(), None)]
    };
    all.push_str(&out.table(
        &["", "NARROWS", "EVERY CALL BY THE AGENT"],
        vec![
            row("definitions", narrows.definitions, direct.definitions),
            row("calls and results", narrows.calls, direct.calls),
            row("together", narrows.total, direct.total),
        ],
    ));
    all.push_str(&title("Connect your client"));
    all.push_str("  narrows import --yes           take over the servers that your clients have\n");
    let clients = [("claude-code", "Claude Code"), ("cursor", "Cursor"), ("vscode", "VS Code")];
    let lines =
        clients.map(|(id, name)| format!("  {:<30} {name}\n", format!("narrows install {id}")));
    all.extend(lines);
    all
}
