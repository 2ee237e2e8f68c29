//! The guest from outside: its functions, and a realm that they make.

use narrows_types::Limit;
use narrows_types::frame::CallError;
use wasmtime::{Instance, Module, Store, StoreLimitsBuilder, Trap, TypedFunc, UpdateDeadline};

use super::imports::{self, Within};
use crate::js::realm::{Failure, Realm, State};
use crate::js::thrown::Thrown;

/// What the guest keeps when something was thrown: the last one, until the next.
#[derive(Debug, Clone, Copy)]
pub(super) struct Caught;

type Outcome<T> = Result<T, Failure<Caught>>;

/// A text and its length in the guest's memory, and with that its address.
type Text = (u32, u32);

/// How many texts the guest gives at once.
const TEXTS: usize = 3;

/// A guest with its own memory.
pub(super) struct Guest {
    store: Store<Within>,
    functions: Functions,
    /// Where the guest writes the places of the texts that it gives.
    given: usize,
    /// It was stopped in the middle of something and may not go on.
    stopped: bool,
}

struct Functions {
    limit: TypedFunc<u32, ()>,
    alloc: TypedFunc<u32, u32>,
    release: TypedFunc<u32, ()>,
    prelude: TypedFunc<Text, u32>,
    extend: TypedFunc<Text, u32>,
    ask: TypedFunc<Text, u32>,
    ready: TypedFunc<(u32, u32), ()>,
    compile: TypedFunc<(u32, u32, u32), u32>,
    bind: TypedFunc<Text, u32>,
    input: TypedFunc<(u32, u32, u32), u32>,
    start: TypedFunc<(), u32>,
    state: TypedFunc<(), u32>,
    value: TypedFunc<(), u32>,
    job: TypedFunc<(), u32>,
    fire: TypedFunc<(u32, u32), u32>,
    settle: TypedFunc<(u32, u32, u32), u32>,
    fail: TypedFunc<(u32, u32, u32), u32>,
    describe: TypedFunc<(), u32>,
    threw_null: TypedFunc<(), u32>,
    next_unheard: TypedFunc<(), u32>,
}

impl Functions {
    fn new(instance: &Instance, store: &mut Store<Within>) -> wasmtime::Result<Self> {
        macro_rules! functions {
            ($($name:ident)*) => {
                Self { $($name: instance.get_typed_func(&mut *store, stringify!($name))?,)* }
            };
        }
        Ok(functions! {
            limit alloc release prelude extend ask ready compile bind input start state value job
            fire settle fail describe threw_null next_unheard
        })
    }
}

/// Calls a function of the guest. A macro, for it borrows only a part of it.
macro_rules! call {
    ($guest:expr, $name:ident $(, $param:expr)*) => {{
        let guest = &mut *$guest;
        guest.live()?;
        let called = guest.functions.$name.call(&mut guest.store, ($($param),*));
        called.map_err(|error| guest.trapped(&error))?
    }};
}

impl Guest {
    /// Starts a guest; `stack_bytes` are for its program's calls.
    pub(super) fn new(module: &Module, within: Within, stack_bytes: u32) -> wasmtime::Result<Self> {
        let linker = imports::linker(module.engine())?;
        let mut store = Store::new(module.engine(), within);
        store.limiter(|within| &mut within.room);
        store.set_epoch_deadline(1);
        // A tick only asks: other threads may have ticked, and time spent elsewhere does.
        store.epoch_deadline_callback(|within| {
            let stop = within.data().interrupted();
            Ok(if stop { UpdateDeadline::Interrupt } else { UpdateDeadline::Continue(1) })
        });
        let instance = linker.instantiate(&mut store, module)?;
        store.data_mut().memory = instance.get_memory(&mut store, "memory");
        let setup: TypedFunc<u32, u32> = instance.get_typed_func(&mut store, "setup")?;
        if setup.call(&mut store, stack_bytes)? != 0 {
            return Err(wasmtime::Error::msg("no memory for a realm"));
        }
        let given: TypedFunc<(), u32> = instance.get_typed_func(&mut store, "given")?;
        let given = given.call(&mut store, ())? as usize;
        let functions = Functions::new(&instance, &mut store)?;
        Ok(Self { store, functions, given, stopped: false })
    }

