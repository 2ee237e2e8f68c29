//! What can be typed.

mod durable;

pub(crate) use durable::{
    AnswerArgs, IntentArgs, IntentWhat, JobArgs, JobWhat, Keeping, ResumeArgs, RunsArgs, RunsWhat,
    SaveArgs, SessionArgs, SessionWhat, SubmitArgs, WorkerArgs,
};

use crate::config::Flags;
use clap::builder::styling::{AnsiColor, Styles};
use clap::{Args, Parser, Subcommand, ValueEnum};
use std::path::PathBuf;

const STYLES: Styles = Styles::styled()
    .header(AnsiColor::Green.on_default().bold())
    .usage(AnsiColor::Green.on_default().bold())
    .literal(AnsiColor::Cyan.on_default().bold())
    .placeholder(AnsiColor::Cyan.on_default());

/// What `--help` says after everything else.
const AFTER: &str = "\
First steps:
  narrows demo                           see it work, nothing to set up
  narrows import                         take over the servers of your clients
  narrows add git -- uvx mcp-server-git  connect a server
  narrows servers                        what is connected, what is broken and why
  narrows install claude-code            point a client at Narrows

Exit codes:
  0  done                                4  a limit or a deadline was reached
  1  the program threw, a tool failed    5  a server could not be reached
  2  wrong usage or config               6  a worker was lost, or a defect of Narrows
  3  the program was rejected            7  the program waits for answers";

/// One MCP server in front of all the others: agents search for tools and send one program that
/// uses them, and only the answer comes back.
#[derive(Debug, Parser)]
#[command(name = "narrows", version, styles = STYLES, after_help = AFTER, max_term_width = 100)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// Options of every command.
#[derive(Debug, Args)]
pub(crate) struct Global {
    /// The config: narrows.toml, .json or .yaml, or the config file of any client
    #[arg(long, global = true, value_name = "FILE", help_heading = "Global options")]
    pub(crate) config: Option<PathBuf>,
    /// Answer in JSON
    #[arg(long, global = true, help_heading = "Global options")]
    pub(crate) json: bool,
    /// Say nothing but the answer
    #[arg(long, short, global = true, help_heading = "Global options")]
    pub(crate) quiet: bool,
    /// Log more to standard error (-v info, -vv debug, -vvv trace)
    #[arg(long, short, global = true, action = clap::ArgAction::Count, help_heading = "Global options")]
    pub(crate) verbose: u8,
    /// Colours
    #[arg(
        long, global = true, value_enum, default_value_t = Color::Auto, value_name = "WHEN",
        help_heading = "Global options"
    )]
    pub(crate) color: Color,
}

impl Global {
    /// What concerns the config.
    pub(crate) fn flags(&self) -> Flags {
        Flags { file: self.config.clone(), set: Vec::new() }
    }
}

/// When to use colours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Color {
    /// On a terminal, unless `NO_COLOR` is set.
    Auto,
    /// Also into a pipe.
    Always,
    /// Never.
    Never,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Serve agents: MCP on standard input and output, or over HTTP
    Serve(ServeArgs),
    /// Do the jobs of the store, without opening a door
    Worker(WorkerArgs),
    /// Run one program
    Run(RunArgs),
    /// Let a run go on that was cut off
    Resume(ResumeArgs),
    /// Answer the questions of a run that waits
    Answer(AnswerArgs),
    /// Show what runs did: list, show, replay, diff
    Runs(RunsArgs),
    /// Do things in the background, now, later or again and again
    Job(JobArgs),
    /// Keep values and budgets across runs
    Session(SessionArgs),
    /// Save programs under a name, and call them
    Intent(IntentArgs),
    /// Find tools
    Search(SearchArgs),
    /// List tools
    Tools(ToolsArgs),
    /// Call one tool
    Call(CallArgs),
    /// Show what is connected, what is broken and why
    Servers,
    /// Show or change what agents see
    Mode(ModeArgs),
    /// Count what the definitions of all tools cost an agent, and what Narrows costs
    Tokens,
    /// Check what works here, with the fix for what does not
    Doctor,
    /// See it work: a real program over real files, with nothing set up
    Demo,
    /// Check, show or find the config
    Config(ConfigArgs),
    /// Take over the servers of your clients
    Import(ImportArgs),
    /// Log in at servers that want it (OAuth)
    Auth(AuthArgs),
    /// Connect a server
    Add(AddArgs),
    /// Disconnect a server
    Remove(RemoveArgs),
    /// Point a client at Narrows
    Install(InstallArgs),
    /// Print completions for a shell
    #[command(
        after_help = "Examples:\n  narrows completions bash > ~/.local/share/bash-completion/completions/narrows\n  narrows completions zsh > ~/.zfunc/_narrows"
    )]
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
}

