//! Drives whole runs over a socket pair, with this thread as the scripted host.

mod gaps;
mod hostile;
mod idioms;
mod own;
pub(crate) mod runs;
mod scratch;
mod state;
mod time;
mod uses;

use super::prepare;
use super::probe::Probe;
use super::uses::Reading;
use crate::link::{Link, LinkError};
use narrows_types::frame::{
    Call, CallError, Done, End, FromWorker, Go, PREFIX_BYTES, Program, Reply, ToWorker,
};
use narrows_types::{Language, Limits, Uses};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::sync::{Mutex, PoisonError};

#[global_allocator]
static ALLOCATOR: crate::Allocator = crate::Allocator;

/// The memory limit is the process's: under `cargo test` runs must not overlap.
pub(crate) static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

/// What the scripted host knows.
pub(crate) const NAMESPACES: [&str; 4] = ["github", "my_store", "files", "_1st"];

/// Reads a program with nothing known before.
pub(super) fn read(code: &str) -> Reading {
    super::uses::read(code, &Probe::default())
}

/// A run's frames, sorted by kind.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    pub(crate) uses: Uses,
    pub(crate) calls: Vec<Call>,
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

    pub(crate) fn findings(&self) -> Vec<String> {
        let place =
            |f: &narrows_types::Finding| format!("{}:{} {}", f.at.line, f.at.column, f.message);
        self.uses.findings.iter().map(place).collect()
    }

    pub(crate) fn tools(&self) -> Vec<String> {
        self.calls
            .iter()
            .map(|call| format!("{}.{} {}", call.server, call.tool, call.args))
            .collect()
    }
}

/// A run to be made.
pub(crate) struct Script<'h> {
    program: Program,
    host: Host<'h>,
    servers: Vec<&'static str>,
}

type Host<'h> = Box<dyn FnMut(&Call) -> Vec<Reply> + 'h>;

/// Runs a program whose calls are all answered with their arguments.
pub(crate) fn run(code: &str) -> Seen {
    script(code).run()
}

pub(crate) fn script<'h>(code: &str) -> Script<'h> {
    let program = Program {
        code: code.to_owned(),
        language: Language::Python,
        input: None,
        limits: Limits::default(),
        now_ms: 1_767_225_600_000,
        seed: 1,
        state: false,
    };
    let echo = |call: &Call| vec![ok(call.id, &serde_json::from_str(call.args.get()).unwrap())];
    Script { program, host: Box::new(echo), servers: NAMESPACES.to_vec() }
}

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
    pub(crate) fn input(mut self, input: &Value) -> Self {
        self.program.input = Some(serde_json::value::to_raw_value(input).unwrap());
        self
    }

    pub(crate) fn limits(mut self, set: impl FnOnce(&mut Limits)) -> Self {
        set(&mut self.program.limits);
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

    pub(crate) fn run(self) -> Seen {
        self.run_by(|inside, program| prepare().unwrap().run(&mut Link::new(inside), program))
    }

    /// Runs it with whatever speaks for the worker.
    pub(crate) fn run_by<E: std::fmt::Debug + Send + 'static>(
        mut self,
        worker: impl FnOnce(UnixStream, &Program) -> Result<(), E> + Send + 'static,
    ) -> Seen {
        let _one = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
        let (inside, mut outside) = UnixStream::pair().unwrap();
        let program = self.program.clone();
        // The stack that a process's main thread has.
        let worker =
            std::thread::Builder::new().stack_size(8 << 20).spawn(move || worker(inside, &program));
        let worker = worker.unwrap();
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
fn kept(scripts: Vec<Script<'_>>) -> Vec<Seen> {
    let _one = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let (inside, mut outside) = UnixStream::pair().unwrap();
    let worker = std::thread::Builder::new().stack_size(8 << 20).spawn(move || {
        let mut prepared = prepare().unwrap();
        let mut link = Link::new(inside);
        while let Ok(program) = link.next_program() {
            match prepared.run(&mut link, &program) {
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

fn send(stream: &mut UnixStream, frame: &ToWorker) {
    // The worker may have ended meanwhile.
    stream.write_all(&frame.encode().unwrap()).unwrap_or_default();
}

fn next(stream: &mut UnixStream) -> Option<FromWorker> {
    let mut prefix = [0; PREFIX_BYTES];
    stream.read_exact(&mut prefix).ok()?;
    let mut frame = vec![0; u32::from_le_bytes(prefix) as usize];
    stream.read_exact(&mut frame).ok()?;
    Some(FromWorker::decode(&frame).unwrap())
}

#[test]
fn a_program_gives_its_value() {
    assert_eq!(run("1 + 1").value(), json!(2));
}
