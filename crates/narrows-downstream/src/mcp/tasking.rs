//! `tasks/*` for jobs of ours, in both forms, and a listener's news of them.

use super::asking::{put, response};
use super::params::{Params, string, text};
use super::{Body, Front, GRACE, Plan, Rules};
use crate::caller::Caller;
use crate::listen::Teller;
use crate::tasks::{self, EXTENSION, Status};
use crate::wire::Failure;
use narrows_protocol::Revision;
use narrows_protocol::rounds::Retry;
use narrows_types::{
    Answer, Ask, Event, Fault, JobId, JobInfo, JobsAsk, Kind, Mode, Origin, Response, What,
};
use serde_json::json;
use serde_json::value::RawValue;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::Instant;

/// How long one look at a job waits for its end.
const LOOK: Duration = Duration::from_secs(20);
/// How long a job that waits for somebody is left alone between two looks.
const PAUSE: Duration = Duration::from_secs(1);
/// Tasks in one list.
const LIST_MAX: usize = 200;

/// A request about tasks.
#[derive(Debug)]
pub(crate) enum TaskCall {
    Get(String),
    /// Answers to what a task asks.
    Update(String, Vec<Response>),
    Cancel(String),
    /// Waits for the end (2025-11-25).
    Result(String),
    /// All of them (2025-11-25).
    List,
}

impl Front {
    /// The plan for a request about a task, if it is one of ours.
    pub(super) fn plan_task(
        caller: &Caller,
        method: &str,
        params: &Params<'_>,
        whole: Option<&RawValue>,
    ) -> Option<Result<Plan, Failure>> {
        let known = match caller.rules {
            Rules::Modern => matches!(method, "tasks/get" | "tasks/update" | "tasks/cancel"),
            Rules::Legacy(revision) => {
                revision >= Revision::V2025_11_25
                    && matches!(
                        method,
                        "tasks/get" | "tasks/result" | "tasks/cancel" | "tasks/list"
                    )
            }
        };
        // In code mode there are no tasks but ours, in mcp mode none of ours.
        let id = params.task_id.and_then(string);
        let own = match caller.mode {
            Mode::Code => true,
            Mode::Hybrid => method == "tasks/list" || id.is_some_and(|id| tasks::knows(&id)),
            Mode::Mcp => false,
        };
        (known && own).then(|| task_call(caller, method, params, whole).map(Plan::Task))
    }

    /// Answers a request about a task of ours.
    pub(super) async fn task(
        &self,
        caller: &Caller,
        call: TaskCall,
        events: Option<mpsc::Sender<Event>>,
    ) -> Result<Body, Failure> {
        let modern = caller.rules == Rules::Modern;
        let acknowledged = || super::raw(&json!({"resultType": "complete"}));
        match call {
            TaskCall::Get(id) => {
                let job = self.job(caller, &id, Duration::ZERO).await?;
                self.task_shown(caller, &job)
            }
            TaskCall::Update(id, answers) => {
                let job = self.job(caller, &id, Duration::ZERO).await?;
                self.answered_task(caller, &job, answers).await?;
                Ok(acknowledged())
            }
            TaskCall::Cancel(id) => {
                let before = self.job(caller, &id, Duration::ZERO).await?;
                if Status::of(&before).is_last() {
                    let over = || Failure::params(format!("task {id} is {} already", before.state));
                    return if modern { Ok(acknowledged()) } else { Err(over()) };
                }
                let what = JobsAsk::Cancel { job: before.job };
                let job = self.jobs(caller, &id, what, Duration::ZERO).await?;
                if modern { Ok(acknowledged()) } else { tasks::legacy(&job) }
            }
            TaskCall::Result(id) => self.task_result(caller, &id, events.as_ref()).await,
            TaskCall::List => {
                let what = What::Jobs(JobsAsk::List { limit: LIST_MAX, state: None });
                match self.asked(self.ask_of(caller, what), None).await {
                    Ok(Answer::Jobs(jobs)) => tasks::legacy_list(&jobs),
                    Ok(_) => Err(mixed_up()),
                    Err(fault) => Err(Failure::told(&fault)),
                }
            }
        }
    }

    /// A job as its client's era shows it.
    pub(crate) fn task_shown(&self, caller: &Caller, job: &JobInfo) -> Result<Body, Failure> {
        match caller.rules {
            Rules::Modern => {
                let seal = self.seal(caller.rules);
                tasks::modern(job, Some("complete"), caller.can_be_asked(), seal)
            }
            Rules::Legacy(_) => tasks::legacy(job),
        }
    }

