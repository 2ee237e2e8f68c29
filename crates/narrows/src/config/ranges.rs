//! What the types of the sections cannot say: ranges, and what does not go together.

mod paths;
mod sandbox;

use super::problem::Problem;
use super::settings::Hosts;
use super::tree::{Place, Tree};
use super::{Environment, Settings};
use narrows_store::StoreError;
use narrows_types::ReadOnly;

/// The largest journal of one run: beyond it the store is the wrong place.
const JOURNAL_BYTES_MAX: u64 = 1 << 30;
/// The most jobs that one process does at once.
const WORKERS_MAX: u64 = 10_000;
/// The longest life of a session: a year.
const SESSION_S_MAX: u64 = 31_536_000;
/// The longest that one attempt at a job takes: a week.
const JOB_MS_MAX: u64 = 604_800_000;
/// The longest that a dead worker keeps a job, and that one which stops goes on.
const WAIT_MS_MAX: u64 = 600_000;
/// The most attempts at one job.
const ATTEMPTS_MAX: u64 = 100;

/// A key of a section, its value, the least and the most that it may be.
type Range = (&'static str, u64, u64, u64);

struct Check<'a> {
    written: &'a Tree,
    problems: &'a mut Vec<Problem>,
}

/// Checks the sections beyond their types.
pub(super) fn check(
    settings: &Settings,
    (written, env): (&Tree, &Environment),
    problems: &mut Vec<Problem>,
) {
    let mut check = Check { written, problems };
    check.house(settings);
    check.durable(settings);
    check.limits(settings);
    check.sandbox(settings);
    check.paths(&settings.sandbox, env);
    check.addresses(settings);
    check.patterns(settings);
    if tracing_subscriber::EnvFilter::try_new(&settings.log.level).is_err() {
        check.told(
            &["log", "level"],
            "`log.level` is no level and no filter",
            "say error, warn, info, debug, trace, or a filter like narrows_upstream=debug,warn",
        );
    }
}

