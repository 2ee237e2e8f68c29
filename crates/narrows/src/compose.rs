//! From the settings to each crate's own config.

mod sandbox;

pub(crate) use sandbox::sandbox;

use crate::config::secret::Secret;
use crate::config::settings::{
    Era, Grant, Jobs, OAuth, Prefix, Sessions, Synchronous, Tier, ToolSaid,
};
use crate::config::{Environment, Launch, Settings, Upstream};
use narrows_catalog::manifest;
use narrows_types::Budget;
use narrows_upstream as upstream;
use std::time::Duration;

/// The fleet's.
pub(crate) fn upstream(settings: &Settings, env: &Environment) -> upstream::Config {
    upstream::Config {
        servers: settings.servers.iter().map(server).collect(),
        logins: upstream::Logins {
            folder: Some(env.data_dir().join("logins")),
            follow: env.var("NARROWS_LOGIN_FOLLOW") == Some("1"),
        },
        cache_dir: settings.upstream.cache.then(|| env.data_dir().join("tools")),
        start_concurrency: size(settings.upstream.start_parallel),
        concurrency: size(settings.upstream.concurrency),
        queue: size(settings.upstream.queue),
        // On the wire a result stands twice, as text and as structured content.
        result_bytes_max: size(settings.limits.result_bytes.saturating_mul(2)),
        ..upstream::Config::default()
    }
}

fn server(server: &Upstream) -> upstream::ServerConfig {
    let exposed = |pairs: &std::collections::BTreeMap<String, Secret>| {
        pairs.iter().map(|(k, v)| (k.clone(), v.expose().to_owned())).collect()
    };
    let launch = match &server.launch {
        Launch::Stdio { command, args, env, cwd } => upstream::Launch::Stdio {
            command: command.clone(),
            args: args.iter().map(|arg| arg.expose().to_owned()).collect(),
            env: exposed(env),
            cwd: cwd.clone(),
        },
        Launch::Http { url, urls, sse, headers } => {
            let urls = urls.iter().map(|url| url.expose().to_owned()).collect();
            let url = url.expose().to_owned();
            let transport = if *sse { upstream::Transport::Sse } else { upstream::Transport::Auto };
            upstream::Launch::Http { url, urls, transport, headers: exposed(headers) }
        }
        Launch::Files { folders, write } => upstream::Launch::Builtin(upstream::Builtin::Files {
            folders: folders.clone(),
            write: *write,
        }),
        Launch::Time => upstream::Launch::Builtin(upstream::Builtin::Time),
    };
    upstream::ServerConfig {
        oauth: server.oauth.as_ref().map(oauth),
        enabled: server.enabled,
        start_timeout: server.start_timeout,
        call_timeout: server.call_timeout,
        era: match server.era {
            Era::Auto => upstream::Era::Auto,
            Era::Legacy => upstream::Era::Legacy,
            Era::Modern => upstream::Era::Modern,
        },
        tools_allow: server.tools_allow.clone(),
        tools_hide: server.tools_hide.clone(),
        idle_stop: server.idle_stop,
        tier: match server.tier {
            Tier::Fast => upstream::Tier::Fast,
            Tier::Medium => upstream::Tier::Medium,
            Tier::Heavy => upstream::Tier::Heavy,
        },
        concurrency: server.concurrency.map(size),
        queue: server.queue.map(size),
        pool: upstream::Pool {
            min: size(server.pool.min),
            max: size(server.pool.max),
            stateful: server.pool.stateful,
        },
        ..upstream::ServerConfig::new(server.name.as_str(), launch)
    }
}

fn oauth(oauth: &OAuth) -> upstream::OAuth {
    let exposed = |secret: &Option<Secret>| secret.as_ref().map(|s| s.expose().to_owned());
    upstream::OAuth {
        client_id: oauth.client_id.clone(),
        client_secret: exposed(&oauth.client_secret),
        client_metadata_url: oauth.client_metadata_url.clone(),
        scopes: oauth.scopes.clone(),
        redirect_port: oauth.redirect_port,
        grant: match oauth.grant {
            Grant::Person => upstream::Grant::Person,
            Grant::Client => upstream::Grant::Client,
        },
        private_key: exposed(&oauth.private_key),
    }
}

/// The store's.
pub(crate) fn store(settings: &Settings) -> narrows_store::Config {
    let store = &settings.store;
    narrows_store::Config {
        url: store.url.expose().to_owned(),
        synchronous: match store.synchronous {
            Synchronous::Normal => narrows_store::Synchronous::Normal,
            Synchronous::Full => narrows_store::Synchronous::Full,
        },
        wakes: settings.jobs.wakes.as_ref().map(|wakes| wakes.expose().to_owned()),
        artifact_bytes_max: store.artifact_bytes_max,
        artifacts_total_bytes_max: store.artifacts_total_bytes_max,
        artifact_ttl_s: store.artifact_ttl_s,
        runs_max: store.runs_max,
        run_ttl_s: store.run_ttl_s,
        sessions_max: store.sessions_max,
        value_bytes_max: store.value_bytes_max,
        session_bytes_max: store.session_bytes_max,
        session_values_max: store.session_values_max,
        intent_versions_max: store.intent_versions_max,
        job_ttl_s: store.job_ttl_s,
    }
}

