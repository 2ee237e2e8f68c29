//! `narrows run`.

use super::args::{Keeping, LanguageArg, RunArgs};
use super::exit::{Fail, of_run};
use super::output::{Output, Tone, safe};
use super::{Desk, mismatch};
use crate::config::Loaded;
use narrows_types::{
    Answer, Asked, Content, Event, Fault, Language, Limit, Limits, LogLevel, Lowered, Network,
    RunAsk, RunEnd, RunReport, SessionId, Shaped, Usage, What,
};
use serde_json::Value;
use serde_json::value::RawValue;
use std::io::Read as _;
use std::path::Path;
use tokio::sync::mpsc;

/// Bytes of a program or an input that are read; the config's limits are tighter.
const READ_BYTES_MAX: u64 = 32 << 20;
/// Events that wait to be shown.
const EVENTS: usize = 64;

impl Desk {
    pub(super) async fn run(&self, args: RunArgs) -> Result<u8, Fail> {
        let input = args.input.as_deref().map(input).transpose()?;
        let (timeout_ms, limits) = (args.timeout_ms, lowered(&args.limits)?);
        let ask = RunAsk {
            input,
            engine: args.engine,
            limits: Box::new(limits.clone()),
            timeout_ms,
            output_bytes: args.output_bytes,
            background: args.background,
            ..ask(args.file.as_deref(), args.eval, args.language, args.keeping)?
        };
        let loaded = self.loaded()?;
        let house = self.house(&loaded).await?;
        let answer = self.watched(&house, What::Run(ask)).await;
        house.close().await;
        let remedy = Remedy { timeout_ms, limits, ..Remedy::of(&loaded, "its session") };
        self.ran(answer.map_err(Fail::Fault)?, &remedy)
    }

    /// Tells how a program ended, or that it became a job.
    pub(super) fn ran(&self, answer: Answer, remedy: &Remedy) -> Result<u8, Fail> {
        match answer {
            Answer::Run(mut report) => {
                if self.out.json {
                    // The text is for models: whoever reads JSON has all of it in the members.
                    report.text.clear();
                    self.out.value(&report)?;
                } else {
                    told(&report, remedy, &self.out)?;
                }
                Ok(of_run(&report.end))
            }
            Answer::Job(job) => self.job_out(&job),
            Answer::Call(result) => self.result_out(&result),
            _ => Err(mismatch()),
        }
    }

    /// Asks, showing progress while it waits.
    pub(super) async fn watched(
        &self,
        house: &crate::assembly::House,
        what: What,
    ) -> Result<Answer, Fault> {
        let (send, mut heard) = mpsc::channel(EVENTS);
        let bar = self.out.spinner("running");
        let answer = house.ask(what, Some(send));
        tokio::pin!(answer);
        let answer = loop {
            tokio::select! {
                answer = &mut answer => break answer,
                Some(Event::Progress { fraction, message }) = heard.recv() => {
                    let percent = fraction.map_or_else(String::new, |f| format!("{:.0} % ", f * 100.0));
                    bar.set_message(format!("{percent}{}", safe(&message)));
                }
            }
        };
        bar.finish_and_clear();
        answer
    }
}

/// Who else lowered the limits of a run that goes on.
pub(super) const BEGUN: &str = "what the run began with (`--limit`, an intent, a session)";

/// What raises a limit that a run reached.
pub(super) struct Remedy {
    /// What this command said.
    pub(super) timeout_ms: Option<u64>,
    pub(super) limits: Lowered,
    /// The config's.
    config: Limits,
    /// Who else may have lowered them.
    others: &'static str,
}

impl Remedy {
    /// For a command that lowers nothing itself.
    pub(super) fn of(loaded: &Loaded, others: &'static str) -> Self {
        let (config, limits) = (loaded.settings.limits.run(), Lowered::default());
        Self { timeout_ms: None, limits, config, others }
    }

    fn text(&self, limit: Limit, allowed: u64) -> String {
        let mut own = self.config.clone();
        self.limits.lower(&mut own);
        let config = self.config.allowed(limit);
        if limit == Limit::Stack {
            "the recursion is too deep".to_owned()
        } else if limit == Limit::WallMs && self.timeout_ms == Some(allowed) {
            "--timeout-ms raises it".to_owned()
        } else if allowed < config && own.allowed(limit) == allowed {
            "--limit raises it".to_owned()
        } else if allowed < config {
            format!("{} has it lower than `[limits]`", self.others)
        } else {
            "`[limits]` in the config raises it".to_owned()
        }
    }
}

