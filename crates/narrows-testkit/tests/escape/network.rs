//! Programs that have a network: what they reach, by real servers beside them, and what they do not.

use crate::evaluators::started;
use crate::house::{LONG, program, run_by};
use crate::places::{self, Inside, Place};
use crate::programs::{Hostile, all, check, words};
use crate::walls::descendants;
use narrows_sandbox::{Config, Sandbox, SandboxError, Want};
use narrows_types::{BackendKind, Engine, Language, Limits, Network};
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Instant;

/// A server beside the tests, which ends with this.
struct Server {
    child: Child,
    /// Where it is reached, as programs write it.
    place: String,
    port: u16,
}

impl Server {
    fn start(certificate: &[&Path]) -> Self {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/escape/server.py");
        let mut child = Command::new("/usr/bin/python3")
            .arg(script)
            .args(certificate)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
        let port = line.trim().parse().unwrap();
        Self { child, place: format!("127.0.0.1:{port}"), port }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        drop(self.child.wait());
    }
}

/// All servers of a test, and what of them programs may reach.
struct Away {
    listed: Server,
    unlisted: Server,
    narrowed: Server,
    secure: Server,
    pem: String,
}

impl Away {
    fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let [cert, key] = ["cert.pem", "key.pem"].map(|name| folder.path().join(name));
        let made = Command::new("openssl")
            .args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"])
            .args(["-nodes", "-days", "2", "-subj", "/CN=narrows test"])
            .args(["-addext", "subjectAltName=IP:127.0.0.1", "-out"])
            .arg(&cert)
            .arg("-keyout")
            .arg(&key)
            .stderr(Stdio::null())
            .status();
        assert!(made.unwrap().success(), "openssl makes a certificate");
        let secure = Server::start(&[&cert, &key]);
        let pem = fs::read_to_string(cert).unwrap();
        let [listed, unlisted, narrowed] = [(); 3].map(|()| Server::start(&[]));
        Self { listed, unlisted, narrowed, secure, pem }
    }

    /// What the config allows.
    fn most(&self) -> Network {
        let rebound = self.rebound();
        let names = [&self.listed.place, &self.narrowed.place, &self.secure.place, &rebound];
        Network::of(names).unwrap()
    }

    /// What a run may reach of it.
    fn own(&self) -> Network {
        let narrowed = Network::of([&self.listed.place, &self.secure.place, &self.rebound()]);
        self.most().meet(&narrowed.unwrap())
    }

    /// A name that leads to a server of this machine, whose address is not listed.
    fn rebound(&self) -> String {
        format!("localhost:{}", self.unlisted.port)
    }

    fn filled(&self, text: &str) -> String {
        text.replace("UNLISTED", &self.unlisted.place)
            .replace("LISTED", &self.listed.place)
            .replace("NARROWED", &self.narrowed.place)
            .replace("SECURE", &self.secure.place)
            .replace("REBOUND", &self.rebound())
            .replace("PORT", &self.listed.port.to_string())
            .replace("PEM_TEXT", &self.pem)
    }

    fn programs(&self, folder: &str, extension: &str) -> Vec<Hostile> {
        let filled = |one: Hostile| Hostile {
            code: self.filled(&one.code),
            expected: one.expected.iter().map(|expected| self.filled(expected)).collect(),
            limits: Limits { network: self.own(), ..one.limits },
            ..one
        };
        all(folder, extension).into_iter().map(filled).collect()
    }
}

fn with_network(place: Option<Place>, network: Network) -> Option<Place> {
    let mut place = place?;
    place.config.network = network;
    place.config.args.extend(["--processes".to_owned(), "16".to_owned()]);
    Some(place)
}

fn home(engine: Engine) -> Option<Place> {
    if engine == Engine::Deno { places::deno() } else { places::cpython() }
}

fn want(engine: Engine) -> Want {
    Want { engine: Some(engine), network: true, ..Want::from(engine.language()) }
}

async fn ended(place: Option<Place>, engine: Engine, programs: Vec<Hostile>) {
    let Some(place) = place else { return };
    let sandbox = place.open().await;
    check(&place, &sandbox, want(engine), programs).await;
    let pools = sandbox.health().into_iter().filter(|pool| pool.network);
    let started: Vec<u64> = pools.map(|pool| pool.started).collect();
    assert_eq!(started, [1], "no program kills the zygote");
    sandbox.shutdown().await;
}

