//! What the sandbox is like on this machine: what is told at the start, and what `doctor` finds.

use super::program;
use crate::cli::doctor::Check;
use crate::compose;
use crate::config::{Environment, Settings};
use narrows_sandbox::{Choice, Sandbox};
use narrows_types::{BackendKind, Engine, Fault, Language, Layer, LayerState};

/// Where the sandbox itself does not start.
const FIX: &str = "programs cannot run here; see SECURITY.md for what the sandbox needs";

/// Tells whose programs run without walls, beside those of the config's own back end.
pub(super) fn warn_of_basic(settings: &Settings) {
    let names = keys_on(settings, BackendKind::Basic);
    if !names.is_empty() {
        tracing::warn!("the back end of {names} is basic: programs run without any walls");
    }
}

/// The keys whose holders' programs run on a back end, for people.
fn keys_on(settings: &Settings, backend: BackendKind) -> String {
    let on = settings.keys.iter().filter(|(_, key)| key.backend == Some(backend));
    on.map(|(name, _)| format!("the key {name}")).collect::<Vec<_>>().join(", ")
}

/// Where programs run here, which walls stand there, which other back ends would work, and whether
/// all that the config names does.
pub(crate) async fn sandbox_checks(settings: &Settings, env: &Environment) -> Vec<Check> {
    let started = async { Ok(Sandbox::start(compose::sandbox(settings, env, program()?)).await?) };
    let sandbox: Sandbox = match started.await {
        Ok(sandbox) => sandbox,
        Err::<_, Fault>(fault) => return vec![failed("sandbox", fault)],
    };
    let mut checks = Vec::new();
    let chosen = sandbox.choose().await;
    let layers = sandbox.probe().await;
    match (&chosen, &layers) {
        (Ok(choice), Ok(layers)) => {
            checks.push(choice_check(choice, settings));
            checks.extend(layers.iter().map(layer_check));
        }
        (Err(error), _) | (_, Err(error)) => {
            checks.push(failed("sandbox", error.clone().into()));
        }
    }
    let chosen = chosen.ok().map(|choice| choice.backend);
    for backend in BackendKind::ALL.into_iter().filter(|backend| Some(*backend) != chosen) {
        checks.extend(backend_check(&sandbox, settings, backend).await);
    }
    for engine in settings.sandbox.engines() {
        if engine.has_sockets() && !settings.limits.run().network.is_none() {
            checks.push(network_check(&sandbox, engine).await);
        }
        checks.extend(engine_check(&sandbox, settings, (chosen, engine)).await);
    }
    sandbox.shutdown().await;
    checks
}

fn failed(what: &str, fault: Fault) -> Check {
    let fix = if fault.hint.is_empty() { FIX.to_owned() } else { fault.hint };
    Check::fail(what, fault.message, fix)
}

/// A back end that is not where programs run that do not say.
async fn backend_check(
    sandbox: &Sandbox,
    settings: &Settings,
    backend: BackendKind,
) -> Option<Check> {
    let what = format!("sandbox back end {backend}");
    let wanted = keys_on(settings, backend);
    if backend == BackendKind::Basic {
        // Whether a process without walls starts tells nothing.
        let found = format!("programs of {wanted} run in basic, which locks nothing in");
        let fix = "name another back end wherever programs are not your own";
        return (!wanted.is_empty()).then(|| Check::warn(what, found, fix));
    }
    let state = sandbox.try_out(backend).await;
    Some(match (state.works(), wanted.is_empty()) {
        (true, _) => Check::ok(what, "works here"),
        (false, true) => Check::ok(what, format!("not here: {}", state.why)),
        (false, false) => {
            let found = format!("not here, and {wanted} wants it: {}", state.why);
            Check::fail(what, found, "mend that, or name another back end for the key")
        }
    })
}

/// An engine that the config names, where programs in its language would have it.
async fn engine_check(
    sandbox: &Sandbox,
    settings: &Settings,
    (chosen, engine): (Option<BackendKind>, Engine),
) -> Option<Check> {
    let what = format!("sandbox engine {engine}");
    let chosen = chosen?;
    let keys = settings.keys.values().filter_map(|key| key.backend);
    let place = [chosen].into_iter().chain(keys).find(|backend| backend.carries(engine));
    let Some(place) = place else {
        if !engine.is_embedded() {
            let fix = "say `sandbox.backend = \"process\"`, or do not name the engine";
            return Some(Check::fail(what, format!("there is none in {chosen}"), fix));
        }
        // In WebAssembly TypeScript has an engine of its own.
        let python = engine.language() == Language::Python;
        let found = format!("programs in Python do not run in {chosen}");
        let fix = "say another `sandbox.backend` if they should";
        return python.then(|| Check::warn(what, found, fix));
    };
    let state = sandbox.try_engine(place, engine).await;
    Some(if state.works() {
        Check::ok(what, format!("works in {place}"))
    } else {
        let fix = match engine {
            Engine::Deno => "mend `sandbox.deno_path` or `npm_path`, or do not name deno",
            Engine::Cpython => "mend `sandbox.cpython_path` or `venv_path`, or do not name cpython",
            Engine::Quickjs | Engine::Monty | Engine::Wasm => FIX,
        };
        Check::fail(what, format!("does not work in {place}: {}", state.why), fix)
    })
}

/// Whether programs reach the hosts of `limits.network`.
async fn network_check(sandbox: &Sandbox, engine: Engine) -> Check {
    let what = format!("network of programs in {engine}");
    match sandbox.try_network(engine).await {
        Ok(()) => Check::ok(what, "works, by a proxy"),
        Err(error) => {
            let fix = "allow user, mount and network namespaces on this host, or say \
                       `limits.network = \"none\"`";
            Check::fail(what, Fault::from(error).message, fix)
        }
    }
}

fn choice_check(choice: &Choice, settings: &Settings) -> Check {
    let what = "sandbox";
    let said = settings.sandbox.backend.backend().is_some();
    if choice.backend == BackendKind::Basic {
        let fix = "say `sandbox.backend = \"auto\"` wherever programs are not your own";
        return Check::warn(what, "programs run in basic, which locks nothing in", fix);
    }
    let how = if said { "as the config says" } else { "the strongest that works" };
    let passed_over = choice.passed_over.iter().map(|(over, why)| format!("; not {over}: {why}"));
    let passed_over: String = passed_over.collect();
    let found = format!("programs run in {}, {how}{passed_over}", choice.backend);
    Check::ok(what, found)
}

fn layer_check(state: &LayerState) -> Check {
    let name = format!("sandbox: {}", state.layer);
    if state.reached {
        return Check::ok(name, "stands");
    }
    let found = if state.why.is_empty() { "missing" } else { &state.why };
    let fix = match state.layer {
        Layer::Landlock => "needs a kernel with landlock (5.13 or newer)",
        Layer::Cgroup => "give Narrows a control group of its own; see docs/guide/sandbox.md",
        layer if Layer::FLOOR.contains(&layer) => "part of the floor; without it nothing runs",
        _ => "allow unprivileged user namespaces on this host",
    };
    Check::warn(name, found, fix)
}
