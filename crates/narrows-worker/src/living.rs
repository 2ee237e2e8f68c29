//! Workers that live, each with the process beside it that evaluates its program, if it has one.

use crate::jail::process::{self, Dead};
use narrows_types::control::{Death, EXIT_EVALUATOR, FromZygote};
use nix::unistd::Pid;
use std::collections::HashMap;

/// By the numbers of their processes.
#[derive(Debug, Default)]
pub(crate) struct Living {
    ids: HashMap<Pid, u64>,
    pairs: HashMap<u64, Pair>,
}

/// A worker and its evaluator. Neither is for anything without the other.
#[derive(Debug)]
struct Pair {
    evaluator: Option<Pid>,
    worker_end: Option<Dead>,
    evaluator_end: Option<Dead>,
    /// The evaluator outlived its worker, and was ended.
    killed: bool,
}

impl Living {
    /// A worker has been forked.
    pub(crate) fn add(&mut self, id: u64, worker: Pid, evaluator: Option<Pid>) {
        let pair = Pair { evaluator, worker_end: None, evaluator_end: None, killed: false };
        self.pairs.insert(id, pair);
        self.ids.extend([worker].into_iter().chain(evaluator).map(|pid| (pid, id)));
    }

    /// A process has been reaped. What there is to say once all of a worker is gone.
    pub(crate) fn buried(&mut self, dead: Dead) -> Option<FromZygote> {
        let id = self.ids.remove(&dead.pid)?;
        let pair = self.pairs.get_mut(&id)?;
        if pair.evaluator == Some(dead.pid) {
            // Its worker hears of it by their socket.
            pair.evaluator_end = Some(dead);
        } else {
            pair.worker_end = Some(dead);
        }
        let worker = pair.worker_end?;
        let own = match (pair.evaluator, pair.evaluator_end) {
            (Some(evaluator), None) => {
                pair.killed = true;
                process::kill(evaluator);
                return None;
            }
            (_, ended) => ended,
        };
        let ours = pair.killed && own.is_some_and(|own| own.how == Death::Signal(libc::SIGKILL));
        let told = match own {
            Some(own) if worker.how == Death::Exit(EXIT_EVALUATOR) && !ours => own,
            _ => worker,
        };
        self.pairs.remove(&id);
        let cpu_us = worker.cpu_us.saturating_add(own.map_or(0, |own| own.cpu_us));
        let Dead { how, memory_bytes, .. } = told;
        Some(FromZygote::Ended { id, how, cpu_us, memory_bytes })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// No process has so high a number.
    const EVALUATOR: i32 = i32::MAX - 1;

    fn dead(pid: i32, how: Death) -> Dead {
        let memory_bytes = u64::try_from(pid).unwrap();
        Dead { pid: Pid::from_raw(pid), how, cpu_us: 5, memory_bytes }
    }

    fn both(worker: Death, evaluator: Death, evaluator_first: bool) -> Option<FromZygote> {
        let mut living = Living::default();
        living.add(7, Pid::from_raw(1), Some(Pid::from_raw(EVALUATOR)));
        let mut ends = [dead(1, worker), dead(EVALUATOR, evaluator)];
        if evaluator_first {
            ends.reverse();
        }
        assert_eq!(living.buried(ends[0]), None);
        let said = living.buried(ends[1]);
        assert!(living.ids.is_empty() && living.pairs.is_empty());
        said
    }

    #[test]
    fn a_worker_alone_ends_as_it_ends() {
        let mut living = Living::default();
        living.add(7, Pid::from_raw(1), None);
        assert_eq!(living.buried(dead(2, Death::Exit(0))), None);
        let expected =
            FromZygote::Ended { id: 7, how: Death::Signal(9), cpu_us: 5, memory_bytes: 1 };
        assert_eq!(living.buried(dead(1, Death::Signal(9))), Some(expected));
    }

    #[test]
    fn an_evaluator_counts_where_its_worker_says_so() {
        for evaluator_first in [false, true] {
            let ended = |how, pid: i32| {
                let memory_bytes = u64::try_from(pid).unwrap();
                Some(FromZygote::Ended { id: 7, how, cpu_us: 10, memory_bytes })
            };
            let gone = Death::Exit(EXIT_EVALUATOR);
            for signal in [libc::SIGSYS, libc::SIGTRAP] {
                let lost = both(gone, Death::Signal(signal), evaluator_first);
                assert_eq!(lost, ended(Death::Signal(signal), EVALUATOR));
            }
            let killed = both(gone, Death::Signal(libc::SIGKILL), evaluator_first);
            let told = if evaluator_first {
                ended(Death::Signal(libc::SIGKILL), EVALUATOR)
            } else {
                ended(gone, 1)
            };
            assert_eq!(killed, told);
            let good = both(Death::Exit(0), Death::Signal(9), evaluator_first);
            assert_eq!(good, ended(Death::Exit(0), 1));
        }
    }
}
