//! What interrupts the guest where `QuickJS` does not ask whether it must stop: a timer of the
//! processor that makes the guest ask.

use std::ffi::c_int;
use std::io;
use std::sync::OnceLock;
use std::time::Duration;
use wasmtime::Engine;

use crate::jail::process;

/// Processor time from one tick to the next.
const PERIOD: Duration = Duration::from_millis(10);

/// The engine of this process, for the signal to find.
static ENGINE: OnceLock<Engine> = OnceLock::new();

/// The engine of this process; its ticks are heard, but none comes yet.
pub(super) fn engine(make: impl FnOnce() -> wasmtime::Result<Engine>) -> Result<Engine, String> {
    if let Some(engine) = ENGINE.get() {
        return Ok(engine.clone());
    }
    let engine = make().map_err(|error| error.to_string())?;
    process::on_tick(tick).map_err(|error| format!("signals: {error}"))?;
    Ok(ENGINE.get_or_init(|| engine).clone())
}

/// Lets this process tick from now on. A fork has to be told anew.
pub(super) fn begin() -> io::Result<()> {
    process::tick_every(PERIOD)
}

/// Called by a signal: it may do nothing but count.
extern "C" fn tick(_: c_int) {
    if let Some(engine) = ENGINE.get() {
        engine.increment_epoch();
    }
}
