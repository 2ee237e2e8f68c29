//! Repository habits as programs: `cargo xtask help` lists them.

mod guest;
mod laws;
mod ledger;
mod microvm;
mod parts;
mod services;
mod shell;
mod tidy;

use ledger::{Asked, Ledger};
use services::Care;
use shell::{Fail, say};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

const HELP: &str = "\
cargo xtask test [ARGS]   install what the tests need, build, run every test (ARGS go to the runner);
                          NARROWS_WITHOUT=docker,... goes without some places of the sandbox
cargo xtask ci            tidy, format, lints, then `test`: what `.ci/run` calls
cargo xtask tidy          the laws of the repository
cargo xtask parts         only install what the tests need
cargo xtask worker        build the static worker for containers and virtual machines
cargo xtask microvm [DIR] make the kernel of microvm guests (.cache/microvm)
cargo xtask bench [NAME [PART]]  benchmarks, as ratios in one run (`sandbox --json` for data)
cargo xtask fuzz [SECS]   each fuzz target for SECS seconds (60)
cargo xtask fuzz sandbox [MINUTES]  generated programs and forged frames against a gateway (30)
cargo xtask guest         build the module of WebAssembly that programs are evaluated in
cargo xtask docs          write docs/reference anew from the code
";

/// News of jobs over brokers: off in the product, on in the tests.
const BROKERS: [&str; 2] = ["--features", "narrows-testkit/brokers"];

fn main() -> ExitCode {
    let mut args = std::env::args().skip(1);
    let command = args.next().unwrap_or_default();
    let rest: Vec<String> = args.collect();
    let started = Instant::now();
    let outcome = match command.as_str() {
        "test" => test(&rest),
        "ci" => ci(),
        "tidy" => tidy::run(),
        "parts" => parts::install().map(drop),
        "worker" => worker().map(|path| say(&format!("{}\n", path.display()))),
        "microvm" => parts::microvm(rest.first().map(AsRef::as_ref)).map(drop),
        "bench" => bench(&rest),
        "fuzz" => fuzz(&rest),
        "docs" => docs(),
        "guest" => guest::build(),
        _ => {
            say(HELP);
            return if command.is_empty() || command == "help" {
                ExitCode::SUCCESS
            } else {
                ExitCode::from(2)
            };
        }
    };
    match outcome {
        Ok(()) => {
            say(&format!("xtask {command}: ok in {} s\n", started.elapsed().as_secs()));
            ExitCode::SUCCESS
        }
        Err(Fail(why)) => {
            say(&format!("xtask {command}: {why}\n"));
            ExitCode::FAILURE
        }
    }
}

/// Everything a change must pass.
fn ci() -> Result<(), Fail> {
    tidy::run()?;
    shell::cargo(&["fmt", "--all", "--check"]).run()?;
    let lints = ["clippy", "--workspace", "--all-targets"];
    // The product leaves the brokers out; the tests have them.
    for features in [&[][..], &BROKERS] {
        shell::cargo(&[&lints[..], features, &["--", "-D", "warnings"]].concat()).run()?;
    }
    // A workspace of its own: else nobody would notice when a target no longer builds.
    let fuzz =
        ["check", "--locked", "--manifest-path", "fuzz/Cargo.toml", "--target-dir", "target"];
    shell::cargo(&fuzz).run()?;
    test(&[])
}

/// The worker by itself: what goes into images of containers and of virtual machines.
fn worker() -> Result<PathBuf, Fail> {
    linked_statically(&["--bin", "narrows-worker"], "narrows-worker")
}

/// A program of the worker's room that needs nothing of the machine that it runs on. Built for a
/// named target, so that the flags are not those of build scripts too.
fn linked_statically(what: &[&str], path: &str) -> Result<PathBuf, Fail> {
    let target = format!("{}-unknown-linux-gnu", std::env::consts::ARCH);
    let profile = ["build", "--release", "--target", &target, "--package", "narrows-worker"];
    let mut build = shell::cargo(&[&profile[..], what].concat());
    build.env("RUSTFLAGS", "-C target-feature=+crt-static");
    build.run()?;
    let folder = std::env::var_os("CARGO_TARGET_DIR").map(PathBuf::from);
    let folder = folder.unwrap_or_else(|| shell::root().join("target"));
    Ok(folder.join(target).join("release").join(path))
}

