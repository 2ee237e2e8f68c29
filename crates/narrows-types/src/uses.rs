//! What a program refers to, found in the jail before it runs and checked outside.
//!
//! The worker parses hostile text and reports only this; the engine, which knows the catalog,
//! answers go or the findings. The catalog never enters the jail.

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// A place in the program's own text, both counted from 1, columns in characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize)]
pub struct Position {
    /// Line, from 1.
    pub line: u32,
    /// Column, from 1.
    pub column: u32,
}

/// Everything that a program refers to but does not define.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Uses {
    /// Each use of a free name, in order of position. At most [`REFERENCES_MAX`]; what is beyond
    /// is checked when it is called.
    pub references: Vec<Reference>,
    /// What the worker itself found wrong: syntax, language features that are missing.
    pub findings: Vec<Finding>,
}

/// The most references that are reported for one program.
pub const REFERENCES_MAX: usize = 2_000;

/// One use of a free name that the language and the prelude do not define.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Reference {
    /// The free name: `github` in `github.list_issues(...)`.
    pub root: String,
    /// The constant members after it: `["list_issues"]`; `x["a-b"]` with a literal counts, a
    /// computed member ends the path.
    pub path: Vec<String>,
    /// Where the free name stands.
    pub at: Position,
    /// The arguments, if the whole path is called.
    pub arguments: Option<Vec<Argument>>,
    /// Narrowing by `typeof x`, `x?.y`, `try`/`except NameError`: not an error if unknown.
    #[serde(default)]
    pub guarded: bool,
}

/// One argument of a call.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Argument {
    /// The keyword of a Python argument; `None` for a positional one (all of TypeScript's).
    /// `Some("")` stands for `**mapping`, which may give any keyword.
    pub keyword: Option<String>,
    /// What is known of its value.
    pub value: Literal,
    /// Where it stands.
    pub at: Position,
}

/// What is known of a value before the program runs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Literal {
    /// Wholly constant.
    Known(Value),
    /// An object or dict display, some of whose values may be unknown.
    Object {
        /// Constant keys with what is known of their values.
        fields: Vec<(String, Self, Position)>,
        /// It may have further keys (a spread, a computed key).
        open: bool,
    },
    /// An array or list display.
    Array {
        /// What is known of the items.
        items: Vec<Self>,
        /// It may have further items (a spread).
        open: bool,
    },
    /// Known only when it runs.
    Unknown,
}

/// One thing that is wrong with a program, with its place and the fix.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// Where.
    pub at: Position,
    /// What is wrong and how to mend it, one line.
    pub message: String,
}
