//! A modern client and a legacy server that wants a page to be visited first: it says so with an
//! error that the modern era does not have. The client is asked, and the request is sent again.

use super::rounds::ask;
use super::{Call, Passing, Shot};
use crate::board::Connected;
use crate::error::UpstreamError;
use crate::session::Reply;
use crate::wire::Failure;
use narrows_protocol::rounds::{QUESTIONS_MAX, Question};
use narrows_protocol::{RpcError, code};
use narrows_types::WireError;
use narrows_types::raw::{self, Edit};
use std::borrow::Cow;
use tokio::time::Instant;

/// `URLElicitationRequiredError` of 2025-11-25.
const PAGE_REQUIRED: i64 = -32_042;
/// How often one request is sent.
const VISITS_MAX: usize = 8;

impl Call<'_> {
    /// Sends a request until the pages that it needs were visited.
    pub(super) async fn visits(
        &self,
        connected: &Connected,
        passing: &Passing<'_>,
        mut shot: Shot<'_>,
    ) -> Result<Reply, UpstreamError> {
        for _ in 0..VISITS_MAX {
            let reply = self.send(connected, passing, shot).await?;
            let error = match reply {
                Err(Failure::Rpc(error)) if error.code == PAGE_REQUIRED => error,
                reply => return Ok(reply),
            };
            let pages = pages(&error);
            let Some(events) = passing.events.as_ref().filter(|_| !pages.is_empty()) else {
                return Ok(Err(Failure::Rpc(refused(error))));
            };
            let keys: Vec<String> = (1..=pages.len()).map(|n| format!("page-{n}")).collect();
            let questions: Vec<_> = keys
                .iter()
                .zip(&pages)
                .map(|(key, page)| Question {
                    key: key.as_str().into(),
                    method: "elicitation/create".into(),
                    params: Some(page),
                })
                .collect();
            self.place.step_aside();
            let asked = Instant::now();
            match ask(&questions, events).await {
                Ok(Some(answers)) if all_accepted(&answers) => {}
                Ok(_) => return Ok(Err(Failure::Rpc(refused(error)))),
                Err(WireError { code, message, data }) => {
                    return Ok(Err(Failure::Rpc(RpcError { code, message, data })));
                }
            }
            shot.deadline += asked.elapsed();
        }
        let reason = format!("it wanted pages to be visited {VISITS_MAX} times in a row");
        Ok(Err(Failure::Protocol(reason)))
    }
}

/// The parameters of a question for each page.
fn pages(error: &RpcError) -> Vec<String> {
    let data = error.data.as_deref().map_or("{}", |data| data.get());
    let list = raw::get(data, "elicitations").unwrap_or("[]");
    let pages = raw::elements(list).filter_map(|page| {
        let page = raw::edit(page.ok()?, &[Edit::Set("mode", r#""url""#)]).ok()?;
        raw::get(&page, "url").is_some().then(|| page.into_owned())
    });
    pages.take(QUESTIONS_MAX).collect()
}

fn all_accepted(answers: &str) -> bool {
    raw::members(answers).all(|member| {
        let action = member.ok().and_then(|member| raw::get_text(member.value, "action"));
        action == Some(Cow::Borrowed("accept"))
    })
}

/// The error in words of the modern era.
fn refused(error: RpcError) -> RpcError {
    RpcError { code: code::INVALID_REQUEST, ..error }
}

#[cfg(test)]
mod tests {
    use super::{all_accepted, pages};
    use narrows_protocol::RpcError;
    use serde_json::value::RawValue;

    #[test]
    fn each_page_is_a_question() {
        let data = r#"{"elicitations":[{"url":"https://a","message":"m","elicitationId":"1"},{}]}"#;
        let data = Some(RawValue::from_string(data.to_owned()).unwrap());
        let error = RpcError { code: -32042, message: String::new(), data };
        let expected =
            r#"{"url":"https://a","message":"m","elicitationId":"1","mode":"url"}"#.to_owned();
        assert_eq!(pages(&error), [expected]);
        assert!(pages(&RpcError { data: None, ..error }).is_empty());
        assert!(all_accepted(r#"{"a":{"action":"accept"}}"#));
        assert!(!all_accepted(r#"{"a":{"action":"accept"},"b":{"action":"decline"}}"#));
    }
}
