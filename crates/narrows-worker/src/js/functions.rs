//! The host's functions as `QuickJS` in this process calls them.

use rquickjs::{Ctx, Exception, Function, Object};
use std::rc::Rc;

use super::host::{Host, Refusal};

fn throw(ctx: &Ctx<'_>, refusal: &Refusal) -> rquickjs::Error {
    match refusal {
        Refusal::Internal(message) => Exception::throw_internal(ctx, message),
        Refusal::Type(message) => Exception::throw_type(ctx, message),
        Refusal::Range(message) => Exception::throw_range(ctx, message),
    }
}

/// The object that the prelude is called with.
pub(super) fn functions<'js>(ctx: &Ctx<'js>, host: &Rc<Host>) -> rquickjs::Result<Object<'js>> {
    let object = Object::new(ctx.clone())?;
    let own = Rc::clone(host);
    let call = move |ctx: Ctx<'js>, server: String, tool: String, full: String, args: String| {
        own.call((server, tool, &full), args).map_err(|refusal| throw(&ctx, &refusal))
    };
    object.set("call", Function::new(ctx.clone(), call)?)?;
    let own = Rc::clone(host);
    let log = move |level: u32, text: String| own.log(level, &text);
    object.set("log", Function::new(ctx.clone(), log)?)?;
    let own = Rc::clone(host);
    let progress = move |fraction: f64, message: String| own.progress(fraction, message);
    object.set("progress", Function::new(ctx.clone(), progress)?)?;
    let own = Rc::clone(host);
    let show =
        move |ctx: Ctx<'js>, json: String| own.show(json).map_err(|refusal| throw(&ctx, &refusal));
    object.set("show", Function::new(ctx.clone(), show)?)?;
    let own = Rc::clone(host);
    let disk = move |ctx: Ctx<'js>, bytes: f64, entries: f64| {
        own.disk(bytes, entries).map_err(|refusal| throw(&ctx, &refusal))
    };
    object.set("disk", Function::new(ctx.clone(), disk)?)?;
    let own = Rc::clone(host);
    let timer = move |ctx: Ctx<'js>, delay_ms: f64| {
        own.timer(delay_ms).map_err(|refusal| throw(&ctx, &refusal))
    };
    object.set("timer", Function::new(ctx.clone(), timer)?)?;
    let own = Rc::clone(host);
    let again = move |id: u32, delay_ms: f64| own.again(id, delay_ms);
    object.set("again", Function::new(ctx.clone(), again)?)?;
    let own = Rc::clone(host);
    object.set("untimer", Function::new(ctx.clone(), move |id: u32| own.untimer(id))?)?;
    let own = Rc::clone(host);
    object.set("now", Function::new(ctx.clone(), move || own.now())?)?;
    let own = Rc::clone(host);
    object.set("elapsed", Function::new(ctx.clone(), move || own.elapsed())?)?;
    let own = Rc::clone(host);
    object.set("random", Function::new(ctx.clone(), move || own.random())?)?;
    Ok(object)
}
