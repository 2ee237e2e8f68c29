//! What can go wrong before a program runs.

use narrows_types::{BackendKind, Engine, Fault, Kind, Language, Origin, Retry};

/// Why no worker can be had.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SandboxError {
    /// The zygote does not start, or the floor of the sandbox cannot be laid here.
    #[error("no sandbox for {engine}: {reason}")]
    Start {
        /// Whose.
        engine: Engine,
        /// Why, one line.
        reason: String,
    },
    /// The engine that is wanted does not evaluate the program's language.
    #[error("the engine {engine} does not run {language}")]
    Engine {
        /// Which.
        engine: Engine,
        /// Of the program.
        language: Language,
    },
    /// Programs in this language do not run on the back end.
    #[error("the back end {backend} does not run {language}")]
    Language {
        /// Which.
        backend: BackendKind,
        /// Of the program.
        language: Language,
    },
    /// The engine that is wanted is not there on the back end.
    #[error("the engine {engine} does not run on the back end {backend}")]
    Pair {
        /// Which back end.
        backend: BackendKind,
        /// Which engine.
        engine: Engine,
    },
    /// Programs have no network there.
    #[error("no network for programs of the engine {engine} on the back end {backend}")]
    Network {
        /// Which back end.
        backend: BackendKind,
        /// Which engine.
        engine: Engine,
    },
    /// The engine that is wanted has to be offered by the config, and is not.
    #[error("the engine {0} is not offered here")]
    NotOffered(Engine),
    /// The back end that is wanted does not work on this machine.
    #[error("the sandbox back end {backend} does not work here: {why}")]
    Backend {
        /// Which.
        backend: BackendKind,
        /// Why, one line.
        why: String,
    },
    /// No worker was ready in the time for it.
    #[error("the sandbox back end {backend} had no worker ready within {ms} ms")]
    Slow {
        /// Which.
        backend: BackendKind,
        /// The time, `start_ms` of the config.
        ms: u64,
    },
    /// Layers that the config requires do not hold on this machine.
    #[error("required sandbox layers do not hold here: {0}")]
    Layers(String),
    /// As many leases wait as may wait.
    #[error("{running} programs run and {waiting} wait: no room for more")]
    Busy {
        /// Programs that run.
        running: usize,
        /// Programs that wait.
        waiting: usize,
    },
    /// The deadline passed before a worker was free.
    #[error("no worker was free before the deadline")]
    Timeout,
    /// The engine holds no variables between programs.
    #[error("the engine {0} keeps no variables between programs")]
    Unkept(Engine),
    /// No worker is kept for a session here.
    #[error("no variables are kept here: sandbox.sessions_max is 0")]
    KeepsNone,
    /// A program of the same session has its worker until after the deadline.
    #[error("another program of this session is under way and did not end before the deadline")]
    Turn,
    /// The sandbox is shutting down.
    #[error("the sandbox is shutting down")]
    Stopped,
}

impl SandboxError {
    /// Whether it may be otherwise in a moment, with nothing done about it.
    pub(crate) fn passes(&self) -> bool {
        matches!(self, Self::Slow { .. } | Self::Busy { .. } | Self::Timeout | Self::Stopped)
    }

    /// The reason alone, where the back end is named beside it.
    pub(crate) fn bare(&self) -> String {
        match self {
            Self::Backend { why, .. } => why.clone(),
            other => other.to_string(),
        }
    }
}

/// How long to wait before asking again where all places are taken, in milliseconds.
const BUSY_MS: u64 = 200;
/// How long to wait before asking again where a zygote did not start, in milliseconds.
const START_MS: u64 = 1_000;

