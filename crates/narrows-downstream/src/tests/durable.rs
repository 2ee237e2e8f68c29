//! What outlives a request, as a script plays it: every answer tells what was asked.

use narrows_types::{
    Answer, Budget, Durability, Fault, Intent, IntentInfo, IntentsAsk, JobId, JobInfo, JobWork,
    JobsAsk, Language, LogLevel, LogLine, Replayed, RunId, RunInfo, RunState, RunView, RunsAsk,
    SessionId, SessionInfo, SessionsAsk, What,
};
use serde_json::value::RawValue;
use serde_json::{Value, json};

pub(super) fn raw(value: &Value) -> Box<RawValue> {
    serde_json::value::to_raw_value(value).unwrap()
}

/// A job of this name and state.
pub(super) fn job(id: &str, state: &str) -> JobInfo {
    JobInfo {
        job: JobId(id.to_owned()),
        state: state.to_owned(),
        work: "run".to_owned(),
        attempt: 1,
        max_attempts: 3,
        priority: 0,
        created_at_ms: 1_000,
        visible_at_ms: 2_000,
        finished_at_ms: None,
        fraction: None,
        message: String::new(),
        run: Some(RunId("run_x".to_owned())),
        questions: Vec::new(),
        result: None,
        error: String::new(),
        cron: None,
    }
}

fn run_info() -> RunInfo {
    RunInfo {
        run: RunId("run_x".to_owned()),
        state: RunState::Returned,
        language: Language::TypeScript,
        started_at_ms: 1,
        wall_us: 2,
        calls: 3,
        executions: 1,
        session: None,
        job: None,
        questions: Vec::new(),
    }
}

fn session(id: &str, budget: Budget) -> SessionInfo {
    SessionInfo {
        session: SessionId(id.to_owned()),
        created_at_ms: 1,
        used_at_ms: 2,
        expires_at_ms: 3,
        budget,
        used: Budget::default(),
        values: 0,
        value_bytes: 0,
        runs: Vec::new(),
    }
}

fn intent(name: String, version: u32) -> IntentInfo {
    let intent = Intent {
        name,
        description: "does".to_owned(),
        code: "1".to_owned(),
        language: Language::TypeScript,
        engine: None,
        limits: narrows_types::Lowered::default(),
        input_schema: raw(&json!({"type": "object"})),
        tests: Vec::new(),
    };
    IntentInfo { intent, version, versions: 2, saved_at_ms: 1, direct: None }
}

pub(super) fn scripted(what: What) -> Result<Answer, Fault> {
    Ok(match what {
        What::Resume { run, answers, background } => {
            let message = format!("{run} {} {background}", answers.len());
            Answer::Job(Box::new(JobInfo { message, ..job("job_r", "queued") }))
        }
        What::Runs(RunsAsk::List { limit: 50, state }) => {
            let state = state.unwrap_or(RunState::Returned);
            Answer::Runs(vec![RunInfo { state, ..run_info() }])
        }
        What::Runs(RunsAsk::Show { run }) if run.as_str() == "run_x" => {
            Answer::RunShown(Box::new(RunView {
                info: run_info(),
                durability: Durability::Async,
                code: "return 1".to_owned(),
                input: None,
                calls_made: Vec::new(),
                logs: Vec::new(),
            }))
        }
        What::Runs(RunsAsk::Replay { code, .. }) => Answer::Replayed(Box::new(Replayed {
            text: code.unwrap_or_default(),
            same: true,
            differences: Vec::new(),
        })),
        What::Sessions(SessionsAsk::Create { idle_s, life_s, budget }) => {
            let id = format!("ses_{}_{}", idle_s.unwrap_or(0), life_s.unwrap_or(0));
            Answer::Session(Box::new(session(&id, budget.unwrap_or_default())))
        }
        What::Sessions(SessionsAsk::List) => {
            Answer::Sessions(vec![session("ses_x", Budget::default())])
        }
        What::Sessions(SessionsAsk::Show { session: id }) if id.as_str() == "ses_x" => {
            Answer::Session(Box::new(session("ses_x", Budget::default())))
        }
        What::Sessions(SessionsAsk::Delete { .. }) => Answer::Done,
        What::Jobs(ask) => return jobs(ask),
        What::Intents(ask) => intents(ask),
        _ => return Err(Fault::not_found("there is none of this name")),
    })
}

fn jobs(ask: JobsAsk) -> Result<Answer, Fault> {
    Ok(match ask {
        JobsAsk::Submit { work, options } => {
            let work = match *work {
                JobWork::Run(run) => format!("run {}", run.code),
                JobWork::Intent { name, .. } => format!("intent {name}"),
                JobWork::Call(call) => format!("call {}.{}", call.server, call.tool),
                JobWork::Resume { run } => format!("resume {run}"),
            };
            let state = if options.cron.is_some() { "scheduled" } else { "queued" };
            let JobInfo { job: id, .. } = job("job_new", state);
            let priority = options.priority;
            Answer::Job(Box::new(JobInfo { work, priority, ..job(id.as_str(), state) }))
        }
        JobsAsk::List { state, .. } => {
            Answer::Jobs(vec![job("job_x", state.as_deref().unwrap_or("done"))])
        }
        JobsAsk::Show { job: id, wait_ms } if id.as_str() == "job_x" => {
            let message = format!("waited {wait_ms}");
            Answer::Job(Box::new(JobInfo { message, ..job("job_x", "running") }))
        }
        JobsAsk::Logs { .. } => {
            Answer::Logs(vec![LogLine { level: LogLevel::Info, text: "line".to_owned() }])
        }
        JobsAsk::Cancel { job: id } => Answer::Job(Box::new(job(id.as_str(), "cancelled"))),
        JobsAsk::Retry { job: id } => Answer::Job(Box::new(job(id.as_str(), "queued"))),
        JobsAsk::Schedules => Answer::Jobs(vec![job("cron_x", "scheduled")]),
        JobsAsk::Unschedule { .. } => Answer::Done,
        JobsAsk::Show { .. } => return Err(Fault::not_found("there is no such job")),
    })
}

fn intents(ask: IntentsAsk) -> Answer {
    match ask {
        IntentsAsk::Save(saved) => Answer::Intent(Box::new(intent(saved.name, 1))),
        IntentsAsk::Promote { run, .. } => Answer::Intent(Box::new(intent(run.0, 1))),
        IntentsAsk::List => Answer::Intents(vec![intent("i".to_owned(), 1)]),
        IntentsAsk::Show { name, version } => {
            Answer::Intent(Box::new(intent(name, version.unwrap_or(2))))
        }
        IntentsAsk::Rollback { name, version } => Answer::Intent(Box::new(intent(name, version))),
        IntentsAsk::Test { name } => Answer::Intent(Box::new(intent(name, 2))),
        IntentsAsk::Delete { .. } => Answer::Done,
        IntentsAsk::Call { name, input } => {
            let input = input.map_or("nothing".to_owned(), |input| input.get().to_owned());
            Answer::Call(narrows_types::ToolResult::text(format!("{name} {input}")))
        }
    }
}
