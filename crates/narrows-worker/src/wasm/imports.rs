//! What the guest asks of the host: the functions of the prelude, and no clock, chance or file but
//! through them.

use narrows_types::Limits;
use std::rc::Rc;
use wasmtime::{Caller, Linker, Memory, StoreLimits};

use super::libm;
use crate::jail::process;
use crate::js::host::{Host, Refusal};
use crate::time::Began;

/// What belongs to one guest.
pub(super) struct Within {
    pub(super) host: Rc<Host>,
    /// When its program began and how long it may take, once there is one.
    pub(super) run: Option<(Began, Limits)>,
    /// How large it may become.
    pub(super) room: StoreLimits,
    pub(super) memory: Option<Memory>,
    /// What the guest has not asked for yet: why a function refused.
    refusal: String,
}

impl Within {
    pub(super) fn new(host: Rc<Host>) -> Self {
        let (run, room, memory) = (None, StoreLimits::default(), None);
        Self { host, run, room, memory, refusal: String::new() }
    }

    /// Whether it must stop.
    pub(super) fn interrupted(&self) -> bool {
        self.run.as_ref().is_some_and(|(began, limits)| self.host.interrupted(*began, limits))
    }
}

type Call<'c> = Caller<'c, Within>;

/// A text in the guest's memory: where it begins and its length.
type Place = (u32, u32);

/// Reads a text, or tells why it is none.
fn text(caller: &Call<'_>, (start, length): Place) -> wasmtime::Result<Result<String, Refusal>> {
    let memory = caller.data().memory.map(|memory| memory.data(caller));
    let range = start as usize..(start as usize).saturating_add(length as usize);
    let bytes = memory.and_then(|memory| memory.get(range));
    let bytes = bytes.ok_or_else(|| wasmtime::Error::msg("a text beyond the guest's memory"))?;
    let none = |error| Refusal::Type(format!("Conversion from string failed: {error}"));
    Ok(str::from_utf8(bytes).map(str::to_owned).map_err(none))
}

/// What a function gives that may refuse: a number, or below zero the kind of refusal, whose
/// message the guest asks for.
fn answer(mut caller: Call<'_>, result: Result<u32, Refusal>) -> i32 {
    let (kind, message) = match result {
        Ok(number) => return i32::try_from(number).unwrap_or(i32::MAX),
        Err(Refusal::Internal(message)) => (-1, message),
        Err(Refusal::Type(message)) => (-2, message),
        Err(Refusal::Range(message)) => (-3, message),
    };
    caller.data_mut().refusal = message;
    kind
}

/// Copies the last refusal into the guest's memory, as much as there is room for.
fn refusal(mut caller: Call<'_>, start: u32, room: u32) -> wasmtime::Result<u32> {
    let mut message = std::mem::take(&mut caller.data_mut().refusal);
    message.truncate(message.floor_char_boundary(room as usize));
    let memory = caller.data().memory.ok_or_else(|| wasmtime::Error::msg("no memory"))?;
    memory.write(&mut caller, start as usize, message.as_bytes())?;
    Ok(u32::try_from(message.len())?)
}

/// The functions that the guest can be linked with.
pub(super) fn linker(engine: &wasmtime::Engine) -> wasmtime::Result<Linker<Within>> {
    let mut linker = Linker::new(engine);
    libm::link(&mut linker)?;
    says(&mut linker)?;
    times(&mut linker)?;
    Ok(linker)
}

fn says(linker: &mut Linker<Within>) -> wasmtime::Result<()> {
    const HOST: &str = "host";
    let call = |caller: Call<'_>, a, al, b, bl, c, cl, d, dl| {
        let [server, tool, full, args] =
            [(a, al), (b, bl), (c, cl), (d, dl)].map(|place: Place| text(&caller, place));
        let (server, tool, full, args) = (server?, tool?, full?, args?);
        let called = || caller.data().host.call((server?, tool?, &full?), args?);
        let called = called();
        Ok::<i32, wasmtime::Error>(answer(caller, called))
    };
    linker.func_wrap(HOST, "call", call)?;
    let log = |caller: Call<'_>, level: u32, start, length| {
        if let Ok(line) = text(&caller, (start, length))? {
            caller.data().host.log(level, &line);
        }
        Ok::<(), wasmtime::Error>(())
    };
    linker.func_wrap(HOST, "log", log)?;
    let progress = |caller: Call<'_>, fraction: f64, start, length| {
        if let Ok(message) = text(&caller, (start, length))? {
            caller.data().host.progress(fraction, message);
        }
        Ok::<(), wasmtime::Error>(())
    };
    linker.func_wrap(HOST, "progress", progress)?;
    let show = |caller: Call<'_>, start, length| {
        let json = text(&caller, (start, length))?;
        let shown = json.and_then(|json| caller.data().host.show(json)).map(|()| 0);
        Ok::<i32, wasmtime::Error>(answer(caller, shown))
    };
    linker.func_wrap(HOST, "show", show)?;
    let disk = |caller: Call<'_>, bytes: f64, entries: f64| {
        let room = caller.data().host.disk(bytes, entries).map(|()| 0);
        answer(caller, room)
    };
    linker.func_wrap(HOST, "disk", disk)?;
    linker.func_wrap(HOST, "refusal", refusal)?;
    Ok(())
}

fn times(linker: &mut Linker<Within>) -> wasmtime::Result<()> {
    const HOST: &str = "host";
    let timer = |caller: Call<'_>, delay_ms: f64| {
        let set = caller.data().host.timer(delay_ms);
        answer(caller, set)
    };
    linker.func_wrap(HOST, "timer", timer)?;
    let again = |caller: Call<'_>, id: u32, ms: f64| caller.data().host.again(id, ms);
    linker.func_wrap(HOST, "again", again)?;
    linker
        .func_wrap(HOST, "untimer", |caller: Call<'_>, id: u32| caller.data().host.untimer(id))?;
    linker.func_wrap(HOST, "now", |caller: Call<'_>| caller.data().host.now())?;
    linker.func_wrap(HOST, "elapsed", |caller: Call<'_>| caller.data().host.elapsed())?;
    linker.func_wrap(HOST, "random", |caller: Call<'_>| caller.data().host.random())?;
    let interrupted = |caller: Call<'_>| i32::from(caller.data().interrupted());
    linker.func_wrap(HOST, "interrupted", interrupted)?;
    linker.func_wrap(HOST, "zone", |seconds: i64| process::zone_offset(seconds))?;
    Ok(())
}
