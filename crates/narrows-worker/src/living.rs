//! Workers that live, each with the process beside it that evaluates its program, if it has one.

use crate::jail::process::{self, Dead};
use narrows_types::control::{Death, EXIT_EVALUATOR, EXIT_MEMORY, FromZygote};
use nix::unistd::Pid;
use std::collections::HashMap;

/// By the numbers of their processes.
#[derive(Debug, Default)]
pub(crate) struct Living {
    /// How an evaluator ends that has no memory left is by one of [`CRASHES`].
    crashes: bool,
    ids: HashMap<Pid, u64>,
    pairs: HashMap<u64, Pair>,
}

/// A worker and its evaluator. Neither is for anything without the other.
#[derive(Debug)]
struct Pair {
    evaluator: Option<Pid>,
    worker_end: Option<(Death, u64)>,
    evaluator_end: Option<(Death, u64)>,
    /// The evaluator outlived its worker, and was ended.
    killed: bool,
}

/// Signals that an engine ends itself by.
const CRASHES: [i32; 3] = [libc::SIGTRAP, libc::SIGABRT, libc::SIGILL];

impl Living {
    /// None so far. `crashes`: their evaluators crash where there is no memory left.
    pub(crate) fn new(crashes: bool) -> Self {
        Self { crashes, ..Self::default() }
    }

    /// A worker has been forked.
    pub(crate) fn add(&mut self, id: u64, worker: Pid, evaluator: Option<Pid>) {
        let pair = Pair { evaluator, worker_end: None, evaluator_end: None, killed: false };
        self.pairs.insert(id, pair);
        self.ids.extend([worker].into_iter().chain(evaluator).map(|pid| (pid, id)));
    }

    /// A process has been reaped. What there is to say once all of a worker is gone.
    pub(crate) fn buried(&mut self, dead: &Dead) -> Option<FromZygote> {
        let id = self.ids.remove(&dead.pid)?;
        let pair = self.pairs.get_mut(&id)?;
        let end = Some((dead.how, dead.cpu_us));
        if pair.evaluator == Some(dead.pid) {
            // Its worker hears of it by their socket.
            pair.evaluator_end = end;
        } else {
            pair.worker_end = end;
        }
        let (how, cpu_us) = pair.worker_end?;
        let (own, own_us) = match (pair.evaluator, pair.evaluator_end) {
            (Some(evaluator), None) => {
                pair.killed = true;
                process::kill(evaluator);
                return None;
            }
            (_, ended) => ended.unwrap_or((how, 0)),
        };
        let ours = pair.killed && own == Death::Signal(libc::SIGKILL);
        let own = match own {
            Death::Signal(signal) if self.crashes && CRASHES.contains(&signal) => {
                Death::Exit(EXIT_MEMORY)
            }
            other => other,
        };
        let how = if how == Death::Exit(EXIT_EVALUATOR) && !ours { own } else { how };
        self.pairs.remove(&id);
        Some(FromZygote::Ended { id, how, cpu_us: cpu_us.saturating_add(own_us) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// No process has so high a number.
    const EVALUATOR: i32 = i32::MAX - 1;

    fn dead(pid: i32, how: Death) -> Dead {
        Dead { pid: Pid::from_raw(pid), how, cpu_us: 5 }
    }

    fn both(worker: Death, evaluator: Death, evaluator_first: bool) -> Option<FromZygote> {
        let mut living = Living::new(true);
        living.add(7, Pid::from_raw(1), Some(Pid::from_raw(EVALUATOR)));
        let mut ends = [dead(1, worker), dead(EVALUATOR, evaluator)];
        if evaluator_first {
            ends.reverse();
        }
        assert_eq!(living.buried(&ends[0]), None);
        let said = living.buried(&ends[1]);
        assert!(living.ids.is_empty() && living.pairs.is_empty());
        said
    }

    #[test]
    fn a_worker_alone_ends_as_it_ends() {
        let mut living = Living::default();
        living.add(7, Pid::from_raw(1), None);
        assert_eq!(living.buried(&dead(2, Death::Exit(0))), None);
        let expected = FromZygote::Ended { id: 7, how: Death::Signal(9), cpu_us: 5 };
        assert_eq!(living.buried(&dead(1, Death::Signal(9))), Some(expected));
    }

    #[test]
    fn an_evaluator_counts_where_its_worker_says_so() {
        for evaluator_first in [false, true] {
            let ended = |how| Some(FromZygote::Ended { id: 7, how, cpu_us: 10 });
            let gone = Death::Exit(EXIT_EVALUATOR);
            let lost = both(gone, Death::Signal(libc::SIGSYS), evaluator_first);
            assert_eq!(lost, ended(Death::Signal(libc::SIGSYS)));
            let crash = both(gone, Death::Signal(libc::SIGTRAP), evaluator_first);
            assert_eq!(crash, ended(Death::Exit(EXIT_MEMORY)));
            let killed = both(gone, Death::Signal(libc::SIGKILL), evaluator_first);
            let how = if evaluator_first { Death::Signal(libc::SIGKILL) } else { gone };
            assert_eq!(killed, ended(how));
            let good = both(Death::Exit(0), Death::Signal(9), evaluator_first);
            assert_eq!(good, ended(Death::Exit(0)));
        }
    }
}
