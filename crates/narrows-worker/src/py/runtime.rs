//! Runs one program in Monty and speaks for it over the link.

use monty::{
    MontyRepl, MontyRun, ReplFunctionCall, ReplOsCall, ReplProgress, ReplResolveFutures,
    ReplStartError,
};
use monty_types::{
    BASELINE_MEMORY, CompileOptions, ExcType, ExtFunctionResult, LIVE_MEMORY, MontyException,
    MontyObject, OsFunctionCall, PrintWriter, PrintWriterCallback, ResourceLimits, ResourceTracker,
};
use narrows_types::frame::{Done, End, FromWorker, Program, Reply};
use narrows_types::{Finding, Limit, Position, Usage};
use std::borrow::Cow;
use std::collections::{HashMap, HashSet};
use std::io::{Read, Write};
use std::os::fd::AsFd;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::calls;
use super::clock::Clock;
use super::ending::places;
use super::names::{Left, NAME_BYTES_MAX, Names, Target};
use super::output::Output;
use super::probe::Probe;
use super::scratch::{self, Scratch};
use super::source::Rewritten;
use super::uses::{self, Known, Reading};
use super::value;
use crate::link::{Link, LinkError, restless, unexpected};
use crate::time::Began;

/// The file name of the program in Monty's tracebacks.
const SCRIPT: &str = "program.py";

/// The deepest recursion of a program. What costs most stack for a level (a debug build that turns
/// nested dicts into a value) must fit into the 8 MB of a main thread, twice.
const DEPTH_MAX: usize = 400;

/// Monty is warm: what it sets up once is set up, and what most programs ask it is answered.
#[derive(Debug)]
pub(crate) struct Prepared {
    probe: Probe,
    /// What programs run in; made for the first one, and for each unless it has state.
    repl: Option<MontyRepl>,
    /// Programs that were run in it.
    fed: u64,
    /// What they left.
    known: Known,
    /// The namespaces and call sites that what they left may refer to.
    left: Left,
}

/// Warms Monty up, before the zygote forks.
///
/// # Errors
/// The process does not use [`crate::Allocator`] as its global allocator, so that memory could not
/// be limited, or Monty does not work.
pub(crate) fn prepare() -> Result<Prepared, String> {
    monty_alloc::set_limit(None, false).map_err(str::to_owned)?;
    let code = "import json, asyncio, re, math, datetime\n\
                async def f(x):\n    return [x, f'{x:.2f}', json.loads('{\"a\": 1}')]\n\
                a, b = await asyncio.gather(f(1), f(2.5))\n\
                len(sorted([str(a), str(b)])) + len(re.findall('a', 'banana'))\n";
    let probe = Probe::warm();
    let reading = uses::read(code, &probe);
    let run = compile(reading.rewritten.text).map_err(|error| error.summary())?;
    run.run(Vec::new(), ResourceTracker::default(), PrintWriter::Disabled)
        .map_err(|error| error.summary())?;
    let (known, left) = (Known::default(), Left::default());
    Ok(Prepared { probe, repl: None, fed: 0, known, left })
}

fn compile(text: String) -> Result<MontyRun, MontyException> {
    MontyRun::new(text, SCRIPT, Vec::new(), CompileOptions::default())
}

impl Prepared {
    /// Runs one program: sends `Uses`, waits for `Go`, evaluates, ends with `Done`.
    ///
    /// # Errors
    /// The link broke or the host did not keep to the protocol. What the program does wrong is in
    /// `Done`.
    pub(crate) fn run<S: Read + Write + AsFd>(
        &mut self,
        link: &mut Link<S>,
        program: &Program,
    ) -> Result<(), LinkError> {
        let began = Began::now();
        let reading = read(program, &self.probe, &self.known);
        let Reading { uses, rewritten, sites, plain, names } = reading;
        let namespaces = link.ask_to_go(uses)?;
        let input = program.input.as_ref().map_or(Ok(MontyObject::None), |input| {
            value::from_json(input.get()).map_err(|why| unexpected(&format!("no input: {why}")))
        })?;
        let mut session = Session {
            link,
            output: Output::new(&program.limits),
            names: Names::new(namespaces, std::mem::take(&mut self.left), (sites, plain), input),
            program,
            rewritten,
            script: format!("<python-input-{}>", self.fed),
            repl: None,
            clock: Clock::new(program.now_ms),
            began,
            memory_bytes: 0,
            expired: None,
            broken: None,
            calls: 0,
            notices: 0,
            shown_bytes: 0,
            pending: HashMap::new(),
            ready: HashMap::new(),
            scratch: Scratch::new(&program.limits),
            loads: HashSet::new(),
            replies: Vec::new(),
            tool_errors: Vec::new(),
        };
        let repl = self.repl.take().unwrap_or_else(|| {
            MontyRepl::new(SCRIPT, ResourceTracker::default(), CompileOptions::default())
        });
        let end = match session.evaluate(repl, &self.known) {
            Ok(never) => match never {},
            Err(Stop::Link(error)) => return Err(error),
            Err(Stop::End(end)) => end,
        };
        // The program is over; the limit would only count the answer itself.
        let _: Result<(), _> = monty_alloc::set_limit(None, false);
        session.output.finish(session.link)?;
        let usage = session.usage();
        self.left = session.names.left();
        self.repl = session.repl.filter(|_| !matches!(end, End::Limit(_)));
        self.known.sites = self.left.sites.len();
        self.known.names.extend(names);
        self.fed += 1;
        link.send(&FromWorker::Done(Box::new(Done { end, usage })))?;
        if program.state && self.repl.is_none() { Err(restless()) } else { Ok(()) }
    }
}

