//! What somebody who watches over Narrows wants to know: one structured record each, under the
//! target `narrows::audit`, whatever else is logged, and a count of each kind. No argument, no result
//! and no program stands in them.

use crate::Shared;
use crate::run::Ending;
use narrows_sandbox::{Denied, Loss, Want};
use narrows_types::{BackendKind, Engine, Fault, Kind, LayerState, Principal, RunId, Usage};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use tracing::field::display;

/// The log target of all records.
const TARGET: &str = "narrows::audit";

/// What is recorded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Incident {
    /// A run reached a limit.
    Limit,
    /// A worker died under its run.
    WorkerLost,
    /// A worker sent what the protocol does not have.
    ProtocolViolation,
    /// A worker made a system call that it is killed for.
    ForbiddenSyscall,
    /// No worker was to be had for a run.
    NoWorker,
    /// A call of a tool was refused.
    DeniedTool,
    /// A program wanted to reach a host that it may not.
    DeniedHost,
}

impl Incident {
    const ALL: [Self; 7] = [
        Self::Limit,
        Self::WorkerLost,
        Self::ProtocolViolation,
        Self::ForbiddenSyscall,
        Self::NoWorker,
        Self::DeniedTool,
        Self::DeniedHost,
    ];

    fn name(self) -> &'static str {
        match self {
            Self::Limit => "limit",
            Self::WorkerLost => "worker_lost",
            Self::ProtocolViolation => "protocol_violation",
            Self::ForbiddenSyscall => "forbidden_syscall",
            Self::NoWorker => "no_worker",
            Self::DeniedTool => "denied_tool",
            Self::DeniedHost => "denied_host",
        }
    }
}

/// A run, and what its worker is.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Running<'a> {
    pub(crate) run: &'a RunId,
    pub(crate) at: (BackendKind, Engine),
}

/// How often each was recorded since the start.
#[derive(Debug, Default)]
pub(crate) struct Audit([AtomicU64; Incident::ALL.len()]);

