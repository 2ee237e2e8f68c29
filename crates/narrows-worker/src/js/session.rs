//! One program under way: the loop between its jobs, its timers and the host.

use narrows_types::frame::{Call, CallError, End, FromWorker, Go, Program, Reply, ToWorker};
use narrows_types::{Finding, Limit, Position};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use rquickjs::promise::PromiseState;
use rquickjs::{Ctx, Function, Object, Persistent, Promise, Value};
use serde_json::value::RawValue;
use std::collections::{HashMap, HashSet};
use std::io::{Read, Write};
use std::os::fd::AsFd;
use std::time::Duration;

use super::host::{self, Host};
use super::runtime::{evaluate, unexpected};
use super::strip::PROGRAM;
use super::thrown::Thrown;
use super::unheard::Unheard;
use super::uses::{Places, Reading};
use crate::link::{Link, LinkError};
use crate::time::Began;

/// The name of what the program is given.
pub(super) const INPUT: &str = "input";

/// How much of the time may pass before calls that nobody awaited are given up.
const DRAIN_SHARE: f32 = 0.9;

/// Timers that fire after the program has its value: a timer may set the next one for ever.
const DRAIN_TIMERS_MAX: usize = 10_000;

/// Wakes that the host is asked for in one run. After that, timers wait for replies to fire.
const WAKES_MAX: usize = 10_000;

/// How a program ended, while its realm still holds what it threw.
pub(super) enum Ending<'p> {
    End(End),
    Threw(Persistent<Value<'static>>, Places<'p>),
}

/// Why a session stops.
enum Stop<'js> {
    /// The link is broken.
    Link(LinkError),
    /// The program ended.
    End(End),
    /// The program threw this.
    Threw(Value<'js>),
}

impl From<LinkError> for Stop<'_> {
    fn from(error: LinkError) -> Self {
        Self::Link(error)
    }
}

/// The prelude's functions.
struct Kit<'js> {
    bind: Function<'js>,
    settle: Function<'js>,
    fire: Function<'js>,
    finish: Function<'js>,
    describe: Function<'js>,
}

impl<'js> Kit<'js> {
    fn new(ctx: &Ctx<'js>, kit: Persistent<Object<'static>>) -> rquickjs::Result<Self> {
        let kit = kit.restore(ctx)?;
        Ok(Self {
            bind: kit.get("bind")?,
            settle: kit.get("settle")?,
            fire: kit.get("fire")?,
            finish: kit.get("finish")?,
            describe: kit.get("describe")?,
        })
    }
}

