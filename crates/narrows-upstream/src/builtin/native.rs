//! Tools written in Rust by the application that Narrows is part of.

use super::Outcome;
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use narrows_types::{ToolResult, ToolSpec};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use serde_json::value::RawValue;
use std::fmt;
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

type Work = Arc<dyn Fn(&RawValue) -> BoxFuture<'static, Outcome> + Send + Sync>;

/// A tool inside the application.
#[derive(Clone)]
pub struct NativeTool {
    pub(super) spec: ToolSpec,
    work: Work,
}

/// The same work, not only the same name: a reload keeps what did not change.
impl PartialEq for NativeTool {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.work, &other.work) && self.spec.name == other.spec.name
    }
}

impl NativeTool {
    /// A tool that `work` does: it takes the arguments as `A` and gives back what becomes the
    /// structured result, or why it refuses (a result with `is_error`, as of any other server).
    ///
    /// `input_schema` is the JSON Schema of the arguments, an object schema. Dropping the future
    /// cancels the call; a panic is a refusal.
    pub fn new<A, R, F, Fut>(
        name: impl Into<String>,
        description: impl Into<String>,
        input_schema: Value,
        work: F,
    ) -> Self
    where
        A: DeserializeOwned,
        R: Serialize,
        F: Fn(A) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<R, String>> + Send + 'static,
    {
        let work: Work = Arc::new(move |arguments| match super::read::<A>(arguments) {
            Ok(arguments) => {
                let working = work(arguments);
                async move { super::structured(&working.await?) }.boxed()
            }
            Err(why) => std::future::ready(Err(why)).boxed(),
        });
        let spec = ToolSpec {
            name: name.into(),
            title: None,
            description: Some(description.into()),
            input_schema,
            output_schema: None,
            annotations: narrows_types::Annotations::default(),
            definition: None,
        };
        Self { spec, work }
    }

    /// Says what it returns (a JSON Schema), so that programs see a typed result.
    #[must_use]
    pub fn output_schema(mut self, schema: Value) -> Self {
        self.spec.output_schema = Some(schema);
        self
    }

    /// Says what effects it has.
    #[must_use]
    pub fn annotations(mut self, annotations: narrows_types::Annotations) -> Self {
        self.spec.annotations = annotations;
        self
    }
}

impl fmt::Debug for NativeTool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NativeTool").field("name", &self.spec.name).finish_non_exhaustive()
    }
}

/// Calls one of `tools`.
pub(super) async fn call(
    tools: &[NativeTool],
    tool: &str,
    arguments: &RawValue,
) -> Result<ToolResult, String> {
    let Some(found) = tools.iter().find(|t| t.spec.name == tool) else {
        return Err("there is no such tool".to_owned());
    };
    // What the application wrote must not take a request of the whole house down.
    let work = std::panic::catch_unwind(AssertUnwindSafe(|| (found.work)(arguments)));
    let Ok(work) = work else { return Err(PANICKED.to_owned()) };
    AssertUnwindSafe(work).catch_unwind().await.unwrap_or_else(|_panic| Err(PANICKED.to_owned()))
}

const PANICKED: &str = "the tool panicked; see the application's log";