/// All tests against real parts.
fn test(args: &[String]) -> Result<(), Fail> {
    let ledger = Ledger::open()?;
    let parts = parts::install()?;
    if args.is_empty() {
        guest::check()?;
    }
    let workspace = |words: &[&str]| shell::cargo(&[words, &["--workspace"], &BROKERS].concat());
    workspace(&["build", "--bins"]).run()?;
    let worker = worker()?;
    let broken_in = linked_statically(&["--example", "broken-in"], "examples/broken-in")?;
    let nextest = shell::works("cargo", &["nextest", "--version"]);
    if nextest && args.is_empty() {
        // nextest does not run the examples in documentation.
        workspace(&["test", "--doc", "--quiet"]).run()?;
    }
    let mut run = if nextest {
        workspace(&["nextest", "run", "--profile", "ci"])
    } else {
        workspace(&["test"])
    };
    run.args(args);
    ledger.narrow(&mut run, nextest)?;
    run.env("NARROWS_STATIC_WORKER", &worker.to_string_lossy());
    run.env("NARROWS_STATIC_BROKEN_IN", &broken_in.to_string_lossy());
    parts.describe(&mut run);
    ledger.describe(&mut run);
    let services = services::start(Care::None, true)?;
    services.describe(&mut run);
    let outcome = run.run();
    services.end()?;
    let asked = if args.is_empty() { Asked::Everything } else { Asked::Part };
    // Both are told; what a test says comes first.
    let tried = ledger.close(asked);
    outcome.and(tried)
}

/// Benchmarks measure what is installed; the peers are installed first.
fn bench(args: &[String]) -> Result<(), Fail> {
    let parts = parts::install()?;
    parts::install_peers(&parts)?;
    shell::cargo(&["build", "--profile", "dist", "--workspace", "--bins"]).run()?;
    let mut run = shell::cargo(&["bench", "--profile", "dist", "--workspace"]);
    if let Some(name) = args.first() {
        run.args(&["--bench".to_owned(), name.clone(), "--".to_owned()]);
        run.args(args.get(1..).unwrap_or_default());
    }
    parts.describe(&mut run);
    // What others measure has no containers in it.
    let containers = args.first().is_some_and(|name| name == "sandbox");
    if containers {
        run.env("NARROWS_STATIC_WORKER", &worker()?.to_string_lossy());
    }
    let services = services::start(Care::Real, containers)?;
    services.describe(&mut run);
    let outcome = run.run();
    services.end()?;
    outcome
}

/// Fuzz targets need the nightly compiler and `cargo fuzz`; the siege of the sandbox needs neither.
fn fuzz(args: &[String]) -> Result<(), Fail> {
    if args.first().is_some_and(|what| what == "sandbox") {
        return siege(args.get(1).map_or("30", String::as_str));
    }
    let seconds = args.first().map_or("60", String::as_str);
    if !shell::works("cargo", &["fuzz", "--version"]) {
        shell::cargo(&["install", "--locked", "cargo-fuzz"]).run()?;
    }
    let root = shell::root();
    for entry in shell::list(&root.join("fuzz/fuzz_targets"))? {
        let name = entry.trim_end_matches(".rs").to_owned();
        let limit = format!("-max_total_time={seconds}");
        let mut run = shell::tool(
            "rustup",
            &["run", "nightly", "cargo", "fuzz", "run", &name, "--", &limit, "-rss_limit_mb=4096"],
        );
        run.run()?;
    }
    Ok(())
}

/// Its tests take a short share of time in each test run; here they take all of it.
fn siege(minutes: &str) -> Result<(), Fail> {
    let parts = parts::install()?;
    let workspace = ["--workspace", BROKERS[0], BROKERS[1]];
    shell::cargo(&[&["build", "--bins"], &workspace[..]].concat()).run()?;
    let siege = ["--test", "siege", "--", "--nocapture"];
    let mut run = shell::cargo(&[&["test"], &workspace[..], &siege].concat());
    run.env("NARROWS_SIEGE_MINUTES", minutes);
    parts.describe(&mut run);
    run.run()
}

/// The generated reference.
fn docs() -> Result<(), Fail> {
    let parts = parts::install()?;
    let features = ["-p", "narrows-testkit", "--test", "escape", "features"];
    for what in [&["-p", "narrows", "reference"][..], &features] {
        let mut run = shell::cargo(&[&["nextest", "run"], what].concat());
        run.env("NARROWS_WRITE_DOCS", "1");
        parts.describe(&mut run);
        run.run()?;
    }
    Ok(())
}
