//! What can be typed about runs, jobs, sessions and intents.

use super::LanguageArg;
use clap::{Args, Subcommand, ValueEnum};
use std::path::PathBuf;

/// How surely a run's journal is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum DurabilityArg {
    /// Not at all.
    Off,
    /// Behind the run.
    Async,
    /// Before each call.
    Sync,
}

impl From<DurabilityArg> for narrows_types::Durability {
    fn from(arg: DurabilityArg) -> Self {
        match arg {
            DurabilityArg::Off => Self::Off,
            DurabilityArg::Async => Self::Async,
            DurabilityArg::Sync => Self::Sync,
        }
    }
}

/// What a program keeps beyond itself.
#[derive(Debug, Default, Args)]
pub(crate) struct Keeping {
    /// The session that it belongs to
    #[arg(long, value_name = "SESSION")]
    pub(crate) session: Option<String>,
    /// How surely its journal is kept (default: as the config says)
    #[arg(long, value_enum, value_name = "HOW")]
    pub(crate) durability: Option<DurabilityArg>,
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  narrows resume run_4k1x0pbn6m2c8v5z7t3q                a run that was cut off goes on
  narrows resume run_4k1x0pbn6m2c8v5z7t3q --background   a worker takes it over

What its journal holds is not called again. A run that waits for answers: see `narrows answer`.")]
pub(crate) struct ResumeArgs {
    /// The run
    #[arg(value_name = "RUN")]
    pub(crate) run: String,
    /// As a job, for `narrows serve` or `narrows worker` to do
    #[arg(long)]
    pub(crate) background: bool,
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  narrows answer run_4k1x0pbn6m2c8v5z7t3q                 shows the questions and asks you
  narrows answer run_4k1x0pbn6m2c8v5z7t3q main            the one question that is open
  narrows answer run_4k1x0pbn6m2c8v5z7t3q q1=main q2=true
  narrows answer run_4k1x0pbn6m2c8v5z7t3q q1.branch=main q1.force=false
  narrows answer run_4k1x0pbn6m2c8v5z7t3q q1 --decline    says no to q1; to all without an id

A value is JSON where it reads as JSON, else text. The run goes on once every question is answered.")]
pub(crate) struct AnswerArgs {
    /// The run
    #[arg(value_name = "RUN")]
    pub(crate) run: String,
    /// The answers; with --decline or --cancel the questions
    #[arg(value_name = "[ID=]VALUE")]
    pub(crate) answers: Vec<String>,
    /// Say no
    #[arg(long, conflicts_with = "cancel")]
    pub(crate) decline: bool,
    /// Go away without a choice
    #[arg(long)]
    pub(crate) cancel: bool,
    /// As a job, for `narrows serve` or `narrows worker` to do
    #[arg(long)]
    pub(crate) background: bool,
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  narrows runs list --state paused
  narrows runs show run_4k1x0pbn6m2c8v5z7t3q             every call, drawn to scale
  narrows runs replay run_4k1x0pbn6m2c8v5z7t3q           again from its journal; no server is asked
  narrows runs diff run_4k1x0pbn6m2c8v5z7t3q new.ts      what another program would do differently")]
pub(crate) struct RunsArgs {
    #[command(subcommand)]
    pub(crate) what: RunsWhat,
}

/// What to do with the record of runs.
#[derive(Debug, Subcommand)]
pub(crate) enum RunsWhat {
    /// List runs, newest first
    List {
        /// At most so many
        #[arg(long, short = 'n', default_value_t = 20, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1000))]
        limit: u16,
        /// Only those in this state: running, paused, returned, threw, rejected, limit, deadlock,
        /// lost, diverged, cancelled
        #[arg(long)]
        state: Option<String>,
    },
    /// Show a run: its calls with times and sizes, its questions, its logs
    Show {
        /// The run
        #[arg(value_name = "RUN")]
        run: String,
        /// The program and each call's arguments and outcome too
        #[arg(long)]
        full: bool,
    },
    /// Execute a run again from its journal; no server is asked
    Replay {
        /// The run
        #[arg(value_name = "RUN")]
        run: String,
    },
    /// Execute another program against a run's journal, and show what differs
    Diff {
        /// The run
        #[arg(value_name = "RUN")]
        run: String,
        /// The program's file, `-` for standard input
        #[arg(value_name = "FILE")]
        file: PathBuf,
    },
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  narrows job submit nightly.ts                                 a program
  narrows job submit nightly.ts --cron '0 3 * * *'              every night at three, UTC
  narrows job submit --intent weekly_report --input '{\"week\": 7}'
  narrows job submit --call github.create_issue owner=acme repo=api title=Hello
  narrows job show job_4k1x0pbn6m2c8v5z7t3q --wait 60
  narrows job list --state dead

Jobs wait in the store until `narrows serve` or `narrows worker` does them.")]
pub(crate) struct JobArgs {
    #[command(subcommand)]
    pub(crate) what: JobWhat,
}

/// What to do with the queue.
#[derive(Debug, Subcommand)]
pub(crate) enum JobWhat {
    /// Send a program, an intent, a call or a run to the background
    Submit(Box<SubmitArgs>),
    /// List jobs, newest first
    List {
        /// At most so many
        #[arg(long, short = 'n', default_value_t = 20, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1000))]
        limit: u16,
        /// Only those in this state
        #[arg(long, value_parser = ["queued", "running", "paused", "done", "failed", "dead", "cancelled"])]
        state: Option<String>,
    },
    /// Show a job and its result
    Show {
        /// The job
        #[arg(value_name = "JOB")]
        job: String,
        /// Wait so long for its end or its pause, in seconds
        #[arg(long, value_name = "SECONDS", default_value_t = 0, value_parser = clap::value_parser!(u64).range(..=3600))]
        wait: u64,
    },
    /// Show the log lines of a job's run
    Logs {
        /// The job
        #[arg(value_name = "JOB")]
        job: String,
    },
    /// Ask for the end of a job
    Cancel {
        /// The job
        #[arg(value_name = "JOB")]
        job: String,
    },
    /// Begin a job again that failed
    Retry {
        /// The job
        #[arg(value_name = "JOB")]
        job: String,
    },
    /// List schedules
    Schedules,
    /// Remove a schedule; jobs that it made stay
    Unschedule {
        /// The schedule
        #[arg(value_name = "SCHEDULE")]
        schedule: String,
    },
}

#[derive(Debug, Args)]
pub(crate) struct SubmitArgs {
    /// The program's file, `-` for standard input
    #[arg(value_name = "FILE", conflicts_with_all = ["eval", "intent", "call", "resume"],
        required_unless_present_any = ["eval", "intent", "call", "resume"])]
    pub(crate) file: Option<PathBuf>,
    /// The program itself
    #[arg(long, short, value_name = "CODE", conflicts_with_all = ["intent", "call", "resume"])]
    pub(crate) eval: Option<String>,
    /// An intent, by its name
    #[arg(long, value_name = "NAME", conflicts_with_all = ["call", "resume"])]
    pub(crate) intent: Option<String>,
    /// One call: the tool and its arguments (JSON, KEY=VALUE, KEY:=JSON)
    #[arg(long, value_name = "SERVER.TOOL [ARGUMENT]", num_args = 1.., conflicts_with = "resume")]
    pub(crate) call: Vec<String>,
    /// A run that goes on
    #[arg(long, value_name = "RUN")]
    pub(crate) resume: Option<String>,
    /// The program's language (default: by the file's extension, else TypeScript)
    #[arg(long, short, value_enum)]
    pub(crate) language: Option<LanguageArg>,
    /// Bound as `input`: JSON, or @FILE
    #[arg(long, short, value_name = "JSON|@FILE", conflicts_with_all = ["call", "resume"])]
    pub(crate) input: Option<String>,
    #[command(flatten)]
    pub(crate) keeping: Keeping,
    /// Higher goes first
    #[arg(long, default_value_t = 0, value_name = "N", allow_negative_numbers = true)]
    pub(crate) priority: i32,
    /// Not before so many milliseconds
    #[arg(long, default_value_t = 0, value_name = "MS")]
    pub(crate) delay_ms: u64,
    /// How often it may be begun
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) max_attempts: Option<u32>,
    /// A job each time: a cron line of five fields, UTC
    #[arg(long, value_name = "LINE")]
    pub(crate) cron: Option<String>,
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  narrows session create --calls 500      at most 500 calls in all its runs
  narrows run prog.ts --session ses_4k1x0pbn6m2c8v5z7t3q
  narrows session delete ses_4k1x0pbn6m2c8v5z7t3q")]
pub(crate) struct SessionArgs {
    #[command(subcommand)]
    pub(crate) what: SessionWhat,
}

/// What to do with sessions.
#[derive(Debug, Subcommand)]
pub(crate) enum SessionWhat {
    /// Make a session
    Create {
        /// Seconds without use after which it ends (default: as the config says)
        #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..))]
        idle_s: Option<u64>,
        /// Seconds after which it ends however it is used (default: as the config says)
        #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..))]
        life_s: Option<u64>,
        /// Tool calls that it may make in all; 0 is without a limit
        #[arg(long, value_name = "N")]
        calls: Option<u64>,
        /// Milliseconds that its runs may take in all
        #[arg(long, value_name = "MS")]
        ms: Option<u64>,
        /// Bytes of results that its tools may give
        #[arg(long, value_name = "BYTES")]
        bytes: Option<u64>,
        /// Tokens of replies to the agent, about
        #[arg(long, value_name = "N")]
        tokens: Option<u64>,
    },
    /// List sessions
    List,
    /// Show a session
    Show {
        /// The session
        #[arg(value_name = "SESSION")]
        session: String,
    },
    /// End a session; its values go, its runs stay
    Delete {
        /// The session
        #[arg(value_name = "SESSION")]
        session: String,
    },
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  narrows intent save run_4k1x0pbn6m2c8v5z7t3q --name open_issues --description 'Open issues of a repository'
  narrows intent save --file report.ts --name report --description 'Weekly report' --schema @schema.json
  narrows intent call report week:=7
  narrows intent rollback report 2

A program calls it as intents.NAME({...}); agents find it with `search`.")]
pub(crate) struct IntentArgs {
    #[command(subcommand)]
    pub(crate) what: IntentWhat,
}

/// What to do with intents.
#[derive(Debug, Subcommand)]
pub(crate) enum IntentWhat {
    /// Save a finished run's program, or a file, as a new version
    Save(Box<SaveArgs>),
    /// List intents
    List,
    /// Show an intent with its program
    Show {
        /// Its name
        name: String,
        /// Another version than the one in use
        #[arg(long, value_name = "N")]
        version: Option<u32>,
    },
    /// Make an older version the one in use
    Rollback {
        /// Its name
        name: String,
        /// To which
        version: u32,
    },
    /// Remove an intent with all its versions
    Delete {
        /// Its name
        name: String,
    },
    /// Carry its tests out; no server is asked
    Test {
        /// Its name
        name: String,
    },
    /// Run an intent
    Call {
        /// Its name
        name: String,
        /// Its input
        #[arg(value_name = "JSON|KEY=VALUE|KEY:=JSON")]
        input: Vec<String>,
    },
}

#[derive(Debug, Args)]
pub(crate) struct SaveArgs {
    /// The run whose program is saved
    #[arg(value_name = "RUN", required_unless_present = "file", conflicts_with_all = ["file", "language", "engine", "limits", "tests"])]
    pub(crate) run: Option<String>,
    /// The program's file, `-` for standard input
    #[arg(long, value_name = "FILE", requires = "schema")]
    pub(crate) file: Option<PathBuf>,
    /// The intent's name: an identifier
    #[arg(long)]
    pub(crate) name: String,
    /// What it does, one sentence
    #[arg(long)]
    pub(crate) description: String,
    /// JSON Schema of its input (default: drawn from the run's input)
    #[arg(long, value_name = "JSON|@FILE")]
    pub(crate) schema: Option<String>,
    /// The program's language (default: by the file's extension, else TypeScript)
    #[arg(long, short, value_enum)]
    pub(crate) language: Option<LanguageArg>,
    /// What evaluates it, if not what the config says: quickjs, wasm, deno, monty, cpython (a run's
    /// own is kept)
    #[arg(long, value_name = "ENGINE", value_parser = super::engine)]
    pub(crate) engine: Option<narrows_types::Engine>,
    /// A limit lower than the config's, such as `cpu_ms=500` or `network=a.com,b.com`; can be given several times (a run's own
    /// are kept)
    #[arg(long = "limit", value_name = "NAME=VALUE")]
    pub(crate) limits: Vec<String>,
    /// Checks, carried out before it is saved: an array of {input, expected, run?}
    #[arg(long, value_name = "JSON|@FILE")]
    pub(crate) tests: Option<String>,
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  narrows worker
  NARROWS__STORE__URL=postgres://queue@db/narrows narrows worker

It opens no door: it does the jobs of the store that it shares with `narrows serve`. SIGTERM and
SIGINT let the jobs under way end; a second one ends it at once, and another worker takes them over.")]
pub(crate) struct WorkerArgs {}
