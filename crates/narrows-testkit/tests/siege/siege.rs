//! Rounds of attacks by two clients; between them, while nobody attacks, everything is looked at.

use crate::bait::Bait;
use crate::gateway::Gateway;
use crate::generate::{Attack, Case, Quarry};
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// How long a siege lasts where nobody says.
const SHARE: Duration = Duration::from_secs(20);
/// How long the clients attack before everything is looked at.
const ROUND: Duration = Duration::from_secs(5);
/// Clients: as many as there are processors here.
const CLIENTS: usize = 2;

/// Seeds of one end that are told.
const SEEDS_MAX: usize = 8;

/// What attacks came to.
#[derive(Debug, Default)]
struct Tally {
    runs: u64,
    frames: u64,
    /// The seeds of each end.
    ends: BTreeMap<String, Vec<u64>>,
}

/// An attack that had an outcome that it must not have.
struct Finding {
    case: Case,
    why: String,
}

/// Lays siege for as long as `NARROWS_SIEGE_MINUTES` says, from the seed of `NARROWS_SIEGE_SEED`; or
/// makes the attacks of `NARROWS_SIEGE_SEEDS`, with commas between them, and shows each.
pub(crate) fn lay(attack: Attack) {
    let number = |name: &str| std::env::var(name).ok().map(|text| text.parse::<u64>().unwrap());
    let time = number("NARROWS_SIEGE_MINUTES").map_or(SHARE, |m| Duration::from_secs(60 * m));
    let first = number("NARROWS_SIEGE_SEED").unwrap_or(1);
    let mut bait = Bait::lay();
    let quarry = Quarry::new(attack, &bait);
    let mut gateway = Gateway::start(attack, &bait);
    if let Ok(seeds) = std::env::var("NARROWS_SIEGE_SEEDS") {
        for seed in seeds.split(',').map(|seed| seed.trim().parse().unwrap()) {
            let case = quarry.case(seed);
            let (status, answer) = gateway.post(&case.body);
            let why = wrong(status, &answer, &bait.secret);
            show(&case, &(status, answer));
            assert_eq!(why, None, "seed {seed}");
        }
        return assert_eq!(gateway.wrong(&bait.secret).or_else(|| bait.touched()), None);
    }
    let next = AtomicU64::new(first);
    let (begun, mut tally, mut most) = (Instant::now(), Tally::default(), 0);
    while begun.elapsed() < time {
        let round = next.load(Ordering::Relaxed);
        let found = fight(&gateway, &quarry, &bait.secret, &next, &mut tally);
        most = most.max(gateway.rss_mb());
        if let Some(Finding { case, why }) = found {
            fail(&case.seed.to_string(), &why, &case.body);
        }
        let last = next.load(Ordering::Relaxed);
        if let Some(why) = gateway.wrong(&bait.secret).or_else(|| bait.touched()) {
            fail(&format!("{round}-{last}"), &why, &Value::Null);
        }
    }
    tell(attack, &tally, begun.elapsed(), most);
    if let Some(why) = gateway.end().or_else(|| bait.touched()) {
        fail("end", &why, &Value::Null);
    }
    let lost = tally.ends.iter().filter(|(end, _)| end.contains("this is a bug"));
    assert_eq!(lost.count(), 0, "interpreters panicked");
}

/// One round.
fn fight(
    gateway: &Gateway,
    quarry: &Quarry,
    secret: &str,
    next: &AtomicU64,
    tally: &mut Tally,
) -> Option<Finding> {
    let end = Instant::now() + ROUND;
    let client = || {
        let mut tally = Tally::default();
        while Instant::now() < end {
            let case = quarry.case(next.fetch_add(1, Ordering::Relaxed));
            let (status, answer) = gateway.post(&case.body);
            tally.runs += 1;
            tally.frames += case.frames as u64;
            if let Some(why) = wrong(status, &answer, secret) {
                return (tally, Some(Finding { case, why }));
            }
            tally.ends.entry(word(status, &answer)).or_default().push(case.seed);
        }
        (tally, None)
    };
    std::thread::scope(|scope| {
        let clients: Vec<_> = (0..CLIENTS).map(|_| scope.spawn(client)).collect();
        let mut found = None;
        for client in clients {
            let (part, finding) = client.join().unwrap();
            tally.runs += part.runs;
            tally.frames += part.frames;
            for (end, seeds) in part.ends {
                tally.ends.entry(end).or_default().extend(seeds);
            }
            found = found.or(finding);
        }
        found
    })
}

/// What an answer must not be.
fn wrong(status: u16, answer: &str, secret: &str) -> Option<String> {
    let head: String = answer.chars().take(2_000).collect();
    if answer.contains(secret) {
        return Some(format!("the secret got out: {head}"));
    }
    if !(200..500).contains(&status) || !answer.ends_with('}') {
        return Some(format!("status {status}: {head}"));
    }
    None
}

/// How a run ended, in a few words.
fn word(status: u16, answer: &str) -> String {
    // A value may be nested more deeply than is read here.
    let answer: Value = serde_json::from_str(answer).unwrap_or_default();
    let text = |path: &str| answer.pointer(path).and_then(Value::as_str);
    let end = text("/end").or_else(|| text("/error/kind")).unwrap_or("?");
    let more = match end {
        "lost" => text("/reason"),
        "limit" => text("/limit"),
        "threw" => text("/name"),
        "rejected" => text("/findings/0/message"),
        _ => None,
    };
    let more: String = more.unwrap_or_default().chars().take(60).collect();
    // Numbers would make a kind of each; those of signals and exit codes tell what happened.
    let vague = |c: char| c.is_ascii_digit() && end != "lost";
    format!("{status} {end} {}", more.replace(vague, "_"))
}

fn fail(seed: &str, why: &str, body: &Value) -> ! {
    let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("siege-{seed}.txt"));
    let code = body.get("code").and_then(Value::as_str).unwrap_or_default();
    std::fs::write(&path, format!("seed {seed}\n{why}\n{body}\n\n{code}\n")).unwrap();
    panic!("seed {seed}: {why}\n(all of it is in {})", path.display());
}

#[expect(clippy::print_stderr, reason = "the figures are for whoever runs it")]
fn tell(attack: Attack, tally: &Tally, time: Duration, most: u64) {
    eprintln!(
        "{attack:?}: {} runs, {} frames in {time:.0?}; the gateway had {most} MB at most",
        tally.runs, tally.frames
    );
    for (end, seeds) in &tally.ends {
        let lost = end.contains(" lost ");
        let told: Vec<_> = seeds.iter().filter(|_| lost).take(SEEDS_MAX).collect();
        let told = if lost { format!(", of the seeds {told:?}") } else { String::new() };
        eprintln!("  {:7} {end}{told}", seeds.len());
    }
}

/// One attack whole.
#[expect(clippy::print_stderr, reason = "for whoever looks into a seed")]
fn show(case: &Case, (status, answer): &(u16, String)) {
    let text = |name: &str| case.body.get(name).and_then(Value::as_str).unwrap_or_default();
    let answer: String = answer.chars().take(2_000).collect();
    eprintln!(
        "seed {} for {}:\n{}\n=> {status} {answer}\n",
        case.seed,
        text("engine"),
        text("code")
    );
}
