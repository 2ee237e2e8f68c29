//! Runs with state: programs of one session, one after the other in the worker that has what
//! earlier ones defined.
//!
//! What such a run did depends on more than its journal has. So it is written down like any other,
//! but nobody goes on from there: it cannot wait for a person, and ends with its worker.

use crate::Shared;
use crate::effect::{Heard, How, failed};
use crate::entry::Begin;
use crate::run::{Ending, GRACE, Run};
use crate::trail::Trail;
use narrows_sandbox::{Earlier, Holder, Lease};
use narrows_store::ValueName;
use narrows_types::frame::{Call, ToWorker};
use narrows_types::{Fault, Kind, LogLevel, LogLine, Origin, Principal, RunAsk, RunId, SessionId};
use std::time::Duration;
use tokio::time::{Instant, timeout};

/// Where a session notes that it has had variables.
const NAMESPACE: &str = "narrows.state";

/// Whether a run can have state.
pub(crate) fn fits(ask: &RunAsk) -> Result<(), Fault> {
    if ask.state && ask.session.is_none() {
        return Err(Fault::invalid("`state` without `session`: variables belong to a session")
            .hint("make one (`narrows session create`, or POST /v1/sessions) and name it"));
    }
    if ask.state && ask.background {
        return Err(no_job());
    }
    Ok(())
}

/// Whoever does a job may be another process.
pub(crate) fn no_job() -> Fault {
    Fault::invalid("`state` does not go with a job: another process may do it")
        .hint("leave `state` out and keep JSON: session.set(key, value)")
}

/// Whether a run can be executed again.
pub(crate) fn executes_again(run: &RunId, begin: &Begin) -> Result<(), Fault> {
    if !begin.state {
        return Ok(());
    }
    let message = format!(
        "{run} ran with `state`: what it did depends on variables that its journal does not have"
    );
    Err(Fault::new(Kind::Conflict, Origin::Agent, message)
        .hint("`narrows runs show` has its calls; run its program again"))
}

pub(crate) fn holder(principal: &Principal, session: &SessionId) -> Holder {
    Holder { principal: principal.name.clone(), session: session.to_string() }
}

impl Shared {
    /// Why variables of earlier programs are gone, if there were any.
    pub(crate) async fn gone(
        &self,
        lease: &mut Lease,
        principal: &Principal,
        session: &SessionId,
    ) -> Result<Option<String>, Fault> {
        let name =
            ValueName { namespace: NAMESPACE.to_owned(), key: lease.at().1.name().to_owned() };
        match lease.earlier() {
            Earlier::There => Ok(None),
            Earlier::Gone(why) => Ok(Some(why)),
            Earlier::Never if self.store.value(session, &name).await?.is_some() => {
                Ok(Some("they ended with the narrows that had them, or another one has".to_owned()))
            }
            Earlier::Never => {
                let found = self.store.session(&principal.name, session).await?;
                self.store.set_value(session, &name, "true", found.row.ends_at_ms).await?;
                Ok(None)
            }
        }
    }
}

impl Run<'_> {
    /// Tells the program's reader that it began without the variables of earlier ones.
    pub(crate) fn tell_gone(&self, why: &str, trail: &mut Trail) -> LogLine {
        let text =
            format!("the session's variables are gone ({why}): this program began without them");
        let line = LogLine { level: LogLevel::Warn, text };
        trail.log(&line, &self.grant.limits);
        line
    }

    /// The worker waits for the session's next program, or ends where this one did not end well.
    pub(crate) async fn keep(&self, mut lease: Lease, end: &Ending, trail: &mut Trail) {
        let why = match end {
            Ending::Value(_) | Ending::Threw(_) | Ending::Deadlock => None,
            Ending::Rejected(_) => {
                let told = timeout(GRACE, lease.send(&ToWorker::No)).await;
                (!matches!(told, Ok(Ok(())))).then(|| "the worker was lost".to_owned())
            }
            Ending::Limit(limit, allowed) => Some(format!("limit reached: {limit} = {allowed}")),
            Ending::Lost(_, why) => Some(why.clone()),
            Ending::Paused(_) | Ending::Diverged(_) | Ending::Broken(_) => {
                Some("the last program could not be served".to_owned())
            }
        };
        let ends = self.session_end().await;
        let why = why.or_else(|| ends.is_none().then(|| "its session ended".to_owned()));
        let Some(why) = why else { return lease.rest(ends) };
        lease.end(&why);
        let text = format!("the session's variables are gone ({why}): define them again");
        // Before all that the program said: it must not be cut.
        trail.logs.insert(0, LogLine { level: LogLevel::Warn, text });
    }

    /// When the session ends, however much it is used. `None`: it has ended.
    async fn session_end(&self) -> Option<Instant> {
        let session = self.session?;
        let found = self.shared.store.session(&self.grant.principal.name, session).await.ok()?;
        let left = found.row.ends_at_ms.saturating_sub(crate::effects::now_ms());
        Instant::now().checked_add(Duration::from_millis(left))
    }

    /// What a program with state hears of a call that must wait for a person.
    pub(crate) fn unwaiting(&self, call: &Call, how: How) -> How {
        match how {
            How::Park(..) if self.begin.state => {
                let why = "somebody would have to answer first, and a program with `state` cannot \
                           wait for that: make this call in a program without `state`";
                How::Outcome(Heard::own(Err(failed(call, why))))
            }
            how => how,
        }
    }
}
