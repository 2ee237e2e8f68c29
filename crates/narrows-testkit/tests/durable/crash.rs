//! The crash matrix: 30 calls in three parallel groups of ten, and whatever carries them out is
//! killed at a random moment, on every store. Nothing is lost, nothing is done twice that may not be.

use crate::chance::{Chance, seed};
use crate::house::{House, Http};
use crate::places::Kind;
use crate::plant::{Plant, get, kill_9, post, rested, until, workers};
use nix::unistd::Pid;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Moments at which each is killed on each store.
const POINTS: u64 = 20;
/// Houses at once.
const HOUSES: usize = 4;
const CALLS: u64 = 30;
/// Further milliseconds at random, so that a kill falls between calls, too.
const JITTER_MS: u64 = 40;
/// Milliseconds until a worker is killed that took over.
const AGAIN_MS: u64 = 150;
/// How often one run may ask about calls of unknown outcome: one kill leaves at most one group.
const PAUSES_MAX: usize = 2;
/// Every second call may be repeated.
const TYPESCRIPT: &str = r#"
const call = (key: string, n: number) => n % 2 ? count.add({key}) : count.put({key});
const done = [];
for (const group of ["a", "b", "c"]) {
    const keys = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9].map(n => group + n);
    const answers = await Promise.all(keys.map(call));
    console.log(`group ${group}`);
    done.push(...answers.map(answer => answer.done));
}
return done;
"#;

/// The same.
const PYTHON: &str = r"
import asyncio
done = []
for group in 'abc':
    calls = [count.add(key=f'{group}{n}') if n % 2 else count.put(key=f'{group}{n}')
             for n in range(10)]
    answers = await asyncio.gather(*calls)
    print(f'group {group}')
    done.extend([answer['done'] for answer in answers])
done
";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Victim {
    Worker,
    Gateway,
    Upstream,
}

fn keys() -> impl Iterator<Item = (String, &'static str)> {
    let tool = |n: u32| if n % 2 == 1 { "add" } else { "put" };
    ["a", "b", "c"]
        .into_iter()
        .flat_map(move |group| (0..10).map(move |n| (format!("{group}{n}"), tool(n))))
}

/// What came of one point.
struct Figures {
    executions: u64,
    /// Calls that had an outcome when the kill came.
    completed: u64,
    asked: u64,
    repeated: u64,
}

struct Point {
    name: String,
    victim: Victim,
    program: Value,
    plant: Plant,
    house: House,
    chance: Chance,
}

impl Point {
    fn new(kind: Kind, victim: Victim, seed: u64, number: u64) -> Self {
        let plant = Plant::new(kind);
        let house = plant.house(2);
        let name = format!("{victim:?} on {kind:?}, seed {seed}, point {number}");
        let chance = Chance::new(seed.wrapping_mul(1_000).wrapping_add(number));
        let program = if number.is_multiple_of(2) {
            json!({"code": TYPESCRIPT, "language": "typescript"})
        } else {
            json!({"code": PYTHON, "language": "python"})
        };
        Self { name, victim, program, plant, house, chance }
    }

    fn go(mut self) -> Figures {
        let mut gateway = self.plant.serve(&self.house);
        let job = post(&gateway, "/v1/jobs", &json!({"run": self.program}));
        let name = |member: &str| job[member].as_str().unwrap().to_owned();
        let (job, run) = (name("job"), name("run"));
        let lines = usize::try_from(self.chance.below(CALLS + 1)).unwrap();
        until(&format!("{}: {lines} calls are counted", self.name), || self.plant.lines() >= lines);
        std::thread::sleep(Duration::from_millis(self.chance.below(JITTER_MS)));
        let completed = match self.victim {
            Victim::Gateway => {
                gateway.child.kill().unwrap();
                gateway.child.wait().unwrap();
                // The store alone says what is known.
                let known = self.house.json(&["runs", "show", &run, "--json"]);
                until(&format!("{}: its upstream ends", self.name), || {
                    self.plant.upstreams().is_empty()
                });
                gateway = self.plant.serve(&self.house);
                completed(&known)
            }
            Victim::Worker => {
                self.kill("a worker", || workers(&gateway));
                if self.chance.below(2) == 1 {
                    // Another one, perhaps while it hears what the first one had heard.
                    std::thread::sleep(Duration::from_millis(self.chance.below(AGAIN_MS)));
                    self.kill("another worker", || workers(&gateway));
                }
                BTreeSet::new()
            }
            Victim::Upstream => {
                let (_, known) = get(&gateway, &format!("/v1/runs/{run}"));
                self.kill("its upstream", || self.plant.upstreams());
                completed(&known)
            }
        };
        let asked = self.finish(&gateway, &job, &run);
        let repeated = self.judge(&completed);
        let (_, known) = get(&gateway, &format!("/v1/runs/{run}"));
        let executions = known["executions"].as_u64().unwrap();
        Figures { executions, completed: completed.len() as u64, asked, repeated }
    }

    /// Kills all of these, once there are some.
    fn kill(&self, what: &str, who: impl Fn() -> Vec<Pid>) {
        let mut all = Vec::new();
        until(&format!("{}: there is {what}", self.name), || {
            all = who();
            !all.is_empty()
        });
        all.into_iter().for_each(kill_9);
    }

