//! What a request brings along, taken out of it in one place: who asks, the parts of its path, its
//! query, its body. Whatever is wrong with one of them is answered in our form.

use super::reply::shown;
use super::{mixed_up, problem};
use crate::http::{Shared, Visitor};
use axum::body::Body;
use axum::extract::{FromRequest, FromRequestParts, Path, Query, Request};
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use narrows_types::fault::clip;
use narrows_types::{Answer, Ask, Fault, What};
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;
use std::sync::Arc;

/// What a request comes to.
pub(super) type Outcome = Result<Response, Refusal>;

/// The answer to a request that is not carried out.
pub(super) struct Refusal(Box<Response>);

impl Refusal {
    /// The same with a status of its own.
    fn with(status: StatusCode, fault: &Fault) -> Self {
        let mut response = problem(fault);
        *response.status_mut() = status;
        Self(Box::new(response))
    }
}

impl From<Fault> for Refusal {
    fn from(fault: Fault) -> Self {
        Self(Box::new(problem(&fault)))
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        *self.0
    }
}

/// Who asks, and whom.
pub(super) struct Desk {
    pub(super) shared: Arc<Shared>,
    pub(super) visitor: Visitor,
}

impl Desk {
    /// Asks.
    pub(super) async fn ask(self, what: What) -> Result<Answer, Fault> {
        ask(&self.shared, self.visitor, what).await
    }

    /// Asks, and answers with what came back, whatever it is.
    pub(super) async fn answered(self, what: What) -> Outcome {
        Ok(shown(self.ask(what).await?).ok_or_else(mixed_up)?)
    }

    /// The same where a job is something that only begins.
    pub(super) async fn accepted(self, what: What) -> Outcome {
        let answer = self.ask(what).await?;
        let begins = matches!(&answer, Answer::Job(job) if job.finished_at_ms.is_none());
        let response = shown(answer).ok_or_else(mixed_up)?;
        Ok(if begins { with(StatusCode::ACCEPTED, response) } else { response })
    }

    /// The same where something was made.
    pub(super) async fn created(self, what: What) -> Outcome {
        Ok(with(StatusCode::CREATED, self.answered(what).await?))
    }
}

/// Asks the engine, for as long as a request may take.
pub(super) async fn ask(
    shared: &Shared,
    Visitor(principal): Visitor,
    what: What,
) -> Result<Answer, Fault> {
    let deadline = Some(shared.front.config.request_timeout);
    let ask = Ask { principal, client: Arc::default(), deadline, what };
    shared.front.asked(ask, None).await
}

fn with(status: StatusCode, mut response: Response) -> Response {
    *response.status_mut() = status;
    response
}

impl FromRequestParts<Arc<Shared>> for Desk {
    type Rejection = Refusal;

    async fn from_request_parts(
        parts: &mut Parts,
        shared: &Arc<Shared>,
    ) -> Result<Self, Self::Rejection> {
        let visitor = parts.extensions.get::<Visitor>().cloned();
        let visitor = visitor.ok_or_else(|| Fault::bug("the request passed no guard"))?;
        Ok(Self { shared: Arc::clone(shared), visitor })
    }
}

/// The parts of the path that name something.
pub(super) struct Part<T>(pub(super) T);

impl<T: DeserializeOwned + Send> FromRequestParts<Arc<Shared>> for Part<T> {
    type Rejection = Refusal;

    async fn from_request_parts(
        parts: &mut Parts,
        shared: &Arc<Shared>,
    ) -> Result<Self, Self::Rejection> {
        let path = Path::<T>::from_request_parts(parts, shared).await;
        let Path(part) = path.map_err(|e| {
            let message = clip(format!("the path is not understood: {}", e.body_text()), 200);
            Fault::invalid(message).hint("percent-encode UTF-8 in each part of the path")
        })?;
        Ok(Self(part))
    }
}

/// The query string.
pub(super) struct Asked<T>(pub(super) T);

impl<T: DeserializeOwned + Send> FromRequestParts<Arc<Shared>> for Asked<T> {
    type Rejection = Refusal;

    async fn from_request_parts(
        parts: &mut Parts,
        _shared: &Arc<Shared>,
    ) -> Result<Self, Self::Rejection> {
        let Query(query) = Query::<T>::try_from_uri(&parts.uri)
            .map_err(|e| Fault::invalid(format!("the query string is wrong: {}", e.body_text())))?;
        Ok(Self(query))
    }
}

/// The body as JSON text, read within its limit; none if there is none.
pub(super) struct Given(pub(super) Option<Box<RawValue>>);

impl FromRequest<Arc<Shared>> for Given {
    type Rejection = Refusal;

    async fn from_request(request: Request, shared: &Arc<Shared>) -> Result<Self, Self::Rejection> {
        let (parts, body) = request.into_parts();
        json(shared, &parts.headers, body).await.map(Self)
    }
}

async fn json(
    shared: &Shared,
    headers: &HeaderMap,
    body: Body,
) -> Result<Option<Box<RawValue>>, Refusal> {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|v| v.to_str().ok()).unwrap_or_default();
    let kind = kind.split(';').next().unwrap_or_default().trim();
    let no_json = || {
        let fault = Fault::invalid("Content-Type must be application/json");
        Refusal::with(StatusCode::UNSUPPORTED_MEDIA_TYPE, &fault)
    };
    if !kind.is_empty() && !kind.eq_ignore_ascii_case("application/json") {
        return Err(no_json());
    }
    let limit = shared.front.config.body_bytes_max;
    let body = shared.bodies.read(body, limit).await.map_err(|failure| {
        let status = StatusCode::from_u16(failure.status).unwrap_or(StatusCode::BAD_REQUEST);
        Refusal::with(status, &Fault::invalid(failure.message.as_str()))
    })?;
    let bytes = &body.bytes;
    if bytes.is_empty() {
        return Ok(None);
    }
    // A page can post without asking only what is not JSON, so a body needs its type named.
    if kind.is_empty() {
        return Err(no_json());
    }
    let json = serde_json::from_slice(bytes);
    Ok(Some(json.map_err(|e| Fault::invalid(format!("the body is not JSON: {e}")))?))
}
