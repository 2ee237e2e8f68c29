//! Engines behind one word, and a way to run one without a jail, for tests.

use crate::jail::outside::{Forked, Start};
use crate::jail::process::{self, Dead};
use crate::link::Link;
use crate::relay::{Beside, Evaluator, Reader, Relayed};
use crate::wire::Wire;
use crate::{js, py, wasm};
use narrows_types::control::{Death, EXIT_CPU, EXIT_EVALUATOR, EXIT_MEMORY};
use narrows_types::frame::{Program, ToWorker};
use narrows_types::{Language, Limits};
use nix::poll::poll;
use std::mem::ManuallyDrop;
use std::os::unix::net::UnixStream;

/// Why an evaluation stopped without a `Done`: the link broke, or the host broke the protocol.
#[derive(Debug)]
pub struct Stopped(pub String);

/// A language's interpreter, warm.
pub trait Engine: Sized {
    /// A program that touches what most programs touch. It may call tools of the one server
    /// `sample`, which give an object with a number `a` and a list `rows` of objects with a `b`.
    const SAMPLE: &'static str;

    /// Runs one program whose `Run` frame has been read: speaks `Uses`, `Call` and so on over the
    /// wire, ends with `Done` and gives the wire back. With [`Program::state`] it is asked again,
    /// and the next program finds what this one defined.
    ///
    /// # Errors
    /// The link broke or the host broke the protocol. What the program does wrong is in `Done`.
    fn run(&mut self, wire: Wire, program: &Program) -> Result<Wire, Stopped>;

    /// How the interpreter is started that evaluates programs, where it is none of this binary's.
    fn outside(&self) -> Option<&Start> {
        None
    }

    /// Takes over the evaluator that this worker has beside it.
    fn meet(&mut self, _evaluator: Forked) {}
}

impl Engine for js::Prepared {
    const SAMPLE: &'static str = js::SAMPLE;

    fn run(&mut self, wire: Wire, program: &Program) -> Result<Wire, Stopped> {
        Link::lend(wire, |link| self.run(link, program))
    }
}

impl Engine for py::Prepared {
    const SAMPLE: &'static str = py::SAMPLE;

    fn run(&mut self, wire: Wire, program: &Program) -> Result<Wire, Stopped> {
        Link::lend(wire, |link| self.run(link, program))
    }
}

impl Engine for wasm::Prepared {
    const SAMPLE: &'static str = js::SAMPLE;

    fn run(&mut self, wire: Wire, program: &Program) -> Result<Wire, Stopped> {
        Link::lend(wire, |link| self.run(link, program))
    }
}

impl<R: Reader> Engine for Beside<R> {
    const SAMPLE: &'static str = R::SAMPLE;

    fn run(&mut self, wire: Wire, program: &Program) -> Result<Wire, Stopped> {
        let own = self.start.once;
        let mut link = Link::new(wire);
        match self.run(&mut link, program)? {
            Relayed::Done => Ok(link.into_stream()),
            Relayed::Gone if own => process::exit(end_of_evaluator(&program.limits)),
            Relayed::Gone => process::exit(EXIT_EVALUATOR),
        }
    }

    fn outside(&self) -> Option<&Start> {
        Some(&self.start)
    }

    fn meet(&mut self, evaluator: Forked) {
        self.evaluator = Some(Evaluator::new(evaluator));
    }
}

/// How an evaluator ended that this process has started itself, as an exit code.
fn end_of_evaluator(limits: &Limits) -> i32 {
    // Its socket is closed a moment before it is gone; one that closed it and lives on is ended with
    // this process.
    const LOOKS: u8 = 100;
    const BETWEEN_MS: u8 = 10;
    for _ in 0..LOOKS {
        match process::reap(false) {
            Ok(Some(Dead { how: Death::Signal(libc::SIGPROF | libc::SIGXCPU), .. })) => {
                return EXIT_CPU;
            }
            Ok(Some(Dead { how, memory_bytes, .. })) => {
                let full = how.for_want_of_memory(memory_bytes, limits.memory_bytes);
                return if full { EXIT_MEMORY } else { EXIT_EVALUATOR };
            }
            Ok(None) => drop(poll(&mut [], BETWEEN_MS)),
            Err(_) => break,
        }
    }
    EXIT_EVALUATOR
}

/// Reads programs from the stream, one unless they keep state, and runs them right here, with no
/// jail around them: for tests of what is above and beside the jail, never for a program that is
/// not trusted. The engine's own limits hold; the process must use [`crate::Allocator`] for Python.
///
/// # Errors
/// As [`Engine::run`].
pub fn evaluate(stream: UnixStream, language: Language) -> Result<(), Stopped> {
    let wire = Wire::from(stream);
    match language {
        Language::TypeScript => live(wire, js::prepare().map_err(Stopped)?, |_| Ok(())),
        Language::Python => live(wire, py::prepare().map_err(Stopped)?, |_| Ok(())),
    }
}

/// Runs a program, and those that come after it where its worker is kept; each has its limits set
/// before it runs.
pub(crate) fn live<E: Engine>(
    mut wire: Wire,
    engine: E,
    mut confine: impl FnMut(&Program) -> Result<(), String>,
) -> Result<(), Stopped> {
    let ToWorker::Run(mut program) = Link::new(&mut wire).receive()? else {
        return Err(Stopped("expected a program".to_owned()));
    };
    // Never dropped: a worker ends with its last program, and to free a heap object by object costs
    // more than a short run, for each page of it must be copied from the zygote first.
    let mut engine = ManuallyDrop::new(engine);
    loop {
        confine(&program).map_err(Stopped)?;
        wire = engine.run(wire, &program)?;
        if !program.state {
            return Ok(());
        }
        program = Link::new(&mut wire).next_program()?;
    }
}
