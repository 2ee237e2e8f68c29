//! Errors of promises that nobody awaited: a program that forgets an `await` should hear of it.

use rquickjs::{Ctx, Persistent, Value};
use std::cell::RefCell;

/// Errors that are kept; of more nobody would read.
const ERRORS_MAX: usize = 8;

/// Promises that were rejected and not awaited so far, with their errors.
///
/// It holds values of a realm and must be emptied before the realm goes.
#[derive(Default)]
pub(super) struct Unheard(RefCell<Vec<(Kept, Kept)>>);

pub(super) type Kept = Persistent<Value<'static>>;

impl Unheard {
    /// A promise was rejected with nobody there, or somebody came after all.
    pub(super) fn track<'js>(
        &self,
        ctx: &Ctx<'js>,
        (promise, error): (Value<'js>, Value<'js>),
        heard: bool,
    ) {
        let promise = Persistent::save(ctx, promise);
        let mut errors = self.0.borrow_mut();
        if heard {
            errors.retain(|(other, _)| *other != promise);
        } else if errors.len() < ERRORS_MAX {
            errors.push((promise, Persistent::save(ctx, error)));
        }
    }

    /// Takes the first of them.
    pub(super) fn next(&self) -> Option<Kept> {
        let mut errors = self.0.borrow_mut();
        if errors.is_empty() { None } else { Some(errors.remove(0).1) }
    }

    /// Forgets them.
    pub(super) fn clear(&self) {
        drop(self.0.take());
    }
}
