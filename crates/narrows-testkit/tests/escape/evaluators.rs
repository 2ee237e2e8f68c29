//! Interpreters that are not built in: the process that evaluates is as jailed as the one that
//! reads, and neither outlives the other.

use crate::house::{LONG, config, program, run_by};
use crate::ledger;
use crate::places;
use crate::programs::words;
use crate::walls::descendants;
use narrows_sandbox::{Denied, Lease, Sandbox, Want};
use narrows_types::frame::{End, FromWorker, Go, ToWorker};
use narrows_types::{BackendKind, Engine, Language, Limit, Limits, Network};
use std::fs;
use std::time::{Duration, Instant};
use tokio::sync::mpsc::Receiver;

const CPYTHON: Want = Want {
    language: Language::Python,
    backend: None,
    engine: Some(Engine::Cpython),
    network: false,
};

const DENO: Want = Want {
    language: Language::TypeScript,
    backend: None,
    engine: Some(Engine::Deno),
    network: false,
};

/// A program that runs and has said something, with what is denied to it.
pub(crate) async fn started(
    sandbox: &Sandbox,
    want: Want,
    (code, network): (&str, &Network),
) -> (Lease, Option<Receiver<Denied>>) {
    let mut lease = sandbox.lease(want, Instant::now() + LONG).await.unwrap();
    let limits = Limits { network: network.clone(), ..Limits::default() };
    let run = program(want.language, code, limits);
    lease.arm(&run.limits);
    let denied = lease.connect(network);
    lease.send(&ToWorker::Run(Box::new(run))).await.unwrap();
    assert!(matches!(lease.receive().await.unwrap(), FromWorker::Uses(_)));
    lease.send(&ToWorker::Go(Go { namespaces: Vec::new() })).await.unwrap();
    assert!(matches!(lease.receive().await.unwrap(), FromWorker::Log(_)));
    (lease, denied)
}