#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  narrows serve                          MCP on standard input and output\n  narrows serve --http 127.0.0.1:7300    MCP at /mcp, REST at /v1, OpenAPI at /openapi.json\n  narrows serve --http unix:/run/user/1000/narrows.sock    the same at a Unix socket that only you can open"
)]
pub(crate) struct ServeArgs {
    /// Serve HTTP at this address (or unix:PATH) instead of standard input and output
    #[arg(long, value_name = "ADDR")]
    pub(crate) http: Option<String>,
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  narrows run prog.ts
  echo 'return await time.now({})' | narrows run -
  narrows run report.py --input '{\"days\": 7}'
  narrows run report.py --input @input.json --json
  narrows run long.ts --background            a job: see `narrows job`
  narrows run step2.py --session ses_...

The program's value goes to standard output, its logs to standard error.")]
pub(crate) struct RunArgs {
    /// The program's file, `-` for standard input
    #[arg(value_name = "FILE", required_unless_present = "eval", conflicts_with = "eval")]
    pub(crate) file: Option<PathBuf>,
    /// The program itself
    #[arg(long, short, value_name = "CODE")]
    pub(crate) eval: Option<String>,
    /// Its language (default: by the file's extension, else TypeScript)
    #[arg(long, short, value_enum)]
    pub(crate) language: Option<LanguageArg>,
    /// What evaluates it, if not what the config says: quickjs, wasm, deno, monty, cpython
    #[arg(long, value_name = "ENGINE", value_parser = engine)]
    pub(crate) engine: Option<narrows_types::Engine>,
    /// A limit lower than the config's, such as `cpu_ms=500` or `network=a.com,b.com`; can be given several times
    #[arg(long = "limit", value_name = "NAME=VALUE")]
    pub(crate) limits: Vec<String>,
    /// Bound as `input` inside the program: JSON, or @FILE
    #[arg(long, short, value_name = "JSON|@FILE")]
    pub(crate) input: Option<String>,
    /// The longest it may take, in milliseconds
    #[arg(long, value_name = "MS", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) timeout_ms: Option<u64>,
    /// The most that comes back, in bytes
    #[arg(long, value_name = "BYTES", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) output_bytes: Option<u64>,
    #[command(flatten)]
    pub(crate) keeping: Keeping,
    /// As a job, for `narrows serve` or `narrows worker` to do
    #[arg(long)]
    pub(crate) background: bool,
}

pub(crate) fn engine(name: &str) -> Result<narrows_types::Engine, String> {
    let names = || narrows_types::Engine::ALL.map(narrows_types::Engine::name).join(", ");
    narrows_types::Engine::named(name).ok_or_else(|| format!("there are {}", names()))
}

/// A program's language.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum LanguageArg {
    /// TypeScript or JavaScript.
    #[value(aliases = ["ts", "javascript", "js"])]
    Typescript,
    /// Python.
    #[value(alias = "py")]
    Python,
}

impl From<LanguageArg> for narrows_types::Language {
    fn from(arg: LanguageArg) -> Self {
        match arg {
            LanguageArg::Typescript => Self::TypeScript,
            LanguageArg::Python => Self::Python,
        }
    }
}

/// How much to tell of each tool.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum DetailArg {
    /// Names and one sentence.
    Names,
    /// A signature and one sentence.
    Signatures,
    /// Everything.
    Full,
}

impl From<DetailArg> for narrows_types::Detail {
    fn from(arg: DetailArg) -> Self {
        match arg {
            DetailArg::Names => Self::Names,
            DetailArg::Signatures => Self::Signatures,
            DetailArg::Full => Self::Full,
        }
    }
}

#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  narrows search 'list open issues' 'read a file'\n  narrows search weather --limit 3 --detail full --language python"
)]
pub(crate) struct SearchArgs {
    /// What the tool should do; several queries are merged
    #[arg(required = true)]
    pub(crate) query: Vec<String>,
    /// Only this server
    #[arg(long, short)]
    pub(crate) server: Option<String>,
    /// At most so many
    #[arg(long, short = 'n', default_value_t = 8, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=100))]
    pub(crate) limit: u64,
    /// How much to tell
    #[arg(long, value_enum, default_value_t = DetailArg::Signatures)]
    pub(crate) detail: DetailArg,
    /// Signatures in this language
    #[arg(long, short, value_enum, default_value_t = LanguageArg::Typescript)]
    pub(crate) language: LanguageArg,
}