impl Audit {
    /// Every kind with its count.
    pub(crate) fn counts(&self) -> BTreeMap<&'static str, u64> {
        let counted = Incident::ALL.iter().zip(&self.0);
        counted.map(|(kind, count)| (kind.name(), count.load(Ordering::Relaxed))).collect()
    }

    fn count(&self, kind: Incident) -> &'static str {
        if let Some((_, count)) = Incident::ALL.iter().zip(&self.0).find(|(k, _)| **k == kind) {
            count.fetch_add(1, Ordering::Relaxed);
        }
        kind.name()
    }

    /// A run ended; recorded is what it should not have ended in. Its worker tells its processor
    /// time only where it lived to its end.
    pub(crate) fn ended(
        &self,
        end: &Ending,
        (running, principal): (Running<'_>, &Principal),
        (wall_us, used): (u64, Option<&Usage>),
    ) {
        let Running { run, at: (backend, engine) } = running;
        let (who, cpu_us) = (&principal.name, used.map(|used| used.cpu_us));
        match end {
            Ending::Limit(limit, allowed) => {
                let event = self.count(Incident::Limit);
                tracing::info!(
                    target: TARGET,
                    event, %run, principal = %who, %backend, %engine, %limit, allowed, cpu_us, wall_us,
                    "a run reached a limit"
                );
            }
            Ending::Lost(loss, reason) => {
                let event = self.count(match loss {
                    Loss::Died => Incident::WorkerLost,
                    Loss::Protocol => Incident::ProtocolViolation,
                    Loss::Syscall => Incident::ForbiddenSyscall,
                });
                tracing::warn!(
                    target: TARGET,
                    event, %run, principal = %who, %backend, %engine, reason, cpu_us, wall_us,
                    "a worker was lost"
                );
            }
            _ => {}
        }
    }

    /// There was no worker for a run.
    pub(crate) fn no_worker(&self, run: &RunId, principal: &Principal, want: Want, fault: &Fault) {
        let event = self.count(Incident::NoWorker);
        let (who, reason) = (&principal.name, &fault.message);
        let (backend, engine) = (want.backend.map(display), want.engine.map(display));
        tracing::warn!(
            target: TARGET,
            event, %run, principal = %who, backend, engine, reason,
            "no worker was to be had"
        );
    }

    /// A call of a tool was refused.
    pub(crate) fn denied(
        &self,
        (running, principal): (Option<Running<'_>>, &Principal),
        tool: &str,
        reason: &str,
    ) {
        let event = self.count(Incident::DeniedTool);
        let who = &principal.name;
        let run = running.map(|running| display(running.run));
        let backend = running.map(|running| display(running.at.0));
        let engine = running.map(|running| display(running.at.1));
        tracing::warn!(
            target: TARGET,
            event, run, principal = %who, backend, engine, tool, reason,
            "a call was refused"
        );
    }
}

/// Tells, once there are workers, what stands around programs that do not say where they run, and
/// why other walls do not. It happens to nobody and is not counted.
pub(crate) fn walls(layers: &[LayerState]) {
    let stand: Vec<&str> =
        layers.iter().filter(|state| state.reached).map(|state| state.layer.name()).collect();
    let missing = layers.iter().filter(|state| !state.reached);
    let missing: Vec<String> =
        missing.map(|state| format!("{} ({})", state.layer, state.why)).collect();
    let (event, stand, missing) = ("walls", stand.join(", "), missing.join(", "));
    tracing::info!(target: TARGET, event, stand, missing, "walls around programs");
}

impl Audit {
    /// A program wanted to reach a host that it may not.
    pub(crate) fn denied_host(
        &self,
        (running, principal): (Running<'_>, &Principal),
        denied: &Denied,
    ) {
        let event = self.count(Incident::DeniedHost);
        let Running { run, at: (backend, engine) } = running;
        let (who, Denied { host, why }) = (&principal.name, denied);
        tracing::warn!(
            target: TARGET,
            event, %run, principal = %who, %backend, %engine, host, reason = why,
            "a host was refused"
        );
    }
}

impl Shared {
    /// Records a call that failed because it was refused: by the policy, or because what it names is
    /// there, but not for this principal.
    pub(crate) fn denied(
        &self,
        (running, principal): (Option<Running<'_>>, &Principal),
        (server, tool): (&str, &str),
        fault: &Fault,
    ) {
        let reason = match fault.kind {
            Kind::Forbidden => Some(fault.message.as_str()),
            Kind::NotFound => self.withheld(principal, server, tool),
            _ => None,
        };
        if let Some(reason) = reason {
            let name = format!("{server}.{tool}");
            self.audit.denied((running, principal), name.trim_start_matches('.'), reason);
        }
    }

    /// Why a tool does not exist for a principal, if somebody said so.
    pub(crate) fn withheld(
        &self,
        principal: &Principal,
        server: &str,
        tool: &str,
    ) -> Option<&'static str> {
        let whole = self.library.last();
        let known = whole.catalog.server(server).ok().map(|server| server.name.as_str());
        let doorman = self.doorman.load();
        let scope = doorman.scope(principal);
        if let (Some(name), Some(scope)) = (known, scope)
            && !scope.iter().any(|in_it| in_it == name)
        {
            return Some("the key does not have this server");
        }
        let held_back = self.fleet.withholds(known.unwrap_or(server), tool);
        held_back.then_some("the config keeps it back")
    }
}

#[cfg(test)]
mod tests {
    use super::{Audit, Incident, Running};
    use crate::run::Ending;
    use narrows_sandbox::Loss;
    use narrows_types::{BackendKind, Engine, Limit, Principal, RunId};

    #[test]
    fn each_kind_of_end_is_counted_by_itself() {
        let audit = Audit::default();
        let (run, at) = (RunId("run_a".to_owned()), (BackendKind::Process, Engine::Quickjs));
        let (running, local) = (Running { run: &run, at }, Principal::local());
        for end in [
            Ending::Limit(Limit::CpuMs, 5),
            Ending::died("it crashed"),
            Ending::Lost(Loss::Protocol, "it lied".to_owned()),
            Ending::Lost(Loss::Syscall, "it broke out".to_owned()),
            Ending::Lost(Loss::Syscall, "it broke out".to_owned()),
            Ending::Deadlock,
        ] {
            audit.ended(&end, (running, &local), (1, None));
        }
        audit.denied((None, &local), "files.read", "it is kept back");
        let counts = audit.counts();
        assert_eq!(counts.len(), Incident::ALL.len());
        for (kind, count) in [
            ("limit", 1),
            ("worker_lost", 1),
            ("protocol_violation", 1),
            ("forbidden_syscall", 2),
            ("no_worker", 0),
            ("denied_tool", 1),
            ("denied_host", 0),
        ] {
            assert_eq!(counts[kind], count, "{kind}");
        }
    }
}
