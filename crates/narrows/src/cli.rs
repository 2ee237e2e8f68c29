//! The command line: what can be typed, and what each command does.

mod answer;
pub(crate) mod args;
mod auth;
mod call;
mod client;
mod config;
mod demo;
pub(crate) mod doctor;
mod duty;
mod exit;
mod follow;
mod import;
mod intent;
mod job;
mod mode;
pub(crate) mod output;
#[cfg(test)]
mod reference;
mod render;
mod run;
mod runs;
mod serve;
mod session;
mod tokens;
mod waterfall;
mod when;
mod worker;

#[cfg(test)]
pub(crate) use config::schema;
pub(crate) use exit::Fail;

use crate::assembly::House;
use crate::config::{Environment, Flags, Loaded, load};
use args::{Cli, Command};
use clap::{ColorChoice, CommandFactory as _, FromArgMatches as _};
use narrows_types::{Answer, Fault, What};
use output::Output;
use std::ffi::OsString;
use std::process::ExitCode;
use std::time::Duration;

/// The log target of audit records.
const AUDIT: &str = "narrows::audit";

/// What every command has at hand.
pub(crate) struct Desk {
    pub(crate) env: Environment,
    pub(crate) flags: Flags,
    pub(crate) out: Output,
    /// How often `-v` was given.
    pub(crate) verbose: u8,
}

/// Reads the command line and does what it says.
pub(crate) fn main() -> ExitCode {
    let words: Vec<OsString> = std::env::args_os().collect();
    let (json, color) = said_early(&words);
    let matches = Cli::command().color(color).try_get_matches_from(words);
    let cli = match matches.and_then(|matches| Cli::from_arg_matches(&matches)) {
        Ok(cli) => cli,
        Err(e) if json && e.use_stderr() => {
            let message = e.render().to_string();
            let message = message.trim().trim_start_matches("error: ");
            output::early(&Fail::usage(message));
            return ExitCode::from(exit::USAGE);
        }
        Err(e) => {
            // Help and version are no errors; clap knows where each belongs.
            drop(e.print());
            return ExitCode::from(if e.use_stderr() { exit::USAGE } else { exit::OK });
        }
    };
    let env = Environment::of_process();
    let out = Output::new(&cli.global, &env);
    let desk = Desk { env, flags: cli.global.flags(), out, verbose: cli.global.verbose };
    let done = runtime().and_then(|runtime| {
        let done = runtime.block_on(desk.command(cli.command));
        // Whoever still blocks (a resolver, a slow disk) must not keep the process alive.
        runtime.shutdown_timeout(Duration::from_millis(200));
        done
    });
    match done {
        Ok(code) => ExitCode::from(code),
        Err(fail) => {
            desk.out.fail(&fail);
            ExitCode::from(fail.code())
        }
    }
}

/// What counts also where the rest of the command line is wrong: `--json` and `--color`.
fn said_early(words: &[OsString]) -> (bool, ColorChoice) {
    let (mut json, mut color, mut before) = (false, ColorChoice::Auto, "");
    for word in words.iter().skip(1).map(|w| w.to_str().unwrap_or_default()) {
        if word == "--" {
            break;
        }
        json |= word == "--json";
        let when = word.strip_prefix("--color=").or((before == "--color").then_some(word));
        color = match when {
            Some("never") => ColorChoice::Never,
            Some("always") => ColorChoice::Always,
            _ => color,
        };
        before = word;
    }
    (json, color)
}

fn runtime() -> Result<tokio::runtime::Runtime, Fail> {
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|e| Fail::Fault(Fault::bug(format!("no runtime: {e}"))))
}

impl Desk {
    async fn command(&self, command: Command) -> Result<u8, Fail> {
        match command {
            Command::Serve(args) => Box::pin(self.serve(args)).await,
            Command::Worker(args) => Box::pin(self.worker(args)).await,
            Command::Run(args) => self.run(args).await,
            Command::Resume(args) => self.resume(args).await,
            Command::Answer(args) => self.answer(args).await,
            Command::Runs(args) => self.runs(args).await,
            Command::Job(args) => self.job(args).await,
            Command::Session(args) => self.session(args).await,
            Command::Intent(args) => self.intent(args).await,
            Command::Search(args) => self.search(args).await,
            Command::Tools(args) => self.tools(args).await,
            Command::Call(args) => self.call(args).await,
            Command::Servers => self.servers().await,
            Command::Mode(args) => self.mode(&args),
            Command::Tokens => self.tokens().await,
            Command::Doctor => self.doctor().await,
            Command::Demo => self.demo().await,
            Command::Config(args) => self.config(args.what),
            Command::Import(args) => self.import(&args),
            Command::Auth(args) => self.auth(args.what).await,
            Command::Add(args) => self.add(args),
            Command::Remove(args) => self.remove(&args),
            Command::Install(args) => self.install(&args),
            Command::Completions { shell } => {
                let mut text = Vec::new();
                clap_complete::generate(shell, &mut Cli::command(), "narrows", &mut text);
                let text = String::from_utf8_lossy(&text);
                self.out.either(&serde_json::json!({"text": text}), || text.to_string())?;
                Ok(exit::OK)
            }
        }
    }

    /// The config, its warnings told.
    fn loaded(&self) -> Result<Loaded, Fail> {
        let loaded = load(&self.env, &self.flags).map_err(Fail::Config)?;
        for warning in &loaded.warnings {
            self.out.warn(&warning.to_string());
        }
        Ok(loaded)
    }

    /// The house, ready to be asked; logging is on from here.
    async fn house(&self, loaded: &Loaded) -> Result<House, Fail> {
        self.log(loaded);
        House::open(&loaded.settings, &self.env).await.map_err(Fail::Fault)
    }

    /// Opens the house, asks once, closes it.
    async fn ask(&self, what: What) -> Result<Answer, Fail> {
        let loaded = self.loaded()?;
        let house = self.house(&loaded).await?;
        let waiting = self.out.spinner("starting servers");
        let answer = house.ask(what, None).await;
        waiting.finish_and_clear();
        house.close().await;
        answer.map_err(Fail::Fault)
    }

    /// Logs go to standard error: standard output belongs to the protocol and to answers.
    fn log(&self, loaded: &Loaded) {
        use crate::config::settings::LogFormat;
        use tracing_subscriber::EnvFilter;
        let level = match self.verbose {
            0 => loaded.settings.log.level.as_str(),
            1 => "info",
            2 => "debug",
            _ => "trace",
        };
        let filter = EnvFilter::try_new(with_audit(level));
        let filter = filter.unwrap_or_else(|_checked| EnvFilter::new(with_audit("warn")));
        let lines = tracing_subscriber::fmt()
            .with_env_filter(filter)
            .with_writer(std::io::stderr)
            .with_ansi(self.out.color_err());
        // A second start within one process keeps the first one's log.
        drop(match loaded.settings.log.format {
            LogFormat::Text => lines.try_init(),
            LogFormat::Json => lines.json().try_init(),
        });
    }
}

/// The records of the audit are told at every level; a filter that names them says otherwise.
fn with_audit(level: &str) -> String {
    if level.contains(AUDIT) { level.to_owned() } else { format!("{level},{AUDIT}=info") }
}

/// An answer of another kind than the question's.
fn mismatch() -> Fail {
    Fail::Fault(Fault::bug("the engine gave an answer of another kind"))
}
