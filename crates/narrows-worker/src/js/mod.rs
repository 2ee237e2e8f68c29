//! JavaScript: `QuickJS` in the jail.

use crate::link::{Link, LinkError};
use narrows_types::frame::{Done, End, FromWorker, Program, ToWorker};
use narrows_types::{Limit, ProgramError};
use rquickjs::{CatchResultExt, Context, Runtime, Value};
use serde_json::value::RawValue;
use std::io::{Read, Write};
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

/// A warm interpreter.
pub(crate) struct Prepared(Context);

/// Makes an interpreter, before the zygote forks.
pub(crate) fn prepare() -> Result<Prepared, String> {
    let runtime = Runtime::new().map_err(|error| error.to_string())?;
    Context::full(&runtime).map(Prepared).map_err(|error| error.to_string())
}

impl Prepared {
    /// Runs one script; its value is the last statement's.
    pub(crate) fn run<S: Read + Write + AsFd>(
        self,
        link: &mut Link<S>,
        program: &Program,
    ) -> Result<(), LinkError> {
        link.send(&FromWorker::Uses(Box::default()))?;
        let ToWorker::Go(_) = link.receive()? else { return Ok(()) };
        let limits = program.limits;
        let deadline = Instant::now() + Duration::from_millis(limits.cpu_ms.min(limits.wall_ms));
        let runtime = self.0.runtime();
        runtime.set_memory_limit(usize::try_from(limits.memory_bytes).unwrap_or(0));
        runtime.set_max_stack_size(512 << 10);
        runtime.set_interrupt_handler(Some(Box::new(move || Instant::now() > deadline)));
        let end = self.0.with(|ctx| {
            match ctx.eval::<Value<'_>, _>(program.code.as_str()).catch(&ctx) {
                Ok(value) => {
                    let json = ctx.json_stringify(value).ok().flatten();
                    let json = json.and_then(|text| text.to_string().ok());
                    let json = json.unwrap_or_else(|| "null".to_owned());
                    RawValue::from_string(json).map_or(End::Deadlock, End::Value)
                }
                Err(_) if Instant::now() > deadline => End::Limit(Limit::CpuMs),
                Err(error) => {
                    let message = error.to_string();
                    if message.contains("out of memory") {
                        return End::Limit(Limit::MemoryBytes);
                    }
                    End::Threw(ProgramError { name: "Error".to_owned(), message, at: Vec::new() })
                }
            }
        });
        link.send(&FromWorker::Done(Box::new(Done { end, usage: narrows_types::Usage::default() })))
    }
}