    pub(super) fn within(&mut self) -> &mut Within {
        self.store.data_mut()
    }

    /// Limits its memory, from outside and, below that, its heap from inside.
    pub(super) fn limit(&mut self, heap_bytes: u64, passing_bytes: u64) -> Outcome<()> {
        let room = usize::try_from(heap_bytes.saturating_add(passing_bytes)).unwrap_or(usize::MAX);
        self.within().room = StoreLimitsBuilder::new().memory_size(room).build();
        self.limit_heap(heap_bytes)
    }

    /// Limits its heap.
    pub(super) fn limit_heap(&mut self, bytes: u64) -> Outcome<()> {
        call!(self, limit, u32::try_from(bytes).unwrap_or(u32::MAX));
        Ok(())
    }

    /// Whether its heap has so many bytes: whether it would refuse more if they were its limit. For
    /// after a program, for that limit stays.
    pub(super) fn holds(&mut self, bytes: u64) -> bool {
        self.limit_heap(bytes).is_err() || self.ask("''").is_err()
    }

    /// Runs the prelude.
    pub(super) fn prelude(&mut self, code: &str) -> Outcome<()> {
        let (at, length) = self.put(code)?;
        let outcome = call!(self, prelude, at, length);
        self.done(outcome, at)
    }

    /// Runs a script that gives more globals.
    pub(super) fn extend(&mut self, code: &str) -> Outcome<()> {
        let (at, length) = self.put(code)?;
        let outcome = call!(self, extend, at, length);
        self.done(outcome, at)
    }

    /// Evaluates a script of ours and gives its text.
    pub(super) fn ask(&mut self, code: &str) -> Outcome<String> {
        let (at, length) = self.put(code)?;
        let outcome = call!(self, ask, at, length);
        self.done(outcome, at)?;
        self.text(0)
    }

    /// Nothing more comes before a program.
    pub(super) fn ready(&mut self, gc_bytes: usize, headroom_bytes: u32) -> Outcome<()> {
        call!(self, ready, u32::try_from(gc_bytes).unwrap_or(u32::MAX), headroom_bytes);
        Ok(())
    }

    /// Whether it threw null.
    pub(super) fn threw_null(&mut self) -> Outcome<bool> {
        Ok(call!(self, threw_null) != 0)
    }

    /// Has the next error that nobody awaited at hand; whether there was one.
    fn next_unheard(&mut self) -> Outcome<bool> {
        Ok(call!(self, next_unheard) != 0)
    }

    fn live(&self) -> Outcome<()> {
        if self.stopped { Err(Failure::Broken("the guest has stopped".to_owned())) } else { Ok(()) }
    }

    /// The guest did not come back from a function.
    fn trapped(&mut self, error: &wasmtime::Error) -> Failure<Caught> {
        self.stopped = true;
        let host = &self.store.data().host;
        if matches!(error.downcast_ref(), Some(Trap::StackOverflow)) {
            host.stop(Limit::Stack);
        }
        let limit = host.stopped();
        limit.map_or_else(|| Failure::Broken(format!("{error:#}")), Failure::Ended)
    }

    /// Copies a text into the guest, with a zero behind it.
    fn put(&mut self, text: &str) -> Outcome<Text> {
        let none = || Failure::Ended(Limit::MemoryBytes);
        let length = u32::try_from(text.len()).ok().filter(|length| *length < u32::MAX);
        let length = length.ok_or_else(none)?;
        let at = call!(self, alloc, length + 1);
        if at == 0 {
            return Err(none());
        }
        let memory = self.memory();
        let end = (at as usize).saturating_add(text.len());
        let (place, zero) = memory
            .get_mut(at as usize..=end)
            .and_then(|place| place.split_at_mut_checked(text.len()))
            .ok_or_else(|| Failure::Broken("a block beyond the guest's memory".to_owned()))?;
        place.copy_from_slice(text.as_bytes());
        zero.fill(0);
        Ok((at, length))
    }

    fn memory(&mut self) -> &mut [u8] {
        let memory = self.store.data().memory;
        memory.map_or(&mut [], |memory| memory.data_mut(&mut self.store))
    }

