//! Hours in minutes: a steady stream of calls while upstreams are killed at random. An error is
//! allowed only to a call that its upstream took with it.

use crate::contenders::{Behind, Gateway, Upstream, free_port, stdio_server};
use crate::load::{Client, Speech, Target, block, contains};
use crate::note;
use crate::process::{descendants, descriptors, rss_mb};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tokio::task::JoinSet;

const CALLS_PER_S: u32 = 500;
const CONNECTIONS: u32 = 16;
const STDIO: [&str; 4] = ["one", "two", "three", "four"];
/// The time between two kills, at least and at most.
const PAUSE_MS: (u64, u64) = (500, 4_000);
/// An upstream lives at least so long: one that dies young again and again is given a pause, which
/// is another matter.
const LIFE: Duration = Duration::from_secs(11);
/// How long after a kill its victim may still be what a call was lost to.
const BLAME: Duration = Duration::from_millis(500);
/// How long it is left to warm up before its size is taken.
const WARM: Duration = Duration::from_secs(30);

/// When each upstream was last killed, in milliseconds since the start; index as the upstreams.
#[derive(Default)]
struct Kills([AtomicU64; STDIO.len() + 1]);

#[derive(Default)]
struct Tally {
    calls: AtomicU64,
    lost: AtomicU64,
    kills: AtomicU64,
    wrong: AtomicU64,
    /// Which words told of a call that was lost, and how often.
    words: Mutex<BTreeMap<String, u64>>,
}

struct Soak {
    start: Instant,
    end: Instant,
    kills: Kills,
    tally: Tally,
}

/// Soaks Narrows for so long and reports what is left of it.
pub(crate) fn run(minutes: f64, report: &mut Vec<Value>) {
    let port = free_port();
    let mut web = Upstream::start(port);
    let mut servers = json!({"web": {"url": web.url}});
    for name in STDIO {
        servers[name] = stdio_server(name);
    }
    let gateway = Gateway::narrows(Behind::Stdio, &servers);
    let pid = gateway.pid();
    let found = gateway.target(Speech::Legacy).unwrap();
    let tools = block(async { Client::open(&found).await.unwrap().tools().await.unwrap() });
    let mut targets = Vec::new();
    for name in STDIO.iter().chain(&["web"]) {
        let tool = tools.iter().find(|t| t.starts_with(name) && t.ends_with("echo")).unwrap();
        targets.push(Target { tool: tool.clone(), ..found.clone() });
    }
    let start = Instant::now();
    let end = start + Duration::from_secs_f64(minutes * 60.0);
    let soak = Soak { start, end, kills: Kills::default(), tally: Tally::default() };
    let soak = Arc::new(soak);
    let load = std::thread::spawn({
        let soak = Arc::clone(&soak);
        move || block(stream(soak, targets))
    });
    let (mut sizes, mut files) = (Vec::new(), Vec::new());
    let mut dice = 0x2545_f491_4f6c_dd1d_u64;
    while Instant::now() < end {
        let pause = PAUSE_MS.0 + roll(&mut dice) % (PAUSE_MS.1 - PAUSE_MS.0);
        std::thread::sleep(Duration::from_millis(pause));
        let victim = roll(&mut dice) as usize % (STDIO.len() + 1);
        if soak.is_of_age(victim) {
            soak.kill(victim, pid, port, &mut web);
        }
        if start.elapsed() > WARM.min(end.duration_since(start) / 4) {
            sizes.push(rss_mb(pid));
            files.push(descriptors(pid));
        }
    }
    load.join().unwrap();
    // What was open for calls under way is closed by now.
    std::thread::sleep(Duration::from_secs(3));
    report.push(soak.verdict(&sizes, &files, pid));
}

impl Soak {
    fn now_ms(&self) -> u64 {
        self.start.elapsed().as_millis() as u64
    }

    fn is_of_age(&self, upstream: usize) -> bool {
        let killed = self.kills.0[upstream].load(Ordering::Relaxed);
        killed == 0 || self.now_ms() > killed + LIFE.as_millis() as u64
    }

    fn kill(&self, victim: usize, pid: u32, port: u16, web: &mut Upstream) {
        self.tally.kills.fetch_add(1, Ordering::Relaxed);
        if let Some(name) = STDIO.get(victim) {
            self.kills.0[victim].store(self.now_ms().max(1), Ordering::Relaxed);
            for (child, _) in descendants(pid) {
                let line = std::fs::read(format!("/proc/{child}/cmdline")).unwrap_or_default();
                let line = String::from_utf8_lossy(&line).replace('\0', " ");
                if line.contains("echo-upstream") && line.trim_end().ends_with(name) {
                    let child = nix::unistd::Pid::from_raw(i32::try_from(child).unwrap());
                    let _gone = nix::sys::signal::kill(child, nix::sys::signal::Signal::SIGKILL);
                }
            }
            return;
        }
        // Said before: what it costs may be told before the kill returns. It is away until it is
        // started again.
        self.kills.0[victim].store(self.now_ms().max(1), Ordering::Relaxed);
        let _gone = web.child.kill();
        let _reaped = web.child.wait();
        self.kills.0[victim].store(self.now_ms().max(1), Ordering::Relaxed);
        *web = Upstream::start(port);
        self.kills.0[victim].store(self.now_ms().max(1), Ordering::Relaxed);
    }

