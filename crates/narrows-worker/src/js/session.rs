//! One program under way: the loop between its jobs, its timers and the host.

use narrows_types::frame::{Call, CallError, End, FromWorker, Program, Reply, ToWorker};
use narrows_types::{Finding, Limit, Position};
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::collections::{HashMap, HashSet};
use std::io::{Read, Write};
use std::os::fd::AsFd;
use std::time::Duration;

use super::host::{self, Host};
use super::realm::{Failure, Realm, State};
use super::strip::PROGRAM;
use super::thrown::Thrown;
use super::uses::{Places, Reading};
use crate::link::{Link, LinkError, unexpected};
use crate::time::Began;

/// The name of what the program is given.
pub(crate) const INPUT: &str = "input";

/// How much of the time may pass before calls that nobody awaited are given up.
const DRAIN_SHARE: f32 = 0.9;

/// Timers that fire after the program has its value: a timer may set the next one for ever.
const DRAIN_TIMERS_MAX: usize = 10_000;

/// Wakes that the host is asked for in one run. After that, timers wait for replies to fire.
const WAKES_MAX: usize = 10_000;

/// Jobs that a program that has ended may leave. More are taken for endless.
const LEFT_JOBS_MAX: usize = 10_000;

/// How a program ended, while its realm still holds what it threw.
pub(crate) enum Ending<'p, T> {
    End(End),
    Threw(T, Places<'p>),
}

/// Why a session stops.
enum Stop<T> {
    /// The link is broken.
    Link(LinkError),
    /// The program ended.
    End(End),
    /// The program threw this.
    Threw(T),
}

impl<T> From<LinkError> for Stop<T> {
    fn from(error: LinkError) -> Self {
        Self::Link(error)
    }
}

/// What went wrong inside of the realm is the program's.
impl<T> From<Failure<T>> for Stop<T> {
    fn from(failure: Failure<T>) -> Self {
        match failure {
            Failure::Threw(error) => Self::Threw(error),
            Failure::Ended(limit) => Self::End(End::Limit(limit)),
            Failure::Broken(why) => {
                let why = format!("the realm is broken: {why}");
                Self::Link(LinkError::Io(std::io::Error::other(why)))
            }
        }
    }
}

/// Whether the program used so much memory, be it for a moment. In a worker that is kept the most that
/// there was may have been an earlier program's: it counts where this one clearly went beyond it, and
/// else whether the heap `holds` nearly all that it may have now.
fn used(began: Began, program: &Program, bytes: u64, holds: impl FnOnce(u64) -> bool) -> bool {
    let most = program.limits.memory_bytes;
    if !program.state {
        return began.memory() >= bytes;
    }
    began.memory() >= bytes && began.memory_of_its_own() >= most / 32 || holds(nearly(most))
}

fn nearly(bytes: u64) -> u64 {
    bytes / 10 * 9
}

/// How a program ended that came to no end of its own. Where memory ran out, the interpreter lost a
/// job without a word.
pub(crate) fn stuck(began: Began, program: &Program, holds: impl FnOnce(u64) -> bool) -> End {
    if used(began, program, nearly(program.limits.memory_bytes), holds) {
        End::Limit(Limit::MemoryBytes)
    } else {
        End::Deadlock
    }
}

/// Whether a thrown null may be what an interpreter without memory throws: a block that was refused
/// can have been large; but who throws null says so, unless an earlier program did.
pub(crate) fn scarce(began: Began, program: &Program, holds: impl FnOnce(u64) -> bool) -> bool {
    let silent = !program.state && !program.code.contains("null");
    silent || used(began, program, program.limits.memory_bytes / 2, holds)
}

/// The end of a program that threw this; nothing is known of it where memory is used up.
pub(crate) fn threw(thrown: Option<Thrown>, places: &Places<'_>, code: &str) -> End {
    thrown.map_or(End::Limit(Limit::MemoryBytes), |thrown| thrown.end(places, code))
}

/// Lets run out what is left of a program of which the next one is to find nothing but its names:
/// nobody hears it, and it reaches no tool. `false`: it does not come to its end.
pub(crate) fn run_out(realm: &mut impl Realm, host: &Host) -> bool {
    host.end();
    for _ in 0..LEFT_JOBS_MAX {
        match realm.job() {
            Ok(true) if host.stopped().is_none() => {}
            Ok(more) => {
                while realm.unheard().is_some() {}
                return !more && host.stopped().is_none();
            }
            Err(_) => return false,
        }
    }
    false
}

/// One program under way.
pub(crate) struct Session<'r, 'p, R> {
    realm: &'r mut R,
    host: &'r Host,
    program: &'p Program,
    reading: Reading<'p>,
    began: Began,
    /// Calls whose replies are not here.
    waiting: HashSet<u32>,
    /// Wakes that the host was asked for, with their times as it counts.
    wakes: HashMap<u32, u64>,
    /// How many wakes it was asked for.
    woken: usize,
}