async fn gone(sandbox: &Sandbox) {
    let until = Instant::now() + LONG;
    while sandbox.health().iter().any(|health| health.living > 0) {
        assert!(Instant::now() < until, "{:?}", sandbox.health());
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

fn read(pid: u32, file: &str) -> String {
    fs::read_to_string(format!("/proc/{pid}/{file}")).unwrap_or_default()
}

fn field(text: &str, name: &str) -> String {
    let line = text.lines().find_map(|line| line.strip_prefix(name));
    line.unwrap_or_else(|| panic!("no {name}")).split_whitespace().next().unwrap().to_owned()
}

#[tokio::test]
async fn an_evaluator_is_sealed_and_ends_with_its_lease() {
    let base = config("worker");
    let sandbox = Sandbox::start(narrows_sandbox::Config { warm: 0, ..base }).await.unwrap();
    let code = ("print(1)\nwhile True: pass", &Network::default());
    let (lease, _denied) = started(&sandbox, CPYTHON, code).await;
    let zygote = sandbox.health().into_iter().find_map(|health| health.pid).unwrap();
    let is_evaluator = |pid: &u32| {
        let limits = read(*pid, "limits");
        read(*pid, "comm").starts_with("python") && field(&limits, "Max processes") == "16"
    };
    let found: Vec<u32> = descendants(zygote).into_iter().filter(is_evaluator).collect();
    let [evaluator] = found[..] else { panic!("{found:?} under {zygote}") };
    let status = read(evaluator, "status");
    for (name, value) in [("NoNewPrivs:", "1"), ("Seccomp:", "2"), ("Threads:", "1")] {
        assert_eq!(field(&status, name), value, "{name}");
    }
    assert_eq!(field(&status, "CapEff:").trim_start_matches('0'), "");
    assert_ne!(field(&status, "Uid:"), "0");
    let limits = read(evaluator, "limits");
    for (name, soft) in
        [("Max cpu time", "11"), ("Max file size", "16777216"), ("Max open files", "64")]
    {
        assert_eq!(field(&limits, name), soft, "{name}");
    }
    // Three times the null device, and its socket. (Only root may look.)
    if let Ok(fds) = fs::read_dir(format!("/proc/{evaluator}/fd")) {
        assert_eq!(fds.count(), 4);
    }
    drop(lease);
    gone(&sandbox).await;
    assert!(fs::metadata(format!("/proc/{evaluator}")).is_err(), "{evaluator} lives on");
    sandbox.shutdown().await;
}

#[tokio::test]
async fn many_evaluators_are_kept_apart() {
    let sandbox = Sandbox::start(config("worker")).await.unwrap();
    let mut runs = tokio::task::JoinSet::new();
    for number in 0..12 {
        let sandbox = sandbox.clone();
        let code = format!(
            "import asyncio\nasync def f(i):\n    return (await host.echo(n=i))['n']\n\
                            sum(await asyncio.gather(*[f({number}) for _ in range(5)]))"
        );
        let run = program(Language::Python, &code, Limits::default());
        runs.spawn(async move { (number, run_by(&sandbox, CPYTHON, run).await) });
    }
    while let Some(ran) = runs.join_next().await {
        let (number, ran) = ran.unwrap();
        let End::Value(value) = ran.end.unwrap().end else { panic!("no value") };
        assert_eq!(value.get(), (number * 5).to_string());
        assert_eq!(ran.calls, 5);
    }
    sandbox.shutdown().await;
}

/// An engine with threads that somebody broke into.
#[tokio::test]
async fn one_that_is_broken_into_reaches_nobody() {
    let mut config = config("worker");
    config.args.extend(["--deno".to_owned(), env!("CARGO_BIN_EXE_jailed-worker").to_owned()]);
    let sandbox = Sandbox::start(config).await.unwrap();
    for (name, outcome) in [
        ("clock_gettime", "value 0"),
        ("fork", "value -13"),
        ("clone", "value -13"),
        ("clone3", "value -38"),
        ("kill", "value -13"),
        ("tgkill", "value -13"),
        ("rt_sigqueueinfo", "value -13"),
        ("fcntl-owner", "value -13"),
        ("fcntl-async", "value -13"),
        ("sched_setaffinity", "value -13"),
        ("prlimit-other", "value -38"),
        ("mmap-shared", "value -13"),
        ("unlink", "value -13"),
        ("socket", "value -13"),
        ("timer_create", "value -38"),
        ("ptrace", "lost: the worker made a forbidden system call"),
        ("mount", "lost: the worker made a forbidden system call"),
        ("x32", "lost: the worker made a forbidden system call"),
    ] {
        let code = format!("return 'call {name}'");
        let ran = run_by(&sandbox, DENO, program(Language::TypeScript, &code, Limits::default()));
        let ran = ran.await;
        ledger::ran("process", "call", &format!("beside: {name}"));
        let words = words(&ran);
        assert!(words.iter().any(|word| word == outcome), "{name}: {words:?}");
    }
    assert!(sandbox.health().iter().all(|health| health.started <= 1), "{:?}", sandbox.health());
    sandbox.shutdown().await;
}

/// What an engine with threads is held to, and what starts it.
#[tokio::test]
async fn one_that_is_started_anew_has_its_limits_from_outside() {
    let Some(place) = places::deno() else { return };
    let config = narrows_sandbox::Config { warm: 0, ..place.config };
    let sandbox = Sandbox::start(config).await.unwrap();
    let code = ("console.log(1); for (;;) {}", &Network::default());
    let (lease, _denied) = started(&sandbox, DENO, code).await;
    let all: Vec<u32> = sandbox.health().into_iter().filter_map(|health| health.pid).collect();
    let all: Vec<u32> = all.into_iter().flat_map(descendants).collect();
    let found: Vec<u32> =
        all.iter().copied().filter(|pid| read(*pid, "comm").starts_with("deno")).collect();
    let [evaluator] = found[..] else { panic!("{found:?}") };
    let limits = read(evaluator, "limits");
    let seconds: u64 = field(&limits, "Max cpu time").parse().unwrap();
    assert!((11..30).contains(&seconds), "{seconds}");
    let data: u64 = field(&limits, "Max data size").parse().unwrap();
    assert!(data > 128 << 20 && data < 2 << 30, "{data}");
    // (Only root may look.)
    let fds = |pid: &u32| {
        let fds = fs::read_dir(format!("/proc/{pid}/fd")).ok()?;
        let mut fds: Vec<_> = fds.map(|fd| fd.unwrap().file_name()).collect();
        fds.sort();
        Some(fds)
    };
    let is_launcher = |pid: &&u32| fds(pid).is_some_and(|fds| fds == ["0", "1", "2", "3"]);
    if fds(&evaluator).is_some() {
        let launcher = all.iter().find(is_launcher).expect("it has its own socket only");
        let status = read(*launcher, "status");
        let walls = |pid| read(pid, "status");
        assert_eq!(field(&status, "Seccomp:"), "2");
        assert_eq!(field(&walls(evaluator), "Seccomp_filters:"), "3");
        assert_eq!(field(&status, "Seccomp_filters:"), "1");
    }
    drop(lease);
    gone(&sandbox).await;
    sandbox.shutdown().await;
}

/// Where nobody forks, its worker tells how it ended.
#[tokio::test]
async fn one_without_memory_is_told_of_wherever_it_runs() {
    for backend in [BackendKind::Process, BackendKind::Basic] {
        let Some(place) = places::deno() else { return };
        let config = narrows_sandbox::Config { backend: Some(backend), ..place.config };
        let sandbox = Sandbox::start(config).await.unwrap();
        let bomb = "const all: number[][] = []; for (;;) all.push(new Array(1e5).fill(1.5))";
        let limits = Limits { memory_bytes: 64 << 20, ..Limits::default() };
        let ran = run_by(&sandbox, DENO, program(Language::TypeScript, bomb, limits)).await;
        assert_eq!(words(&ran), ["limit memory_bytes"], "{backend:?}");
        sandbox.shutdown().await;
    }
}

/// It runs here, and sees nothing of the machine.
pub(crate) async fn is_confined(sandbox: &Sandbox) {
    let look = "import os\nfound = []\nfor path in ('/etc/passwd', '/proc/1/status', '/root'):\n    \
                try:\n        open(path).read() if path != '/root' else os.listdir(path)\n        \
                found.append(path)\n    except OSError:\n        pass\nfound";
    let ran = run_by(sandbox, CPYTHON, program(Language::Python, look, Limits::default())).await;
    let End::Value(value) = ran.end.unwrap().end else { panic!("no value") };
    assert_eq!(value.get(), "[]");
}

/// What it keeps is its alone, as much as its run may, and is told.
#[tokio::test]
async fn files_are_counted_where_they_are_kept() {
    let sandbox = Sandbox::start(config("worker")).await.unwrap();
    let limits = Limits { disk_bytes: 1 << 20, files: 10, ..Limits::default() };
    let ran = |code: &'static str| {
        run_by(&sandbox, CPYTHON, program(Language::Python, code, limits.clone()))
    };
    let kept =
        ran("import os\nopen('a', 'w').write('x' * 9000)\nos.mkdir('d')\nos.listdir('/tmp')").await;
    let kept = kept.end.unwrap();
    let End::Value(value) = &kept.end else { panic!("{kept:?}") };
    assert!(value.get() == r#"["a","d"]"# || value.get() == r#"["d","a"]"#, "{}", value.get());
    assert_eq!((kept.usage.disk_bytes, kept.usage.files), (12 << 10, 2));
    for (code, limit) in [
        ("f = open('a', 'wb')\nwhile True:\n    f.write(b'x' * 4096)", Limit::DiskBytes),
        ("for n in range(11):\n    open(f'{n}', 'w').close()\nhost.hang()", Limit::Files),
    ] {
        let full = ran(code).await.end.unwrap();
        assert!(matches!(full.end, End::Limit(found) if found == limit), "{full:?}");
        let used = full.usage.of_limits().find(|(of, _)| *of == limit).unwrap().1;
        let most = if limit == Limit::Files { 10 } else { (1 << 20) - 4096 };
        assert!(used >= most, "{limit}: {used}");
    }
    let nothing = ran("import os\nos.listdir('/tmp')").await.end.unwrap();
    assert!(matches!(&nothing.end, End::Value(value) if value.get() == "[]"), "{nothing:?}");
    sandbox.shutdown().await;
}