impl Check<'_> {
    /// One problem with what stands at `path`, and the next step.
    fn told(&mut self, path: &[&str], what: impl Into<String>, hint: &str) {
        let place = self.written.at(path).map(|tree| tree.place.clone());
        let place = place.unwrap_or_else(|| Place::whole("default"));
        self.problems.push(Problem::new(what).at(&place).hint(hint));
    }

    fn ranges(&mut self, section: &str, ranges: &[Range]) {
        for (key, value, least, most) in ranges {
            if (least..=most).contains(&value) {
                continue;
            }
            let range = match *most {
                u64::MAX => format!("{least} or more"),
                most => format!("from {least} to {most}"),
            };
            let what = format!("`{section}.{key}` must be {range}, not {value}");
            let path: Vec<&str> = section.split('.').chain([*key]).collect();
            self.told(&path, what, "");
        }
    }

    /// How much a run may use, and how it is served.
    fn house(&mut self, settings: &Settings) {
        let Settings { limits, serve, upstream, .. } = settings;
        let some = |key, value| (key, value, 1, u64::MAX);
        self.ranges(
            "limits",
            &[
                some("wall_ms", limits.wall_ms),
                some("cpu_ms", limits.cpu_ms),
                some("memory_bytes", limits.memory_bytes),
                some("processes", limits.processes.into()),
                some("calls_parallel", limits.calls_parallel.into()),
                some("result_bytes", limits.result_bytes),
                some("value_bytes", limits.value_bytes),
                some("output_bytes", limits.output_bytes),
                some("output_bytes_max", limits.output_bytes_max),
                some("code_bytes", limits.code_bytes),
                some("arguments_bytes", limits.arguments_bytes),
                some("runs_parallel", limits.runs_parallel),
            ],
        );
        self.fixed(&["limits"], Some(limits.read_only), Some(&limits.network));
        for (name, key) in &settings.keys {
            let own = &key.limits;
            self.fixed(&["keys", name, "limits"], own.read_only, own.network.as_ref());
        }
        self.ranges(
            "serve",
            &[
                some("body_bytes_max", serve.body_bytes_max),
                some("sessions_max", serve.sessions_max),
                some("session_ttl_s", serve.session_ttl_s),
                some("request_timeout_s", serve.request_timeout_s),
                some("page_items", serve.page_items),
            ],
        );
        self.ranges(
            "upstream",
            &[
                some("start_parallel", upstream.start_parallel),
                some("concurrency", upstream.concurrency),
            ],
        );
    }

    /// Limits that are no numbers.
    fn fixed(&mut self, at: &[&str], read_only: Option<bool>, network: Option<&Hosts>) {
        if read_only == Some(false) {
            self.told(&[at, &["read_only"]].concat(), ReadOnly::WHY, "leave `read_only` out");
        }
        if let Some(Err(why)) = network.map(Hosts::network) {
            let hint = "say network = \"none\", or network = [\"example.com\"], for example";
            self.told(&[at, &["network"]].concat(), why, hint);
        }
    }

    /// What outlives a request.
    fn durable(&mut self, settings: &Settings) {
        let Settings { store, runs, sessions, jobs, .. } = settings;
        let some = |key, value| (key, value, 1, u64::MAX);
        self.ranges(
            "store",
            &[
                some("artifact_bytes_max", store.artifact_bytes_max),
                some("artifacts_total_bytes_max", store.artifacts_total_bytes_max),
                some("artifact_ttl_s", store.artifact_ttl_s),
                some("run_ttl_s", store.run_ttl_s),
                some("sessions_max", store.sessions_max),
                some("value_bytes_max", store.value_bytes_max),
                some("session_bytes_max", store.session_bytes_max),
                some("session_values_max", store.session_values_max),
                some("intent_versions_max", store.intent_versions_max.into()),
                some("job_ttl_s", store.job_ttl_s),
            ],
        );
        self.ranges(
            "runs",
            &[("journal_bytes_max", runs.journal_bytes_max, 4_096, JOURNAL_BYTES_MAX)],
        );
        self.ranges(
            "sessions",
            &[
                ("idle_s", sessions.idle_s, 1, SESSION_S_MAX),
                ("life_s", sessions.life_s, 1, SESSION_S_MAX),
            ],
        );
        self.ranges(
            "jobs",
            &[
                ("workers", jobs.workers, 0, WORKERS_MAX),
                some("tenant_parallel", jobs.tenant_parallel.into()),
                ("lease_ms", jobs.lease_ms, 1_000, WAIT_MS_MAX),
                ("attempts", jobs.attempts.into(), 1, ATTEMPTS_MAX),
                ("wall_ms", jobs.wall_ms, 1_000, JOB_MS_MAX),
                ("drain_ms", jobs.drain_ms, 0, WAIT_MS_MAX),
            ],
        );
    }

    /// One limit within another.
    fn limits(&mut self, settings: &Settings) {
        let Settings { limits, store, .. } = settings;
        for (section, (key, value), (outer, most)) in [
            (
                "limits",
                ("output_bytes", limits.output_bytes),
                ("output_bytes_max", limits.output_bytes_max),
            ),
            (
                "store",
                ("value_bytes_max", store.value_bytes_max),
                ("session_bytes_max", store.session_bytes_max),
            ),
        ] {
            if value > most {
                let what = format!(
                    "`{section}.{key}` is {value}, more than `{section}.{outer}`, which is {most}"
                );
                self.told(&[section, key], what, "");
            }
        }
    }

    fn addresses(&mut self, settings: &Settings) {
        if let Some(http) = &settings.serve.http
            && http.strip_prefix("unix:").is_none_or(str::is_empty)
            && http.parse::<std::net::SocketAddr>().is_err()
        {
            self.told(
                &["serve", "http"],
                "`serve.http` must be an address with a port",
                "say 127.0.0.1:7300, [::1]:7300 or unix:/run/narrows.sock, for example",
            );
        }
        let url = settings.store.url.expose();
        let at = ["store", "url"];
        // A store that could not be read has been told of.
        let read = !url.is_empty() || self.written.at(&at).and_then(Tree::as_text) == Some("");
        // What is wrong with it is not repeated: it may be the password.
        if read && narrows_store::place(url).is_err() {
            self.told(
                &at,
                "`store.url` must be `sqlite:PATH`, `memory:`, \
                 `postgres://USER:PASSWORD@HOST/DATABASE` or `redis://HOST:PORT`",
                "in a password write @ : / ? # % as %40 %3A %2F %3F %23 %25",
            );
        }
        self.wakes(settings);
    }

    fn wakes(&mut self, settings: &Settings) {
        let Some(url) = &settings.jobs.wakes else { return };
        match narrows_store::check_wakes(url.expose()) {
            Ok(()) => {}
            Err(e @ StoreError::NotBuilt { .. }) => {
                self.told(&["jobs", "wakes"], format!("`jobs.wakes` cannot work: {e}"), "");
            }
            Err(_hidden) => self.told(
                &["jobs", "wakes"],
                "`jobs.wakes` must be `amqp://USER:PASSWORD@HOST/VHOST` or \
                 `nats://USER:PASSWORD@HOST`",
                "in a password write @ : / ? # % as %40 %3A %2F %3F %23 %25",
            ),
        }
    }

    /// A pattern that fits no call is a mistake, and one that nobody notices.
    fn patterns(&mut self, settings: &Settings) {
        let runs = &settings.runs;
        for (key, patterns) in [
            ("approve", &runs.approve),
            ("repeat", &runs.repeat),
            ("never_repeat", &runs.never_repeat),
        ] {
            let fits =
                |pattern: &String| pattern.contains('*') || pattern.trim_matches('.').contains('.');
            let Some(wrong) = patterns.iter().find(|pattern| !fits(pattern)) else { continue };
            let what = format!("`runs.{key}` has `{}`, which fits no call", wrong.escape_debug());
            self.told(
                &["runs", key],
                what,
                "write `server.tool`; `*` stands for any characters, as in `github.delete_*`",
            );
        }
    }
}
