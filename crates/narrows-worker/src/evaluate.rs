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
    /// wire and ends with `Done`.
    ///
    /// # Errors
    /// The link broke or the host broke the protocol. What the program does wrong is in `Done`.
    fn run(self, wire: Wire, program: &Program) -> Result<(), Stopped>;

    /// How the interpreter is started that evaluates programs, where it is none of this binary's.
    fn outside(&self) -> Option<&Start> {
        None
    }

    /// Takes over the evaluator that this worker has beside it.
    fn meet(&mut self, _evaluator: Forked) {}
}

impl Engine for js::Prepared {
    const SAMPLE: &'static str = js::SAMPLE;

    fn run(self, wire: Wire, program: &Program) -> Result<(), Stopped> {
        Ok(self.run(&mut Link::new(wire), program)?)
    }
}

impl Engine for py::Prepared {
    const SAMPLE: &'static str = py::SAMPLE;

    fn run(self, wire: Wire, program: &Program) -> Result<(), Stopped> {
        Ok(self.run(&mut Link::new(wire), program)?)
    }
}

impl Engine for wasm::Prepared {
    const SAMPLE: &'static str = js::SAMPLE;

    fn run(self, wire: Wire, program: &Program) -> Result<(), Stopped> {
        Ok(self.run(&mut Link::new(wire), program)?)
    }
}

impl<R: Reader> Engine for Beside<R> {
    const SAMPLE: &'static str = R::SAMPLE;

    fn run(self, wire: Wire, program: &Program) -> Result<(), Stopped> {
        let own = self.start.once;
        match self.run(&mut Link::new(wire), program)? {
            Relayed::Done => Ok(()),
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

/// Reads one program from the stream and runs it right here, with no jail around it: for tests of
/// what is above and beside the jail, never for a program that is not trusted. The engine's own
/// limits hold; the process must use [`crate::Allocator`] for Python.
///
/// # Errors
/// As [`Engine::run`].
pub fn evaluate(stream: UnixStream, language: Language) -> Result<(), Stopped> {
    let mut wire = Wire::from(stream);
    let ToWorker::Run(program) = Link::new(&mut wire).receive()? else {
        return Err(Stopped("expected a program".to_owned()));
    };
    match language {
        Language::TypeScript => Engine::run(js::prepare().map_err(Stopped)?, wire, &program),
        Language::Python => Engine::run(py::prepare().map_err(Stopped)?, wire, &program),
    }
}
