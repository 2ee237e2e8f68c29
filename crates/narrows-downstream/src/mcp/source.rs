//! Who answers.

use narrows_engine::Engine;
use narrows_types::{
    Answer, Ask, Changes, ClientSession, Event, Fault, Mode, Offering, Principal, Update,
};
use serde_json::value::RawValue;
use std::collections::BTreeMap;
use std::time::Duration;
use tokio::sync::{broadcast, mpsc, watch};

/// The engine, or in tests what takes its place.
#[derive(Clone)]
pub(crate) enum Source {
    Engine(Engine),
    /// A test's own answers.
    #[cfg(test)]
    Script(crate::tests::Script),
}

impl Source {
    pub(crate) async fn ask(
        &self,
        ask: Ask,
        events: Option<mpsc::Sender<Event>>,
    ) -> Result<Answer, Fault> {
        match self {
            Self::Engine(engine) => engine.ask(ask, events).await,
            #[cfg(test)]
            Self::Script(script) => (script.answer)(ask, events).await,
        }
    }

    /// Sets what agents of whom nothing else is said see.
    pub(crate) fn switch_mode(&self, mode: Mode) -> Result<(), Fault> {
        match self {
            Self::Engine(engine) => engine.switch_mode(mode),
            #[cfg(test)]
            Self::Script(_) => Err(Fault::not_found("not in the script")),
        }
    }

    /// How often each kind of audit record was written.
    pub(crate) fn audited(&self) -> BTreeMap<&'static str, u64> {
        match self {
            Self::Engine(engine) => engine.audited(),
            #[cfg(test)]
            Self::Script(_) => BTreeMap::from([("limit", 2)]),
        }
    }

    /// The walls around programs, each with whether it stands.
    pub(crate) fn walls(&self) -> BTreeMap<&'static str, bool> {
        match self {
            Self::Engine(engine) => engine.walls(),
            #[cfg(test)]
            Self::Script(_) => BTreeMap::from([("seccomp", true)]),
        }
    }

    /// The roots of a conversation's client changed.
    pub(crate) async fn roots_changed(&self, session: ClientSession) {
        match self {
            Self::Engine(engine) => engine.roots_changed(session).await,
            #[cfg(test)]
            Self::Script(_) => {}
        }
    }

    /// What upstreams can do; those that are not known yet are waited for.
    pub(crate) async fn offers(&self, principal: &Principal, wait: Duration) -> Vec<Offering> {
        match self {
            Self::Engine(engine) => engine.offers(principal, wait).await,
            #[cfg(test)]
            Self::Script(script) => script.offers.clone(),
        }
    }

    /// What changes and what is updated from now on.
    pub(crate) fn news(&self) -> (watch::Receiver<Changes>, broadcast::Receiver<Update>) {
        match self {
            Self::Engine(engine) => (engine.changes(), engine.updates()),
            #[cfg(test)]
            Self::Script(script) => (script.changes.subscribe(), script.updates.subscribe()),
        }
    }

    /// A conversation ended.
    pub(crate) fn farewell(&self, session: ClientSession) {
        match self {
            Self::Engine(engine) => engine.farewell(session),
            #[cfg(test)]
            Self::Script(script) => {
                script
                    .farewells
                    .lock()
                    .unwrap_or_else(std::sync::PoisonError::into_inner)
                    .push(session);
            }
        }
    }

    /// Seals what a client carries for us: for this principal only, on any replica.
    pub(crate) fn seal_state(&self, principal: &Principal, state: &[u8]) -> String {
        match self {
            Self::Engine(engine) => engine.seal_state(principal, state),
            #[cfg(test)]
            Self::Script(_) => stub::seal_state(principal, state),
        }
    }

    /// What was sealed for this principal; none if it is not ours, or not theirs.
    pub(crate) fn open_state(&self, principal: &Principal, sealed: &str) -> Option<Vec<u8>> {
        match self {
            Self::Engine(engine) => engine.open_state(principal, sealed),
            #[cfg(test)]
            Self::Script(_) => stub::open_state(principal, sealed),
        }
    }

    /// A tool as its upstream defined it.
    pub(crate) async fn definition(
        &self,
        principal: &Principal,
        mode: Mode,
        name: &str,
    ) -> Option<Box<RawValue>> {
        match self {
            Self::Engine(engine) => engine.definition(principal, mode, name).await,
            #[cfg(test)]
            Self::Script(script) => script.definition.clone(),
        }
    }
}

/// The seal that all scripts share, as all replicas of an engine do.
#[cfg(test)]
mod stub {
    use narrows_protocol::seal::Seal;
    use narrows_types::Principal;
    use std::sync::LazyLock;

    static SEAL: LazyLock<Option<Seal>> = LazyLock::new(|| {
        let mut key = [0_u8; 32];
        getrandom::fill(&mut key).ok().map(|()| Seal::new(key, &[]))
    });

    pub(super) fn seal_state(principal: &Principal, state: &[u8]) -> String {
        let bound: [&[u8]; 1] = [principal.name.as_bytes()];
        let sealed = SEAL.as_ref().and_then(|s| s.seal("state", &bound, u64::MAX, state).ok());
        sealed.unwrap_or_default()
    }

    pub(super) fn open_state(principal: &Principal, sealed: &str) -> Option<Vec<u8>> {
        let bound: [&[u8]; 1] = [principal.name.as_bytes()];
        SEAL.as_ref()?.open("state", &bound, 0, sealed).ok()
    }
}
