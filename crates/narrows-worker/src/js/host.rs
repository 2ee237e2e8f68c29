//! What the prelude calls: the only functions of Rust that a program's realm can reach.
//!
//! Nothing here touches the link. What leaves is queued and sent between jobs, for a closure in the
//! realm cannot borrow the link, and a program cannot see the difference.

use narrows_types::fault::clip;
use narrows_types::frame::{Call, FromWorker, Log, Progress};
use narrows_types::{Limit, Limits, LogLevel};
use rquickjs::{Ctx, Exception, Function, Object};
use serde_json::value::RawValue;
use std::cell::{Cell, RefCell};
use std::collections::{BTreeSet, HashMap};
use std::rc::Rc;
use std::time::{Duration, Instant};

use super::output::Output;
use crate::time::Began;

/// Progress frames of one run; later ones are dropped, for nobody could read them.
const NOTICES_MAX: u32 = 10_000;

/// Bytes of one progress message: six times as many, if each needs an escape, fit into a frame.
const NOTICE_BYTES_MAX: usize = 600;

/// Bytes of a tool's full name; no name is longer.
const NAME_BYTES_MAX: usize = 512;

/// Timers that are set at once.
const TIMERS_MAX: usize = 10_000;

/// A delay beyond this never ends within a run.
const DELAY_MS_MAX: f64 = 1e12;

/// The host's half of a realm, made before the fork and filled when a program comes.
#[derive(Debug)]
pub(super) struct Host {
    /// Why the run must stop; set once, and nothing leaves any more.
    stopped: Cell<Option<Limit>>,
    state: RefCell<State>,
}

#[derive(Debug)]
struct State {
    queue: Vec<FromWorker>,
    queued_bytes: u64,
    output: Output,
    limits: Limits,
    clock: Clock,
    random: u64,
    calls: u32,
    notices: u32,
    shown_bytes: u64,
    timers: BTreeSet<(u64, u32)>,
    due_us: HashMap<u32, u64>,
    timer_last: u32,
}

/// The program's time: it passes as the real time does, and jumps where nothing else can happen.
#[derive(Debug)]
struct Clock {
    started: Instant,
    skipped: Duration,
    now_ms: u64,
}

impl Clock {
    fn elapsed(&self) -> Duration {
        self.started.elapsed().saturating_add(self.skipped)
    }
}

impl Host {
    pub(super) fn new() -> Self {
        let limits = Limits::default();
        let clock = Clock { started: Instant::now(), skipped: Duration::ZERO, now_ms: 0 };
        let state = State {
            queue: Vec::new(),
            queued_bytes: 0,
            output: Output::new(&limits),
            limits,
            clock,
            random: 0,
            calls: 0,
            notices: 0,
            shown_bytes: 0,
            timers: BTreeSet::new(),
            due_us: HashMap::new(),
            timer_last: 0,
        };
        Self { stopped: Cell::new(None), state: RefCell::new(state) }
    }

    /// A program comes: its limits, its clock, its chance.
    pub(super) fn begin(&self, limits: &Limits, now_ms: u64, seed: u64) {
        let mut state = self.state.borrow_mut();
        state.output = Output::new(limits);
        state.limits = *limits;
        state.clock = Clock { started: Instant::now(), skipped: Duration::ZERO, now_ms };
        state.random = seed;
    }

    /// Stops the run at a limit, if nothing else stopped it before.
    pub(super) fn stop(&self, limit: Limit) {
        if self.stopped.get().is_none() {
            self.stopped.set(Some(limit));
        }
    }

    pub(super) fn stopped(&self) -> Option<Limit> {
        self.stopped.get()
    }

    /// Asked by the interpreter every some thousand steps: is it over?
    pub(super) fn interrupted(&self, began: Began, limits: &Limits) -> bool {
        if self.stopped.get().is_none()
            && let Some(limit) = began.reached(limits)
        {
            self.stop(limit);
        }
        self.stopped.get().is_some()
    }

    /// What wants to leave.
    pub(super) fn take_queue(&self) -> Vec<FromWorker> {
        let mut state = self.state.borrow_mut();
        state.queued_bytes = 0;
        std::mem::take(&mut state.queue)
    }

    /// The line that tells how many lines were dropped.
    pub(super) fn last_log(&self) -> Option<Log> {
        self.state.borrow().output.last()
    }

    /// How long until the next timer is due.
    pub(super) fn until_timer(&self) -> Option<Duration> {
        let state = self.state.borrow();
        let (due_us, _) = state.timers.first()?;
        Some(Duration::from_micros(*due_us).saturating_sub(state.clock.elapsed()))
    }

    /// Lets time jump.
    pub(super) fn skip(&self, time: Duration) {
        let mut state = self.state.borrow_mut();
        state.clock.skipped = state.clock.skipped.saturating_add(time);
    }