    /// Answers what is asked, until the job is done with the right result.
    fn finish(&self, gateway: &Http, job: &str, run: &str) -> u64 {
        let name = &self.name;
        let mut asked = 0;
        for _ in 0..=PAUSES_MAX {
            let told = rested(gateway, job);
            if told["state"] != "paused" {
                assert_eq!(told["state"], "done", "{name}: {told:#}");
                let keys: Vec<_> = keys().map(|(key, _)| key).collect();
                assert_eq!(told["result"]["value"], json!(keys), "{name}: {told:#}");
                return asked;
            }
            let (status, known) = get(gateway, &format!("/v1/runs/{run}"));
            assert_eq!(status, 200, "{name}: {known}");
            let answers = self.answers(&told, &known);
            asked += answers.len() as u64;
            post(gateway, &format!("/v1/runs/{run}/resume"), &json!({"answers": answers}));
        }
        panic!("{name}: it asks again and again");
    }

    /// What somebody who looks into the file says to exactly the calls of unknown outcome.
    fn answers(&self, told: &Value, known: &Value) -> Vec<Value> {
        let name = &self.name;
        assert_ne!(self.victim, Victim::Worker, "{name}: no call was lost: {told:#}");
        let calls = known["callsMade"].as_array().unwrap();
        let unknown = calls.iter().filter(|call| call["ok"].is_null());
        let mut open: BTreeSet<_> =
            unknown.map(|call| call["arguments"]["key"].as_str().unwrap().to_owned()).collect();
        let counts = self.plant.counts();
        let answer = |question: &Value| {
            assert_eq!(question["kind"], "unknown", "{name}: {question}");
            assert_eq!(question["about"], "count.add", "{name}: {question}");
            let id = question["id"].as_str().unwrap();
            let call = calls.iter().find(|call| format!("q{}", call["number"]) == id).unwrap();
            let key = call["arguments"]["key"].as_str().unwrap();
            assert!(open.remove(key), "{name}: {key} has an outcome: {question}");
            let content = if counts.contains_key(&format!("add {key}")) {
                json!({"choice": "done", "value": json!({"done": key}).to_string()})
            } else {
                json!({"choice": "retry"})
            };
            json!({"id": id, "content": content})
        };
        let answers = told["questions"].as_array().unwrap().iter().map(answer).collect();
        assert!(open.is_empty(), "{name}: nobody is asked about {open:?}: {told:#}");
        answers
    }

    /// Gives how many calls were made once more.
    fn judge(&self, completed: &BTreeSet<String>) -> u64 {
        let name = &self.name;
        let counts = self.plant.counts();
        let mut repeated = 0;
        for (key, tool) in keys() {
            let count = counts.get(&format!("{tool} {key}")).copied().unwrap_or(0);
            let once = tool == "add" || self.victim == Victim::Worker || completed.contains(&key);
            let most = if once { 1 } else { 2 };
            assert!((1..=most).contains(&count), "{name}: {tool} {key} was done {count} times");
            repeated += u64::from(count - 1);
        }
        assert_eq!(counts.len() as u64, CALLS, "{name}: {counts:?}");
        repeated
    }
}

/// The keys of the calls that a journal has an outcome of.
fn completed(known: &Value) -> BTreeSet<String> {
    let calls = known["callsMade"].as_array().into_iter().flatten();
    let over = calls.filter(|call| call["ok"] == true);
    over.map(|call| call["arguments"]["key"].as_str().unwrap().to_owned()).collect()
}

fn matrix(kind: Kind, victim: Victim) {
    let seed = seed();
    println!("{victim:?} on {kind:?}: seed {seed}");
    let next = AtomicU64::new(0);
    let all = Mutex::new(Vec::new());
    let work = || {
        let mut number = next.fetch_add(1, Ordering::Relaxed);
        while number < POINTS {
            let figures = Point::new(kind, victim, seed, number).go();
            all.lock().unwrap().push(figures);
            number = next.fetch_add(1, Ordering::Relaxed);
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..HOUSES {
            scope.spawn(work);
        }
    });
    let all = all.into_inner().unwrap();
    let sum = |figure: fn(&Figures) -> u64| all.iter().map(figure).sum::<u64>();
    let (asked, repeated) = (sum(|f| f.asked), sum(|f| f.repeated));
    let (executions, completed) = (sum(|f| f.executions), sum(|f| f.completed));
    println!(
        "{victim:?} on {kind:?}: {POINTS} kills, {executions} executions, {completed} calls \
         completed before, 0 lost, 0 duplicated; {asked} of unknown outcome, {repeated} \
         idempotent ones repeated"
    );
    // Kills that hit nothing would show nothing.
    assert!(executions > POINTS, "no run was interrupted");
    if victim != Victim::Worker {
        assert!(completed > 0, "nothing was completed that could have been lost");
        assert!(asked > 0, "no call that must not be repeated was interrupted");
        assert!(repeated > 0, "no call that may be repeated was interrupted");
    }
}

#[test]
fn a_killed_worker_on_sqlite() {
    matrix(Kind::Sqlite, Victim::Worker);
}

#[test]
fn a_killed_worker_on_postgres() {
    matrix(Kind::Postgres, Victim::Worker);
}

#[test]
fn a_killed_worker_on_redis() {
    matrix(Kind::Redis, Victim::Worker);
}

#[test]
fn a_killed_gateway_on_sqlite() {
    matrix(Kind::Sqlite, Victim::Gateway);
}

#[test]
fn a_killed_gateway_on_postgres() {
    matrix(Kind::Postgres, Victim::Gateway);
}

#[test]
fn a_killed_gateway_on_redis() {
    matrix(Kind::Redis, Victim::Gateway);
}

#[test]
fn a_killed_upstream_on_sqlite() {
    matrix(Kind::Sqlite, Victim::Upstream);
}

#[test]
fn a_killed_upstream_on_postgres() {
    matrix(Kind::Postgres, Victim::Upstream);
}

#[test]
fn a_killed_upstream_on_redis() {
    matrix(Kind::Redis, Victim::Upstream);
}
