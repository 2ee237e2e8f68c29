//! The HTTP door: MCP at `/mcp` (and at `/sse`, as in 2024-11-05), REST beside it.

mod batch;
mod body;
mod delivery;
mod endpoint;
mod guard;
mod legacy;
mod listener;
mod local;
mod mirrors;
mod sessions;
mod streams;

use crate::config::{Config, DRAIN, LAST_WORDS};
use crate::fault::ending;
use crate::mcp::{Front, Source};
use crate::rest;
use axum::Router;
use axum::extract::{Extension, Request, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::Response;
use axum::serve::Listener;
use body::Bodies;
use guard::Guard;
pub(crate) use guard::Visitor;
use listener::{Bounded, UnderWay};
pub use local::LocalDoor;
use narrows_engine::Engine;
use sessions::Sessions;
use std::io;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

/// Where MCP is spoken.
const MCP: &str = "/mcp";
/// Bytes of bodies that are held at once, beside the small ones.
const BODIES_MAX: usize = 64 << 20;

/// What every HTTP request sees.
pub(crate) struct Shared {
    pub(crate) front: Arc<Front>,
    pub(crate) bodies: Bodies,
    guard: Guard,
    sessions: Arc<Sessions>,
    /// Whether expired sessions are looked for.
    swept: AtomicBool,
    pipes: Arc<legacy::Pipes>,
}

/// Tells requests that the server ends.
#[derive(Clone, Default)]
struct Closing {
    /// It does: streams without an end of their own end too.
    begun: CancellationToken,
    /// Time is up for all that is under way.
    over: CancellationToken,
}

/// The routes: `/mcp`, `/sse` with `/messages`, `/v1/...`, `/health`, `/livez`, `/readyz`, `/openapi.json`.
pub fn router(engine: Engine, config: Arc<Config>) -> Router {
    routes(Front::new(Source::Engine(engine), config))
}

pub(crate) fn routes(front: Front) -> Router {
    let front = Arc::new(front);
    let config = &front.config;
    let guard = Guard::new(config);
    let sessions = Arc::new(Sessions::new(config.sessions_max, config.session_ttl));
    // One body of the size that is allowed always passes.
    let bodies = Bodies::new(config.body_bytes_max.max(BODIES_MAX));
    let shared = Arc::new(Shared {
        front,
        bodies,
        guard,
        sessions,
        swept: AtomicBool::new(false),
        pipes: Arc::default(),
    });
    Router::new()
        .route(MCP, axum::routing::post(endpoint::post).get(endpoint::get).delete(endpoint::delete))
        .route(legacy::STREAM, axum::routing::get(legacy::open))
        .route(legacy::MESSAGES, axum::routing::post(legacy::message))
        .merge(rest::routes())
        .fallback(rest::no_such_path)
        .method_not_allowed_fallback(rest::no_such_method)
        .layer(middleware::from_fn_with_state(Arc::clone(&shared), guard::check))
        .layer(middleware::map_response(harden))
        .with_state(shared)
}

/// Serves until `shutdown` is cancelled; then stops accepting and answers what is under way, for
/// at most 9 s; what took longer is told that it is cut off.
pub async fn serve_http(
    listener: TcpListener,
    router: Router,
    shutdown: CancellationToken,
) -> io::Result<()> {
    serve(listener, router, shutdown).await
}

/// Serves any kind of listener.
async fn serve<L>(listener: L, router: Router, shutdown: CancellationToken) -> io::Result<()>
where
    L: Listener<Io: listener::Stream>,
    L::Addr: std::fmt::Debug,
{
    let closing = Closing { begun: shutdown.clone(), over: CancellationToken::new() };
    let over = closing.over.clone();
    let router = router
        .layer(middleware::from_fn_with_state(over.clone(), cut_off))
        .layer(Extension(closing))
        .layer(middleware::from_fn(listener::track))
        .into_make_service_with_connect_info::<UnderWay>();
    let stop = shutdown.clone();
    let serve = axum::serve(Bounded::new(listener), router)
        .with_graceful_shutdown(async move { stop.cancelled().await })
        .into_future();
    let overdue = async {
        shutdown.cancelled().await;
        tokio::time::sleep(DRAIN).await;
        tracing::warn!("requests are cut off {} s after the end began", DRAIN.as_secs());
        over.cancel();
        tokio::time::sleep(LAST_WORDS).await;
    };
    tokio::select! {
        served = serve => served,
        () = overdue => Ok(()),
    }
}

/// Tells whoever waits when time is up. MCP does so itself, in its own words.
async fn cut_off(State(over): State<CancellationToken>, request: Request, next: Next) -> Response {
    if request.uri().path() == MCP {
        return next.run(request).await;
    }
    let answered = over.run_until_cancelled(next.run(request)).await;
    answered.unwrap_or_else(|| rest::problem(&ending()))
}

/// Nothing that we send is a page, whatever a browser may think; and whoever is to show a key hears
/// how.
async fn harden(mut response: Response) -> Response {
    let unknown = response.status() == StatusCode::UNAUTHORIZED;
    let headers = response.headers_mut();
    headers.entry(header::X_CONTENT_TYPE_OPTIONS).or_insert(HeaderValue::from_static("nosniff"));
    if unknown {
        headers
            .entry(header::WWW_AUTHENTICATE)
            .or_insert(HeaderValue::from_static("Bearer realm=\"narrows\""));
    }
    response
}