#[derive(Debug, Args)]
pub(crate) struct ToolsArgs {
    /// Only this server
    pub(crate) server: Option<String>,
    /// Print declarations of every tool for an editor or a type checker
    #[arg(long)]
    pub(crate) typings: bool,
    /// The language of the declarations
    #[arg(long, short, value_enum, default_value_t = LanguageArg::Typescript, requires = "typings")]
    pub(crate) language: LanguageArg,
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  narrows call time.now zone=Europe/Berlin
  narrows call files.read '{\"path\": \"README.md\"}'
  narrows call github.list_issues owner=acme repo=api per_page:=5

KEY=VALUE passes text, KEY:=JSON passes JSON.")]
pub(crate) struct CallArgs {
    /// The tool
    #[arg(value_name = "SERVER.TOOL")]
    pub(crate) tool: String,
    /// Its arguments
    #[arg(value_name = "JSON|KEY=VALUE|KEY:=JSON")]
    pub(crate) arguments: Vec<String>,
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  narrows auth login linear           opens a browser
  narrows auth status
  narrows auth logout linear

What a login gives is kept in a file that only you can read, renewed when it ends, and sent to no
other server.")]
pub(crate) struct AuthArgs {
    #[command(subcommand)]
    pub(crate) what: AuthWhat,
}

/// What to do with logins.
#[derive(Debug, Subcommand)]
pub(crate) enum AuthWhat {
    /// Log in at a server
    Login {
        /// The server
        server: String,
        /// Only print the address
        #[arg(long)]
        no_browser: bool,
        /// How long to wait for you, in seconds
        #[arg(long, value_name = "SECONDS", default_value_t = 300, value_parser = clap::value_parser!(u64).range(1..=3600))]
        wait_s: u64,
    },
    /// Show where you are logged in
    Status,
    /// Forget a login
    Logout {
        /// The server
        server: String,
    },
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  narrows mode           what agents see now
  narrows mode hybrid    write it into the config; a `narrows serve` that runs takes it over")]
pub(crate) struct ModeArgs {
    /// What agents see from now on
    #[arg(value_enum)]
    pub(crate) mode: Option<ModeArg>,
}

/// What agents see.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum ModeArg {
    /// search and run.
    Code,
    /// Those two, and the tools worth listing.
    Hybrid,
    /// Everything, passed through.
    Mcp,
}

#[derive(Debug, Args)]
pub(crate) struct ConfigArgs {
    #[command(subcommand)]
    pub(crate) what: ConfigWhat,
}

/// What to do with the config.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Subcommand)]
pub(crate) enum ConfigWhat {
    /// Check it; every problem with its file, line and key
    Check,
    /// Show what is in force and where each value comes from, secrets hidden
    Show,
    /// Show which files count
    Path,
    /// Print the JSON Schema of the config file
    Schema,
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  narrows import                      show what would be added, from every client
  narrows import --yes                add it
  narrows import --from cursor        from one client
  narrows import --from ./mcp.json    from any file

Secrets are never copied: an entry gets a reference such as ${GITHUB_TOKEN} in their place, and you
are told which variables to set.")]
pub(crate) struct ImportArgs {
    /// One client or one file
    #[arg(long, value_name = "CLIENT|FILE")]
    pub(crate) from: Option<String>,
    /// Add what the preview shows
    #[arg(long, short)]
    pub(crate) yes: bool,
    /// Write ./narrows.toml instead of the user's
    #[arg(long)]
    pub(crate) project: bool,
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  narrows add git -- uvx mcp-server-git
  narrows add github --env GITHUB_TOKEN='${GITHUB_TOKEN}' -- npx -y @modelcontextprotocol/server-github
  narrows add docs --url https://example.com/mcp --header 'Authorization=Bearer ${DOCS_TOKEN}'")]
pub(crate) struct AddArgs {
    /// The server's name
    pub(crate) name: String,
    /// A variable in the program's environment
    #[arg(long, short, value_name = "NAME=VALUE")]
    pub(crate) env: Vec<String>,
    /// A header of every request
    #[arg(long, short = 'H', value_name = "NAME=VALUE")]
    pub(crate) header: Vec<String>,
    /// The endpoint of a server that speaks Streamable HTTP
    #[arg(long, conflicts_with_all = ["command", "env"])]
    pub(crate) url: Option<String>,
    /// The folder that the program runs in
    #[arg(long, value_name = "FOLDER", conflicts_with = "url")]
    pub(crate) cwd: Option<PathBuf>,
    /// Write ./narrows.toml instead of the user's
    #[arg(long)]
    pub(crate) project: bool,
    /// Replace a server of the same name
    #[arg(long)]
    pub(crate) force: bool,
    /// The program that speaks MCP, and its arguments
    #[arg(
        last = true,
        value_name = "COMMAND",
        required_unless_present = "url",
        conflicts_with = "header"
    )]
    pub(crate) command: Vec<String>,
}

#[derive(Debug, Args)]
pub(crate) struct RemoveArgs {
    /// The server's name
    pub(crate) name: String,
    /// In ./narrows.toml instead of the user's
    #[arg(long)]
    pub(crate) project: bool,
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  narrows install claude-code
  narrows install vscode --project     for this folder only (.vscode/mcp.json)
  narrows install cursor --print       only show the entry
  narrows install cursor --undo        put the file back as it was

The client's file keeps everything else; a backup is made beside it.")]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag that can be typed")]
pub(crate) struct InstallArgs {
    /// The client
    #[arg(value_name = "CLIENT", value_parser = clap::builder::PossibleValuesParser::new(crate::clients::CLIENTS.iter().map(|c| c.id)))]
    pub(crate) client: String,
    /// Only show the entry
    #[arg(long, conflicts_with = "undo")]
    pub(crate) print: bool,
    /// Put the file back as it was before
    #[arg(long)]
    pub(crate) undo: bool,
    /// With --undo: also if the file has changed since
    #[arg(long, requires = "undo")]
    pub(crate) force: bool,
    /// The client's file in this folder instead of the user's
    #[arg(long)]
    pub(crate) project: bool,
}