    /// Takes the next timer that is due.
    pub(super) fn due(&self) -> Option<u32> {
        let mut state = self.state.borrow_mut();
        let now_us = micros(state.clock.elapsed());
        let (due_us, id) = *state.timers.first()?;
        if due_us > now_us {
            return None;
        }
        state.timers.pop_first();
        state.due_us.remove(&id);
        Some(id)
    }

    fn live(&self, ctx: &Ctx<'_>) -> rquickjs::Result<()> {
        match self.stopped.get() {
            // The interrupt follows; until then nothing leaves.
            Some(limit) => Err(Exception::throw_internal(ctx, &format!("{limit} is reached"))),
            None => Ok(()),
        }
    }

    /// Queues a frame that holds so many bytes of the program's.
    fn queue(&self, bytes: usize, frame: FromWorker) {
        let mut state = self.state.borrow_mut();
        state.queued_bytes = state.queued_bytes.saturating_add(bytes as u64);
        // The queue is outside of the interpreter's heap: it may not outgrow it.
        if state.queued_bytes > state.limits.value_bytes.max(state.limits.memory_bytes) {
            drop(state);
            self.stop(Limit::MemoryBytes);
            return;
        }
        state.queue.push(frame);
    }

    fn call(
        &self,
        ctx: &Ctx<'_>,
        (server, tool, full): (String, String, &str),
        args: String,
    ) -> rquickjs::Result<u32> {
        self.live(ctx)?;
        let (limit, bytes_max) = {
            let state = self.state.borrow();
            (state.calls >= state.limits.calls, state.limits.value_bytes)
        };
        if limit {
            self.stop(Limit::Calls);
            return Err(Exception::throw_internal(ctx, "calls is reached"));
        }
        if full.len() > NAME_BYTES_MAX {
            return Err(Exception::throw_type(ctx, "no tool has so long a name"));
        }
        let args = whole(args);
        let bytes = args.len();
        if bytes as u64 > bytes_max {
            let message = format!("{full}: the arguments are longer than {bytes_max} bytes");
            return Err(Exception::throw_type(ctx, &message));
        }
        let args = RawValue::from_string(args)
            .map_err(|why| Exception::throw_type(ctx, &format!("{full}: no arguments: {why}")))?;
        let id = {
            let mut state = self.state.borrow_mut();
            state.calls += 1;
            state.calls
        };
        self.queue(bytes, FromWorker::Call(Call { id, server, tool, args }));
        Ok(id)
    }

    fn log(&self, level: u32, text: &str) {
        if self.stopped.get().is_some() {
            return;
        }
        let level = match level {
            0 => LogLevel::Debug,
            2 => LogLevel::Warn,
            3 => LogLevel::Error,
            _ => LogLevel::Info,
        };
        for line in text.split('\n') {
            let Some(text) = self.state.borrow_mut().output.line(line) else { continue };
            self.queue(text.len(), FromWorker::Log(Log { level, text }));
        }
    }

    /// Says something that the program did not say itself.
    pub(super) fn warn(&self, text: &str) {
        self.log(2, text);
    }

    fn progress(&self, fraction: f64, message: String) {
        {
            let mut state = self.state.borrow_mut();
            if self.stopped.get().is_some() || state.notices >= NOTICES_MAX {
                return;
            }
            state.notices += 1;
        }
        let fraction = fraction.is_finite().then(|| fraction.clamp(0.0, 1.0));
        let message = clip(message, NOTICE_BYTES_MAX);
        self.queue(message.len(), FromWorker::Progress(Progress { fraction, message }));
    }

    fn show(&self, ctx: &Ctx<'_>, json: String) -> rquickjs::Result<()> {
        self.live(ctx)?;
        let json = whole(json);
        let bytes = json.len();
        let shown = {
            let mut state = self.state.borrow_mut();
            state.shown_bytes = state.shown_bytes.saturating_add(bytes as u64);
            state.shown_bytes <= state.limits.value_bytes
        };
        if !shown {
            self.stop(Limit::ValueBytes);
            return Err(Exception::throw_internal(ctx, "value_bytes is reached"));
        }
        let value = RawValue::from_string(json)
            .map_err(|why| Exception::throw_type(ctx, &format!("show: no json: {why}")))?;
        self.queue(bytes, FromWorker::Show(value));
        Ok(())
    }

    fn timer(&self, ctx: &Ctx<'_>, delay_ms: f64) -> rquickjs::Result<u32> {
        self.live(ctx)?;
        let id = {
            let mut state = self.state.borrow_mut();
            if state.timers.len() >= TIMERS_MAX {
                let message = format!("more than {TIMERS_MAX} timers at once");
                return Err(Exception::throw_range(ctx, &message));
            }
            state.timer_last = state.timer_last.saturating_add(1);
            state.timer_last
        };
        self.again(id, delay_ms);
        Ok(id)
    }