/// Reads the program; what Monty itself refuses becomes a finding too.
fn read(program: &Program, probe: &Probe, known: &Known) -> Reading {
    let mut reading = uses::read_after(&program.code, probe, known);
    if reading.uses.findings.is_empty()
        && let Err(error) = compile(reading.rewritten.text.clone())
    {
        let at = places(&error, SCRIPT, &reading.rewritten).first().copied();
        let at = at.unwrap_or(Position { line: 1, column: 1 });
        let message = error.message().unwrap_or("the program does not compile").to_owned();
        reading.uses.findings.push(Finding { at, message });
    }
    reading
}

/// Why a session stops.
pub(super) enum Stop {
    /// The link is broken.
    Link(LinkError),
    /// The program ended.
    End(End),
}

impl From<LinkError> for Stop {
    fn from(error: LinkError) -> Self {
        Self::Link(error)
    }
}

/// No value: a session only ever stops.
enum Never {}

/// One program under way.
pub(super) struct Session<'l, S> {
    pub(super) link: &'l mut Link<S>,
    output: Output,
    pub(super) names: Names,
    pub(super) program: &'l Program,
    pub(super) rewritten: Rewritten,
    /// The program's name in tracebacks.
    pub(super) script: String,
    /// What it ran in, once it has ended.
    repl: Option<MontyRepl>,
    pub(super) clock: Clock,
    began: Began,
    memory_bytes: u64,
    /// The time that ran out while Monty ran.
    pub(super) expired: Option<Limit>,
    /// The link broke while Monty printed.
    broken: Option<LinkError>,
    /// Calls sent so far: the last one's id.
    pub(super) calls: u32,
    /// Progress frames sent so far.
    pub(super) notices: u32,
    /// Bytes shown so far.
    pub(super) shown_bytes: u64,
    /// Our ids of calls whose futures are out, with Monty's.
    pub(super) pending: HashMap<u32, u32>,
    /// What is known of futures that were never sent anywhere, by Monty's ids.
    ready: HashMap<u32, ExtFunctionResult>,
    pub(super) scratch: Scratch,
    /// Our ids of calls that bring files.
    pub(super) loads: HashSet<u32>,
    /// Replies that came before anybody asked for them, in the order in which they came: Monty
    /// itself lists what it waits for in another order each time.
    pub(super) replies: Vec<Reply>,
    /// Messages of tools' errors that the program got: Monty cannot tell them from its own.
    pub(super) tool_errors: Vec<String>,
}