impl<'r, 'p, R: Realm> Session<'r, 'p, R> {
    pub(crate) fn new(
        (realm, host): (&'r mut R, &'r Host),
        (program, mut reading): (&'p Program, Reading<'p>),
        began: Began,
    ) -> Self {
        reading.places.program = host.program();
        let (waiting, wakes) = (HashSet::new(), HashMap::new());
        Self { realm, host, program, reading, began, waiting, wakes, woken: 0 }
    }

    /// Runs the program up to its end.
    pub(crate) fn run<S: Read + Write + AsFd>(
        mut self,
        link: &mut Link<S>,
    ) -> Result<Ending<'p, R::Error>, LinkError> {
        let end = match self.evaluate(link) {
            Ok(end) | Err(Stop::End(end)) => end,
            Err(Stop::Link(error)) => return Err(error),
            Err(Stop::Threw(error)) => {
                self.flush(link)?;
                self.last_words(link)?;
                return Ok(Ending::Threw(error, self.reading.places));
            }
        };
        self.flush(link)?;
        self.last_words(link)?;
        Ok(Ending::End(end))
    }

    fn last_words<S: Read + Write>(&self, link: &mut Link<S>) -> Result<(), LinkError> {
        self.host.last_log().map_or(Ok(()), |log| link.send(&FromWorker::Log(log)))
    }

    fn evaluate<S: Read + Write + AsFd>(
        &mut self,
        link: &mut Link<S>,
    ) -> Result<End, Stop<R::Error>> {
        self.compile()?;
        for name in link.ask_to_go(std::mem::take(&mut self.reading.uses))? {
            self.realm.bind(&name)?;
        }
        let input = self.program.input.as_ref().map_or("null", |input| input.get());
        self.realm.give(INPUT, input)?;
        self.realm.start()?;
        self.drive(link)?;
        if self.realm.state()? == State::Resolved {
            // What was begun and not awaited is not cut off in the middle.
            if !self.reading.races {
                self.drain(link)?;
            }
            self.tell_unheard();
        }
        let json = self.realm.value()?;
        Ok(self.value(host::whole(json)))
    }

    /// Logs what went wrong where nobody listened.
    fn tell_unheard(&mut self) {
        while let Some(error) = self.realm.unheard() {
            if let Some(thrown) = self.realm.describe(error) {
                self.host.warn(&format!("nobody awaited this error: {}", thrown.summary()));
            }
        }
    }

    fn value(&self, json: String) -> End {
        if json.len() as u64 > self.program.limits.value_bytes {
            return End::Limit(Limit::ValueBytes);
        }
        // What `JSON.stringify` gives is JSON; the program cannot reach it.
        RawValue::from_string(json).map_or(End::Deadlock, End::Value)
    }

    /// Compiles the program. What the interpreter refuses becomes a finding.
    fn compile(&mut self) -> Result<(), Stop<R::Error>> {
        if !self.reading.uses.findings.is_empty() {
            return Ok(());
        }
        let name = match self.host.program() {
            ..=1 => Cow::Borrowed(PROGRAM),
            later => Cow::Owned(format!("{PROGRAM}{later}")),
        };
        let error = match self.realm.compile(self.reading.text.as_str(), &name) {
            Ok(()) => return Ok(()),
            Err(Failure::Threw(error)) => error,
            Err(other) => return Err(other.into()),
        };
        if let Some(limit) = self.host.stopped() {
            return Err(Stop::End(End::Limit(limit)));
        }
        let Some(thrown) = self.realm.describe(error) else {
            return Err(Stop::End(End::Limit(Limit::MemoryBytes)));
        };
        let at = thrown.places(&self.reading.places).first().copied();
        let at = at.unwrap_or(Position { line: 1, column: 1 });
        let message = format!("syntax error: {}", thrown.message());
        self.reading.uses.findings.push(Finding { at, message });
        Ok(())
    }

    /// Runs the loop until the program has come to its end.
    fn drive<S: Read + Write + AsFd>(&mut self, link: &mut Link<S>) -> Result<(), Stop<R::Error>> {
        let until = Duration::from_millis(self.program.limits.wall_ms);
        loop {
            self.jobs(link)?;
            if self.realm.state()? != State::Pending {
                return Ok(());
            }
            if let Some(id) = self.host.due() {
                self.realm.fire(id, false)?;
                continue;
            }
            match (self.host.next_timer(), self.waiting.is_empty()) {
                // Nothing can happen any more.
                (None, true) => return Err(Stop::End(End::Deadlock)),
                (Some(due_us), true) => self.host.jump(due_us),
                (timer, false) => self.wait(timer, until, link)?,
            }
        }
    }

    /// Waits for the replies to calls that nobody awaited, fires the timers that nobody awaited, and
    /// lets run what they set off. The value is there: it leaves before the time is over, whatever
    /// is still under way.
    fn drain<S: Read + Write + AsFd>(&mut self, link: &mut Link<S>) -> Result<(), Stop<R::Error>> {
        let until = Duration::from_millis(self.program.limits.wall_ms).mul_f32(DRAIN_SHARE);
        let mut fired = 0;
        loop {
            let timer = self.host.next_timer().filter(|_| fired < DRAIN_TIMERS_MAX);
            if timer.is_none() && self.waiting.is_empty() {
                return Ok(());
            }
            if self.began.wall() >= until {
                break;
            }
            match (timer, timer.and_then(|_| self.host.due())) {
                (_, Some(id)) => {
                    fired += 1;
                    self.fire_last(id);
                }
                (Some(due_us), None) if self.waiting.is_empty() => self.host.jump(due_us),
                (timer, None) => self.wait(timer, until, link)?,
            }
            self.jobs(link)?;
        }
        let count = self.waiting.len();
        if count > 0 {
            self.host.warn(&format!("calls that nobody awaited and that are not done: {count}"));
        }
        Ok(())
    }

    /// Fires a timer of a program that has its value. What it throws cannot take the value back.
    fn fire_last(&mut self, id: u32) {
        if let Err(failure) = self.realm.fire(id, true) {
            let thrown = match failure {
                Failure::Threw(error) => self.realm.describe(error),
                Failure::Ended(_) | Failure::Broken(_) => None,
            };
            let said = thrown.map_or_else(|| "no memory".to_owned(), |thrown| thrown.summary());
            self.host.warn(&format!("nobody awaited this error: {said}"));
        }
    }

    /// Runs what can run, and sends what wants to leave.
    fn jobs<S: Read + Write>(&mut self, link: &mut Link<S>) -> Result<(), Stop<R::Error>> {
        loop {
            self.flush(link)?;
            if let Some(limit) = self.host.stopped() {
                return Err(Stop::End(End::Limit(limit)));
            }
            if !self.realm.job()? {
                return Ok(());
            }
        }
    }

    fn flush<S: Read + Write>(&mut self, link: &mut Link<S>) -> Result<(), LinkError> {
        for frame in self.host.take_queue() {
            if let FromWorker::Call(call) = &frame {
                self.waiting.insert(call.id);
            }
            link.send(&frame)?;
        }
        Ok(())
    }

    /// Waits for a reply, at most until a time of the run. Nothing else is left to do, but for a
    /// timer that may be due before.
    fn wait<S: Read + Write + AsFd>(
        &mut self,
        timer: Option<u64>,
        until: Duration,
        link: &mut Link<S>,
    ) -> Result<(), Stop<R::Error>> {
        if let Some(due_us) = timer {
            self.ask_wake(due_us, link)?;
        }
        loop {
            if let Some(limit) = self.began.reached(&self.program.limits) {
                return Err(Stop::End(End::Limit(limit)));
            }
            if !link.ready(until.saturating_sub(self.began.wall()))? {
                return Ok(());
            }
            match link.receive()? {
                ToWorker::Reply(reply) => return self.settle(&reply),
                ToWorker::Ping => link.send(&FromWorker::Idle)?,
                _ => return Err(unexpected("anything but a reply").into()),
            }
        }
    }

    /// Asks the host for a reply when a timer is due: the real time is the host's, and what it
    /// answers in which order is all that a program's course depends on.
    fn ask_wake<S: Read + Write>(
        &mut self,
        due_us: u64,
        link: &mut Link<S>,
    ) -> Result<(), LinkError> {
        let until_us = self.host.for_host(due_us);
        let asked = self.wakes.values().any(|asked| *asked == until_us);
        if asked || self.woken >= WAKES_MAX {
            return Ok(());
        }
        self.woken += 1;
        let id = self.host.next_id();
        self.wakes.insert(id, until_us);
        let args = RawValue::from_string(format!("{{\"until_us\":{until_us}}}"))
            .map_err(std::io::Error::other)?;
        let (server, tool) = ("narrows".to_owned(), "wait".to_owned());
        link.send(&FromWorker::Call(Call { id, server, tool, args }))
    }

    fn settle(&mut self, reply: &Reply) -> Result<(), Stop<R::Error>> {
        self.host.told(reply.at_us);
        if let Some(until_us) = self.wakes.remove(&reply.id) {
            // A timer that was cleared meanwhile has nobody left to be woken.
            self.host.told(until_us);
            return Ok(());
        }
        if !self.waiting.remove(&reply.id) {
            return Err(unexpected("a reply to no call").into());
        }
        if reply.body.len() as u64 > self.program.limits.result_bytes {
            return Err(Stop::End(End::Limit(Limit::ResultBytes)));
        }
        if reply.ok {
            return Ok(self.realm.settle(reply.id, &reply.body)?);
        }
        let error: CallError = serde_json::from_str(&reply.body)
            .map_err(|error| unexpected(&format!("an error that is none: {error}")))?;
        let mut message = format!("{}: {}", error.tool, error.message);
        if !error.arguments.is_empty() {
            message = format!("{message} (sent {})", error.arguments);
        }
        Ok(self.realm.fail(reply.id, &error, &message)?)
    }
}