impl From<SandboxError> for Fault {
    fn from(error: SandboxError) -> Self {
        let fault = |kind| Self::new(kind, Origin::Narrows, error.to_string());
        match &error {
            SandboxError::Start { .. } => fault(Kind::Unavailable)
                .retry(Retry::AfterMs(START_MS))
                .hint("run `narrows doctor` to see what is missing"),
            SandboxError::Engine { engine, .. } => fault(Kind::Invalid)
                .hint(format!("{engine} runs {}; leave the engine out", engine.language())),
            SandboxError::Language { .. } => fault(Kind::Invalid).hint("write it in TypeScript"),
            SandboxError::Pair { .. } => fault(Kind::Invalid).hint("leave the engine out"),
            SandboxError::Network { .. } => fault(Kind::Invalid).hint(
                "set limits.network to \"none\", or run cpython or deno on the back end process",
            ),
            SandboxError::NotOffered(engine) => fault(Kind::Forbidden)
                .hint(format!("leave the engine out, or set sandbox.offer = [\"{engine}\"]")),
            SandboxError::Backend { .. } => {
                fault(Kind::Unavailable).hint("run `narrows doctor` to see which back ends work")
            }
            SandboxError::Slow { .. } => fault(Kind::Unavailable)
                .retry(Retry::AfterMs(START_MS))
                .hint("try again; `narrows doctor` tells whether the machine is only busy"),
            SandboxError::Layers(_) => {
                fault(Kind::Unavailable).hint("run `narrows doctor`, or shorten `sandbox.require`")
            }
            SandboxError::Busy { .. } => {
                fault(Kind::RateLimited).retry(Retry::AfterMs(BUSY_MS)).hint("try again shortly")
            }
            SandboxError::Unkept(_) | SandboxError::KeepsNone => fault(Kind::Invalid)
                .hint("leave `state` out and keep JSON: session.set(key, value)"),
            SandboxError::Turn => fault(Kind::Timeout)
                .retry(Retry::AfterMs(BUSY_MS))
                .hint("programs of one session with `state` run one after the other"),
            SandboxError::Timeout => fault(Kind::Timeout).retry(Retry::AfterMs(BUSY_MS)),
            SandboxError::Stopped => fault(Kind::Unavailable).retry(Retry::AfterMs(START_MS)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_error_is_a_short_fault_with_a_next_step() {
        for (error, kind, text) in [
            (
                SandboxError::Start { engine: Engine::Monty, reason: "x".repeat(1_000) },
                Kind::Unavailable,
                "no sandbox for monty: x",
            ),
            (
                SandboxError::Engine { engine: Engine::Deno, language: Language::Python },
                Kind::Invalid,
                "the engine deno does not run python",
            ),
            (
                SandboxError::Language { backend: BackendKind::Wasm, language: Language::Python },
                Kind::Invalid,
                "the back end wasm does not run python",
            ),
            (
                SandboxError::Pair { backend: BackendKind::Wasm, engine: Engine::Quickjs },
                Kind::Invalid,
                "the engine quickjs does not run on the back end wasm",
            ),
            (
                SandboxError::Network { backend: BackendKind::Basic, engine: Engine::Cpython },
                Kind::Invalid,
                "no network for programs of the engine cpython on the back end basic",
            ),
            (
                SandboxError::NotOffered(Engine::Deno),
                Kind::Forbidden,
                "the engine deno is not offered here",
            ),
            (
                SandboxError::Backend { backend: BackendKind::Docker, why: "no".to_owned() },
                Kind::Unavailable,
                "the sandbox back end docker does not work here: no",
            ),
            (
                SandboxError::Slow { backend: BackendKind::Process, ms: 7 },
                Kind::Unavailable,
                "the sandbox back end process had no worker ready within 7 ms",
            ),
            (SandboxError::Layers("landlock".to_owned()), Kind::Unavailable, "required sandbox"),
            (SandboxError::Busy { running: 64, waiting: 9 }, Kind::RateLimited, "64 programs run"),
            (
                SandboxError::Unkept(Engine::Deno),
                Kind::Invalid,
                "the engine deno keeps no variables",
            ),
            (SandboxError::KeepsNone, Kind::Invalid, "no variables are kept here"),
            (SandboxError::Turn, Kind::Timeout, "another program of this session"),
            (SandboxError::Timeout, Kind::Timeout, "no worker was free"),
            (SandboxError::Stopped, Kind::Unavailable, "the sandbox is"),
        ] {
            let fault = Fault::from(error);
            assert_eq!((fault.kind, &fault.origin), (kind, &Origin::Narrows));
            assert!(fault.message.starts_with(text), "{fault}");
            assert!(fault.message.len() <= narrows_types::fault::FAULT_BYTES_MAX);
        }
    }
}