    fn again(&self, id: u32, delay_ms: f64) {
        let mut state = self.state.borrow_mut();
        let delay = Duration::from_secs_f64(delay_ms.clamp(0.0, DELAY_MS_MAX) / 1_000.0);
        let due_us = micros(state.clock.elapsed().saturating_add(delay));
        state.timers.insert((due_us, id));
        state.due_us.insert(id, due_us);
    }

    fn untimer(&self, id: u32) {
        let mut state = self.state.borrow_mut();
        if let Some(due_us) = state.due_us.remove(&id) {
            state.timers.remove(&(due_us, id));
        }
    }

    #[expect(clippy::cast_precision_loss, reason = "milliseconds since 1970 fit into 53 bits")]
    fn now(&self) -> f64 {
        let state = self.state.borrow();
        let elapsed_ms = u64::try_from(state.clock.elapsed().as_millis()).unwrap_or(u64::MAX);
        state.clock.now_ms.saturating_add(elapsed_ms) as f64
    }

    fn elapsed(&self) -> f64 {
        self.state.borrow().clock.elapsed().as_secs_f64() * 1_000.0
    }

    /// `SplitMix64`, as 53 bits from 0 to 1.
    #[expect(clippy::cast_precision_loss, reason = "53 bits fit")]
    fn random(&self) -> f64 {
        let mut state = self.state.borrow_mut();
        state.random = state.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = state.random;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) >> 11) as f64 / (1_u64 << 53) as f64
    }
}

/// Replaces halves of surrogate pairs in what `JSON.stringify` gave. It writes them, and nothing
/// else above the control characters, as `\\uXXXX`; they are no text, and no reader takes them.
pub(super) fn whole(json: String) -> String {
    if !json.contains("\\ud") {
        return json;
    }
    let mut text = String::with_capacity(json.len());
    let mut rest = json.as_str();
    while let Some((before, after)) = rest.split_once('\\') {
        text.push_str(before);
        // An escape is a backslash and one character, or that and four digits.
        let digits = if after.starts_with("ud") { 5 } else { 1 };
        let (escape, next) = after.split_at_checked(digits).unwrap_or((after, ""));
        text.push('\\');
        text.push_str(if digits == 5 { "ufffd" } else { escape });
        rest = next;
    }
    text.push_str(rest);
    text
}

/// Whole microseconds.
pub(super) fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

/// The object that the prelude is called with.
pub(super) fn functions<'js>(ctx: &Ctx<'js>, host: &Rc<Host>) -> rquickjs::Result<Object<'js>> {
    let object = Object::new(ctx.clone())?;
    let own = Rc::clone(host);
    let call = move |ctx: Ctx<'js>, server: String, tool: String, full: String, args: String| {
        own.call(&ctx, (server, tool, &full), args)
    };
    object.set("call", Function::new(ctx.clone(), call)?)?;
    let own = Rc::clone(host);
    let log = move |level: u32, text: String| own.log(level, &text);
    object.set("log", Function::new(ctx.clone(), log)?)?;
    let own = Rc::clone(host);
    let progress = move |fraction: f64, message: String| own.progress(fraction, message);
    object.set("progress", Function::new(ctx.clone(), progress)?)?;
    let own = Rc::clone(host);
    let show = move |ctx: Ctx<'js>, json: String| own.show(&ctx, json);
    object.set("show", Function::new(ctx.clone(), show)?)?;
    let own = Rc::clone(host);
    let timer = move |ctx: Ctx<'js>, delay_ms: f64| own.timer(&ctx, delay_ms);
    object.set("timer", Function::new(ctx.clone(), timer)?)?;
    let own = Rc::clone(host);
    let again = move |id: u32, delay_ms: f64| own.again(id, delay_ms);
    object.set("again", Function::new(ctx.clone(), again)?)?;
    let own = Rc::clone(host);
    object.set("untimer", Function::new(ctx.clone(), move |id: u32| own.untimer(id))?)?;
    let own = Rc::clone(host);
    object.set("now", Function::new(ctx.clone(), move || own.now())?)?;
    let own = Rc::clone(host);
    object.set("elapsed", Function::new(ctx.clone(), move || own.elapsed())?)?;
    let own = Rc::clone(host);
    object.set("random", Function::new(ctx.clone(), move || own.random())?)?;
    Ok(object)
}

#[cfg(test)]
mod tests {
    use super::whole;

    #[test]
    fn halves_of_surrogate_pairs_are_replaced() {
        for (json, clean) in [
            (r#""\ud800a""#, r#""\ufffda""#),
            (r#""\\ud800\n\u001f""#, r#""\\ud800\n\u001f""#),
            (r#""\\\udfff""#, r#""\\\ufffd""#),
        ] {
            assert_eq!(whole(json.to_owned()), clean);
        }
    }
}
