//! A realm of `QuickJS` with the prelude in it, as a session sees it. In one engine it is in this
//! process, in the other in a module of WebAssembly.

use narrows_types::Limit;
use narrows_types::frame::CallError;

use super::thrown::Thrown;

/// How a program's promise stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
    Pending,
    Resolved,
    Rejected,
}

/// What went wrong inside of a realm.
#[derive(Debug)]
pub(crate) enum Failure<E> {
    /// The program threw this.
    Threw(E),
    /// A limit ended it, and the realm may be left in the middle of something.
    Ended(Limit),
    /// The engine is not what it should be.
    Broken(String),
}

/// A realm that runs one program.
pub(crate) trait Realm {
    /// Something that was thrown, kept in the realm.
    type Error;

    /// Compiles the program, which has this name in stack traces.
    fn compile(&mut self, text: &str, name: &str) -> Result<(), Failure<Self::Error>>;

    /// Makes a server's tools a global.
    fn bind(&mut self, name: &str) -> Result<(), Failure<Self::Error>>;

    /// Makes a value a global.
    fn give(&mut self, name: &str, json: &str) -> Result<(), Failure<Self::Error>>;

    /// Starts what was compiled.
    fn start(&mut self) -> Result<(), Failure<Self::Error>>;

    /// How far it is.
    fn state(&mut self) -> Result<State, Failure<Self::Error>>;

    /// What it gave, as JSON.
    fn value(&mut self) -> Result<String, Failure<Self::Error>>;

    /// Runs one job, if there is one.
    fn job(&mut self) -> Result<bool, Failure<Self::Error>>;

    /// Fires a timer; `last`: of a program that has its value.
    fn fire(&mut self, id: u32, last: bool) -> Result<(), Failure<Self::Error>>;

    /// A call came back.
    fn settle(&mut self, id: u32, json: &str) -> Result<(), Failure<Self::Error>>;

    /// A call failed.
    fn fail(
        &mut self,
        id: u32,
        error: &CallError,
        message: &str,
    ) -> Result<(), Failure<Self::Error>>;

    /// What was thrown, read by the prelude, which may run getters of the program's own. `None`
    /// where that fails, as it does when the memory is used up.
    fn describe(&mut self, error: Self::Error) -> Option<Thrown>;

    /// Takes the next error of a promise that nobody awaited.
    fn unheard(&mut self) -> Option<Self::Error>;
}
