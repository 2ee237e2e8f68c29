//! What the prelude calls: the only functions of Rust that a program's realm can reach, the same
//! for every engine that holds a realm.
//!
//! Nothing here touches the link. What leaves is queued and sent between jobs, for a closure in the
//! realm cannot borrow the link, and a program cannot see the difference.

use narrows_types::fault::clip;
use narrows_types::frame::{Call, FromWorker, Log, Progress};
use narrows_types::{Limit, Limits, LogLevel};
use serde_json::value::RawValue;
use std::cell::{Cell, RefCell};
use std::time::Duration;

use super::output::Output;
use super::timers::{TIMERS_MAX, Timers};
use crate::time::Began;

/// Progress frames of one run; later ones are dropped, for nobody could read them.
const NOTICES_MAX: u32 = 10_000;

/// Bytes of one progress message: six times as many, if each needs an escape, fit into a frame.
const NOTICE_BYTES_MAX: usize = 600;

/// Bytes of a tool's full name; no name is longer.
const NAME_BYTES_MAX: usize = 512;

/// Time on the processor that a program which has ended may take, if the next one is to find its names.
const LEFT_TIME: Duration = Duration::from_millis(200);

/// Why a function does not do what it was called for: thrown in the realm as an error of this kind.
#[derive(Debug)]
pub(crate) enum Refusal {
    /// An `InternalError`: a limit is reached, and the interrupt follows.
    Internal(String),
    /// A `TypeError`.
    Type(String),
    /// A `RangeError`.
    Range(String),
}

/// The host's half of a realm, made before the fork and filled when a program comes.
#[derive(Debug)]
pub(crate) struct Host {
    /// Why the run must stop; set once, and nothing leaves any more.
    stopped: Cell<Option<Limit>>,
    /// The program has ended, and something of it may still run.
    over: Cell<Option<Began>>,
    /// How many programs there were.
    programs: Cell<u32>,
    state: RefCell<State>,
}

#[derive(Debug)]
struct State {
    queue: Vec<FromWorker>,
    queued_bytes: u64,
    output: Output,
    limits: Limits,
    random: u64,
    /// The last id that was given, be it to a call or to a wake.
    id_last: u32,
    calls: u32,
    notices: u32,
    shown_bytes: u64,
    timers: Timers,
}

impl State {
    fn new(limits: &Limits, now_ms: u64, seed: u64) -> Self {
        Self {
            queue: Vec::new(),
            queued_bytes: 0,
            output: Output::new(limits),
            limits: limits.clone(),
            random: seed,
            id_last: 0,
            calls: 0,
            notices: 0,
            shown_bytes: 0,
            timers: Timers::new(now_ms),
        }
    }
}

impl Host {
    pub(crate) fn new() -> Self {
        let state = RefCell::new(State::new(&Limits::default(), 0, 0));
        Self { stopped: Cell::new(None), over: Cell::new(None), programs: Cell::new(0), state }
    }

    /// A program comes: its limits, its clock, its chance. Nothing is left of the one before.
    pub(crate) fn begin(&self, limits: &Limits, now_ms: u64, seed: u64) {
        self.stopped.set(None);
        self.over.set(None);
        self.programs.set(self.programs.get().saturating_add(1));
        self.state.replace(State::new(limits, now_ms, seed));
    }

    /// Which of its programs is here, from 1.
    pub(crate) fn program(&self) -> u32 {
        self.programs.get()
    }

    /// The program has ended: whatever of it still runs is heard by nobody.
    pub(crate) fn end(&self) {
        self.over.set(Some(Began::now()));
    }

    /// Stops the run at a limit, if nothing else stopped it before.
    pub(crate) fn stop(&self, limit: Limit) {
        if self.stopped.get().is_none() {
            self.stopped.set(Some(limit));
        }
    }

    pub(crate) fn stopped(&self) -> Option<Limit> {
        self.stopped.get()
    }

    /// Asked by the interpreter every some thousand steps: is it over?
    pub(crate) fn interrupted(&self, began: Began, limits: &Limits) -> bool {
        let left = || self.over.get().is_some_and(|since| since.cpu() >= LEFT_TIME);
        if self.stopped.get().is_none()
            && let Some(limit) = began.reached(limits).or_else(|| left().then_some(Limit::CpuMs))
        {
            self.stop(limit);
        }
        self.stopped.get().is_some()
    }

    /// What wants to leave.
    pub(crate) fn take_queue(&self) -> Vec<FromWorker> {
        let mut state = self.state.borrow_mut();
        state.queued_bytes = 0;
        std::mem::take(&mut state.queue)
    }

    /// The line that tells how many lines were dropped.
    pub(crate) fn last_log(&self) -> Option<Log> {
        self.state.borrow().output.last()
    }

    /// When the next timer is due.
    pub(crate) fn next_timer(&self) -> Option<u64> {
        self.state.borrow().timers.next()
    }

    /// Takes the next timer that is due.
    pub(crate) fn due(&self) -> Option<u32> {
        self.state.borrow_mut().timers.due()
    }

    /// Lets time jump to when a timer is due.
    pub(crate) fn jump(&self, to_us: u64) {
        self.state.borrow_mut().timers.clock.jump(to_us);
    }

    /// The host told its time.
    pub(crate) fn told(&self, at_us: u64) {
        self.state.borrow_mut().timers.clock.told(at_us);
    }

    /// When a timer is due, as the host counts.
    pub(crate) fn for_host(&self, due_us: u64) -> u64 {
        self.state.borrow().timers.clock.for_host(due_us)
    }