async fn reaches_what_is_listed(engine: Engine, extension: &str, least: usize) {
    let away = Away::start();
    let programs = away.programs("network", extension);
    assert!(programs.len() >= least, "only {} programs", programs.len());
    ended(with_network(home(engine), away.most()), engine, programs).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn python_reaches_what_is_listed_and_nothing_else() {
    reaches_what_is_listed(Engine::Cpython, "py", 20).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn deno_reaches_what_is_listed_and_nothing_else() {
    reaches_what_is_listed(Engine::Deno, "ts", 9).await;
}

/// A network takes no other wall away.
#[tokio::test(flavor = "multi_thread")]
async fn hostile_programs_with_a_network_end_as_those_without() {
    let away = Away::start();
    for (engine, extension, least) in [(Engine::Cpython, "py", 40), (Engine::Deno, "ts", 20)] {
        let mut programs = away.programs(engine.name(), extension);
        // What there is with a network.
        let with = ["/socket.py", "/fetch.py", "/fetch.ts"];
        programs.retain(|one| !with.iter().any(|name| one.name.ends_with(name)));
        assert!(programs.len() >= least, "only {} programs", programs.len());
        ended(with_network(home(engine), away.most()), engine, programs).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_ordinary_user_has_the_same_network() {
    let away = Away::start();
    let mut programs = away.programs("network", "py");
    programs.retain(|one| !one.name.contains("/slow"));
    let nobody = places::nobody(Inside::Worker);
    ended(with_network(nobody, away.most()), Engine::Cpython, programs).await;
}

/// Programs that want no network do not have one because others do.
#[tokio::test]
async fn a_run_without_hosts_has_no_network() {
    let away = Away::start();
    let Some(place) = with_network(places::cpython(), away.most()) else { return };
    let sandbox = place.open().await;
    let code = "import os, socket\nproxies = [n for n in os.environ if 'proxy' in n.lower()]\n\
                try:\n    socket.socket()\n    made = 1\nexcept PermissionError:\n    made = 0\n\
                [proxies, made]";
    let want = Want { network: false, ..want(Engine::Cpython) };
    let ran = run_by(&sandbox, want, program(Language::Python, code, Limits::default())).await;
    assert!(words(&ran).contains(&"value [[],0]".to_owned()), "{ran:?}");
    sandbox.shutdown().await;
}

/// Each has its own, and none is this one. (Only root may look.)
#[tokio::test]
async fn no_two_programs_share_a_network() {
    let network = Network::of(["127.0.0.1:9"]).unwrap();
    let Some(place) = with_network(places::cpython(), network.clone()) else { return };
    let sandbox = Sandbox::start(Config { warm: 0, ..place.config }).await.unwrap();
    let (want, code) = (want(Engine::Cpython), ("print(1)\nwhile True: pass", &network));
    let leases = [started(&sandbox, want, code).await, started(&sandbox, want, code).await];
    let zygote = sandbox.health().into_iter().find_map(|health| health.pid).unwrap();
    let read = |pid: &u32, file: &str| fs::read_to_string(format!("/proc/{pid}/{file}"));
    let evaluates = |pid: &u32| {
        read(pid, "comm").is_ok_and(|name| name.starts_with("python"))
            && read(pid, "limits").is_ok_and(|limits| limits.contains("open files            64 "))
    };
    let found: Vec<u32> = descendants(zygote).into_iter().filter(evaluates).collect();
    assert_eq!(found.len(), 2, "{found:?}");
    for pid in &found {
        let status = read(pid, "status").unwrap();
        assert!(status.contains("CapEff:\t0000000000000000"), "{status}");
        assert!(status.contains("CapPrm:\t0000000000000000"), "{status}");
        assert!(status.contains("NoNewPrivs:\t1"), "{status}");
    }
    let of = |pid: &str| fs::read_link(format!("/proc/{pid}/ns/net"));
    if let (Ok(one), Ok(two)) = (of(&found[0].to_string()), of(&found[1].to_string())) {
        let own = of("self").unwrap();
        assert!(one != two && one != own && two != own, "{one:?} {two:?} {own:?}");
    }
    drop(leases);
    sandbox.shutdown().await;
}

/// What was denied is told, and the program's own word for it.
#[tokio::test]
async fn who_runs_programs_hears_what_was_denied_to_them() {
    let network = Network::of(["example.com"]).unwrap();
    let Some(place) = with_network(places::cpython(), network.clone()) else { return };
    let sandbox = place.open().await;
    let code = "import urllib.request\nprint(1)\nurllib.request.urlopen('http://Evil.example:81/')";
    let (lease, denied) = started(&sandbox, want(Engine::Cpython), (code, &network)).await;
    let mut denied = denied.unwrap();
    let told = tokio::time::timeout(LONG, denied.recv()).await.unwrap().unwrap();
    assert_eq!(told.host.to_lowercase(), "evil.example:81");
    assert!(told.why.starts_with("limits.network of this run has example.com"), "{told:?}");
    drop(lease);
    assert_eq!(tokio::time::timeout(LONG, denied.recv()).await.unwrap(), None);
    sandbox.shutdown().await;
}

/// Where there are no walls there is no network for programs either.
#[tokio::test]
async fn nothing_weaker_takes_the_place_of_a_network_of_ones_own() {
    let network = Network::of(["example.com"]).unwrap();
    let basic = places::here(BackendKind::Basic, Inside::Worker);
    let Some(place) = with_network(basic, network) else { return };
    let sandbox = Sandbox::start(place.config).await.unwrap();
    for engine in [Engine::Cpython, Engine::Quickjs] {
        let lease = sandbox.lease(want(engine), Instant::now() + LONG).await;
        let backend = BackendKind::Basic;
        assert_eq!(lease.unwrap_err(), SandboxError::Network { backend, engine });
    }
    sandbox.shutdown().await;
}