/// Limits as the command line has them.
pub(super) fn lowered(pairs: &[String]) -> Result<Lowered, Fail> {
    let mut limits = serde_json::Map::new();
    for pair in pairs {
        let parsed = pair.split_once('=').and_then(|(name, value)| {
            if name == "network" && value != Network::NONE {
                return Some((name, value.split(',').collect()));
            } else if name == "network" {
                return Some((name, value.into()));
            }
            let value = serde_json::from_str::<Value>(value).ok()?;
            (value.is_u64() || value.is_boolean()).then_some((name, value))
        });
        let (name, value) = parsed.ok_or_else(|| {
            let fault = Fault::invalid(format!("--limit {pair}: not a name and a whole number"));
            Fail::Fault(fault.hint("write --limit cpu_ms=500"))
        })?;
        limits.insert(name.to_owned(), value);
    }
    serde_json::from_value(limits.into())
        .map_err(|e| Fail::Fault(Fault::invalid(format!("--limit: {e}"))))
}

/// A program from the command line, alone.
pub(super) fn ask(
    file: Option<&Path>,
    eval: Option<String>,
    language: Option<LanguageArg>,
    keeping: Keeping,
) -> Result<RunAsk, Fail> {
    let file = file.unwrap_or(Path::new("-"));
    let code = match eval {
        Some(code) => code,
        None => program(file)?,
    };
    let language = language.map_or_else(|| by_extension(file), Language::from);
    let Keeping { session, durability } = keeping;
    let (session, durability) = (session.map(SessionId), durability.map(Into::into));
    Ok(RunAsk { code, language, session, durability, ..RunAsk::default() })
}

fn by_extension(file: &Path) -> Language {
    match file.extension().and_then(|e| e.to_str()) {
        Some("py" | "pyi") => Language::Python,
        _ => Language::TypeScript,
    }
}

/// The text of a program's file. Whoever gives the program itself hears how.
pub(super) fn program(file: &Path) -> Result<String, Fail> {
    let name = file.to_string_lossy();
    if name.contains([' ', '(', ';']) && !file.exists() {
        let what = name.lines().next().unwrap_or_default();
        let message = format!("there is no file {what}");
        return Err(Fail::usage(format!(
            "{message}; to run a program itself: narrows run --eval CODE"
        )));
    }
    read(file)
}

/// The text of a file, or of standard input for `-`.
fn read(file: &Path) -> Result<String, Fail> {
    let shown = file.display();
    let mut text = Vec::new();
    let read = if file == Path::new("-") {
        std::io::stdin().lock().take(READ_BYTES_MAX + 1).read_to_end(&mut text)
    } else {
        std::fs::File::open(file).and_then(|f| f.take(READ_BYTES_MAX + 1).read_to_end(&mut text))
    };
    read.map_err(|e| Fail::usage(format!("cannot read {shown}: {e}")))?;
    if text.len() as u64 > READ_BYTES_MAX {
        return Err(Fail::usage(format!("{shown} has more than {READ_BYTES_MAX} bytes")));
    }
    String::from_utf8(text).map_err(|_binary| Fail::usage(format!("{shown} is not UTF-8 text")))
}

pub(super) fn input(arg: &str) -> Result<Box<RawValue>, Fail> {
    json("--input", arg)
}

/// `JSON` or `@FILE`, checked.
pub(super) fn json(name: &str, arg: &str) -> Result<Box<RawValue>, Fail> {
    let text = match arg.strip_prefix('@') {
        Some(file) => read(Path::new(file))?,
        None => arg.to_owned(),
    };
    serde_json::from_str::<&RawValue>(text.trim())
        .map(ToOwned::to_owned)
        .map_err(|e| Fail::usage(format!("{name} is no JSON: {e}")))
}