    /// The id of what is asked of the host next.
    pub(crate) fn next_id(&self) -> u32 {
        let mut state = self.state.borrow_mut();
        state.id_last = state.id_last.saturating_add(1);
        state.id_last
    }

    fn live(&self) -> Result<(), Refusal> {
        match self.stopped.get() {
            // The interrupt follows; until then nothing leaves.
            Some(limit) => Err(Refusal::Internal(format!("{limit} is reached"))),
            None if self.over.get().is_some() => {
                Err(Refusal::Internal("the program has ended".to_owned()))
            }
            None => Ok(()),
        }
    }

    /// Nobody listens to the program any more.
    fn is_deaf(&self) -> bool {
        self.over.get().is_some() || self.stopped.get().is_some()
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

    /// A tool is called. Gives the call's id.
    pub(crate) fn call(
        &self,
        (server, tool, full): (String, String, &str),
        args: String,
    ) -> Result<u32, Refusal> {
        self.live()?;
        let (limit, bytes_max) = {
            let state = self.state.borrow();
            (state.calls >= state.limits.calls, state.limits.value_bytes)
        };
        if limit {
            self.stop(Limit::Calls);
            return Err(Refusal::Internal("calls is reached".to_owned()));
        }
        if full.len() > NAME_BYTES_MAX {
            return Err(Refusal::Type("no tool has so long a name".to_owned()));
        }
        let args = whole(args);
        let bytes = args.len();
        if bytes as u64 > bytes_max {
            let message = format!("{full}: the arguments are longer than {bytes_max} bytes");
            return Err(Refusal::Type(message));
        }
        let args = RawValue::from_string(args)
            .map_err(|why| Refusal::Type(format!("{full}: no arguments: {why}")))?;
        self.state.borrow_mut().calls += 1;
        let id = self.next_id();
        self.queue(bytes, FromWorker::Call(Call { id, server, tool, args }));
        Ok(id)
    }

    /// The program says something.
    pub(crate) fn log(&self, level: u32, text: &str) {
        if self.is_deaf() {
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
    pub(crate) fn warn(&self, text: &str) {
        self.log(2, text);
    }

    /// The program tells how far it is.
    pub(crate) fn progress(&self, fraction: f64, message: String) {
        {
            let mut state = self.state.borrow_mut();
            if self.is_deaf() || state.notices >= NOTICES_MAX {
                return;
            }
            state.notices += 1;
        }
        let fraction = fraction.is_finite().then(|| fraction.clamp(0.0, 1.0));
        let message = clip(message, NOTICE_BYTES_MAX);
        self.queue(message.len(), FromWorker::Progress(Progress { fraction, message }));
    }

    /// The program shows a value.
    pub(crate) fn show(&self, json: String) -> Result<(), Refusal> {
        self.live()?;
        let json = whole(json);
        let bytes = json.len();
        let shown = {
            let mut state = self.state.borrow_mut();
            state.shown_bytes = state.shown_bytes.saturating_add(bytes as u64);
            state.shown_bytes <= state.limits.value_bytes
        };
        if !shown {
            self.stop(Limit::ValueBytes);
            return Err(Refusal::Internal("value_bytes is reached".to_owned()));
        }
        let value = RawValue::from_string(json)
            .map_err(|why| Refusal::Type(format!("show: no json: {why}")))?;
        self.queue(bytes, FromWorker::Show(value));
        Ok(())
    }

    /// The program is about to have so much in so many files and folders.
    pub(crate) fn disk(&self, bytes: f64, entries: f64) -> Result<(), Refusal> {
        self.live()?;
        let (disk_bytes, files) = {
            let limits = &self.state.borrow().limits;
            (limits.disk_bytes, limits.files)
        };
        #[expect(clippy::cast_precision_loss, reason = "nobody has files of 2^53 bytes")]
        let reached = bytes > disk_bytes as f64;
        let limit = if reached {
            Limit::DiskBytes
        } else if entries > f64::from(files) {
            Limit::Files
        } else {
            return Ok(());
        };
        self.stop(limit);
        Err(Refusal::Internal(format!("{limit} is reached")))
    }

    /// The program sets a timer. Gives its id.
    pub(crate) fn timer(&self, delay_ms: f64) -> Result<u32, Refusal> {
        self.live()?;
        let set = self.state.borrow_mut().timers.set(delay_ms);
        set.ok_or_else(|| Refusal::Range(format!("more than {TIMERS_MAX} timers at once")))
    }

    /// A timer that fired repeats.
    pub(crate) fn again(&self, id: u32, delay_ms: f64) {
        self.state.borrow_mut().timers.again(id, delay_ms);
    }

    /// The program clears a timer.
    pub(crate) fn untimer(&self, id: u32) {
        self.state.borrow_mut().timers.clear(id);
    }

    #[expect(clippy::cast_precision_loss, reason = "milliseconds since 1970 fit into 53 bits")]
    pub(crate) fn now(&self) -> f64 {
        (self.state.borrow_mut().timers.clock.look_unix_us() / 1_000) as f64
    }

    #[expect(clippy::cast_precision_loss, reason = "microseconds of a run fit into 53 bits")]
    pub(crate) fn elapsed(&self) -> f64 {
        self.state.borrow_mut().timers.clock.look() as f64 / 1_000.0
    }

    /// `SplitMix64`, as 53 bits from 0 to 1.
    #[expect(clippy::cast_precision_loss, reason = "53 bits fit")]
    pub(crate) fn random(&self) -> f64 {
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
pub(crate) fn whole(json: String) -> String {
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
pub(crate) fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
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
