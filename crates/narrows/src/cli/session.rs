//! `narrows session`.

use super::args::{SessionArgs, SessionWhat};
use super::exit::{Fail, OK};
use super::output::{Output, Tone};
use super::when::moment;
use super::{Desk, mismatch};
use narrows_types::{Answer, Budget, SessionId, SessionInfo, SessionsAsk, What};
use std::fmt::Write as _;

impl Desk {
    pub(super) async fn session(&self, args: SessionArgs) -> Result<u8, Fail> {
        let what = match args.what {
            SessionWhat::Create { idle_s, life_s, calls, ms, bytes, tokens } => {
                let given = [calls, ms, bytes, tokens].iter().any(Option::is_some);
                let budget = given.then(|| Budget {
                    calls: calls.unwrap_or_default(),
                    ms: ms.unwrap_or_default(),
                    bytes: bytes.unwrap_or_default(),
                    tokens: tokens.unwrap_or_default(),
                });
                SessionsAsk::Create { idle_s, life_s, budget }
            }
            SessionWhat::List => SessionsAsk::List,
            SessionWhat::Show { session } => SessionsAsk::Show { session: SessionId(session) },
            SessionWhat::Delete { session } => SessionsAsk::Delete { session: SessionId(session) },
        };
        match self.ask(What::Sessions(what)).await? {
            Answer::Session(session) => {
                self.out.either(&session, || show_text(&session, &self.out))?;
            }
            Answer::Sessions(sessions) => {
                self.out.either(&sessions, || list_text(&sessions, &self.out))?;
            }
            Answer::Done => {
                self.out.either(&serde_json::json!({"done": true}), || "done".to_owned())?;
            }
            _ => return Err(mismatch()),
        }
        Ok(OK)
    }
}

/// What was used of what may be.
fn spent(used: u64, most: u64, unit: &str) -> String {
    if most == 0 { format!("{used} {unit}") } else { format!("{used} of {most} {unit}") }
}

fn bill(session: &SessionInfo) -> String {
    let (used, most) = (session.used, session.budget);
    let parts = [
        spent(used.calls, most.calls, "calls"),
        spent(used.ms, most.ms, "ms"),
        spent(used.bytes, most.bytes, "bytes"),
        spent(used.tokens, most.tokens, "tokens"),
    ];
    parts.join(", ")
}

fn show_text(session: &SessionInfo, out: &Output) -> String {
    let mut text = format!(
        "{} until {} UTC, if it is not used before\nmade {} UTC, used {} UTC\n{}\n{} values, {} bytes\n",
        out.tint(session.session.as_str(), Tone::Strong),
        moment(session.expires_at_ms),
        moment(session.created_at_ms),
        moment(session.used_at_ms),
        bill(session),
        session.values,
        session.value_bytes,
    );
    for run in &session.runs {
        let _infallible = writeln!(text, "  {run}");
    }
    text
}

fn list_text(sessions: &[SessionInfo], out: &Output) -> String {
    if sessions.is_empty() {
        return "no sessions; `narrows session create` makes one".to_owned();
    }
    let rows = sessions.iter().map(|session| {
        vec![
            (session.session.to_string(), Some(Tone::Strong)),
            (moment(session.used_at_ms), None),
            (moment(session.expires_at_ms), None),
            (session.values.to_string(), None),
            (bill(session), None),
        ]
    });
    out.table(&["SESSION", "USED (UTC)", "ENDS (UTC)", "VALUES", "SPENT"], rows.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_spent_is_told_beside_the_budget() {
        let session = SessionInfo {
            session: SessionId("ses_x".to_owned()),
            created_at_ms: 0,
            used_at_ms: 1_000,
            expires_at_ms: 60_000,
            budget: Budget { calls: 500, ..Budget::default() },
            used: Budget { calls: 20, ms: 7, ..Budget::default() },
            values: 2,
            value_bytes: 9,
            runs: vec![narrows_types::RunId("run_x".to_owned())],
        };
        insta::assert_snapshot!(show_text(&session, &Output::plain()));
        assert!(list_text(&[], &Output::plain()).starts_with("no sessions"));
    }
}
