//! `narrows runs` and `narrows resume`: what runs did, and that they go on.

use super::args::{ResumeArgs, RunsArgs, RunsWhat};
use super::exit::{FAILED, Fail, OK};
use super::output::{Output, Tone, safe};
use super::render::first_line;
use super::run::{BEGUN, Remedy};
use super::waterfall::{Bar, waterfall};
use super::when::{moment, span};
use super::{Desk, mismatch, run};
use narrows_types::{Answer, Asked, Replayed, RunId, RunInfo, RunState, RunView, RunsAsk, What};
use std::fmt::Write as _;

impl Desk {
    pub(super) async fn resume(&self, args: ResumeArgs) -> Result<u8, Fail> {
        let loaded = self.loaded()?;
        let house = self.house(&loaded).await?;
        let background = args.background;
        let what = What::Resume { run: RunId(args.run), answers: Vec::new(), background };
        let answer = self.watched(&house, what).await;
        house.close().await;
        let remedy = Remedy::of(&loaded, BEGUN);
        self.ran(answer.map_err(Fail::Fault)?, &remedy)
    }

    pub(super) async fn runs(&self, args: RunsArgs) -> Result<u8, Fail> {
        let (run, code, is_diff) = match args.what {
            RunsWhat::List { limit, state } => return self.runs_list(limit.into(), state).await,
            RunsWhat::Show { run, full } => return self.runs_show(RunId(run), full).await,
            RunsWhat::Replay { run } => (run, None, false),
            RunsWhat::Diff { run, file } => (run, Some(run::program(&file)?), true),
        };
        let what = RunsAsk::Replay { run: RunId(run), code };
        let Answer::Replayed(replayed) = self.ask(What::Runs(what)).await? else {
            return Err(mismatch());
        };
        self.out.either(&replayed, || replay_text(&replayed, is_diff, &self.out))?;
        Ok(if replayed.same { OK } else { FAILED })
    }

    async fn runs_list(&self, limit: usize, state: Option<String>) -> Result<u8, Fail> {
        let state = state.map(|name| {
            RunState::parse(&name).ok_or_else(|| {
                Fail::usage(format!(
                    "there is no state `{}`; states are running, paused, returned, threw, \
                     rejected, limit, deadlock, lost, diverged, cancelled",
                    safe(&name)
                ))
            })
        });
        let what = RunsAsk::List { limit, state: state.transpose()? };
        let Answer::Runs(runs) = self.ask(What::Runs(what)).await? else { return Err(mismatch()) };
        self.out.either(&runs, || list_text(&runs, &self.out))?;
        Ok(OK)
    }

    async fn runs_show(&self, run: RunId, full: bool) -> Result<u8, Fail> {
        let answer = self.ask(What::Runs(RunsAsk::Show { run })).await?;
        let Answer::RunShown(view) = answer else { return Err(mismatch()) };
        self.out.either(&view, || show_text(&view, full, &self.out))?;
        Ok(OK)
    }
}

fn tone(state: RunState) -> Tone {
    match state {
        RunState::Returned => Tone::Good,
        RunState::Running | RunState::Paused => Tone::Warn,
        RunState::Threw
        | RunState::Rejected
        | RunState::Limit
        | RunState::Deadlock
        | RunState::Lost
        | RunState::Diverged
        | RunState::Cancelled => Tone::Bad,
    }
}

fn list_text(runs: &[RunInfo], out: &Output) -> String {
    if runs.is_empty() {
        return "no runs; `narrows run` makes one".to_owned();
    }
    let rows = runs.iter().map(|run| {
        let waits = run.questions.first().map_or_else(String::new, |q| first_line(&q.message));
        vec![
            (run.run.to_string(), Some(Tone::Strong)),
            (run.state.name().to_owned(), Some(tone(run.state))),
            (moment(run.started_at_ms), None),
            (span(run.wall_us), None),
            (run.calls.to_string(), None),
            (waits, None),
        ]
    });
    out.table(&["RUN", "STATE", "STARTED (UTC)", "TOOK", "CALLS", "WAITS FOR"], rows.collect())
}

