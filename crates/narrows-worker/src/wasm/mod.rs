//! TypeScript and JavaScript in WebAssembly: all of `js/`, but programs are evaluated by a
//! `QuickJS` that can touch nothing but its own memory.
//!
//! One guest is made before the fork; what a worker writes to of its memory is copied, so that each
//! run finds the guest as it was when nobody had used it. The machine code is made when Narrows is
//! built, see `build.rs`, and no compiler is in the product.

mod guest;
mod imports;
mod libm;
mod tick;
mod tuning;

#[cfg(test)]
mod both;
// What holds for the one engine holds for the other.
#[cfg(test)]
#[path = "../js/tests/mod.rs"]
#[expect(clippy::duplicate_mod, reason = "the same tests, with this module's `prepare`")]
mod tests;

use narrows_types::frame::{End, FromWorker, Program};
use narrows_types::{Finding, Language, Position, Uses};
use std::collections::HashSet;
use std::io::{Read, Write};
use std::os::fd::AsFd;
use std::rc::Rc;
use wasmtime::{Engine, Module};

use crate::js::host::Host;
use crate::js::realm::{Failure, Realm};
use crate::js::runtime::{GC_BYTES, LOCALE, NAMES, PRELUDE, SPARE_BYTES, WEB, finish, known};
use crate::js::session::{self, Ending, Session};
use crate::js::uses;
use crate::link::{Link, LinkError, restless};
use crate::time::Began;
use guest::{Caught, Guest};
use imports::Within;

/// The guest in machine code.
static CODE: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/guest.cwasm"));

/// The guest's own call stack, beside that in machine code. Its frames are smaller than those of
/// `QuickJS` in this process: with this much a program's calls go as deep, about 800.
const STACK_BYTES: u32 = 224 << 10;

/// Memory that a guest has at hand before it asks for more.
const HEADROOM_BYTES: u32 = 4 << 20;

/// Memory of a guest beside its heap and the values that pass through: its stack and its tables.
const SLACK_BYTES: u64 = 16 << 20;

/// A warm guest with the prelude in it, and nobody's program.
pub(crate) struct Prepared {
    guest: Guest,
    globals: HashSet<String>,
    host: Rc<Host>,
    /// The most memory that there had been before the first program.
    memory_bytes: Option<u64>,
}

/// Makes a guest, before the zygote forks.
///
/// # Errors
/// There is not enough memory or address space.
pub(crate) fn prepare() -> Result<Prepared, String> {
    let engine = tick::engine(|| Engine::new(&tuning::config(env!("NARROWS_TARGET"))?))?;
    let module = load(&engine).map_err(|error| format!("{error:#}"))?;
    let host = Rc::new(Host::new());
    let within = Within::new(Rc::clone(&host));
    let mut guest =
        Guest::new(&module, within, STACK_BYTES).map_err(|error| format!("{error:#}"))?;
    let installed = install(&mut guest);
    let globals = installed.map_err(|failure| format!("the prelude fails: {failure:?}"))?;
    Ok(Prepared { guest, globals, host, memory_bytes: None })
}

#[expect(unsafe_code, reason = "machine code is taken from nowhere but our own build")]
fn load(engine: &Engine) -> wasmtime::Result<Module> {
    // SAFETY: the build script made these bytes from the guest in this repository, with the same
    // version of wasmtime, and they are part of this executable.
    unsafe { Module::deserialize(engine, CODE) }
}

fn install(guest: &mut Guest) -> Result<HashSet<String>, Failure<Caught>> {
    guest.prelude(PRELUDE)?;
    for more in [WEB, LOCALE] {
        guest.extend(more)?;
    }
    let names = guest.ask(NAMES)?;
    guest.ready(GC_BYTES, HEADROOM_BYTES)?;
    Ok(known(&names))
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
        let Self { guest, globals, host, memory_bytes } = self;
        let began = Began::with_memory(memory_bytes);
        if program.language == Language::Python {
            return refuse(link);
        }
        tick::begin()?;
        let limits = &program.limits;
        host.begin(limits, program.now_ms, program.seed);
        guest.within().run = Some((began, limits.clone()));
        let passing = limits.result_bytes.saturating_add(limits.value_bytes).saturating_mul(2);
        let passing = passing.saturating_add(SPARE_BYTES).saturating_add(SLACK_BYTES);
        let limited = guest.limit(limits.memory_bytes, passing);
        limited.map_err(|failure| broken(&failure))?;
        let mut reading = uses::read(&program.code, globals, program.state);
        let names = std::mem::take(&mut reading.names);
        let session = Session::new((&mut *guest, host), (program, reading), began);
        let end = match session.run(link)? {
            Ending::End(End::Deadlock) => {
                session::stuck(began, program, |bytes| guest.holds(bytes))
            }
            Ending::End(end) => end,
            Ending::Threw(error, places) => {
                let null = guest.threw_null().unwrap_or(true);
                let none = null && session::scarce(began, program, |bytes| guest.holds(bytes));
                // What ended the program is told beyond its limit, else nothing could be told.
                let spare = limits.memory_bytes.saturating_add(SPARE_BYTES);
                let told = !none && guest.limit_heap(spare).is_ok();
                let thrown = if told { guest.describe(error) } else { None };
                session::threw(thrown, &places, &program.code)
            }
        };
        // What is left of the program can reach limits too: that is no end of its.
        let end = host.stopped().map_or(end, End::Limit);
        let rests =
            !program.state || !matches!(end, End::Limit(_)) && session::run_out(guest, host);
        globals.extend(names);
        finish(link, began, end)?;
        if rests { Ok(()) } else { Err(restless()) }
    }
}

fn broken(failure: &Failure<Caught>) -> LinkError {
    LinkError::Io(std::io::Error::other(format!("the realm is broken: {failure:?}")))
}

/// There is no Python here.
fn refuse<S: Read + Write>(link: &mut Link<S>) -> Result<(), LinkError> {
    let message = "python does not run on the wasm engine: write the program in TypeScript, or use \
                   a sandbox with a Python engine";
    let at = Position { line: 1, column: 1 };
    let findings = vec![Finding { at, message: message.to_owned() }];
    link.send(&FromWorker::Uses(Box::new(Uses { findings, ..Uses::default() })))?;
    link.receive()?;
    Err(LinkError::Io(std::io::Error::other("go for a program with findings")))
}
