//! Two gateways that do no jobs and two workers on one store; clients go to either gateway at random,
//! and what they find does not tell which.

use crate::chance::{Chance, seed};
use crate::ground::Visitor;
use crate::house::{House, Http};
use crate::modern;
use crate::places::Kind;
use crate::plant::{PATIENCE, Plant, Worker, get, post, rested, until};
use serde_json::{Value, json};
use std::time::{Duration, Instant};

/// Clients at once, and how often each tells its story.
const CLIENTS: u64 = 4;
const ROUNDS: u64 = 5;
/// Far more than fits a reply.
const BIG_BYTES: usize = 300_000;

struct Replicas {
    plant: Plant,
    gateways: [Http; 2],
    /// They are ended first.
    workers: Vec<Worker>,
    houses: Vec<House>,
}

/// One client; each of its requests goes to either gateway.
struct Client<'a> {
    gateways: &'a [Http; 2],
    chance: Chance,
    name: String,
}

impl Replicas {
    fn new(kind: Kind) -> Self {
        let plant = Plant::new(kind);
        // Homes of their own: nothing but the store is shared.
        let houses: Vec<_> = [0, 0, 2, 2].map(|jobs| plant.house(jobs)).into();
        let gateways = [plant.serve(&houses[0]), plant.serve(&houses[1])];
        Self { plant, gateways, workers: Vec::new(), houses }
    }

    fn work(&mut self) {
        self.workers = self.houses[2..].iter().map(|house| self.plant.work(house)).collect();
    }
}

impl Client<'_> {
    fn any(&mut self) -> &Http {
        &self.gateways[usize::try_from(self.chance.below(2)).unwrap()]
    }

    fn post(&mut self, path: &str, body: &Value) -> Value {
        post(self.any(), path, body)
    }

    /// The value of a program that must return one.
    fn value(&mut self, ask: &Value) -> Value {
        let told = self.post("/v1/run", ask);
        assert_eq!(told["end"], "returned", "{}: {ask}: {told:#}", self.name);
        told["value"].clone()
    }

    fn session(&mut self) {
        let made = self.post("/v1/sessions", &json!({}));
        let session = made["session"].as_str().unwrap().to_owned();
        for n in 0..4 {
            let code = format!("await session.set('k{n}', {{n: {n}}}); return 'set'");
            assert_eq!(self.value(&json!({"code": code, "session": session})), "set");
            let code = format!("return (await session.get('k{n}')).n");
            assert_eq!(self.value(&json!({"code": code, "session": session})), n, "{session}");
        }
        let code = "await session.delete('k0'); return (await session.list()).length";
        assert_eq!(self.value(&json!({"code": code, "session": session})), 3, "{session}");
        let (status, shown) = get(self.any(), &format!("/v1/sessions/{session}"));
        assert_eq!((status, &shown["values"]), (200, &json!(3)), "{shown:#}");
        let path = format!("DELETE /v1/sessions/{session} HTTP/1.1");
        let (head, _) = self.any().send(&path, "");
        assert!(head.starts_with("HTTP/1.1 204"), "{head}");
        for gateway in self.gateways {
            assert_eq!(get(gateway, &format!("/v1/sessions/{session}")).0, 404, "{session}");
        }
    }

    fn pause(&mut self) {
        let key = format!("{} pauses {}", self.name, self.chance.below(u64::MAX));
        let code = "await count.add(input); return [await ask('a?'), await ask('b?')]";
        let told = self.post("/v1/run", &json!({"code": code, "input": {"key": key}}));
        assert_eq!(told["end"], "paused", "{told:#}");
        let run = told["run"].as_str().unwrap().to_owned();
        let path = format!("/v1/runs/{run}/resume");
        let told = self.post(&path, &json!({"answer": {"answer": "A"}}));
        assert_eq!(told["end"], "paused", "{told:#}");
        let arguments = json!({"resume": run, "answer": {"answer": "B"}});
        let told = Visitor::open(self.any()).call("run", &arguments);
        assert_eq!(told["result"]["structuredContent"]["value"], json!(["A", "B"]), "{told:#}");
        // Its journal is written behind the answer.
        let path = format!("/v1/runs/{run}");
        until("its end is written down", || get(self.any(), &path).1["state"] == "returned");
    }

    fn job(&mut self) {
        let key = format!("{} works {}", self.name, self.chance.below(u64::MAX));
        let code = "await count.add(input); console.log('half'); return await ask('go on?')";
        let ask = json!({"run": {"code": code, "input": {"key": key}}});
        let made = self.post("/v1/jobs", &ask);
        let name = |member: &str| made[member].as_str().unwrap().to_owned();
        let (job, run) = (name("job"), name("run"));
        let told = rested(self.any(), &job);
        assert_eq!(told["state"], "paused", "{told:#}");
        self.post(&format!("/v1/runs/{run}/resume"), &json!({"answer": {"answer": "yes"}}));
        let told = rested(self.any(), &job);
        assert_eq!((&told["state"], &told["result"]["value"]), (&json!("done"), &json!("yes")));
        let (_, logs) = get(self.any(), &format!("/v1/jobs/{job}/logs"));
        assert_eq!(logs["logs"][0]["text"], "half", "{logs:#}");
        // A model follows it by searching for its handle.
        let told = Visitor::open(self.any()).call("search", &json!({"query": job}));
        assert_eq!(told["result"]["structuredContent"]["value"], "yes", "{told:#}");
    }

    /// The same as a modern client's task.
    fn task(&mut self) {
        let key = format!("{} follows {}", self.name, self.chance.below(u64::MAX));
        let code = "await count.add(input); return await ask('go on?')";
        let arguments = json!({"code": code, "input": {"key": key}, "background": true});
        let call = json!({"name": "run", "arguments": arguments});
        let made = modern::run(self.any(), &call);
        assert_eq!(made["resultType"], "task", "{made:#}");
        let task = made["taskId"].as_str().unwrap().to_owned();
        let asks = self.until_task(&task, "input_required");
        let asked = asks["inputRequests"].as_object().unwrap().keys().next().unwrap().clone();
        let answer = json!({"action": "accept", "content": {"answer": "yes"}});
        let params = json!({"taskId": task, "inputResponses": {asked: answer}});
        modern::request(self.any(), "tasks/update", &task, &params);
        let told = self.until_task(&task, "completed");
        assert_eq!(told["result"]["structuredContent"]["value"], "yes", "{told:#}");
    }

    fn until_task(&mut self, task: &str, status: &str) -> Value {
        let mut told = Value::Null;
        until(&format!("task {task} is {status}"), || {
            told = modern::request(self.any(), "tasks/get", task, &json!({"taskId": task}));
            let now = told["status"].as_str().unwrap();
            assert!(now == "working" || now == status || status != "completed", "{told:#}");
            now == status
        });
        told
    }

    fn cancelled(&mut self) {
        let code = "return await count.wait({ms: 60000})";
        let made = self.post("/v1/jobs", &json!({"run": {"code": code}}));
        let job = made["job"].as_str().unwrap().to_owned();
        if self.chance.below(2) == 0 {
            until("the job runs", || {
                get(self.any(), &format!("/v1/jobs/{job}")).1["state"] == "running"
            });
        }
        self.post(&format!("/v1/jobs/{job}/cancel"), &json!({}));
        assert_eq!(rested(self.any(), &job)["state"], "cancelled");
    }

    fn artifact(&mut self) {
        let code = format!("return (await count.fill({{bytes: {BIG_BYTES}}})) + input");
        let told = self.post("/v1/run", &json!({"code": code, "input": self.name}));
        let handle = told["artifact"].as_str().unwrap_or_else(|| panic!("{told:#}")).to_owned();
        let (status, whole) = get(self.any(), &format!("/v1/artifacts/{handle}"));
        let wanted = "x".repeat(BIG_BYTES) + &self.name;
        assert_eq!(status, 200);
        assert!(whole == json!(wanted), "{:.100}", whole.to_string());
        let code = "const text = await artifact(input); return [text.length, text.slice(-1)]";
        let told = self.value(&json!({"code": code, "input": handle}));
        assert_eq!(told, json!([wanted.len(), self.name.chars().last()]));
    }
}