/// The value to standard output; logs, what was shown and the bill to standard error.
fn told(report: &RunReport, remedy: &Remedy, out: &Output) -> Result<(), Fail> {
    for line in &report.logs {
        let tone = match line.level {
            LogLevel::Debug => Tone::Dim,
            LogLevel::Info => Tone::Strong,
            LogLevel::Warn => Tone::Warn,
            LogLevel::Error => Tone::Bad,
        };
        let text = safe(&line.text);
        let plain = line.level == LogLevel::Info;
        out.note(&if plain { text } else { out.tint_err(&text, tone) });
    }
    if report.logs_dropped > 0 {
        out.note(&format!("({} more log lines were dropped)", report.logs_dropped));
    }
    match &report.end {
        RunEnd::Returned(shaped) => returned(shaped, out)?,
        end => {
            for line in ended(end, &report.usage, remedy) {
                out.error(&line);
            }
            if matches!(end, RunEnd::Paused { .. }) {
                out.note(&format!("answer with: narrows answer {}", report.run));
            }
        }
    }
    for content in &report.shown {
        out.note(&shown(content));
    }
    let bill = report.bill;
    let calls = if bill.calls == 1 { "1 call".to_owned() } else { format!("{} calls", bill.calls) };
    let (ms, kept) = (bill.ms, bill.kept_bytes);
    out.note(&format!("{calls}, {ms} ms, {kept} bytes kept out of the context"));
    Ok(())
}

fn returned(shaped: &Shaped, out: &Output) -> Result<(), Fail> {
    if let Some(value) = &shaped.value {
        return out.text(&safe(&pretty(value)));
    }
    out.text(&safe(&shaped.preview))?;
    out.note(&format!("cut from {} bytes; its shape: {}", shaped.bytes, safe(&shaped.shape)));
    if let Some(handle) = &shaped.artifact {
        out.note(&format!(
            "the whole is kept: `artifact(\"{handle}\")` in the next program reads it"
        ));
    }
    Ok(())
}

/// Text as it is, everything else as JSON over several lines.
pub(super) fn pretty(value: &RawValue) -> String {
    let raw = value.get();
    if let Ok(text) = serde_json::from_str::<String>(raw) {
        return text;
    }
    match serde_json::from_str::<Value>(raw) {
        // Numbers beyond 64 bits would change: such a value stays as it came.
        Ok(parsed) if format!("{parsed}") == raw => format!("{parsed:#}"),
        _ => raw.to_owned(),
    }
}

/// How a run ended that returned nothing, line by line.
fn ended(end: &RunEnd, usage: &Usage, remedy: &Remedy) -> Vec<String> {
    match end {
        RunEnd::Returned(_) => Vec::new(),
        RunEnd::Threw(error) => {
            let mut lines = vec![format!("{}: {}", error.name, error.message)];
            lines.extend(
                error.at.iter().map(|p| format!("  at line {}, column {}", p.line, p.column)),
            );
            lines
        }
        RunEnd::Rejected { findings } => {
            let lines = findings
                .iter()
                .map(|f| format!("line {}, column {}: {}", f.at.line, f.at.column, f.message));
            std::iter::once("the program was not started:".to_owned()).chain(lines).collect()
        }
        RunEnd::Limit { limit, allowed } => {
            let number =
                if *limit == Limit::Stack { String::new() } else { format!(" = {allowed}") };
            let remedy = remedy.text(*limit, *allowed);
            vec![format!("the program reached the limit {limit}{number}; {remedy}"), used(usage)]
        }
        RunEnd::Deadlock => {
            vec!["the program waits for something that can never happen".to_owned()]
        }
        RunEnd::Paused { questions } => {
            let ask = |asked: &Asked| super::runs::question(asked).trim_end().to_owned();
            let mut lines = vec!["paused; it waits for answers:".to_owned()];
            lines.extend(questions.iter().map(ask));
            lines
        }
        RunEnd::Diverged { reason } => vec![format!("cannot go on: {reason}")],
        RunEnd::Lost { reason } => vec![format!("the worker was lost: {reason}")],
    }
}

fn used(usage: &Usage) -> String {
    let parts: Vec<String> = usage.of_limits().map(|(of, used)| format!("{of} = {used}")).collect();
    format!("  used {}", parts.join(", "))
}

fn shown(content: &Content) -> String {
    if let Some(text) = content.as_text() {
        return safe(text);
    }
    let field = |key: &str| content.0.get(key).and_then(Value::as_str);
    let bytes = field("data").or(field("blob")).map_or(0, |data| data.len() / 4 * 3);
    let mime = field("mimeType").unwrap_or("unknown type");
    format!("shown: {} ({}, about {bytes} bytes)", safe(content.kind()), safe(mime))
}

#[cfg(test)]
mod tests;
