//! `narrows intent`: programs with a name.

use super::args::{IntentArgs, IntentWhat, Keeping, SaveArgs};
use super::exit::{Fail, OK};
use super::output::{Output, Tone, safe};
use super::render::first_line;
use super::run::Remedy;
use super::when::moment;
use super::{Desk, call, mismatch, run};
use narrows_types::{Answer, Intent, IntentInfo, IntentTest, IntentsAsk, Lowered, RunId, What};
use serde_json::Value;

impl Desk {
    pub(super) async fn intent(&self, args: IntentArgs) -> Result<u8, Fail> {
        let what = match args.what {
            IntentWhat::Save(args) => saved(*args)?,
            IntentWhat::List => IntentsAsk::List,
            IntentWhat::Show { name, version } => IntentsAsk::Show { name, version },
            IntentWhat::Rollback { name, version } => IntentsAsk::Rollback { name, version },
            IntentWhat::Delete { name } => IntentsAsk::Delete { name },
            IntentWhat::Test { name } => IntentsAsk::Test { name },
            IntentWhat::Call { name, input } => {
                return self.intent_call(name, &input).await;
            }
        };
        match self.ask(What::Intents(what)).await? {
            Answer::Intent(intent) => {
                self.out.either(&intent, || show_text(&intent, &self.out))?;
            }
            Answer::Intents(intents) => {
                self.out.either(&intents, || list_text(&intents, &self.out))?;
            }
            Answer::Done => {
                self.out.either(&serde_json::json!({"done": true}), || "done".to_owned())?;
            }
            _ => return Err(mismatch()),
        }
        Ok(OK)
    }

    async fn intent_call(&self, name: String, words: &[String]) -> Result<u8, Fail> {
        let input = match words {
            [] => None,
            words => Some(call::arguments(words)?),
        };
        let loaded = self.loaded()?;
        let house = self.house(&loaded).await?;
        let what = What::Intents(IntentsAsk::Call { name, input });
        let answer = self.watched(&house, what).await;
        house.close().await;
        let remedy = Remedy::of(&loaded, "the intent");
        self.ran(answer.map_err(Fail::Fault)?, &remedy)
    }
}

fn saved(args: SaveArgs) -> Result<IntentsAsk, Fail> {
    let SaveArgs { run: of, file, name, description, schema, language, .. } = args;
    let SaveArgs { engine, limits, tests, .. } = args;
    let schema = schema.as_deref().map(|schema| run::json("--schema", schema)).transpose()?;
    if let Some(of) = of {
        let run = RunId(of);
        return Ok(IntentsAsk::Promote { run, name, description, input_schema: schema });
    }
    let program = run::ask(file.as_deref(), None, language, Keeping::default())?;
    let input_schema = schema.ok_or_else(|| Fail::usage("--file needs --schema"))?;
    let tests = match tests.as_deref().map(|tests| run::json("--tests", tests)).transpose()? {
        None => Vec::new(),
        Some(tests) => serde_json::from_str::<Vec<IntentTest>>(tests.get())
            .map_err(|e| Fail::usage(format!("--tests is not understood: {e}")))?,
    };
    let (code, language) = (program.code, program.language);
    let limits = run::lowered(&limits)?;
    let intent = Intent { name, description, code, language, engine, limits, input_schema, tests };
    Ok(IntentsAsk::Save(Box::new(intent)))
}

fn list_text(intents: &[IntentInfo], out: &Output) -> String {
    if intents.is_empty() {
        return "no intents; `narrows intent save` makes one".to_owned();
    }
    let rows = intents.iter().map(|info| {
        vec![
            (info.intent.name.clone(), Some(Tone::Strong)),
            (format!("{} of {}", info.version, info.versions), None),
            (moment(info.saved_at_ms), None),
            (first_line(&info.intent.description), None),
        ]
    });
    out.table(&["INTENT", "VERSION", "SAVED (UTC)", "WHAT IT DOES"], rows.collect())
}

fn show_text(info: &IntentInfo, out: &Output) -> String {
    let Intent { name, description, code, language, engine, limits, input_schema, tests } =
        &info.intent;
    let engine = engine.map_or_else(String::new, |engine| format!(" by {engine}"));
    let limits = match limits_text(limits) {
        limits if limits.is_empty() => limits,
        limits => format!("\nlimits {limits}"),
    };
    let direct = info.direct.as_ref().map_or_else(String::new, |tool| format!(", calls {tool}"));
    format!(
        "{} version {} of {}, {language}{engine}, {} tests{}\n{}\ninput {}{limits}\n\n{}\n",
        out.tint(&safe(name), Tone::Strong),
        info.version,
        info.versions,
        tests.len(),
        safe(&direct),
        safe(description),
        safe(input_schema.get()),
        safe(code.trim_end()),
    )
}

/// Limits as `--limit` takes them.
fn limits_text(limits: &Lowered) -> String {
    let limits = serde_json::to_value(limits).unwrap_or_default();
    let members = limits.as_object().into_iter().flatten();
    let one = |(name, value): (&String, &Value)| match value {
        Value::Array(hosts) => {
            let hosts: Vec<&str> = hosts.iter().filter_map(Value::as_str).collect();
            format!("{name}={}", hosts.join(","))
        }
        Value::String(word) => format!("{name}={word}"),
        value => format!("{name}={value}"),
    };
    members.map(one).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::args::{Cli, Command};
    use clap::Parser as _;

    fn save(words: &[&str]) -> Result<IntentsAsk, String> {
        let words = ["narrows", "intent", "save"].iter().chain(words);
        let cli = Cli::try_parse_from(words).map_err(|e| e.to_string())?;
        let Command::Intent(args) = cli.command else { panic!() };
        let IntentWhat::Save(args) = args.what else { panic!() };
        saved(*args).map_err(|fail| fail.to_string())
    }

    #[test]
    fn a_run_is_promoted_and_a_file_is_saved() {
        let words = ["--name", "n", "--description", "d"];
        let promoted = save(&[&["run_x"][..], &words].concat());
        assert!(matches!(promoted, Ok(IntentsAsk::Promote { run, input_schema: None, .. })
            if run.as_str() == "run_x"));
        let file = concat!(env!("CARGO_MANIFEST_DIR"), "/src/cli/demo/program.ts");
        let tests = r#"[{"input": {"a": 1}, "expected": 2}]"#;
        let more = ["--file", file, "--schema", r#"{"type":"object"}"#, "--tests", tests];
        let Ok(IntentsAsk::Save(intent)) = save(&[&more[..], &words].concat()) else { panic!() };
        assert_eq!(intent.input_schema.get(), r#"{"type":"object"}"#);
        assert_eq!(intent.tests[0].expected.get(), "2");
        assert!(!intent.code.is_empty());
        // What a run has of its own is not silently left out.
        for own in [&["--file", file][..], &["--engine", "wasm"], &["--limit", "calls=1"]] {
            let wrong = [&["run_x"][..], own, &words].concat();
            assert!(save(&wrong).is_err(), "{wrong:?}");
        }
        assert!(save(&words).is_err());
        let wrong = ["--file", file, "--schema", "{}", "--tests", "{}"];
        let why = save(&[&wrong[..], &words].concat()).unwrap_err();
        assert!(why.starts_with("--tests is not understood"), "{why}");
    }
}
