//! Sessions: made, used, charged, ended.

use crate::Shared;
use narrows_store::SessionFound;
use narrows_types::{
    Answer, Budget, Fault, Kind, Limits, Origin, Principal, RunId, SessionId, SessionInfo,
    SessionsAsk,
};

/// Runs that are shown of a session.
const RUNS_SHOWN: usize = 20;
/// The shortest and the longest life of a session in seconds.
const LIFE_S: std::ops::RangeInclusive<u64> = 1..=31_536_000;

impl Shared {
    pub(crate) async fn sessions(
        &self,
        principal: &Principal,
        ask: SessionsAsk,
    ) -> Result<Answer, Fault> {
        let owner = &principal.name;
        match ask {
            SessionsAsk::Create { idle_s, life_s, budget } => {
                let config = self.settings.borrow().sessions;
                let life_s = seconds("life_s", life_s, config.life_s)?;
                let idle_s = seconds("idle_s", idle_s, config.idle_s.min(life_s))?.min(life_s);
                let budget = budget.unwrap_or(config.budget);
                let (idle_ms, life_ms) = (idle_s * 1_000, life_s * 1_000);
                let made = self.store.make_session(owner, idle_ms, life_ms, budget).await?;
                Ok(Answer::Session(Box::new(info(made, (0, 0), Vec::new()))))
            }
            SessionsAsk::List => {
                let mut infos = Vec::new();
                for found in self.store.sessions(owner).await? {
                    let total = self.store.values_total(&found.session).await?;
                    infos.push(info(found, total, Vec::new()));
                }
                Ok(Answer::Sessions(infos))
            }
            SessionsAsk::Show { session } => {
                let found = self.store.session(owner, &session).await?;
                let total = self.store.values_total(&session).await?;
                let rows = self.store.run_rows(Some(owner), 1_000).await?;
                let own = rows.into_iter().filter(|row| row.session.as_ref() == Some(&session));
                let runs = own.map(|row| row.run).take(RUNS_SHOWN).collect();
                Ok(Answer::Session(Box::new(info(found, total, runs))))
            }
            SessionsAsk::Delete { session } => {
                self.store.end_session(owner, &session).await?;
                self.sandbox.forget(&crate::state::holder(principal, &session));
                Ok(Answer::Done)
            }
        }
    }

    /// The session of a run that begins: it exists, and its budget allows one. Tightens the limits to
    /// what is left.
    pub(crate) async fn enter_session(
        &self,
        principal: &Principal,
        session: &SessionId,
        limits: &mut Limits,
    ) -> Result<(), Fault> {
        let found = self.store.session(&principal.name, session).await?;
        let (budget, used) = (found.row.budget, found.row.used);
        let left = |name: &str, budget: u64, used: u64| match budget {
            0 => Ok(u64::MAX),
            _ if used < budget => Ok(budget - used),
            _ => {
                let message =
                    format!("the session has used {used} of its budget of {budget} {name}");
                let fault = Fault::new(Kind::Limit, Origin::Agent, message);
                Err(fault.hint("go on in a new session"))
            }
        };
        let calls = left("calls", budget.calls, used.calls)?;
        let ms = left("ms", budget.ms, used.ms)?;
        left("bytes", budget.bytes, used.bytes)?;
        left("tokens", budget.tokens, used.tokens)?;
        limits.calls = limits.calls.min(u32::try_from(calls).unwrap_or(u32::MAX));
        limits.wall_ms = limits.wall_ms.min(ms);
        self.store.use_session(&principal.name, session, Budget::default()).await?;
        Ok(())
    }
}

fn seconds(name: &str, asked: Option<u64>, usual: u64) -> Result<u64, Fault> {
    let seconds = asked.unwrap_or(usual);
    if LIFE_S.contains(&seconds) {
        return Ok(seconds);
    }
    Err(Fault::invalid(format!("`{name}` is {seconds}; give 1 to {}", LIFE_S.end())))
}

fn info(found: SessionFound, (values, value_bytes): (u64, u64), runs: Vec<RunId>) -> SessionInfo {
    SessionInfo {
        session: found.session,
        created_at_ms: found.row.created_at_ms,
        used_at_ms: found.used_at_ms,
        expires_at_ms: found.expires_at_ms,
        budget: found.row.budget,
        used: found.row.used,
        values,
        value_bytes,
        runs,
    }
}