fn everything_works_from_everywhere(kind: Kind) {
    let seed = seed();
    println!("{kind:?}: seed {seed}");
    let mut replicas = Replicas::new(kind);
    let waits = json!({"run": {"code": "return 'done by a worker'"}});
    let job = post(&replicas.gateways[0], "/v1/jobs", &waits);
    let job = job["job"].as_str().unwrap().to_owned();
    let (_, told) = get(&replicas.gateways[1], &format!("/v1/jobs/{job}?wait_ms=2000"));
    assert_eq!(told["state"], "queued", "the gateways do no jobs: {told:#}");
    replicas.work();
    let told = rested(&replicas.gateways[1], &job);
    assert_eq!(told["result"]["value"], "done by a worker", "{told:#}");
    let start = Instant::now();
    std::thread::scope(|scope| {
        for n in 0..CLIENTS {
            let gateways = &replicas.gateways;
            scope.spawn(move || {
                let chance = Chance::new(seed.wrapping_mul(CLIENTS).wrapping_add(n));
                let mut client = Client { gateways, chance, name: format!("client {n}") };
                for _ in 0..ROUNDS {
                    client.session();
                    client.pause();
                    client.job();
                    client.task();
                    client.cancelled();
                    client.artifact();
                }
            });
        }
    });
    assert!(start.elapsed() < PATIENCE * 2, "{:?}", start.elapsed());
    let counts = replicas.plant.counts();
    let once = counts.values().filter(|count| **count == 1).count() as u64;
    assert_eq!((once, counts.len() as u64), (CLIENTS * ROUNDS * 3, CLIENTS * ROUNDS * 3));
}

#[test]
fn two_gateways_and_two_workers_share_a_postgres() {
    everything_works_from_everywhere(Kind::Postgres);
}

#[test]
fn two_gateways_and_two_workers_share_a_redis() {
    everything_works_from_everywhere(Kind::Redis);
}

/// What a worker had begun when it was killed, another one ends.
#[test]
fn a_worker_that_dies_leaves_its_jobs_to_the_other() {
    let mut replicas = Replicas::new(Kind::Postgres);
    replicas.work();
    let code = "await count.add(input); await count.wait({ms: 1500}); \
        return (await count.put(input)).done";
    let submit = |n: usize| {
        let ask = json!({"run": {"code": code, "input": {"key": n.to_string()}}});
        let made = post(&replicas.gateways[n % 2], "/v1/jobs", &ask);
        made["job"].as_str().unwrap().to_owned()
    };
    let jobs: Vec<_> = (0..4).map(submit).collect();
    until("all have begun", || replicas.plant.lines() == 4);
    // Each outcome is written down by now.
    std::thread::sleep(Duration::from_millis(300));
    replicas.workers[0].0.kill().unwrap();
    for (n, job) in jobs.iter().enumerate() {
        let told = rested(&replicas.gateways[(n + 1) % 2], job);
        assert_eq!(told["result"]["value"], n.to_string(), "{told:#}");
    }
    for (call, count) in replicas.plant.counts() {
        assert!(count == 1 || call.starts_with("put") && count == 2, "{call}: {count}");
    }
}