/// A number of things in memory.
pub(crate) fn size(n: u64) -> usize {
    usize::try_from(n).unwrap_or(usize::MAX)
}

/// The engine's.
pub(crate) fn engine(settings: &Settings) -> narrows_engine::Config {
    let (limits, runs) = (&settings.limits, &settings.runs);
    narrows_engine::Config {
        limits: limits.run(),
        output_bytes_max: limits.output_bytes_max,
        runs_parallel: size(limits.runs_parallel),
        runs_waiting: size(limits.runs_waiting),
        list_wait: Duration::from_millis(settings.upstream.list_wait_ms),
        arguments_bytes: size(limits.arguments_bytes),
        access: access(settings),
        exposure: exposure(settings),
        hybrid_tokens: size(settings.serve.hybrid_tokens),
        page_items: size(settings.serve.page_items),
        cache: cache(settings),
        durability: runs.durability.into(),
        journal_bytes_max: runs.journal_bytes_max,
        approve: runs.approve.clone(),
        repeat: runs.repeat.clone(),
        never_repeat: runs.never_repeat.clone(),
        redact: runs.redact.clone(),
        sessions: sessions(settings),
        jobs: jobs(settings),
        ..narrows_engine::Config::default()
    }
}

/// Sessions, where nothing else is said.
fn sessions(settings: &Settings) -> narrows_engine::Sessions {
    let Sessions { idle_s, life_s, calls, ms, bytes, tokens } = settings.sessions;
    narrows_engine::Sessions { idle_s, life_s, budget: Budget { calls, ms, bytes, tokens } }
}

/// Who does jobs, and how.
fn jobs(settings: &Settings) -> narrows_engine::Jobs {
    let Jobs { workers, tenant_parallel, lease_ms, attempts, wall_ms, drain_ms, .. } =
        settings.jobs;
    narrows_engine::Jobs {
        parallel: size(workers),
        tenant_parallel,
        lease: Duration::from_millis(lease_ms),
        attempts,
        wall: Duration::from_millis(wall_ms),
        drain: Duration::from_millis(drain_ms),
    }
}

/// Who sees what.
fn access(settings: &Settings) -> narrows_engine::Access {
    let serve = &settings.serve;
    let keys = settings.keys.iter().map(|(name, said)| narrows_engine::Key {
        name: name.clone(),
        secret: said.secret.expose().to_owned(),
        mode: said.mode.map(Into::into),
        servers: said.servers.clone(),
        limits: said.limits.clone().into(),
        backend: said.backend,
    });
    narrows_engine::Access {
        mode: serve.mode.into(),
        choices: serve.modes.iter().map(|mode| (*mode).into()).collect(),
        switchable: serve.switch_mode,
        clients: serve.clients.iter().map(|(name, mode)| (name.clone(), (*mode).into())).collect(),
        keys: keys.collect(),
    }
}

/// How servers and their tools are named.
fn exposure(settings: &Settings) -> narrows_engine::Exposure {
    let said = |server: &Upstream| narrows_engine::ServerExposure {
        prefix: match &server.prefix {
            Prefix::Server => narrows_engine::Prefix::Server,
            Prefix::Text(text) => narrows_engine::Prefix::Text(text.clone()),
            Prefix::Off => narrows_engine::Prefix::Off,
        },
        tools: server
            .tools
            .iter()
            .map(|(name, said)| {
                let exposure = narrows_engine::ToolExposure {
                    name: said.name.clone(),
                    description: said.description.clone(),
                    pin: said.pin,
                };
                (name.clone(), exposure)
            })
            .collect(),
    };
    narrows_engine::Exposure {
        separator: settings.serve.separator.clone(),
        servers: settings.servers.iter().map(|s| (s.name.clone(), said(s))).collect(),
    }
}

/// Which answers are kept.
fn cache(settings: &Settings) -> narrows_engine::cache::Config {
    let rules = |server: &Upstream| {
        let ttl = |said: &ToolSaid| said.cache_ttl_ms.map(Duration::from_millis);
        let tools = server.tools.iter().filter_map(|(n, said)| Some((n.clone(), ttl(said)?)));
        narrows_engine::cache::Rules { read_only: server.cache_ttl, tools: tools.collect() }
    };
    narrows_engine::cache::Config {
        servers: settings.servers.iter().map(|s| (s.name.clone(), rules(s))).collect(),
        batch: Duration::from_millis(settings.cache.batch_ms),
        bytes_max: size(settings.cache.bytes_max),
        answer_bytes_max: size(settings.cache.answer_bytes_max),
    }
}

/// The doors'.
pub(crate) fn doors(settings: &Settings) -> narrows_downstream::Config {
    let serve = &settings.serve;
    narrows_downstream::Config {
        instructions: manifest::instructions().to_owned(),
        hybrid_instructions: manifest::hybrid_instructions().to_owned(),
        tools: manifest::tools().to_vec(),
        mode: serve.mode.into(),
        allowed_hosts: serve.allowed_hosts.clone(),
        allowed_origins: serve.allowed_origins.clone(),
        body_bytes_max: size(serve.body_bytes_max),
        sessions_max: size(serve.sessions_max),
        session_ttl: Duration::from_secs(serve.session_ttl_s),
        request_timeout: Duration::from_secs(serve.request_timeout_s),
        ..narrows_downstream::Config::default()
    }
}