    /// Whether an upstream was killed while a call was under way, or shortly before.
    fn is_excused(&self, upstream: usize, begun_ms: u64) -> bool {
        let killed = self.kills.0[upstream].load(Ordering::Relaxed);
        killed > 0 && begun_ms <= killed + BLAME.as_millis() as u64
    }

    fn verdict(&self, sizes: &[f64], files: &[usize], pid: u32) -> Value {
        let count = |n: &AtomicU64| n.load(Ordering::Relaxed);
        let tenth = (sizes.len() / 10).max(1);
        let median = |part: &[f64]| {
            let mut part = part.to_vec();
            part.sort_by(f64::total_cmp);
            part.get(part.len() / 2).copied().unwrap_or(0.0)
        };
        let first = median(sizes.get(..tenth).unwrap_or_default());
        let last = median(sizes.get(sizes.len().saturating_sub(tenth)..).unwrap_or_default());
        json!({
            "gateway": "narrows",
            "soak_s": self.start.elapsed().as_secs(),
            "calls": count(&self.tally.calls),
            "per_s": count(&self.tally.calls) as f64 / self.end.duration_since(self.start).as_secs_f64(),
            "kills": count(&self.tally.kills),
            "lost_with_their_upstream": count(&self.tally.lost),
            "words_of_the_lost": *self.tally.words.lock().unwrap(),
            "errors_that_are_ours": count(&self.tally.wrong),
            "rss_first_mb": first,
            "rss_last_mb": last,
            "rss_growth_percent": (last / first - 1.0) * 100.0,
            "descriptors_first": files.first(),
            "descriptors_last": descriptors(pid),
            "children": descendants(pid).len(),
        })
    }
}

/// What an answer says, without what differs between calls.
fn words(answer: &str) -> String {
    let text = serde_json::from_str::<Value>(answer).unwrap_or_default();
    let told = text.pointer("/result/content/0/text").or_else(|| text.pointer("/error/message"));
    told.and_then(Value::as_str).unwrap_or(answer).chars().take(160).collect()
}

fn roll(dice: &mut u64) -> u64 {
    // xorshift: the same kills in every run.
    *dice ^= *dice << 13;
    *dice ^= *dice >> 7;
    *dice ^= *dice << 17;
    *dice
}

async fn stream(soak: Arc<Soak>, targets: Vec<Target>) {
    let mut tasks = JoinSet::new();
    for number in 0..CONNECTIONS {
        tasks.spawn(connection(Arc::clone(&soak), targets.clone(), number));
    }
    while let Some(done) = tasks.join_next().await {
        done.unwrap();
    }
}

/// One client: its calls go round the upstreams, at its share of the rate.
async fn connection(soak: Arc<Soak>, targets: Vec<Target>, number: u32) {
    let gap = Duration::from_secs(1) * CONNECTIONS / CALLS_PER_S;
    let mut client = Client::open(&targets[0]).await.unwrap();
    let mut at = soak.start + gap * number / CONNECTIONS;
    let mut round = 0_usize;
    while at < soak.end {
        tokio::time::sleep_until(at.into()).await;
        at = (at + gap).max(Instant::now().checked_sub(gap * 8).unwrap_or(at));
        round += 1;
        let upstream = (round + number as usize) % targets.len();
        let text = format!("soak-{number}-{round}-end");
        let begun = soak.now_ms();
        let called = client.call(&targets[upstream].tool, &format!("\"text\":\"{text}\"")).await;
        soak.tally.calls.fetch_add(1, Ordering::Relaxed);
        let why = match called {
            Ok(answer) if answer.status == 200 && contains(&answer.body, text.as_bytes()) => {
                continue;
            }
            Ok(answer) => String::from_utf8_lossy(&answer.body).into_owned(),
            Err(error) => {
                // Only the connection to the gateway fails this way: never excused.
                client = Client::open(&targets[0]).await.unwrap();
                format!("no answer: {error}")
            }
        };
        if !why.starts_with("no answer") && soak.is_excused(upstream, begun) {
            soak.tally.lost.fetch_add(1, Ordering::Relaxed);
            *soak.tally.words.lock().unwrap().entry(words(&why)).or_default() += 1;
        } else {
            soak.tally.wrong.fetch_add(1, Ordering::Relaxed);
            note(&format!("{} ms, {}: {why}", begun, targets[upstream].tool));
        }
    }
}