    /// Frees what was put.
    fn release(&mut self, at: u32) -> Outcome<()> {
        call!(self, release, at);
        Ok(())
    }

    /// What came of a function that was given a text.
    fn done(&mut self, outcome: u32, at: u32) -> Outcome<()> {
        self.release(at)?;
        came(outcome)
    }

    /// A text that the guest gave.
    fn text(&mut self, place: usize) -> Outcome<String> {
        const WORD: usize = size_of::<u32>();
        let at = self.given.saturating_add(place.min(TEXTS) * 2 * WORD);
        let memory = self.memory();
        let word = |at: usize| {
            let bytes = memory.get(at..)?.first_chunk::<WORD>()?;
            usize::try_from(u32::from_le_bytes(*bytes)).ok()
        };
        let beyond = || Failure::Broken("a text beyond the guest's memory".to_owned());
        let (start, length) = word(at).zip(word(at + WORD)).ok_or_else(beyond)?;
        if start == 0 {
            return Err(Failure::Ended(Limit::MemoryBytes));
        }
        let text = memory.get(start..start.saturating_add(length)).ok_or_else(beyond)?;
        let text = str::from_utf8(text).map_err(|error| Failure::Broken(error.to_string()))?;
        Ok(text.to_owned())
    }

    /// Calls a function with the name of a global or a file.
    fn named(&mut self, name: &str) -> Outcome<u32> {
        Ok(self.put(name)?.0)
    }

    fn read_thrown(&mut self) -> Outcome<Thrown> {
        came(call!(self, describe))?;
        Ok(Thrown::new(self.text(0)?, self.text(1)?, self.text(2)?))
    }
}

/// Most functions say 0, or 1 if something was thrown.
fn came(outcome: u32) -> Outcome<()> {
    if outcome == 0 { Ok(()) } else { Err(Failure::Threw(Caught)) }
}

impl Realm for Guest {
    type Error = Caught;

    fn compile(&mut self, text: &str, name: &str) -> Outcome<()> {
        let name = self.named(name)?;
        let (at, length) = self.put(text)?;
        let outcome = call!(self, compile, at, length, name);
        self.release(name)?;
        self.done(outcome, at)
    }

    fn bind(&mut self, name: &str) -> Outcome<()> {
        let (at, length) = self.put(name)?;
        let outcome = call!(self, bind, at, length);
        self.done(outcome, at)
    }

    fn give(&mut self, name: &str, json: &str) -> Outcome<()> {
        let name = self.named(name)?;
        let (at, length) = self.put(json)?;
        let outcome = call!(self, input, at, length, name);
        self.release(name)?;
        self.done(outcome, at)
    }

    fn start(&mut self) -> Outcome<()> {
        came(call!(self, start))
    }

    fn state(&mut self) -> Outcome<State> {
        Ok(match call!(self, state) {
            0 => State::Pending,
            1 => State::Resolved,
            _ => State::Rejected,
        })
    }

    fn value(&mut self) -> Outcome<String> {
        came(call!(self, value))?;
        self.text(0)
    }

    fn job(&mut self) -> Outcome<bool> {
        Ok(call!(self, job) != 0)
    }

    fn fire(&mut self, id: u32, last: bool) -> Outcome<()> {
        came(call!(self, fire, id, u32::from(last)))
    }

    fn settle(&mut self, id: u32, json: &str) -> Outcome<()> {
        let (at, length) = self.put(json)?;
        let outcome = call!(self, settle, id, at, length);
        self.done(outcome, at)
    }

    fn fail(&mut self, id: u32, error: &CallError, message: &str) -> Outcome<()> {
        let parts = serde_json::to_string(&[&error.tool, &error.arguments, message])
            .map_err(|error| Failure::Broken(error.to_string()))?;
        let (at, length) = self.put(&parts)?;
        let outcome = call!(self, fail, id, at, length);
        self.done(outcome, at)
    }

    fn describe(&mut self, _: Caught) -> Option<Thrown> {
        self.read_thrown().ok()
    }

    fn unheard(&mut self) -> Option<Caught> {
        self.next_unheard().is_ok_and(|there| there).then_some(Caught)
    }
}

#[cfg(test)]
mod hostile;
