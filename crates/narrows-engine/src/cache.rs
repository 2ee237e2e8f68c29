//! Answers that are kept for a while, and calls that are made once for all who make them at once.
//!
//! Only for tools of which the config says so. Programs and direct calls share what is here.

use crate::Shared;
use crate::snapshot::Snapshot;
use futures_util::FutureExt as _;
use futures_util::future::{BoxFuture, Shared as Joined, WeakShared};
use narrows_catalog::ToolRef;
use narrows_types::raw::get;
use narrows_types::{Client, Fault, Kind, Method, Origin, Passed, Principal};
use narrows_upstream::Passing;
use serde_json::Value;
use serde_json::value::RawValue;
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

/// Which answers are kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// By the upstream's configured name.
    pub servers: BTreeMap<String, Rules>,
    /// Identical calls of tools that say that they change nothing are one call, also if they come
    /// so long after one another. Zero joins none.
    pub batch: Duration,
    /// Bytes of all answers that are kept.
    pub bytes_max: usize,
    /// Bytes of one.
    pub answer_bytes_max: usize,
}

impl Default for Config {
    /// Nothing is kept.
    fn default() -> Self {
        Self {
            servers: BTreeMap::new(),
            batch: Duration::ZERO,
            bytes_max: 64 << 20,
            answer_bytes_max: 1 << 20,
        }
    }
}

/// How long answers of one upstream are kept.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rules {
    /// Those of tools with `readOnlyHint`.
    pub read_only: Option<Duration>,
    /// Those of single tools, by their names on the wire; zero keeps none.
    pub tools: BTreeMap<String, Duration>,
}

impl Config {
    /// How long an answer of this tool is kept; `None` if it is not even shared.
    fn kept(&self, tool: ToolRef<'_>) -> Option<Duration> {
        let spec = &tool.tool.spec;
        let read_only = spec.annotations.read_only_hint == Some(true);
        let rules = self.servers.get(&tool.server.name);
        let said = rules.and_then(|rules| match rules.tools.get(&spec.name) {
            Some(said) => Some(*said),
            None => rules.read_only.filter(|_| read_only),
        });
        match said {
            Some(Duration::ZERO) => None,
            Some(said) => Some(said),
            None => (read_only && !self.batch.is_zero()).then_some(self.batch),
        }
    }
}

/// With so many calls under way, those that were left are swept away.
const UNDER_WAY_SWEPT: usize = 256;

type Key = [u8; 32];
type Outcome = Result<Passed, Fault>;
type Call = Joined<BoxFuture<'static, Outcome>>;

/// What is kept and what is under way.
#[derive(Default)]
pub(crate) struct Cache {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    kept: HashMap<Key, Kept>,
    /// The keys of `kept` in the order in which they came.
    order: VecDeque<(Key, Instant)>,
    bytes: usize,
    under_way: HashMap<Key, WeakShared<BoxFuture<'static, Outcome>>>,
}

struct Kept {
    result: Box<RawValue>,
    since: Instant,
    until: Instant,
}

/// One of those who wait for a call.
pub(crate) enum Flight {
    /// It was answered before.
    Kept(Box<RawValue>, Duration),
    /// It is under way; `true` if somebody else made it.
    Call(Call, bool),
}

impl Flight {
    /// The answer, and how old it is if this caller did not make the call. Whoever stops waiting
    /// stops only for itself; when nobody waits any more, the call is cancelled.
    pub(crate) async fn wait(self, deadline: Instant) -> Result<(Passed, Option<Duration>), Fault> {
        match self {
            Self::Kept(result, age) => Ok((Passed::Result(result), Some(age))),
            Self::Call(call, joined) => match tokio::time::timeout_at(deadline, call).await {
                Ok(outcome) => Ok((outcome?, joined.then_some(Duration::ZERO))),
                Err(_elapsed) => {
                    Err(Fault::new(Kind::Timeout, Origin::Narrows, "no answer before the deadline"))
                }
            },
        }
    }
}

impl Cache {
    /// Lets go of all answers.
    pub(crate) fn clear(&self) {
        *self.state.lock().unwrap_or_else(PoisonError::into_inner) = State::default();
    }