impl<S: Read + Write + AsFd> Session<'_, S> {
    fn evaluate(&mut self, mut repl: MontyRepl, known: &Known) -> Result<Never, Stop> {
        let globals = self.names.globals(&known.names);
        let text = std::mem::take(&mut self.rewritten.text);
        let limits = &self.program.limits;
        let memory = usize::try_from(limits.memory_bytes).unwrap_or(usize::MAX);
        let resources = ResourceLimits::default()
            .max_duration(Duration::from_millis(limits.wall_ms))
            .max_memory(memory)
            .max_recursion_depth(DEPTH_MAX);
        self.arm()?;
        *repl.tracker_mut() = ResourceTracker::new(resources);
        let mut progress = self.turn(|print| repl.feed_start(&text, globals, print))?;
        loop {
            self.check_time()?;
            progress = match progress {
                ReplProgress::Complete { repl, value } => {
                    let end = self.returned(&value);
                    self.repl = Some(repl);
                    return Err(Stop::End(end));
                }
                ReplProgress::FunctionCall(call) => self.function_call(call)?,
                ReplProgress::OsCall(call) => self.os_call(call)?,
                ReplProgress::ResolveFutures(futures) => self.futures(futures)?,
                ReplProgress::NameLookup(lookup) => {
                    let found = self.names.look_up(&lookup.name, lookup.object_id());
                    self.turn(|print| lookup.resume(found, print))?
                }
            };
        }
    }

    /// The interpreter's memory limit applies from here on.
    pub(super) fn arm(&self) -> Result<(), Stop> {
        let bytes = usize::try_from(self.program.limits.memory_bytes).unwrap_or(usize::MAX);
        monty_alloc::set_limit(Some(bytes), false)
            .map_err(|why| Stop::Link(LinkError::Io(std::io::Error::other(why))))
    }

    /// Lets Monty run until it wants something.
    pub(super) fn turn(
        &mut self,
        go: impl FnOnce(PrintWriter<'_>) -> Result<ReplProgress, Box<ReplStartError>>,
    ) -> Result<ReplProgress, Stop> {
        let result = go(PrintWriter::Callback(self));
        self.measure();
        if let Some(error) = self.broken.take() {
            return Err(Stop::Link(error));
        }
        result.map_err(|failed| {
            let ReplStartError { repl, error } = *failed;
            self.repl = Some(repl);
            Stop::End(self.failed(&error))
        })
    }

    fn measure(&mut self) {
        let live = LIVE_MEMORY.load(Ordering::Relaxed);
        let used = live.saturating_sub(BASELINE_MEMORY.load(Ordering::Relaxed)) as u64;
        self.memory_bytes = self.memory_bytes.max(used);
    }

    /// Monty's own clock stands still while the host is asked; this one does not.
    pub(super) fn check_time(&self) -> Result<(), Stop> {
        let reached = self.began.reached(&self.program.limits);
        reached.map_or(Ok(()), |limit| Err(Stop::End(End::Limit(limit))))
    }

    /// Until the run's time is over, waiting included.
    pub(super) fn time_left(&self) -> Duration {
        Duration::from_millis(self.program.limits.wall_ms).saturating_sub(self.began.wall())
    }

    fn function_call(&mut self, call: ReplFunctionCall) -> Result<ReplProgress, Stop> {
        match self.names.target(&call.function_name, call.object_id) {
            Target::Tool { server, tool, .. } if server.len() + tool.len() >= NAME_BYTES_MAX => {
                let message = "no tool has so long a name".to_owned();
                let error = MontyException::new(ExcType::TypeError, Some(message));
                self.turn(|print| call.resume(error, print))
            }
            Target::Tool { server, tool, wait } => {
                let name = format!("{server}.{tool}");
                match calls::tool_arguments(&name, &call, self.program.limits.value_bytes) {
                    Ok(args) => self.call(call, (server, tool, args), wait),
                    Err(error) => self.turn(|print| call.resume(error, print)),
                }
            }
            Target::Own { own, wait } => {
                match own.arguments(&call, self.program.limits.value_bytes) {
                    Ok(args) => {
                        let tool = own.tool.to_owned();
                        self.call(call, ("narrows".to_owned(), tool, args), wait)
                    }
                    Err(error) => self.turn(|print| call.resume(error, print)),
                }
            }
            Target::Scratch { name, wait } => self.scratch(call, &name, wait),
            Target::Progress => {
                let result = self.progress(&call)?;
                self.turn(|print| call.resume(result, print))
            }
            Target::Show => {
                let result = self.show(&call)?;
                self.turn(|print| call.resume(result, print))
            }
            Target::NoFunction(name) => {
                let message = format!("{name} is not a function");
                let error = MontyException::new(ExcType::TypeError, Some(message));
                self.turn(|print| call.resume(error, print))
            }
            Target::Unknown(name) => {
                self.turn(|print| call.resume(ExtFunctionResult::NotFound(name), print))
            }
        }
    }

    /// A function for scratch files: most have done what they do when they return.
    fn scratch(
        &mut self,
        call: ReplFunctionCall,
        name: &str,
        wait: bool,
    ) -> Result<ReplProgress, Stop> {
        if scratch::leaves(name) {
            return match self.scratch.leave(name, &call) {
                Ok((tool, args)) => {
                    if name == scratch::LOAD {
                        self.loads.insert(self.calls + 1);
                    }
                    self.call(call, ("narrows".to_owned(), tool, args), wait)
                }
                Err(error) => self.turn(|print| call.resume(error, print)),
            };
        }
        let result =
            self.scratch.call(name, &call).map_err(|limit| Stop::End(End::Limit(limit)))?;
        if wait {
            return self.turn(|print| call.resume(result, print));
        }
        self.ready.insert(call.call_id, result);
        self.turn(|print| call.resume_pending(print))
    }

    fn os_call(&mut self, call: ReplOsCall) -> Result<ReplProgress, Stop> {
        if let Some(result) = self.scratch.os(&call.function_call) {
            let result = result.map_err(|limit| Stop::End(End::Limit(limit)))?;
            return self.turn(|print| call.resume(result, print));
        }
        let result: ExtFunctionResult = match &call.function_call {
            OsFunctionCall::DateToday => MontyObject::Date(self.clock.today()).into(),
            OsFunctionCall::DateTimeNow(zone) => {
                MontyObject::DateTime(self.clock.now(zone.clone())).into()
            }
            other => {
                let message = format!(
                    "{} is not available: programs have no environment; call a tool",
                    other.name()
                );
                MontyException::new(ExcType::PermissionError, Some(message)).into()
            }
        };
        self.turn(|print| call.resume(result, print))
    }

    /// Everybody waits: answer those whose replies are here, else wait for one more.
    fn futures(&mut self, futures: ReplResolveFutures) -> Result<ReplProgress, Stop> {
        let ids = futures.pending_call_ids().iter();
        let ready = ids.filter_map(|id| Some((*id, self.ready.remove(id)?)));
        let ready: Vec<_> = ready.collect();
        if !ready.is_empty() {
            return self.turn(|print| futures.resume(ready, print));
        }
        let mut results = self.arrived(futures.pending_call_ids());
        while results.is_empty() {
            let wanted = futures.pending_call_ids();
            if !self.pending.values().any(|id| wanted.contains(id)) {
                self.repl = Some(futures.into_repl());
                return Err(Stop::End(End::Deadlock));
            }
            let reply = self.receive()?;
            self.replies.push(reply);
            results = self.arrived(futures.pending_call_ids());
        }
        let mut answers = Vec::with_capacity(results.len());
        for (id, reply) in results {
            answers.push((id, self.outcome(&reply)?));
        }
        self.arm()?;
        self.turn(|print| futures.resume(answers, print))
    }

    fn arrived(&mut self, ids: &[u32]) -> Vec<(u32, Reply)> {
        let mut results = Vec::new();
        for reply in std::mem::take(&mut self.replies) {
            match self.pending.get(&reply.id).copied().filter(|id| ids.contains(id)) {
                Some(id) => {
                    self.pending.remove(&reply.id);
                    results.push((id, reply));
                }
                None => self.replies.push(reply),
            }
        }
        results
    }

    fn usage(&self) -> Usage {
        let micros = |time: Duration| u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        Usage {
            wall_us: micros(self.began.wall()),
            cpu_us: micros(self.began.cpu()),
            memory_bytes: self.memory_bytes,
            ..Usage::default()
        }
    }

    fn print(&mut self, text: &str) -> Result<(), MontyException> {
        match self.output.push(text, self.link) {
            Ok(()) => Ok(()),
            Err(error) => {
                self.broken = Some(error);
                Err(MontyException::new(ExcType::SystemExit, Some("the link broke".to_owned())))
            }
        }
    }
}

impl<S: Read + Write + AsFd> PrintWriterCallback for Session<'_, S> {
    fn stdout_write(&mut self, output: Cow<'_, str>) -> Result<(), MontyException> {
        self.print(&output)
    }

    fn stdout_push(&mut self, end: char) -> Result<(), MontyException> {
        self.print(end.encode_utf8(&mut [0; 4]))
    }

    /// Monty comes by here every some thousand instructions: the only place where the time that
    /// Monty does not measure can stop it. No `except Exception` catches this; a bare
    /// `except` does, until the next time.
    fn poll_flush(&mut self) -> Result<(), MontyException> {
        self.measure();
        let Some(limit) = self.began.reached(&self.program.limits) else { return Ok(()) };
        self.expired = Some(limit);
        Err(MontyException::new(ExcType::KeyboardInterrupt, Some(format!("{limit} is reached"))))
    }
}
