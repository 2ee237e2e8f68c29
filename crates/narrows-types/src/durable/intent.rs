//! Intents: programs that are saved.

use crate::id::RunId;
use crate::limits::Lowered;
use crate::place::Engine;
use crate::tool::Language;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

/// A saved program.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Intent {
    /// Its name: an identifier.
    pub name: String,
    /// What it does, one sentence.
    pub description: String,
    /// The program; it reads `input`.
    pub code: String,
    /// Its language.
    #[serde(default)]
    pub language: Language,
    /// What evaluates it; the config's choice by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub engine: Option<Engine>,
    /// Limits that it has lower than the config allows.
    #[serde(default, skip_serializing_if = "Lowered::is_empty")]
    pub limits: Lowered,
    /// JSON Schema of `input`, an object schema.
    pub input_schema: Box<RawValue>,
    /// Checks, carried out against a journal before it is saved.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tests: Vec<IntentTest>,
}

/// One check of an intent.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct IntentTest {
    /// What goes in.
    pub input: Box<RawValue>,
    /// What must come out.
    pub expected: Box<RawValue>,
    /// The run whose journal answers the calls; the first version's own run by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run: Option<RunId>,
}

/// An intent at a version.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct IntentInfo {
    /// The intent.
    #[serde(flatten)]
    pub intent: Intent,
    /// The version in use, from 1.
    pub version: u32,
    /// Versions that exist.
    pub versions: u32,
    /// Unix milliseconds when this version was saved.
    pub saved_at_ms: u64,
    /// The one tool that it calls with its input as it is: then no program is needed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub direct: Option<String>,
}

/// What is asked of intents.
#[derive(Debug, Clone)]
pub enum IntentsAsk {
    /// Saves a new version, after its tests.
    Save(Box<Intent>),
    /// Saves a finished run's program.
    Promote {
        /// Which run.
        run: RunId,
        /// The intent's name.
        name: String,
        /// What it does.
        description: String,
        /// JSON Schema of its input; drawn from the run's own input by default.
        input_schema: Option<Box<RawValue>>,
    },
    /// All of the principal's.
    List,
    /// One.
    Show {
        /// Its name.
        name: String,
        /// Another version than the one in use.
        version: Option<u32>,
    },
    /// Makes an older version the one in use.
    Rollback {
        /// Its name.
        name: String,
        /// To which.
        version: u32,
    },
    /// Removes it with all versions.
    Delete {
        /// Its name.
        name: String,
    },
    /// Carries its tests out.
    Test {
        /// Its name.
        name: String,
    },
    /// Runs it.
    Call {
        /// Its name.
        name: String,
        /// Its input.
        input: Option<Box<RawValue>>,
    },
}
