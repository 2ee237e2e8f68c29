//! Where a program runs: which back end launches its worker, and which engine evaluates it.

use crate::control::LayerState;
use crate::tool::Language;
use serde::{Deserialize, Serialize};
use std::fmt;

/// A way to launch workers. All of them carry the same frames.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BackendKind {
    /// A process forked from a warm zygote, behind Linux's own walls.
    Process,
    /// The same without a floor of walls: the program runs in a WebAssembly machine in it.
    Wasm,
    /// A container of Docker or Podman, with `runsc` for gVisor.
    Docker,
    /// A virtual machine of QEMU or Firecracker.
    Microvm,
    /// A plain child process without walls, for development.
    Basic,
}

impl BackendKind {
    /// Every back end, in the order in which they are shown.
    pub const ALL: [Self; 5] =
        [Self::Process, Self::Wasm, Self::Docker, Self::Microvm, Self::Basic];

    /// The name as it stands in the config.
    pub fn name(self) -> &'static str {
        match self {
            Self::Process => "process",
            Self::Wasm => "wasm",
            Self::Docker => "docker",
            Self::Microvm => "microvm",
            Self::Basic => "basic",
        }
    }

    /// Whether programs in this language run here at all.
    pub fn runs(self, language: Language) -> bool {
        self != Self::Wasm || language == Language::TypeScript
    }

    /// Whether this engine is here: a container or a virtual machine holds the worker alone, and in
    /// front of WebAssembly there may be no walls.
    pub fn carries(self, engine: Engine) -> bool {
        match self {
            Self::Process | Self::Basic => true,
            Self::Wasm => engine == Engine::Wasm,
            Self::Docker | Self::Microvm => engine.is_embedded(),
        }
    }

    /// The engine that a language has here if nothing else is said.
    pub fn engine(self, language: Language) -> Engine {
        match (self, language) {
            (Self::Wasm, _) => Engine::Wasm,
            (_, Language::TypeScript) => Engine::Quickjs,
            (_, Language::Python) => Engine::Monty,
        }
    }
}

impl fmt::Display for BackendKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What evaluates a program.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Engine {
    /// TypeScript by the embedded `QuickJS`.
    Quickjs,
    /// Python by the embedded Monty.
    Monty,
    /// TypeScript by `QuickJS` inside a WebAssembly machine.
    Wasm,
    /// TypeScript by a `deno` binary of the user's.
    Deno,
    /// Python by the system's interpreter.
    Cpython,
}

impl Engine {
    /// Every engine, in the order in which they are shown.
    pub const ALL: [Self; 5] = [Self::Quickjs, Self::Monty, Self::Wasm, Self::Deno, Self::Cpython];

    /// The name as it stands in the config and on a worker's command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Quickjs => "quickjs",
            Self::Monty => "monty",
            Self::Wasm => "wasm",
            Self::Deno => "deno",
            Self::Cpython => "cpython",
        }
    }

    /// The engine with this name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|engine| engine.name() == name)
    }

    /// Whether it is part of every worker. What is not belongs to the machine.
    pub fn is_embedded(self) -> bool {
        !matches!(self, Self::Deno | Self::Cpython)
    }

    /// Whether a program in it may open sockets at all, where its limits say so.
    pub fn has_sockets(self) -> bool {
        !self.is_embedded()
    }

    /// Whether programs of one session can find what earlier ones defined.
    pub fn keeps_state(self) -> bool {
        self.is_embedded()
    }

    /// What it evaluates.
    pub fn language(self) -> Language {
        match self {
            Self::Quickjs | Self::Wasm | Self::Deno => Language::TypeScript,
            Self::Monty | Self::Cpython => Language::Python,
        }
    }
}

impl fmt::Display for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A back end as it was found on this machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BackendState {
    /// Which.
    pub backend: BackendKind,
    /// The walls that hold around a worker there. Empty where it does not work.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub layers: Vec<LayerState>,
    /// Why it does not work here, one line. Empty where it does.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub why: String,
}

impl BackendState {
    /// Whether programs can run there.
    pub fn works(&self) -> bool {
        self.why.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_back() {
        for engine in Engine::ALL {
            assert_eq!(Engine::named(engine.name()), Some(engine));
        }
        for backend in BackendKind::ALL {
            let text = serde_json::to_string(&backend).unwrap();
            assert_eq!(text.trim_matches('"'), backend.name());
        }
        assert_eq!(Engine::named("v8"), None);
    }

    #[test]
    fn what_belongs_to_the_machine_is_not_in_a_container_nor_in_webassembly() {
        let carries = |backend: BackendKind| {
            let here = Engine::ALL.into_iter().filter(|engine| backend.carries(*engine));
            here.map(Engine::name).collect::<Vec<_>>()
        };
        let embedded = ["quickjs", "monty", "wasm"];
        for backend in [BackendKind::Docker, BackendKind::Microvm] {
            assert_eq!(carries(backend), embedded, "{backend}");
        }
        assert_eq!(carries(BackendKind::Wasm), ["wasm"]);
        assert_eq!(carries(BackendKind::Process).len(), Engine::ALL.len());
        for backend in BackendKind::ALL {
            let own = backend.engine(Language::TypeScript);
            assert!(backend.carries(own), "{backend}");
            assert_eq!(backend.runs(Language::Python), backend != BackendKind::Wasm);
        }
    }
}
