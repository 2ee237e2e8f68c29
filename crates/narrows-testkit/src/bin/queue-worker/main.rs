//! A worker of the store's queue in a process of its own, for tests that kill it: each step of each
//! job is one line, appended at once to a file that all workers share.

#![expect(
    clippy::disallowed_methods,
    clippy::print_stderr,
    reason = "a test's program reads its flags and the clock and ends by an error"
)]

mod diary;

use diary::Diary;
use narrows_store::{Beat, Claim, Clock, Config, JobRow, Outcome, Pulse, Settle, Store};
use std::collections::HashMap;
use std::process::ExitCode;
use std::time::Duration;
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::{Instant, MissedTickBehavior};

const HELP: &str = "\
queue-worker FLAGS
  --store URL     the store with the queue
  --wakes URL     a broker that wakes it, too
  --name NAME     what it is called in the queue
  --diary FILE    where it appends a line `STEP JOB ATTEMPT UNIX_MS` for all that it does
  --lease-ms N    how long a claim lasts (1500)
  --hands N       how many jobs it does at once (4)
  --look-ms N     how often it looks for jobs without being woken (500)
The body of a job says what to do: `work MS` takes so long, `poison` ends the process, `wait` ends
only by being cancelled.
";

/// How often leases are prolonged.
const BEAT: Duration = Duration::from_millis(400);

struct Flags {
    config: Config,
    name: String,
    diary: String,
    lease_ms: u64,
    hands: usize,
    look: Duration,
}

struct Worker {
    store: Store,
    flags: Flags,
    diary: Diary,
    held: HashMap<String, (u32, AbortHandle)>,
    jobs: JoinSet<(String, u32)>,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let Some(flags) = flags() else {
        eprint!("{HELP}");
        return ExitCode::from(2);
    };
    match work(flags).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("queue-worker: {why}");
            ExitCode::FAILURE
        }
    }
}

fn flags() -> Option<Flags> {
    let mut flags = Flags {
        config: Config::default(),
        name: "worker".to_owned(),
        diary: String::new(),
        lease_ms: 1_500,
        hands: 4,
        look: Duration::from_millis(500),
    };
    let mut args = std::env::args().skip(1);
    while let Some(flag) = args.next() {
        let value = args.next()?;
        match flag.as_str() {
            "--store" => flags.config.url = value,
            "--wakes" => flags.config.wakes = Some(value),
            "--name" => flags.name = value,
            "--diary" => flags.diary = value,
            "--lease-ms" => flags.lease_ms = value.parse().ok()?,
            "--hands" => flags.hands = value.parse().ok()?,
            "--look-ms" => flags.look = Duration::from_millis(value.parse().ok()?),
            _ => return None,
        }
    }
    Some(flags)
}

type Outcomes = Result<(), Box<dyn std::error::Error>>;

/// Until it is killed.
async fn work(flags: Flags) -> Outcomes {
    let store = Store::open(&flags.config, Clock::system()).await?;
    let diary = Diary::open(&flags.diary)?;
    let (held, jobs) = (HashMap::new(), JoinSet::new());
    let mut wakes = store.job_wakes();
    let mut worker = Worker { store, flags, diary, held, jobs };
    let mut beat = tokio::time::interval(BEAT);
    beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut look = Instant::now();
    loop {
        tokio::select! {
            Some(over) = worker.jobs.join_next() => {
                // What was aborted is settled already.
                if let Ok((id, attempt)) = over {
                    worker.finish(&id, attempt).await?;
                }
                look = Instant::now();
            }
            _ = beat.tick() => worker.beat().await?,
            changed = wakes.changed() => {
                changed?;
                worker.beat().await?;
                look = Instant::now();
            }
            () = tokio::time::sleep_until(look) => {
                worker.take().await?;
                look = Instant::now() + worker.flags.look;
            }
        }
    }
}

impl Worker {
    async fn take(&mut self) -> Outcomes {
        let free = self.flags.hands.saturating_sub(self.held.len());
        if free == 0 {
            return Ok(());
        }
        let claim = Claim {
            worker: self.flags.name.clone(),
            count: u32::try_from(free)?,
            lease_ms: self.flags.lease_ms,
            tenant_running_max: 1_000,
        };
        for row in self.store.claim(&claim).await? {
            self.diary.note("begin", &row.id, row.attempt)?;
            self.begin(&row)?;
        }
        Ok(())
    }

    fn begin(&mut self, row: &JobRow) -> Outcomes {
        let body = String::from_utf8_lossy(&row.body).into_owned();
        let length = match body.split_once(' ') {
            _ if body == "poison" => std::process::abort(),
            Some(("work", ms)) => Some(Duration::from_millis(ms.parse()?)),
            _ => None,
        };
        let (id, attempt) = (row.id.clone(), row.attempt);
        let task = self.jobs.spawn(async move {
            match length {
                Some(length) => tokio::time::sleep(length).await,
                None => std::future::pending().await,
            }
            (id, attempt)
        });
        self.held.insert(row.id.clone(), (row.attempt, task));
        Ok(())
    }

    async fn finish(&mut self, id: &str, attempt: u32) -> Outcomes {
        self.diary.note("end", id, attempt)?;
        let result = format!("{attempt} {}", self.flags.name).into_bytes();
        self.settle(id, attempt, Outcome::Done(result)).await
    }

    async fn settle(&mut self, id: &str, attempt: u32, outcome: Outcome) -> Outcomes {
        // By now it may be here again, as a later attempt.
        if self.held.get(id).is_some_and(|(held, _)| *held == attempt) {
            self.held.remove(id);
        }
        let end = Settle { id: id.to_owned(), attempt, outcome };
        let heard = self.store.settle(vec![end]).await?;
        let step = if heard == [true] { "settled" } else { "fenced" };
        Ok(self.diary.note(step, id, attempt)?)
    }

    async fn beat(&mut self) -> Outcomes {
        let held: Vec<_> = self.held.iter().map(|(id, (n, _))| (id.clone(), *n)).collect();
        let beats = held
            .iter()
            .map(|(id, attempt)| Beat { id: id.clone(), attempt: *attempt, progress: None })
            .collect();
        if held.is_empty() {
            return Ok(());
        }
        let pulses = self.store.beat(beats, self.flags.lease_ms).await?;
        for ((id, attempt), pulse) in held.into_iter().zip(pulses) {
            if pulse == Pulse::Held {
                continue;
            }
            if let Some((_, task)) = self.held.remove(&id) {
                task.abort();
            }
            if pulse == Pulse::Lost {
                self.diary.note("fenced", &id, attempt)?;
            } else {
                self.diary.note("cancelled", &id, attempt)?;
                self.settle(&id, attempt, Outcome::Cancelled).await?;
            }
        }
        Ok(())
    }
}
