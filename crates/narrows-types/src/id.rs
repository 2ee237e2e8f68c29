//! Identifiers. Minted by the engine or the store, opaque to everybody else.

use serde::{Deserialize, Serialize};
use std::fmt;

macro_rules! id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub String);

        impl $name {
            /// The id as text, as it is shown to agents.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

id! {
    /// One execution of a program, `run_` and 20 characters.
    RunId
}
id! {
    /// An agent's working set, `ses_` and 20 unguessable characters.
    SessionId
}
id! {
    /// A durable item of the queue, `job_` and 20 unguessable characters; `cron_` for a schedule.
    JobId
}
id! {
    /// A stored result, `art_` and 20 unguessable characters.
    ArtifactId
}
