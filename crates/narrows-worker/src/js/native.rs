//! A realm in this process.

use narrows_types::Limit;
use narrows_types::frame::CallError;
use rquickjs::promise::PromiseState;
use rquickjs::{Ctx, Function, Object, Persistent, Promise, Value};

use super::realm::{Failure, Realm, State};
use super::runtime::evaluate;
use super::thrown::Thrown;
use super::unheard::{Kept, Unheard};
use crate::link::LinkError;

/// The prelude's functions.
struct Kit<'js> {
    bind: Function<'js>,
    settle: Function<'js>,
    fire: Function<'js>,
    finish: Function<'js>,
    describe: Function<'js>,
}

impl<'js> Kit<'js> {
    fn new(ctx: &Ctx<'js>, kit: Persistent<Object<'static>>) -> rquickjs::Result<Self> {
        let kit = kit.restore(ctx)?;
        Ok(Self {
            bind: kit.get("bind")?,
            settle: kit.get("settle")?,
            fire: kit.get("fire")?,
            finish: kit.get("finish")?,
            describe: kit.get("describe")?,
        })
    }
}

/// Whether a program threw null, as the interpreter does where not even an error can be made.
pub(super) fn threw_null(ctx: &Ctx<'_>, error: &Kept) -> bool {
    error.clone().restore(ctx).is_ok_and(|error| error.is_null())
}

/// Reads what a program threw, after its run.
pub(super) fn read(ctx: &Ctx<'_>, kit: Persistent<Object<'static>>, error: Kept) -> Option<Thrown> {
    let kit = Kit::new(ctx, kit).ok()?;
    describe(&kit.describe, error.restore(ctx).ok()?)
}

fn describe<'js>(describe: &Function<'js>, error: Value<'js>) -> Option<Thrown> {
    let object: Object<'_> = describe.call((error,)).ok()?;
    let field = |name| object.get(name).ok();
    Some(Thrown::new(field("name")?, field("message")?, field("stack")?))
}

/// A realm of `QuickJS` in this process.
pub(super) struct Native<'js, 'r> {
    ctx: &'r Ctx<'js>,
    kit: Kit<'js>,
    unheard: &'r Unheard,
    compiled: Option<Function<'js>>,
    main: Option<Promise<'js>>,
}

impl<'js, 'r> Native<'js, 'r> {
    pub(super) fn new(
        ctx: &'r Ctx<'js>,
        kit: Persistent<Object<'static>>,
        unheard: &'r Unheard,
    ) -> Result<Self, LinkError> {
        let kit = Kit::new(ctx, kit).map_err(std::io::Error::other)?;
        Ok(Self { ctx, kit, unheard, compiled: None, main: None })
    }

    fn outcome<T>(&self, result: rquickjs::Result<T>) -> Result<T, Failure<Kept>> {
        result.map_err(|error| match error {
            rquickjs::Error::Exception => {
                Failure::Threw(Persistent::save(self.ctx, self.ctx.catch()))
            }
            rquickjs::Error::Allocation => Failure::Ended(Limit::MemoryBytes),
            other => Failure::Broken(other.to_string()),
        })
    }

    fn main(&self) -> Result<&Promise<'js>, Failure<Kept>> {
        self.main.as_ref().ok_or_else(|| Failure::Broken("nothing was started".to_owned()))
    }
}

impl Realm for Native<'_, '_> {
    type Error = Kept;

    fn compile(&mut self, text: &str, name: &str) -> Result<(), Failure<Kept>> {
        let compiled = self.outcome(evaluate(self.ctx, text, name))?;
        self.compiled = Some(compiled);
        Ok(())
    }

    fn bind(&mut self, name: &str) -> Result<(), Failure<Kept>> {
        self.outcome(self.kit.bind.call((name,)))
    }

    fn give(&mut self, name: &str, json: &str) -> Result<(), Failure<Kept>> {
        let value = self.outcome(self.ctx.json_parse(json))?;
        self.outcome(self.ctx.globals().set(name, value))
    }

    fn start(&mut self) -> Result<(), Failure<Kept>> {
        let program = self.compiled.take();
        let main = self.outcome(self.kit.finish.call((program,)))?;
        self.main = Some(main);
        Ok(())
    }

    fn state(&mut self) -> Result<State, Failure<Kept>> {
        Ok(match self.main()?.state() {
            PromiseState::Pending => State::Pending,
            PromiseState::Resolved => State::Resolved,
            PromiseState::Rejected => State::Rejected,
        })
    }

    fn value(&mut self) -> Result<String, Failure<Kept>> {
        let value = self.main()?.result::<String>();
        self.outcome(value.unwrap_or(Ok(String::new())))
    }

    fn job(&mut self) -> Result<bool, Failure<Kept>> {
        Ok(self.ctx.execute_pending_job())
    }

    fn fire(&mut self, id: u32, last: bool) -> Result<(), Failure<Kept>> {
        self.outcome(self.kit.fire.call((id, last)))
    }

    fn settle(&mut self, id: u32, json: &str) -> Result<(), Failure<Kept>> {
        let value: Value<'_> = self.outcome(self.ctx.json_parse(json))?;
        self.outcome(self.kit.settle.call((id, true, value, "")))
    }

    fn fail(&mut self, id: u32, error: &CallError, message: &str) -> Result<(), Failure<Kept>> {
        let settled = || {
            let value = Object::new(self.ctx.clone())?;
            value.set("tool", error.tool.as_str())?;
            value.set("arguments", error.arguments.as_str())?;
            self.kit.settle.call((id, false, value, message))
        };
        self.outcome(settled())
    }

    fn describe(&mut self, error: Kept) -> Option<Thrown> {
        describe(&self.kit.describe, error.restore(self.ctx).ok()?)
    }

    fn unheard(&mut self) -> Option<Kept> {
        self.unheard.next()
    }
}