    /// The answer or the call of a key; `make` makes the call if there is neither.
    fn flight(
        self: &Arc<Self>,
        key: Key,
        limits: (Duration, usize, usize),
        make: impl FnOnce() -> BoxFuture<'static, Outcome>,
    ) -> Flight {
        let now = Instant::now();
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(kept) = state.kept.get(&key).filter(|kept| kept.until > now) {
            return Flight::Kept(kept.result.clone(), now.duration_since(kept.since));
        }
        if let Some(call) = state.under_way.get(&key).and_then(WeakShared::upgrade) {
            return Flight::Call(call, true);
        }
        let (cache, made) = (Arc::clone(self), make());
        let call = async move {
            let outcome = made.await;
            cache.land(key, &outcome, limits);
            outcome
        };
        let call = call.boxed().shared();
        // Calls that all their callers left have no other moment to go.
        if state.under_way.len() >= UNDER_WAY_SWEPT {
            state.under_way.retain(|_, call| call.upgrade().is_some());
        }
        state.under_way.extend(call.downgrade().map(|weak| (key, weak)));
        Flight::Call(call, false)
    }

    /// Keeps an answer that may be kept.
    fn land(&self, key: Key, outcome: &Outcome, limits: (Duration, usize, usize)) {
        let (ttl, bytes_max, answer_bytes_max) = limits;
        let since = Instant::now();
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        // All was let go of meanwhile: this answer is of then.
        let current = state.under_way.remove(&key).is_some();
        let Ok(Passed::Result(result)) = outcome else { return };
        if !current {
            return;
        }
        let bytes = result.get().len();
        if bytes > answer_bytes_max.min(bytes_max) || !plain(result) {
            return;
        }
        let kept = Kept { result: result.clone(), since, until: since + ttl };
        if let Some(old) = state.kept.insert(key, kept) {
            state.bytes -= old.result.get().len();
        }
        state.bytes += bytes;
        state.order.push_back((key, since));
        state.make_room(bytes_max, since);
    }
}

impl State {
    /// Lets go of what is too old or too much.
    fn make_room(&mut self, bytes_max: usize, now: Instant) {
        while let Some((key, since)) = self.order.front().copied() {
            // An entry of the order may stand for an answer that was replaced since.
            let current = self.kept.get(&key).filter(|kept| kept.since == since);
            let stays = current.is_some_and(|kept| kept.until > now && self.bytes <= bytes_max);
            if stays {
                return;
            }
            self.order.pop_front();
            if current.is_some()
                && let Some(gone) = self.kept.remove(&key)
            {
                self.bytes -= gone.result.get().len();
            }
        }
    }
}

/// Whether a result is a plain answer: no error, no question, no task.
fn plain(result: &RawValue) -> bool {
    let text = result.get();
    let said = |key| get(text, key).map(str::trim);
    said("isError").is_none_or(|e| e == "false")
        && said("resultType").is_none_or(|kind| kind == r#""complete""#)
        && said("task").is_none()
        && said("inputRequests").is_none()
}

impl Shared {
    /// The kept answer or the shared call of a tool with these arguments (JSON), if the config wants
    /// that of it.
    pub(crate) fn cached(
        self: &Arc<Self>,
        snapshot: &Snapshot,
        principal: &Principal,
        tool: ToolRef<'_>,
        arguments: &str,
    ) -> Option<Flight> {
        let config = &snapshot.settings.cache;
        let ttl = config.kept(tool)?;
        let same = canonical(arguments)?;
        let server = tool.server.name.clone();
        let name = tool.tool.spec.name.clone();
        let parts = [&principal.name, &server, &name, &same];
        let key = self.seal.digest(&parts.map(String::as_bytes));
        let limits = (ttl, config.bytes_max, config.answer_bytes_max);
        let wait = snapshot.settings.call_wait;
        let (fleet, principal) = (self.fleet.clone(), principal.name.clone());
        // As they came: a number that is too large for us is not for others.
        let arguments = arguments.to_owned();
        let make = move || {
            let call = async move {
                // What is shared belongs to nobody's session and can ask nobody.
                let text = format!(r#"{{"name":null,"arguments":{arguments}}}"#);
                let params = RawValue::from_string(text).map_err(|e| Fault::bug(e.to_string()))?;
                let client = Client { modern: true, ..Client::default() };
                let passing = Passing {
                    method: Method::CallTool,
                    name: Some(&name),
                    params: &params,
                    principal: &principal,
                    client: Arc::new(client),
                    events: None,
                    deadline: Instant::now() + wait,
                };
                Ok(fleet.pass(&server, passing).await?)
            };
            call.boxed()
        };
        Some(self.cache.flight(key, limits, make))
    }
}

/// Arguments as text that is the same for the same arguments, whatever the order of their members.
fn canonical(arguments: &str) -> Option<String> {
    let mut value: Value = serde_json::from_str(arguments).ok()?;
    value.sort_all_objects();
    Some(value.to_string())
}

#[cfg(test)]
mod tests;
