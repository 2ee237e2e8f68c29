//! `narrows job`: what is done in the background.

use super::args::{JobArgs, JobWhat, SubmitArgs};
use super::exit::{FAILED, Fail, OK, PAUSED};
use super::output::{Output, Tone, safe};
use super::render::first_line;
use super::when::moment;
use super::{Desk, call, mismatch, run, runs};
use narrows_types::{
    Answer, JobId, JobInfo, JobOptions, JobWork, JobsAsk, LogLine, RunId, What, raw,
};
use std::fmt::Write as _;
use std::time::{Duration, Instant};

impl Desk {
    pub(super) async fn job(&self, args: JobArgs) -> Result<u8, Fail> {
        let what = match args.what {
            JobWhat::Submit(args) => submission(*args)?,
            JobWhat::List { limit, state } => JobsAsk::List { limit: limit.into(), state },
            JobWhat::Show { job, wait } => {
                return self.job_show(&JobId(job), Duration::from_secs(wait)).await;
            }
            JobWhat::Logs { job } => JobsAsk::Logs { job: JobId(job) },
            JobWhat::Cancel { job } => JobsAsk::Cancel { job: JobId(job) },
            JobWhat::Retry { job } => JobsAsk::Retry { job: JobId(job) },
            JobWhat::Schedules => JobsAsk::Schedules,
            JobWhat::Unschedule { schedule } => JobsAsk::Unschedule { schedule: JobId(schedule) },
        };
        match self.ask(What::Jobs(what)).await? {
            Answer::Job(job) => self.job_out(&job),
            Answer::Jobs(jobs) => {
                self.out.either(&jobs, || list_text(&jobs, &self.out))?;
                Ok(OK)
            }
            Answer::Logs(logs) => {
                self.out.either(&logs, || logs_text(&logs))?;
                Ok(OK)
            }
            Answer::Done => {
                self.out.either(&serde_json::json!({"done": true}), || "done".to_owned())?;
                Ok(OK)
            }
            _ => Err(mismatch()),
        }
    }

    /// A job once it is over or paused, or as it stands when the time is over: one question waits
    /// for less than a person may want to.
    async fn job_show(&self, job: &JobId, wait: Duration) -> Result<u8, Fail> {
        let begun = Instant::now();
        loop {
            let left = wait.saturating_sub(begun.elapsed());
            let wait_ms = u64::try_from(left.as_millis()).unwrap_or(u64::MAX);
            let what = JobsAsk::Show { job: job.clone(), wait_ms };
            let Answer::Job(found) = self.ask(What::Jobs(what)).await? else {
                return Err(mismatch());
            };
            let goes_on = matches!(found.state.as_str(), "queued" | "running");
            if !goes_on || begun.elapsed() >= wait {
                return self.job_out(&found);
            }
        }
    }

    /// A job, and the exit code that its state has.
    pub(super) fn job_out(&self, job: &JobInfo) -> Result<u8, Fail> {
        self.out.either(job, || show_text(job, &self.out))?;
        Ok(match job.state.as_str() {
            "failed" | "dead" => FAILED,
            "paused" => PAUSED,
            _ => OK,
        })
    }
}

fn submission(args: SubmitArgs) -> Result<JobsAsk, Fail> {
    let SubmitArgs { priority, delay_ms, max_attempts, ref cron, .. } = args;
    let options = JobOptions { priority, delay_ms, max_attempts, cron: cron.clone() };
    Ok(JobsAsk::Submit { work: Box::new(work(args)?), options })
}

fn work(args: SubmitArgs) -> Result<JobWork, Fail> {
    if let Some(run) = args.resume {
        return Ok(JobWork::Resume { run: RunId(run) });
    }
    if let Some((tool, words)) = args.call.split_first() {
        return Ok(JobWork::Call(call::ask(tool, words)?));
    }
    let input = args.input.as_deref().map(run::input).transpose()?;
    if let Some(name) = args.intent {
        return Ok(JobWork::Intent { name, input });
    }
    let program = run::ask(args.file.as_deref(), args.eval, args.language, args.keeping)?;
    Ok(JobWork::Run(narrows_types::RunAsk { input, ..program }))
}

fn tone(state: &str) -> Tone {
    match state {
        "done" => Tone::Good,
        "failed" | "dead" => Tone::Bad,
        "cancelled" => Tone::Dim,
        _ => Tone::Warn,
    }
}

/// What is told of a job in one line: its trouble, its question or its progress.
fn remark(job: &JobInfo) -> String {
    if !job.error.is_empty() {
        return first_line(&job.error);
    }
    if let Some(question) = job.questions.first() {
        return first_line(&question.message);
    }
    if let Some(cron) = &job.cron {
        return cron.clone();
    }
    let percent = job.fraction.map_or_else(String::new, |f| format!("{:.0} % ", f * 100.0));
    format!("{percent}{}", first_line(&job.message)).trim_end().to_owned()
}

fn list_text(jobs: &[JobInfo], out: &Output) -> String {
    if jobs.is_empty() {
        return "none; `narrows job submit` makes one".to_owned();
    }
    let rows = jobs.iter().map(|job| {
        vec![
            (job.job.to_string(), Some(Tone::Strong)),
            (job.state.clone(), Some(tone(&job.state))),
            (first_line(&job.work), None),
            (format!("{}/{}", job.attempt, job.max_attempts), None),
            (moment(job.created_at_ms), None),
            (remark(job), None),
        ]
    });
    let head = ["JOB", "STATE", "WORK", "ATTEMPT", "SUBMITTED (UTC)", "REMARK"];
    out.table(&head, rows.collect())
}

