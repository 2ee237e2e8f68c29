//! What doors ask of the engine beside `ask`: who may come in, what changed, what there is.

use crate::access::{Doorman, Entry, Knock};
use crate::config::Config;
use crate::{Engine, Shared};
use narrows_catalog::manifest;
use narrows_types::{Changes, ClientSession, Fault, Mode, Offering, Update, fault};
use serde_json::value::RawValue;
use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{broadcast, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// Bytes of the instructions of all upstreams together, in mcp mode.
const INSTRUCTIONS_BYTES_MAX: usize = 16 << 10;

impl Engine {
    /// Whether somebody comes in, as whom, and what it sees. Cheap: asked for each request, so that
    /// a mode switched at run time reaches open sessions too.
    pub fn enter(&self, knock: &Knock<'_>) -> Result<Entry, Fault> {
        let shared = &self.shared;
        shared.doorman.load().enter(knock, &shared.switch, &shared.seal)
    }

    /// Whether keys are asked for.
    pub fn has_keys(&self) -> bool {
        self.shared.doorman.load().has_keys()
    }

    /// What an agent sees of whom nothing else is said.
    pub fn mode(&self) -> Mode {
        self.shared.switch.now(self.shared.settings.borrow().access.mode)
    }

    /// Changes that for everybody, until Narrows ends or the config says something else.
    pub fn switch_mode(&self, mode: Mode) -> Result<(), Fault> {
        self.shared.doorman.load().may_switch(mode)?;
        self.shared.switch.set(Some(mode));
        self.shared.bumps.send_modify(|bumps| *bumps += 1);
        tracing::info!("the mode is {mode} now");
        Ok(())
    }

    /// Takes a new config. Requests under way keep the old one to their end. Places for runs stay
    /// as many as they were.
    pub fn reload(&self, config: Config) {
        let shared = &self.shared;
        if shared.settings.borrow().access.mode != config.access.mode {
            shared.switch.set(None);
        }
        shared.doorman.store(Arc::new(Doorman::new(config.access.clone(), &shared.seal)));
        shared.settings.send_replace(Arc::new(config));
        shared.forget_offers();
        shared.bumps.send_modify(|bumps| *bumps += 1);
    }

    /// How often the lists changed.
    pub fn changes(&self) -> watch::Receiver<Changes> {
        self.shared.changes.subscribe()
    }

    /// Updates of resources that somebody subscribed to.
    pub fn updates(&self) -> broadcast::Receiver<Update> {
        self.shared.fleet.updates()
    }

    /// What each upstream can do. Those that are not known yet are waited for, at most so long.
    pub async fn offers(&self, wait: Duration) -> Vec<Offering> {
        if !self.shared.unlisted().is_empty() {
            self.shared.settle(Instant::now() + wait).await;
        }
        self.shared.fleet.offers()
    }

    /// A client's conversation ended: what was held for it goes.
    pub fn farewell(&self, session: ClientSession) {
        self.shared.fleet.farewell(session);
    }

    /// The roots of a conversation's client changed.
    pub async fn roots_changed(&self, session: ClientSession) {
        self.shared.fleet.roots_changed(session).await;
    }

    /// A tool's definition as its upstream wrote it, by the name that a client of this mode calls
    /// it.
    pub async fn definition(&self, mode: Mode, name: &str) -> Option<Box<RawValue>> {
        let snapshot = self.shared.library.current().await;
        let found = snapshot.lineup(mode).roster.find(&snapshot.catalog, name)?;
        found.tool.spec.definition.clone()
    }

    /// What an agent is told first.
    pub fn instructions(&self, mode: Mode) -> Option<Arc<str>> {
        match mode {
            Mode::Code => Some(manifest::instructions().into()),
            Mode::Hybrid => Some(manifest::hybrid_instructions().into()),
            Mode::Mcp => self.shared.told_by_upstreams(),
        }
    }

    /// Things that could not have the names that the config gives them, each with why.
    pub fn collisions(&self, mode: Mode) -> Vec<String> {
        self.shared.library.last().lineup(mode).roster.collisions.clone()
    }
}

impl Shared {
    /// The instructions of upstreams: of a single one as they are, of several under their names.
    fn told_by_upstreams(&self) -> Option<Arc<str>> {
        let snapshot = self.library.last();
        let told: Vec<_> = snapshot
            .catalog
            .servers()
            .filter_map(|s| Some((s.name.as_str(), s.instructions.as_deref()?.trim())))
            .filter(|(_, text)| !text.is_empty())
            .collect();
        if snapshot.catalog.servers().count() == 1 {
            return told.first().map(|(_, text)| Arc::from(*text));
        }
        let mut all = String::new();
        for (server, text) in &told {
            // Writing to a string cannot fail.
            let _infallible = writeln!(all, "# {server}\n{text}\n");
        }
        let all = fault::clip(all.trim_end().to_owned(), INSTRUCTIONS_BYTES_MAX);
        (!all.is_empty()).then(|| all.into())
    }

    /// Tells changes on: those of the upstreams, and ours, which may be of everything.
    pub(crate) async fn tell_changes(
        fleet: narrows_upstream::Fleet,
        changes: Arc<watch::Sender<Changes>>,
        mut bumps: watch::Receiver<u64>,
        stop: CancellationToken,
    ) {
        let mut heard = fleet.changes();
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                changed = heard.changed() => if changed.is_err() { return },
                changed = bumps.changed() => if changed.is_err() { return },
            }
            let (theirs, ours) = (*heard.borrow_and_update(), *bumps.borrow_and_update());
            changes.send_replace(Changes {
                tools: theirs.tools + ours,
                prompts: theirs.prompts + ours,
                resources: theirs.resources + ours,
            });
        }
    }
}
