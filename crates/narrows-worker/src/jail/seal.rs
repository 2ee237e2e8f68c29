//! Closes one worker, before it reads a byte: one descriptor, no limits left to raise, the strict
//! list of system calls.

use super::memory::{Footprint, status_bytes};
use super::outside::Forked;
use super::walls::View;
use super::{Walls, filter, process, walls};
use crate::wire::Wire;
use narrows_types::Limits;
use narrows_types::frame::Program;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::signal::SigSet;
use nix::unistd::{Pid, getppid};
use seccompiler::BpfProgram;

/// Beyond the limits of any run; the run's own come with its program.
const MEMORY_BYTES_MAX: u64 = 8 << 30;
/// Memory of a worker beside the interpreter's heap and the values that pass through: parsing.
const SLACK_BYTES: u64 = 64 << 20;
/// How often a value stands in memory while it passes the link: frame, text, JSON on its way out.
const COPIES: u64 = 3;
/// The interpreter notices its own limit; the kernel ends what it does not notice.
const CPU_GRACE_MS: u64 = 50;
/// All programs of a worker that is kept may use so many times the processor time of its first, or
/// of the default where that is more: who comes first may have asked for little.
const CPU_LIVES: u64 = 64;

/// What a worker occupies before it runs anything.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Baseline {
    address_bytes: u64,
    data_bytes: u64,
    /// What it was started with: a limit of its container, say. Limits only ever go down.
    data_bytes_max: u64,
}

impl Baseline {
    /// Measured where `/proc` can still be read. Zeros if it cannot: then only the data is limited.
    pub(crate) fn measure() -> Self {
        let given = getrlimit(Resource::RLIMIT_DATA).map(|(_, hard)| hard);
        let data_bytes_max = given.unwrap_or(MEMORY_BYTES_MAX).min(MEMORY_BYTES_MAX);
        let [address_bytes, data_bytes] = ["VmSize:", "VmData:"].map(status_bytes);
        Self { address_bytes, data_bytes, data_bytes_max }
    }
}

/// How a worker is to be sealed.
pub(crate) struct Seal {
    /// The strict filter, compiled, for a worker without a ward.
    pub(crate) filter: BpfProgram,
    /// Evaluators beside workers do not limit themselves.
    pub(crate) wards: bool,
    /// The zygote, without which no worker lives. `None`: this one has none.
    pub(crate) zygote: Option<Pid>,
    /// What becomes of it where a wall does not stand.
    pub(crate) walls: Walls,
    /// Landlock holds here: each worker gets a domain of its own.
    pub(crate) landlock: bool,
    /// What each worker takes before its program comes.
    pub(crate) footprint: Footprint,
}

impl Seal {
    /// Seals this process and gives back its wire and the socket to its evaluator, all that it has.
    /// An error means that it must
    /// end: it has seen nothing yet.
    pub(crate) fn close(
        &self,
        wire: Wire,
        evaluator: Option<Forked>,
    ) -> Result<(Wire, Option<Forked>), String> {
        if let Some(zygote) = self.zygote {
            walls::die_with_parent()?;
            if getppid() != zygote {
                return Err("the zygote is gone".to_owned());
            }
        }
        SigSet::empty().thread_set_mask().map_err(|error| format!("signals: {error}"))?;
        process::die_of_faults().map_err(|error| format!("signals: {error}"))?;
        let pid = evaluator.as_ref().map(|one| one.pid);
        let others = evaluator.into_iter().flat_map(|one| [Some(one.socket), one.scratch]);
        let (wire, others) = process::keep_only(wire, others.flatten().collect())
            .map_err(|error| format!("descriptors: {error}"))?;
        let count = wire.width() + others.len() as u64;
        let mut others = others.into_iter();
        let evaluator = pid.zip(others.next());
        let evaluator = evaluator.map(|(pid, socket)| Forked {
            pid,
            socket,
            scratch: others.next(),
            door: None,
        });
        let ward = pid.filter(|_| self.wards);
        let ward = ward.map(|pid| filter::Ward { pid, own: self.zygote.is_none() });
        let kept = (wire, evaluator);
        if self.walls == Walls::None {
            return Ok(kept);
        }
        if self.landlock {
            self.insist(walls::landlock(&View::default()))?;
        }
        for (resource, to) in [
            (Resource::RLIMIT_CORE, 0),
            // It has no file. (A zygote keeps this one: its standard error may be a file.)
            (Resource::RLIMIT_FSIZE, 0),
            (Resource::RLIMIT_NPROC, 0),
            (Resource::RLIMIT_MEMLOCK, 0),
            (Resource::RLIMIT_MSGQUEUE, 0),
            (Resource::RLIMIT_NOFILE, count),
            (Resource::RLIMIT_AS, MEMORY_BYTES_MAX),
        ] {
            let set = setrlimit(resource, to, to).map_err(|error| format!("rlimit: {error}"));
            self.insist(set)?;
        }
        self.footprint.take();
        let own = ward.map(|ward| filter::worker(Some(ward))).transpose()?;
        self.insist(filter::apply(own.as_ref().unwrap_or(&self.filter)))?;
        Ok(kept)
    }

    /// Whether a wall that does not stand is the end.
    fn insist(&self, outcome: Result<(), String>) -> Result<(), String> {
        if self.walls == Walls::Floor { outcome } else { Ok(()) }
    }
}

/// Memory of a run: the interpreter's heap, and what the values take that pass through.
pub(crate) fn room(limits: &Limits) -> u64 {
    let passing = limits.result_bytes.saturating_add(limits.value_bytes).saturating_mul(COPIES);
    limits.memory_bytes.saturating_add(passing).saturating_add(SLACK_BYTES)
}

/// The kernel's limits of a worker.
pub(crate) struct Confined {
    baseline: Baseline,
    /// It has a program's limits.
    set: bool,
}

impl Confined {
    /// None are set but those of the seal.
    pub(crate) fn new(baseline: Baseline) -> Self {
        Self { baseline, set: false }
    }

    /// Takes on the limits of a run, which the host sends with the program. They only ever go down:
    /// those of the first program that a worker keeps something of hold for its whole life, but for
    /// the timer.
    pub(crate) fn set(&mut self, program: &Program) -> Result<(), String> {
        let text = |error: std::io::Error| format!("limits: {error}");
        let limits = &program.limits;
        if !std::mem::replace(&mut self.set, true) {
            let lived = limits.cpu_ms.max(Limits::default().cpu_ms).saturating_mul(CPU_LIVES);
            let cpu_ms = if program.state { lived } else { limits.cpu_ms };
            self.lower(limits, cpu_ms).map_err(text)?;
        }
        process::end_after_cpu(limits.cpu_ms.saturating_add(CPU_GRACE_MS)).map_err(text)
    }

    fn lower(&self, limits: &Limits, cpu_ms: u64) -> std::io::Result<()> {
        let (room, baseline) = (room(limits), self.baseline);
        let data = baseline.data_bytes.saturating_add(room).min(baseline.data_bytes_max);
        process::lower(libc::RLIMIT_DATA, data)?;
        if baseline.address_bytes > 0 {
            let address = baseline.address_bytes.saturating_add(room).min(MEMORY_BYTES_MAX);
            process::lower(libc::RLIMIT_AS, address)?;
        }
        // Whole seconds, for good; the timer is exact, but a broken-in worker could set it anew.
        let seconds = cpu_ms.div_ceil(1_000);
        process::lower(libc::RLIMIT_CPU, seconds.saturating_add(1))
    }
}