fn show_text(job: &JobInfo, out: &Output) -> String {
    let state = out.tint(&job.state, tone(&job.state));
    let id = out.tint(job.job.as_str(), Tone::Strong);
    let mut text = format!("{id} {state}, {}\n", safe(&first_line(&job.work)));
    if job.state == "scheduled" {
        let cron = job.cron.as_deref().unwrap_or_default();
        let _infallible =
            writeln!(text, "cron {}, next {} UTC", safe(cron), moment(job.visible_at_ms));
        return text;
    }
    let (attempt, most) = (job.attempt, job.max_attempts);
    let _infallible =
        write!(text, "attempt {attempt} of {most}, submitted {} UTC", moment(job.created_at_ms));
    if let Some(at) = job.finished_at_ms {
        let _infallible = write!(text, ", over {} UTC", moment(at));
    }
    text.push('\n');
    if let Some(run) = &job.run {
        let _infallible = writeln!(text, "run {run}");
    }
    if !job.error.is_empty() {
        text.push_str(&out.tint(&safe(&job.error), Tone::Bad));
        text.push('\n');
    } else if job.result.is_none() && job.questions.is_empty() && !remark(job).is_empty() {
        let _infallible = writeln!(text, "{}", safe(&remark(job)));
    }
    if !job.questions.is_empty() {
        job.questions.iter().for_each(|asked| text.push_str(&runs::question(asked)));
        if let Some(run) = &job.run {
            let _infallible = writeln!(text, "answer with: narrows answer {run}");
        }
    }
    if let Some(result) = &job.result {
        text.push_str(&safe(&result_text(result.get())));
        text.push('\n');
    }
    text
}

/// A run's report as it reads, anything else as JSON.
fn result_text(result: &str) -> String {
    if let Some(text) = raw::get_text(result, "text") {
        return text.into_owned();
    }
    match serde_json::from_str::<serde_json::Value>(result) {
        Ok(value) => format!("{value:#}"),
        Err(_broken) => result.to_owned(),
    }
}

fn logs_text(logs: &[LogLine]) -> String {
    logs.iter().map(|line| safe(&line.text) + "\n").collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::args::{Cli, Command};
    use clap::Parser as _;
    use serde_json::value::RawValue;

    fn submitted(words: &[&str]) -> (JobWork, JobOptions) {
        let words = ["narrows", "job", "submit"].iter().chain(words);
        let Command::Job(args) = Cli::try_parse_from(words).unwrap().command else { panic!() };
        let JobWhat::Submit(args) = args.what else { panic!() };
        match submission(*args) {
            Ok(JobsAsk::Submit { work, options }) => (*work, options),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn every_kind_of_work_can_be_submitted() {
        let (work, options) = submitted(&[
            "-e",
            "return 1",
            "-l",
            "python",
            "--input",
            "[1]",
            "--session",
            "ses_x",
            "--priority",
            "-2",
            "--delay-ms",
            "5",
            "--cron",
            "0 3 * * *",
        ]);
        let JobWork::Run(ask) = work else { panic!("{work:?}") };
        assert_eq!((ask.code.as_str(), ask.input.unwrap().get()), ("return 1", "[1]"));
        assert_eq!(ask.session.unwrap().as_str(), "ses_x");
        assert_eq!((options.priority, options.delay_ms), (-2, 5));
        assert_eq!(options.cron.as_deref(), Some("0 3 * * *"));
        let (work, _) = submitted(&["--intent", "report", "--input", r#"{"a":1}"#]);
        assert!(matches!(work, JobWork::Intent { name, .. } if name == "report"));
        let (work, _) = submitted(&["--call", "git.log", "n:=3"]);
        let JobWork::Call(ask) = work else { panic!("{work:?}") };
        assert_eq!((ask.server.as_str(), ask.arguments.get()), ("git", r#"{"n":3}"#));
        let (work, _) = submitted(&["--resume", "run_x"]);
        assert!(matches!(work, JobWork::Resume { run } if run.as_str() == "run_x"));
        for wrong in [&["a.ts", "--intent", "i"][..], &[], &["--intent", "i", "--resume", "r"]] {
            let words = ["narrows", "job", "submit"].iter().chain(wrong);
            assert!(Cli::try_parse_from(words).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn a_job_is_shown_with_what_matters() {
        let job = JobInfo {
            job: JobId("job_x".to_owned()),
            state: "running".to_owned(),
            work: "run".to_owned(),
            attempt: 1,
            max_attempts: 3,
            priority: 0,
            created_at_ms: 0,
            visible_at_ms: 0,
            finished_at_ms: None,
            fraction: Some(0.4),
            message: "half\u{1b}way".to_owned(),
            run: Some(RunId("run_x".to_owned())),
            questions: Vec::new(),
            result: None,
            error: String::new(),
            cron: None,
        };
        let out = Output::plain();
        insta::assert_snapshot!(show_text(&job, &out));
        let result = RawValue::from_string(r#"{"run":"run_x","text":"4\n[1 call]"}"#.to_owned());
        let done = JobInfo { state: "done".to_owned(), result: result.ok(), ..job.clone() };
        assert!(show_text(&done, &out).ends_with("4\n[1 call]\n"));
        let dead = JobInfo { error: "no server\nat all".to_owned(), ..job.clone() };
        assert_eq!(remark(&dead), "no server");
        let cron = Some("* * * * *".to_owned());
        let schedule = JobInfo { state: "scheduled".to_owned(), cron, ..job };
        assert!(show_text(&schedule, &out).contains("cron * * * * *, next 1970-01-01"));
    }
}