fn show_text(view: &RunView, full: bool, out: &Output) -> String {
    let info = &view.info;
    let state = out.tint(info.state.name(), tone(info.state));
    let mut text = format!(
        "{} {state}, {} UTC, {}, {}, begun {}, journal {}\n",
        out.tint(info.run.as_str(), Tone::Strong),
        moment(info.started_at_ms),
        span(info.wall_us),
        plural(info.calls, "call"),
        plural(info.executions, "time"),
        view.durability,
    );
    if let Some(session) = &info.session {
        let _infallible = writeln!(text, "session {session}");
    }
    if let Some(job) = &info.job {
        let _infallible = writeln!(text, "job {job}");
    }
    if full {
        text.push_str(&out.tint("\nProgram\n", Tone::Strong));
        text.push_str(safe(view.code.trim_end()).as_str());
        text.push('\n');
    }
    if !view.calls_made.is_empty() {
        text.push_str(&out.tint("\nCalls\n", Tone::Strong));
        let bars: Vec<Bar> = view.calls_made.iter().map(Bar::from).collect();
        text.push_str(&waterfall(&bars, out));
    }
    if full {
        for call in &view.calls_made {
            let (number, server, tool) = (call.number, &call.server, &call.tool);
            let call_text = format!("\n{number} {server}.{tool} {}\n", call.arguments);
            text.push_str(&safe(&call_text));
            let _infallible = writeln!(text, "  {}", safe(&call.outcome));
        }
    }
    if !info.questions.is_empty() {
        text.push_str(&out.tint("\nQuestions\n", Tone::Strong));
        info.questions.iter().for_each(|asked| text.push_str(&question(asked)));
        let _infallible = writeln!(text, "answer with: narrows answer {}", info.run);
    }
    if !view.logs.is_empty() {
        text.push_str(&out.tint("\nLog\n", Tone::Strong));
        for line in &view.logs {
            let _infallible = writeln!(text, "  {}", safe(&line.text));
        }
    }
    text
}

fn plural(count: u32, what: &str) -> String {
    if count == 1 { format!("1 {what}") } else { format!("{count} {what}s") }
}

/// A question and what it wants.
pub(super) fn question(asked: &Asked) -> String {
    let about = match asked.about.as_str() {
        "" => String::new(),
        about => format!("({about}) "),
    };
    let schema = asked.schema.as_ref().map_or_else(String::new, |s| format!("  {}", s.get()));
    safe(&format!("  {} {about}{}{schema}\n", asked.id, asked.message))
}

fn replay_text(replayed: &Replayed, is_diff: bool, out: &Output) -> String {
    let mut text = String::new();
    if !is_diff {
        text.push_str(safe(replayed.text.trim_end()).as_str());
        text.push('\n');
    }
    for line in &replayed.differences {
        let tone = match line.as_bytes().first() {
            Some(b'+') => Tone::Good,
            Some(b'-') => Tone::Bad,
            _ => Tone::Warn,
        };
        text.push_str(&out.tint(&safe(line), tone));
        text.push('\n');
    }
    let (word, tone) = if replayed.same {
        ("ends as the run did", Tone::Good)
    } else {
        ("ends otherwise than the run did", Tone::Bad)
    };
    text.push_str(&out.tint(word, tone));
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use narrows_types::{AskedKind, CallView, Durability, Language, LogLevel, LogLine};
    use serde_json::value::RawValue;

    fn view() -> RunView {
        let call = |number, tool: &str, start_us, took_us: Option<u64>| CallView {
            number,
            server: "git".to_owned(),
            tool: tool.to_owned(),
            arguments: RawValue::from_string(r#"{"a":1}"#.to_owned()).unwrap(),
            start_us,
            took_us,
            bytes: 17,
            ok: took_us.map(|_| true),
            outcome: "{\"b\":\u{1b}2}".to_owned(),
        };
        RunView {
            info: RunInfo {
                run: RunId("run_x".to_owned()),
                state: RunState::Paused,
                language: Language::TypeScript,
                started_at_ms: 0,
                wall_us: 1_500_000,
                calls: 1,
                executions: 2,
                session: None,
                job: None,
                questions: vec![Asked {
                    id: "q1".to_owned(),
                    kind: AskedKind::Unknown,
                    about: "git.push".to_owned(),
                    message: "was it carried out?".to_owned(),
                    schema: None,
                }],
            },
            durability: Durability::Sync,
            code: "return 1".to_owned(),
            input: None,
            calls_made: vec![call(1, "log", 0, Some(5_000)), call(2, "push", 5_000, None)],
            logs: vec![LogLine { level: LogLevel::Info, text: "said".to_owned() }],
        }
    }

    #[test]
    fn a_run_is_shown_with_its_calls() {
        insta::assert_snapshot!(show_text(&view(), true, &Output::plain()));
    }

    #[test]
    fn differences_come_before_the_verdict() {
        let differences = vec!["+ git.push".to_owned(), "- git.log".to_owned()];
        let replayed = Replayed { text: "ended".to_owned(), same: false, differences };
        let text = replay_text(&replayed, true, &Output::plain());
        assert_eq!(text, "+ git.push\n- git.log\nends otherwise than the run did");
        let same = Replayed { same: true, differences: Vec::new(), ..replayed };
        assert_eq!(replay_text(&same, false, &Output::plain()), "ended\nends as the run did");
    }
}
