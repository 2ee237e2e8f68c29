//! What doors ask of the engine beside `ask`: who may come in, what changed, what there is.

use crate::access::{Doorman, Entry, Knock};
use crate::config::Config;
use crate::{Engine, Shared};
use narrows_types::{Changes, ClientSession, Fault, Mode, Offering, Principal, Update};
use serde_json::value::RawValue;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{broadcast, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

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
        // The same name may stand for another upstream now.
        shared.cache.clear();
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

    /// What each upstream can do that exists for a principal. Those that are not known yet are waited
    /// for, at most so long.
    pub async fn offers(&self, principal: &Principal, wait: Duration) -> Vec<Offering> {
        if !self.shared.unlisted().is_empty() {
            self.shared.settle(Instant::now() + wait).await;
        }
        let mut offers = self.shared.fleet.offers();
        if let Some(scope) = self.shared.doorman.load().scope(principal) {
            offers.retain(|offer| scope.contains(&offer.server));
        }
        offers
    }

    /// A client's conversation ended: what was held for it goes.
    pub fn farewell(&self, session: ClientSession) {
        self.shared.fleet.farewell(session);
    }

    /// The roots of a conversation's client changed.
    pub async fn roots_changed(&self, session: ClientSession) {
        self.shared.fleet.roots_changed(session).await;
    }

    /// A tool's definition as its upstream wrote it, by the name that this principal's client calls
    /// it in this mode.
    pub async fn definition(
        &self,
        principal: &Principal,
        mode: Mode,
        name: &str,
    ) -> Option<Box<RawValue>> {
        let snapshot = self.shared.current(principal).await;
        let found = snapshot.lineup(mode).roster.find(&snapshot.catalog, name)?;
        found.tool.spec.definition.clone()
    }
}

impl Shared {
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
