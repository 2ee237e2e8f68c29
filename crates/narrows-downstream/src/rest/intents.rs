//! Intents: saved programs.

use super::desk::{Asked, Desk, Given, Outcome, Part};
use super::openapi;
use super::reply::{body as read, run};
use narrows_types::fault::clip;
use narrows_types::{Engine, Fault, Intent, IntentTest, IntentsAsk, Language, Lowered, What};
use serde::Deserialize;
use serde_json::value::RawValue;

const SHAPE: &str = "the body is {name, description, code, language?, engine?, limits?, input_schema, tests?: \
                     [{input, expected, run?}]}, or {name, description, run, input_schema?} to \
                     save a run's program";
/// Bytes of a name.
const NAME_BYTES_MAX: usize = 128;

/// What is to be saved: a program, or a run's.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Wanted {
    name: String,
    #[serde(default)]
    description: String,
    code: Option<String>,
    language: Option<Language>,
    engine: Option<Engine>,
    #[serde(default)]
    limits: Lowered,
    #[serde(alias = "inputSchema")]
    input_schema: Option<Box<RawValue>>,
    #[serde(default)]
    tests: Vec<IntentTest>,
    run: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct At {
    version: Option<u32>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Version {
    version: u32,
}

fn named(name: String) -> String {
    clip(name, NAME_BYTES_MAX)
}

fn saved(body: Option<&RawValue>) -> Result<IntentsAsk, Fault> {
    let wanted: Wanted = read(body, SHAPE)?;
    let Wanted { name, description, code, input_schema, run: of, .. } = wanted;
    let Wanted { language, engine, limits, tests, .. } = wanted;
    match (code, of) {
        (Some(code), None) => {
            let Some(input_schema) = input_schema else {
                return Err(Fault::invalid("`input_schema` is missing").hint(SHAPE));
            };
            let language = language.unwrap_or_default();
            let intent =
                Intent { name, description, code, language, engine, limits, input_schema, tests };
            Ok(IntentsAsk::Save(Box::new(intent)))
        }
        (None, Some(_))
            if language.is_some()
                || engine.is_some()
                || !limits.is_empty()
                || !tests.is_empty() =>
        {
            Err(Fault::invalid(
                "a run has its own language, engine and limits, and its tests come with a later \
                 version",
            ))
        }
        (None, Some(of)) => {
            Ok(IntentsAsk::Promote { run: run(of), name, description, input_schema })
        }
        _ => Err(Fault::invalid("either `code` or `run` must be given").hint(SHAPE)),
    }
}

#[utoipa::path(post, path = "/v1/intents", tag = "intents",
    request_body = openapi::IntentRequest,
    responses(
        (status = 201, description = "the intent", body = openapi::Intent),
        (status = "default", description = "the request failed", body = openapi::Problem),
    ))]
/// Saves a new version of an intent, or the program of a finished run as one.
pub(super) async fn save(desk: Desk, Given(body): Given) -> Outcome {
    desk.created(What::Intents(saved(body.as_deref())?)).await
}

#[utoipa::path(get, path = "/v1/intents", tag = "intents",
    responses(
        (status = 200, description = "the intents of whoever asks", body = openapi::Intents),
        (status = "default", description = "the request failed", body = openapi::Problem),
    ))]
/// Lists intents.
pub(super) async fn list(desk: Desk) -> Outcome {
    desk.answered(What::Intents(IntentsAsk::List)).await
}

#[utoipa::path(get, path = "/v1/intents/{name}", tag = "intents",
    params(
        ("name" = String, Path, description = "the intent's name"),
        ("version" = Option<u32>, Query, description = "another version than the one in use"),
    ),
    responses(
        (status = 200, description = "the intent", body = openapi::Intent),
        (status = "default", description = "the request failed", body = openapi::Problem),
    ))]
/// Shows an intent.
pub(super) async fn show(
    desk: Desk,
    Part(id): Part<String>,
    Asked(At { version }): Asked<At>,
) -> Outcome {
    let what = IntentsAsk::Show { name: named(id), version };
    desk.answered(What::Intents(what)).await
}

#[utoipa::path(post, path = "/v1/intents/{name}", tag = "intents",
    params(("name" = String, Path, description = "the intent's name")),
    request_body(content = serde_json::Value, description = "the input, an object"),
    responses(
        (status = 200, description = "the program ended, however it ended; a tool's result where no program is needed", body = openapi::RunReply),
        (status = "default", description = "the request failed", body = openapi::Problem),
    ))]
/// Runs an intent with the body as its input.
pub(super) async fn call(desk: Desk, Part(id): Part<String>, Given(body): Given) -> Outcome {
    let what = IntentsAsk::Call { name: named(id), input: body };
    desk.accepted(What::Intents(what)).await
}

#[utoipa::path(delete, path = "/v1/intents/{name}", tag = "intents",
    params(("name" = String, Path, description = "the intent's name")),
    responses(
        (status = 204, description = "it is gone"),
        (status = "default", description = "the request failed", body = openapi::Problem),
    ))]
/// Removes an intent with all its versions.
pub(super) async fn delete(desk: Desk, Part(id): Part<String>) -> Outcome {
    desk.answered(What::Intents(IntentsAsk::Delete { name: named(id) })).await
}

#[utoipa::path(post, path = "/v1/intents/{name}/rollback", tag = "intents",
    params(("name" = String, Path, description = "the intent's name")),
    request_body = openapi::RollbackRequest,
    responses(
        (status = 200, description = "the intent", body = openapi::Intent),
        (status = "default", description = "the request failed", body = openapi::Problem),
    ))]
/// Makes another version the one in use.
pub(super) async fn rollback(desk: Desk, Part(id): Part<String>, Given(body): Given) -> Outcome {
    let Version { version } = read(body.as_deref(), "the body is {version}")?;
    let what = IntentsAsk::Rollback { name: named(id), version };
    desk.answered(What::Intents(what)).await
}

#[utoipa::path(post, path = "/v1/intents/{name}/test", tag = "intents",
    params(("name" = String, Path, description = "the intent's name")),
    responses(
        (status = 200, description = "they hold", body = openapi::Intent),
        (status = "default", description = "the request failed", body = openapi::Problem),
    ))]
/// Carries the tests of an intent out, against a journal.
pub(super) async fn test(desk: Desk, Part(id): Part<String>) -> Outcome {
    desk.answered(What::Intents(IntentsAsk::Test { name: named(id) })).await
}
