//! Runs one program in `QuickJS` and speaks for it over the link.

use narrows_types::Usage;
use narrows_types::frame::{Done, End, FromWorker, Program};
use rquickjs::context::EvalOptions;
use rquickjs::{CatchResultExt, Context, Ctx, FromJs, Function, Object, Persistent, Runtime};
use std::collections::HashSet;
use std::io::{Read, Write};
use std::os::fd::AsFd;
use std::rc::Rc;

use super::functions;
use super::host::{self, Host};
use super::native::{self, Native};
use super::session::{self, Ending, INPUT, Session};
use super::unheard::Unheard;
use super::uses;
use crate::link::{Link, LinkError, restless};
use crate::time::Began;

/// What every program finds.
pub(crate) const PRELUDE: &str = concat!(
    "((scratch, state, prelude) => (host) => prelude(host, scratch, state))(\n",
    include_str!("scratch.js"),
    ",\n",
    include_str!("state.js"),
    ",\n",
    include_str!("prelude.js"),
    ")"
);

/// Bytes of the interpreter's own call stack. A main thread has 8 MB, of which the rest is ours.
pub(crate) const STACK_BYTES: usize = 512 << 10;

/// Heap that is filled before the first collection.
pub(crate) const GC_BYTES: usize = 8 << 20;

/// Heap beyond the limit, so that what ended a program can be told.
pub(crate) const SPARE_BYTES: u64 = 4 << 20;

/// What the web gives and the language does not.
pub(crate) const WEB: &str = include_str!("web.js");

/// What an engine without tables of languages can know of them.
pub(crate) const LOCALE: &str = include_str!("locale.js");

/// The names of all globals.
pub(crate) const NAMES: &str = "Object.getOwnPropertyNames(globalThis).join('\\n')";

/// Built-ins that give way to a server of the same name: they are told as free names, and the host
/// says what they are.
const YIELDING: [&str; 3] = ["ask", "scratch", "session"];

/// A warm interpreter: its realm, the prelude in it, and nobody's program.
pub(crate) struct Prepared {
    // Values of the realm go before the realm does.
    kit: Persistent<Object<'static>>,
    /// Names that every program finds.
    globals: HashSet<String>,
    context: Context,
    host: Rc<Host>,
    /// The most memory that there had been before the first program.
    memory_bytes: Option<u64>,
}

/// Makes an interpreter, before the zygote forks.
///
/// # Errors
/// There is not enough memory.
pub(crate) fn prepare() -> Result<Prepared, String> {
    let runtime = Runtime::new().map_err(|error| error.to_string())?;
    runtime.set_max_stack_size(STACK_BYTES);
    let context = Context::full(&runtime).map_err(|error| error.to_string())?;
    let host = Rc::new(Host::new());
    let (kit, globals) = context.with(|ctx| {
        install(&ctx, &host).catch(&ctx).map_err(|error| format!("the prelude fails: {error}"))
    })?;
    runtime.run_gc();
    // Until it is reached no program pays for a collection, which visits, and so copies, every page.
    runtime.set_gc_threshold(GC_BYTES);
    Ok(Prepared { kit, globals, context, host, memory_bytes: None })
}

type Installed = (Persistent<Object<'static>>, HashSet<String>);

fn install(ctx: &Ctx<'_>, host: &Rc<Host>) -> rquickjs::Result<Installed> {
    let functions = functions::functions(ctx, host)?;
    let prelude: Function<'_> = evaluate(ctx, PRELUDE, "prelude.js")?;
    let kit: Object<'_> = prelude.call((functions,))?;
    let define: Function<'_> = kit.get("define")?;
    for (text, name) in [(WEB, "web.js"), (LOCALE, "locale.js")] {
        let more: Function<'_> = evaluate(ctx, text, name)?;
        let () = more.call((ctx.globals(), define.clone()))?;
    }
    let names: String = evaluate(ctx, NAMES, "names.js")?;
    Ok((Persistent::save(ctx, kit), known(&names)))
}

/// What a program finds, of the names of all globals, each in a line.
pub(crate) fn known(names: &str) -> HashSet<String> {
    let names = names.lines().filter(|name| !YIELDING.contains(name));
    // The program's own input is bound when it comes.
    names.chain([INPUT]).map(str::to_owned).collect()
}

/// Evaluates a script in the realm, strictly.
pub(super) fn evaluate<'js, V: FromJs<'js>>(
    ctx: &Ctx<'js>,
    text: &str,
    name: &str,
) -> rquickjs::Result<V> {
    let mut options = EvalOptions::default();
    options.filename = Some(name.to_owned());
    ctx.eval_with_options(text, options)
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
        let Self { context, kit, globals, host, memory_bytes } = self;
        let began = Began::with_memory(memory_bytes);
        let limits = program.limits.clone();
        host.begin(&limits, program.now_ms, program.seed);
        let mut reading = uses::read(&program.code, globals, program.state);
        let names = std::mem::take(&mut reading.names);
        let runtime = context.runtime();
        runtime.set_memory_limit(usize::try_from(limits.memory_bytes).unwrap_or(usize::MAX));
        let (guard, kept) = (Rc::clone(host), limits.clone());
        runtime.set_interrupt_handler(Some(Box::new(move || guard.interrupted(began, &kept))));
        let unheard = Rc::new(Unheard::default());
        let tracker = Rc::clone(&unheard);
        runtime.set_host_promise_rejection_tracker(Some(Box::new(
            move |ctx, promise, error, heard| tracker.track(&ctx, (promise, error), heard),
        )));
        let ending = context.with(|ctx| {
            let mut realm = Native::new(&ctx, kit.clone(), &unheard)?;
            Session::new((&mut realm, host), (program, reading), began).run(link)
        });
        let holds = |bytes| {
            u64::try_from(runtime.memory_usage().malloc_size).is_ok_and(|size| size >= bytes)
        };
        let end = match ending.inspect_err(|_| unheard.clear())? {
            Ending::End(End::Deadlock) => session::stuck(began, program, holds),
            Ending::End(end) => end,
            Ending::Threw(error, places) => {
                let null = context.with(|ctx| native::threw_null(&ctx, &error));
                let none = null && session::scarce(began, program, holds);
                // What ended the program is told beyond its limit, else nothing could be told.
                let spare = limits.memory_bytes.saturating_add(SPARE_BYTES);
                runtime.set_memory_limit(usize::try_from(spare).unwrap_or(usize::MAX));
                let thrown = context.with(|ctx| native::read(&ctx, kit.clone(), error));
                session::threw(thrown.filter(|_| !none), &places, &program.code)
            }
        };
        // What is left of the program can reach limits too: that is no end of its.
        let end = host.stopped().map_or(end, End::Limit);
        let rests = !program.state
            || !matches!(end, End::Limit(_))
                && context.with(|ctx| {
                    let realm = Native::new(&ctx, kit.clone(), &unheard);
                    realm.is_ok_and(|mut realm| session::run_out(&mut realm, host))
                });
        // What was kept of the realm goes before it, however the run ended.
        unheard.clear();
        globals.extend(names);
        finish(link, began, end)?;
        if rests { Ok(()) } else { Err(restless()) }
    }
}

/// Says how the program ended.
pub(crate) fn finish<S: Read + Write>(
    link: &mut Link<S>,
    began: Began,
    end: End,
) -> Result<(), LinkError> {
    let usage = Usage {
        wall_us: host::micros(began.wall()),
        cpu_us: host::micros(began.cpu()),
        memory_bytes: began.memory(),
        ..Usage::default()
    };
    link.send(&FromWorker::Done(Box::new(Done { end, usage })))
}
