//! Drives whole runs over a socket pair, with the test's thread as the scripted host.

use crate::link::{Link, LinkError};
use narrows_types::frame::{
    Call, CallError, Done, End, FromWorker, Go, PREFIX_BYTES, Program, Reply, ToWorker,
};
use narrows_types::{Finding, Language, Limits, Uses};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::sync::{Mutex, PoisonError};
use std::thread::Builder;

#[global_allocator]
static ALLOCATOR: crate::Allocator = crate::Allocator;

/// The memory limit is the process's: under `cargo test` runs must not overlap.
pub(crate) static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

/// What the scripted host knows.
const NAMESPACES: [&str; 4] = ["github", "my_store", "files", "_1st"];

/// A run's frames, sorted by kind.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    pub(crate) uses: Uses,
    pub(crate) calls: Vec<Call>,
    /// The wakes that were asked for: each one's id and time.
    pub(crate) wakes: Vec<(u32, u64)>,
    pub(crate) logs: Vec<String>,
    pub(crate) progress: Vec<(Option<f64>, String)>,
    pub(crate) shown: Vec<Value>,
    pub(crate) idles: u32,
    pub(crate) done: Option<Done>,
}

impl Seen {
    pub(crate) fn value(&self) -> Value {
        match self.end() {
            End::Value(json) => serde_json::from_str(json.get()).unwrap(),
            other => panic!("no value: {other:?}, findings {:?}", self.uses.findings),
        }
    }

    pub(crate) fn end(&self) -> &End {
        match &self.done {
            Some(done) => &done.end,
            None => panic!("no end; findings {:?}", self.uses.findings),
        }
    }

    pub(crate) fn threw(&self) -> (String, String, Vec<(u32, u32)>) {
        match self.end() {
            End::Threw(error) => {
                let at = error.at.iter().map(|at| (at.line, at.column)).collect();
                (error.name.clone(), error.message.clone(), at)
            }
            other => panic!("threw nothing: {other:?}"),
        }
    }

    /// What is wrong with the program, each with its place.
    pub(crate) fn findings(&self) -> Vec<String> {
        let place = |f: &Finding| format!("{}:{} {}", f.at.line, f.at.column, f.message);
        self.uses.findings.iter().map(place).collect()
    }

    /// What is wrong with the program, wherever that is.
    pub(crate) fn messages(&self) -> Vec<&str> {
        self.uses.findings.iter().map(|finding| finding.message.as_str()).collect()
    }

    pub(crate) fn tools(&self) -> Vec<String> {
        self.calls
            .iter()
            .map(|call| format!("{}.{} {}", call.server, call.tool, call.args))
            .collect()
    }
}

/// Evaluates one program after the other.
pub(crate) type Evaluator =
    Box<dyn FnMut(&mut Link<UnixStream>, &Program) -> Result<(), LinkError>>;

/// A run to be made.
pub(crate) struct Script<'h> {
    pub(crate) program: Program,
    prepare: fn() -> Evaluator,
    host: Host<'h>,
    servers: Vec<&'static str>,
    wakes: bool,
}

type Host<'h> = Box<dyn FnMut(&Call) -> Vec<Reply> + 'h>;

pub(crate) fn ok(id: u32, value: &Value) -> Reply {
    Reply { id, ok: true, at_us: 0, body: value.to_string() }
}

pub(crate) fn failed(id: u32, tool: &str, message: &str) -> Reply {
    let error = CallError {
        tool: tool.to_owned(),
        message: message.to_owned(),
        arguments: "{owner: string}".to_owned(),
    };
    Reply { id, ok: false, at_us: 0, body: serde_json::to_string(&error).unwrap() }
}

impl<'h> Script<'h> {
    /// A program whose calls are all answered with their arguments.
    pub(crate) fn new(language: Language, code: &str, prepare: fn() -> Evaluator) -> Self {
        let program = Program {
            code: code.to_owned(),
            language,
            input: None,
            limits: Limits::default(),
            now_ms: 1_767_225_600_000,
            seed: 1,
            state: false,
        };
        let echo = |call: &Call| vec![ok(call.id, &serde_json::from_str(call.args.get()).unwrap())];
        let servers = NAMESPACES.to_vec();
        Self { program, prepare, host: Box::new(echo), servers, wakes: true }
    }

    pub(crate) fn input(mut self, input: &Value) -> Self {
        self.program.input = Some(serde_json::value::to_raw_value(input).unwrap());
        self
    }

    pub(crate) fn limits(mut self, set: impl FnOnce(&mut Limits)) -> Self {
        set(&mut self.program.limits);
        self
    }

    pub(crate) fn seed(mut self, seed: u64) -> Self {
        self.program.seed = seed;
        self
    }

