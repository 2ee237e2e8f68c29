//! What a program wants to run in, and which back end is taken where nobody says: the strongest that
//! works.

use narrows_types::{BackendKind, Engine, Language};

/// What kind of worker a program wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Want {
    /// Of the program.
    pub language: Language,
    /// Where it is to run. `None`: where the config says.
    pub backend: Option<BackendKind>,
    /// What is to evaluate it. `None`: what the config or the back end says.
    pub engine: Option<Engine>,
    /// It is to reach hosts of the network.
    pub network: bool,
}

impl From<Language> for Want {
    fn from(language: Language) -> Self {
        Self { language, backend: None, engine: None, network: false }
    }
}

/// In the order in which they are tried. Not among them: `microvm`, whose image somebody has to
/// make first and whose start costs a hundred times as much, and `basic`, which has no walls.
pub(crate) const CANDIDATES: [BackendKind; 3] =
    [BackendKind::Process, BackendKind::Docker, BackendKind::Wasm];

/// What was taken, and why nothing before it was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Choice {
    /// The back end.
    pub backend: BackendKind,
    /// Those that would have come first, each with why it does not work here.
    pub passed_over: Vec<(BackendKind, String)>,
}

impl Choice {
    /// This, after telling people of what they might have expected.
    pub(crate) fn told(self) -> Self {
        for (better, why) in &self.passed_over {
            tracing::warn!("programs run on {}: {better} does not work here: {why}", self.backend);
        }
        self
    }
}