/// The end of a program that threw this, with memory scarce or not.
pub(super) fn threw(
    ctx: &Ctx<'_>,
    kit: Persistent<Object<'static>>,
    (error, scarce): (Persistent<Value<'static>>, bool),
    (places, code): (&Places<'_>, &str),
) -> End {
    let thrown = || {
        let kit = Kit::new(ctx, kit).ok()?;
        let error = error.restore(ctx).ok()?;
        // Where not even an error can be made, the interpreter throws null.
        if scarce && error.is_null() { None } else { Thrown::read(&kit.describe, error) }
    };
    thrown().map_or(End::Limit(Limit::MemoryBytes), |thrown| thrown.end(places, code))
}

/// Where a program runs.
#[derive(Clone, Copy)]
pub(super) struct Realm<'js, 'r> {
    pub(super) ctx: &'r Ctx<'js>,
    pub(super) host: &'r Host,
    pub(super) unheard: &'r Unheard,
}

/// One program under way.
pub(super) struct Session<'js, 'r, 'p> {
    ctx: &'r Ctx<'js>,
    kit: Kit<'js>,
    host: &'r Host,
    unheard: &'r Unheard,
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

impl<'js, 'r, 'p> Session<'js, 'r, 'p> {
    pub(super) fn new(
        Realm { ctx, host, unheard }: Realm<'js, 'r>,
        kit: &Persistent<Object<'static>>,
        (program, reading): (&'p Program, Reading<'p>),
        began: Began,
    ) -> Result<Self, LinkError> {
        let kit = Kit::new(ctx, kit.clone()).map_err(|error| broken(&error))?;
        let (waiting, wakes) = (HashSet::new(), HashMap::new());
        Ok(Self { ctx, kit, host, unheard, program, reading, began, waiting, wakes, woken: 0 })
    }

    /// Runs the program up to its end.
    pub(super) fn run<S: Read + Write + AsFd>(
        mut self,
        link: &mut Link<S>,
    ) -> Result<Ending<'p>, LinkError> {
        let end = match self.evaluate(link) {
            Ok(end) | Err(Stop::End(end)) => end,
            Err(Stop::Link(error)) => return Err(error),
            Err(Stop::Threw(error)) => {
                self.flush(link)?;
                self.last_words(link)?;
                let error = Persistent::save(self.ctx, error);
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

    fn evaluate<S: Read + Write + AsFd>(&mut self, link: &mut Link<S>) -> Result<End, Stop<'js>> {
        let compiled = self.compile()?;
        let uses = std::mem::take(&mut self.reading.uses);
        let good = uses.findings.is_empty();
        link.send(&FromWorker::Uses(Box::new(uses)))?;
        let ToWorker::Go(Go { namespaces }) = link.receive()? else {
            return Err(unexpected("anything but go").into());
        };
        let (true, Some(compiled)) = (good, compiled) else {
            // With findings the host has nothing to say but the end of the link.
            return Err(unexpected("go for a program with findings").into());
        };
        for name in namespaces {
            let bound = self.kit.bind.call((name,));
            let () = self.realm(bound)?;
        }
        self.give_input()?;
        let main = self.kit.finish.call((compiled,));
        let main: Promise<'js> = self.realm(main)?;
        self.drive(&main, link)?;
        if main.state() == PromiseState::Resolved && !self.reading.races {
            // What was begun and not awaited is not cut off in the middle.
            self.drain(link)?;
        }
        if main.state() == PromiseState::Resolved {
            self.tell_unheard();
        }
        let value = main.result::<String>();
        let json = self.realm(value.unwrap_or(Ok(String::new())))?;
        Ok(self.value(host::whole(json)))
    }

    /// Logs what went wrong where nobody listened.
    fn tell_unheard(&self) {
        for error in self.unheard.take() {
            let thrown = error.restore(self.ctx).ok();
            let thrown = thrown.and_then(|error| Thrown::read(&self.kit.describe, error));
            if let Some(thrown) = thrown {
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
    fn compile(&mut self) -> Result<Option<Function<'js>>, Stop<'js>> {
        if !self.reading.uses.findings.is_empty() {
            return Ok(None);
        }
        let error = match evaluate(self.ctx, self.reading.text.as_str(), PROGRAM) {
            Ok(function) => return Ok(Some(function)),
            Err(rquickjs::Error::Exception) => self.ctx.catch(),
            Err(other) => return Err(broken(&other).into()),
        };
        if let Some(limit) = self.host.stopped() {
            return Err(Stop::End(End::Limit(limit)));
        }
        let Some(thrown) = Thrown::read(&self.kit.describe, error) else {
            return Err(Stop::End(End::Limit(Limit::MemoryBytes)));
        };
        let at = thrown.places(&self.reading.places).first().copied();
        let at = at.unwrap_or(Position { line: 1, column: 1 });
        let message = format!("syntax error: {}", thrown.message());
        self.reading.uses.findings.push(Finding { at, message });
        Ok(None)
    }

    fn give_input(&self) -> Result<(), Stop<'js>> {
        let input = self.program.input.as_ref().map_or("null", |input| input.get());
        let input = self.realm(self.ctx.json_parse(input))?;
        self.realm(self.ctx.globals().set(INPUT, input))
    }

    /// Runs the loop until the program has come to its end.
    fn drive<S: Read + Write + AsFd>(
        &mut self,
        main: &Promise<'js>,
        link: &mut Link<S>,
    ) -> Result<(), Stop<'js>> {
        let until = Duration::from_millis(self.program.limits.wall_ms);
        loop {
            self.jobs(link)?;
            if main.state() != PromiseState::Pending {
                return Ok(());
            }
            if let Some(id) = self.host.due() {
                self.fire(id)?;
                continue;
            }
            match (self.host.next_timer(), self.waiting.is_empty()) {
                (None, true) => return Err(Stop::End(self.stuck())),
                (Some(due_us), true) => self.host.jump(due_us),
                (timer, false) => self.wait(timer, until, link)?,
            }
        }
    }

    /// Nothing can happen any more. Where memory ran out, the interpreter lost a job without a word.
    fn stuck(&self) -> End {
        if self.began.memory() >= self.program.limits.memory_bytes / 10 * 9 {
            End::Limit(Limit::MemoryBytes)
        } else {
            End::Deadlock
        }
    }

    /// Waits for the replies to calls that nobody awaited, fires the timers that nobody awaited, and
    /// lets run what they set off. The value is there: it leaves before the time is over, whatever
    /// is still under way.
    fn drain<S: Read + Write + AsFd>(&mut self, link: &mut Link<S>) -> Result<(), Stop<'js>> {
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
    fn fire_last(&self, id: u32) {
        let fired: rquickjs::Result<()> = self.kit.fire.call((id, true));
        if fired.is_err() {
            let thrown = Thrown::read(&self.kit.describe, self.ctx.catch());
            let said = thrown.map_or_else(|| "no memory".to_owned(), |thrown| thrown.summary());
            self.host.warn(&format!("nobody awaited this error: {said}"));
        }
    }

    /// Runs what can run, and sends what wants to leave.
    fn jobs<S: Read + Write>(&mut self, link: &mut Link<S>) -> Result<(), Stop<'js>> {
        loop {
            self.flush(link)?;
            if let Some(limit) = self.host.stopped() {
                return Err(Stop::End(End::Limit(limit)));
            }
            if !self.ctx.execute_pending_job() {
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

    fn fire(&self, id: u32) -> Result<(), Stop<'js>> {
        let fired = self.kit.fire.call((id, false));
        self.realm(fired)
    }

    /// Waits for a reply, at most until a time of the run. Nothing else is left to do, but for a
    /// timer that may be due before.
    fn wait<S: Read + Write + AsFd>(
        &mut self,
        timer: Option<u64>,
        until: Duration,
        link: &mut Link<S>,
    ) -> Result<(), Stop<'js>> {
        if let Some(due_us) = timer {
            self.ask_wake(due_us, link)?;
        }
        loop {
            if let Some(limit) = self.began.reached(&self.program.limits) {
                return Err(Stop::End(End::Limit(limit)));
            }
            if !ready(link, until.saturating_sub(self.began.wall()))? {
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

    fn settle(&mut self, reply: &Reply) -> Result<(), Stop<'js>> {
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
            let value = self.ctx.json_parse(reply.body.as_str());
            let value: Value<'js> = self.realm(value)?;
            let settled = self.kit.settle.call((reply.id, true, value, ""));
            return self.realm(settled);
        }
        let error: CallError = serde_json::from_str(&reply.body)
            .map_err(|error| unexpected(&format!("an error that is none: {error}")))?;
        let mut message = format!("{}: {}", error.tool, error.message);
        if !error.arguments.is_empty() {
            message = format!("{message} (sent {})", error.arguments);
        }
        let settled = || {
            let value = Object::new(self.ctx.clone())?;
            value.set("tool", error.tool)?;
            value.set("arguments", error.arguments)?;
            self.kit.settle.call((reply.id, false, value, message))
        };
        self.realm(settled())
    }

    /// What went wrong inside of the realm is the program's.
    fn realm<T>(&self, result: rquickjs::Result<T>) -> Result<T, Stop<'js>> {
        match result {
            Ok(value) => Ok(value),
            Err(rquickjs::Error::Exception) => Err(Stop::Threw(self.ctx.catch())),
            Err(rquickjs::Error::Allocation) => Err(Stop::End(End::Limit(Limit::MemoryBytes))),
            Err(other) => Err(broken(&other).into()),
        }
    }
}

fn broken(error: &rquickjs::Error) -> LinkError {
    LinkError::Io(std::io::Error::other(format!("the realm is broken: {error}")))
}

/// Waits until a frame comes.
fn ready<S: AsFd>(link: &Link<S>, time: Duration) -> Result<bool, LinkError> {
    let mut descriptors = [PollFd::new(link.as_fd(), PollFlags::POLLIN)];
    // Whole milliseconds, rounded up: else the last one would be spent asking.
    let milliseconds = time.saturating_add(Duration::from_micros(999)).as_millis();
    let timeout = PollTimeout::try_from(milliseconds).unwrap_or(PollTimeout::MAX);
    match poll(&mut descriptors, timeout) {
        Ok(count) => Ok(count > 0),
        Err(Errno::EINTR) => Ok(false),
        Err(error) => Err(LinkError::Io(error.into())),
    }
}