    /// The host has these servers too.
    pub(crate) fn servers(mut self, names: &[&'static str]) -> Self {
        self.servers.extend(names);
        self
    }

    pub(crate) fn host(mut self, host: impl FnMut(&Call) -> Vec<Reply> + 'h) -> Self {
        self.host = Box::new(host);
        self
    }

    /// The host wakes nobody.
    pub(crate) fn asleep(mut self) -> Self {
        self.wakes = false;
        self
    }

    pub(crate) fn run(self) -> Seen {
        let prepare = self.prepare;
        self.run_by(move |inside, program| prepare()(&mut Link::new(inside), program))
    }

    /// Runs it with whatever speaks for the worker.
    pub(crate) fn run_by<E: std::fmt::Debug + Send + 'static>(
        mut self,
        worker: impl FnOnce(UnixStream, &Program) -> Result<(), E> + Send + 'static,
    ) -> Seen {
        let _one = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
        let (inside, mut outside) = UnixStream::pair().unwrap();
        let program = self.program.clone();
        let worker = thread().spawn(move || worker(inside, &program)).unwrap();
        let seen = self.hear(&mut outside);
        drop(outside);
        let result = worker.join().unwrap();
        assert_eq!(result.is_ok(), seen.done.is_some(), "{result:?}");
        seen
    }

    /// The host's part of one program.
    fn hear(&mut self, outside: &mut UnixStream) -> Seen {
        let mut seen = Seen::default();
        while let Some(frame) = next(outside) {
            match frame {
                FromWorker::Uses(uses) => {
                    seen.uses = *uses;
                    if !seen.uses.findings.is_empty() {
                        send(outside, &ToWorker::No);
                        break;
                    }
                    let roots = seen.uses.references.iter().map(|r| r.root.as_str());
                    let known: BTreeSet<&str> =
                        roots.filter(|root| self.servers.contains(root)).collect();
                    let namespaces = known.into_iter().map(str::to_owned).collect();
                    send(outside, &ToWorker::Go(Go { namespaces }));
                }
                FromWorker::Call(call) if (&*call.server, &*call.tool) == ("narrows", "wait") => {
                    let args: Value = serde_json::from_str(call.args.get()).unwrap();
                    let until_us = args["until_us"].as_u64().unwrap();
                    assert_eq!(args, json!({ "until_us": until_us }));
                    seen.wakes.push((call.id, until_us));
                    if self.wakes {
                        let body = "null".to_owned();
                        let reply = Reply { id: call.id, ok: true, at_us: until_us, body };
                        send(outside, &ToWorker::Reply(reply));
                    }
                }
                FromWorker::Call(call) => {
                    for reply in (self.host)(&call) {
                        send(outside, &ToWorker::Reply(reply));
                    }
                    seen.calls.push(call);
                }
                FromWorker::Log(log) => seen.logs.push(log.text),
                FromWorker::Progress(p) => seen.progress.push((p.fraction, p.message)),
                FromWorker::Show(value) => {
                    seen.shown.push(serde_json::from_str(value.get()).unwrap());
                }
                FromWorker::Idle => seen.idles += 1,
                FromWorker::Hello(_) => panic!("an engine says no hello"),
                FromWorker::Done(done) => {
                    seen.done = Some(*done);
                    if self.program.state {
                        break;
                    }
                }
            }
        }
        seen
    }
}

/// Runs programs one after the other in one worker, which is kept.
pub(crate) fn kept(scripts: Vec<Script<'_>>) -> Vec<Seen> {
    let _one = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let (inside, mut outside) = UnixStream::pair().unwrap();
    let prepare = scripts.first().unwrap().prepare;
    let worker = thread().spawn(move || {
        let mut evaluate = prepare();
        let mut link = Link::new(inside);
        while let Ok(program) = link.next_program() {
            match evaluate(&mut link, &program) {
                Ok(()) | Err(LinkError::Refused) => {}
                Err(_) => return,
            }
        }
    });
    let seen = scripts.into_iter().map(|mut script| {
        script.program.state = true;
        send(&mut outside, &ToWorker::Run(Box::new(script.program.clone())));
        script.hear(&mut outside)
    });
    let seen = seen.collect();
    drop(outside);
    worker.unwrap().join().unwrap();
    seen
}

/// One with the stack of a process's main thread.
fn thread() -> Builder {
    Builder::new().stack_size(8 << 20)
}

pub(crate) fn send(stream: &mut UnixStream, frame: &ToWorker) {
    // The worker may have ended meanwhile.
    stream.write_all(&frame.encode().unwrap()).unwrap_or_default();
}

pub(crate) fn next(stream: &mut UnixStream) -> Option<FromWorker> {
    let mut prefix = [0; PREFIX_BYTES];
    stream.read_exact(&mut prefix).ok()?;
    let mut frame = vec![0; u32::from_le_bytes(prefix) as usize];
    stream.read_exact(&mut frame).ok()?;
    let value_bytes = usize::try_from(Limits::default().value_bytes).unwrap();
    let bytes_max = FromWorker::bytes_max(frame[0], value_bytes).unwrap();
    assert!(frame.len() <= bytes_max, "kind {} of {} bytes", frame[0], frame.len());
    Some(FromWorker::decode(&frame).unwrap())
}
