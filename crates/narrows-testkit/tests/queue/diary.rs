//! What the workers wrote down of all that they did.

use std::collections::HashMap;
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// One step of one worker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Line {
    pub(crate) step: String,
    pub(crate) job: String,
    pub(crate) attempt: u32,
    pub(crate) ms: u64,
}

/// The file of all workers.
pub(crate) struct Diary(pub(crate) PathBuf);

impl Diary {
    pub(crate) fn lines(&self) -> Vec<Line> {
        let text = std::fs::read_to_string(&self.0).unwrap_or_default();
        // The last one may be half written.
        let whole = text.rsplit_once('\n').map_or("", |(whole, _)| whole);
        whole.lines().map(line).collect()
    }

    /// The lines of a step, by job.
    pub(crate) fn of(&self, step: &str) -> HashMap<String, Vec<Line>> {
        let mut found: HashMap<String, Vec<Line>> = HashMap::new();
        for line in self.lines().into_iter().filter(|line| line.step == step) {
            found.entry(line.job.clone()).or_default().push(line);
        }
        found
    }

    /// The first line of this step of a job, as soon as it stands there.
    pub(crate) async fn until(&self, step: &str, job: &str, patience: Duration) -> Line {
        let until = Instant::now() + patience;
        loop {
            let lines = self.lines();
            if let Some(line) = lines.into_iter().find(|l| l.step == step && l.job == job) {
                return line;
            }
            assert!(Instant::now() < until, "no `{step}` of {job} within {patience:?}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

fn line(text: &str) -> Line {
    let words: Vec<&str> = text.split(' ').collect();
    let [step, job, attempt, ms] = words[..] else { panic!("torn: {text:?}") };
    Line {
        step: step.to_owned(),
        job: job.to_owned(),
        attempt: attempt.parse().unwrap(),
        ms: ms.parse().unwrap(),
    }
}