    /// Waits for the end of a task; what it asks meanwhile its client is asked on the stream.
    async fn task_result(
        &self,
        caller: &Caller,
        id: &str,
        events: Option<&mpsc::Sender<Event>>,
    ) -> Result<Body, Failure> {
        let until = Instant::now() + self.config.request_timeout;
        let mut asks = events.filter(|_| caller.can_be_asked());
        loop {
            let job = self.job(caller, id, LOOK).await?;
            match Status::of(&job) {
                Status::Completed => return tasks::legacy_result(&job, self.seal(caller.rules)),
                Status::Failed => return Err(tasks::failure(&job)),
                Status::Cancelled => {
                    return Err(Failure::params(format!("task {id} was cancelled")));
                }
                Status::InputRequired => match asks {
                    Some(events) => {
                        let answers = put(&job.questions, events).await;
                        if answers.len() < job.questions.len() {
                            asks = None;
                        }
                        if !answers.is_empty() {
                            self.answered_task(caller, &job, answers).await?;
                        }
                    }
                    None => tokio::time::sleep(PAUSE).await,
                },
                Status::Working => {}
            }
            if Instant::now() >= until {
                let message = format!("task {id} is {} still", job.state);
                let fault = Fault::new(Kind::Timeout, Origin::Narrows, message);
                return Err(Failure::told(&fault.hint("ask again with tasks/result")));
            }
        }
    }

    async fn answered_task(
        &self,
        caller: &Caller,
        job: &JobInfo,
        answers: Vec<Response>,
    ) -> Result<(), Failure> {
        // Answers to what is not asked, or not any more, are no mistake of the client.
        let open = |answer: &Response| job.questions.iter().any(|asked| asked.id == answer.id);
        let answers: Vec<Response> = answers.into_iter().filter(open).collect();
        let (Some(run), false) = (job.run.clone(), answers.is_empty()) else { return Ok(()) };
        let what = What::Resume { run, answers, background: true };
        match self.asked(self.ask_of(caller, what), None).await {
            Ok(_) => Ok(()),
            Err(fault) => Err(Failure::told(&fault)),
        }
    }

    /// A job of the caller's, once it is over or paused or the time is.
    pub(crate) async fn job(
        &self,
        caller: &Caller,
        id: &str,
        wait: Duration,
    ) -> Result<JobInfo, Failure> {
        let wait_ms = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX);
        let what = JobsAsk::Show { job: JobId(id.to_owned()), wait_ms };
        self.jobs(caller, id, what, wait).await
    }

    async fn jobs(
        &self,
        caller: &Caller,
        id: &str,
        what: JobsAsk,
        wait: Duration,
    ) -> Result<JobInfo, Failure> {
        if !tasks::knows(id) {
            return Err(tasks::unknown(id));
        }
        let ask = self.ask_of(caller, What::Jobs(what));
        let answer = tokio::time::timeout(wait + GRACE * 2, self.asked(ask, None)).await;
        let late = |_| {
            let message = format!("task {id} was not found in time");
            Failure::told(&Fault::new(Kind::Timeout, Origin::Narrows, message))
        };
        match answer.map_err(late)? {
            Ok(Answer::Job(job)) => Ok(*job),
            Ok(_) => Err(mixed_up()),
            Err(fault) if fault.kind == Kind::NotFound => Err(tasks::unknown(id)),
            Err(fault) => Err(Failure::told(&fault)),
        }
    }

    fn ask_of(&self, caller: &Caller, what: What) -> Ask {
        Ask {
            principal: caller.principal.clone(),
            client: Arc::clone(&caller.client),
            deadline: Some(self.config.request_timeout),
            what,
        }
    }
}

/// Tells of each change of a task until it is over, or nobody knows it any more.
pub(crate) async fn watch(front: Arc<Front>, caller: Caller, id: String, teller: Teller) {
    let mut told: Option<String> = None;
    loop {
        let Ok(job) =
            front.job(&caller, &id, if told.is_some() { LOOK } else { Duration::ZERO }).await
        else {
            return;
        };
        let status = Status::of(&job);
        let seal = front.seal(caller.rules);
        let Ok(shown) = tasks::modern(&job, None, caller.can_be_asked(), seal) else { return };
        // How it stood when the stream was opened is no news, unless nothing comes after it.
        let news = told.as_deref().map_or(status != Status::Working, |told| told != shown.get());
        if news {
            teller.tell("notifications/tasks", Some(&shown)).await;
        }
        if status.is_last() {
            return;
        }
        told = Some(shown.get().to_owned());
        if status == Status::InputRequired {
            tokio::time::sleep(PAUSE).await;
        }
    }
}

fn task_call(
    caller: &Caller,
    method: &str,
    params: &Params<'_>,
    whole: Option<&RawValue>,
) -> Result<TaskCall, Failure> {
    if caller.rules == Rules::Modern && !caller.extends(EXTENSION) {
        return Err(Failure::lacks_extension(EXTENSION));
    }
    if method == "tasks/list" {
        let one_page = || Failure::params("unknown cursor; the list has one page".to_owned());
        return if params.cursor.is_none() { Ok(TaskCall::List) } else { Err(one_page()) };
    }
    let id = text(params.task_id, "taskId")?.into_owned();
    Ok(match method {
        "tasks/update" => {
            let given = whole.map_or("{}", RawValue::get);
            let given = Retry::read(given).map_err(Failure::params)?;
            let answers = given.answers.iter().map(|(id, result)| response(id, result));
            TaskCall::Update(id, answers.collect::<Result<_, _>>()?)
        }
        "tasks/cancel" => TaskCall::Cancel(id),
        "tasks/result" => TaskCall::Result(id),
        _ => TaskCall::Get(id),
    })
}

fn mixed_up() -> Failure {
    Failure::internal(&Fault::bug("the engine gave an answer to another question"))
}
