//! `narrows search`, `tools`, `call`, `servers`.

use super::args::{CallArgs, SearchArgs, ToolsArgs};
use super::exit::{FAILED, Fail, OK};
use super::output::safe;
use super::{Desk, mismatch, render};
use crate::config::Problem;
use narrows_catalog::{Catalog, Observations};
use narrows_types::{Answer, CallAsk, SearchAsk, ToolResult, What};
use serde_json::value::RawValue;
use serde_json::{Map, Value};

impl Desk {
    pub(super) async fn search(&self, args: SearchArgs) -> Result<u8, Fail> {
        let ask = SearchAsk {
            queries: args.query,
            server: args.server,
            limit: usize::try_from(args.limit).unwrap_or(usize::MAX),
            detail: args.detail.into(),
            language: args.language.into(),
        };
        let Answer::Search(found) = self.ask(What::Search(ask)).await? else {
            return Err(mismatch());
        };
        self.out.either(&found, || render::search(&found))?;
        Ok(OK)
    }

    pub(super) async fn tools(&self, args: ToolsArgs) -> Result<u8, Fail> {
        let what = What::Tools { server: args.server };
        let Answer::Tools(listings) = self.ask(what).await? else { return Err(mismatch()) };
        if args.typings {
            let catalog = Catalog::build(listings, &Observations::default());
            let text = catalog.typings(args.language.into());
            self.out.either(&serde_json::json!({"text": text}), || text.clone())?;
            return Ok(OK);
        }
        self.out.either(&listings, || render::tools(&listings, &self.out))?;
        Ok(OK)
    }

    pub(super) async fn servers(&self) -> Result<u8, Fail> {
        let loaded = self.loaded()?;
        let house = self.house(&loaded).await?;
        // A server that was never started has no state to show: it is started for that.
        let waiting = self.out.spinner("starting servers");
        let listed = house.ask(What::Tools { server: None }, None).await;
        let answer = house.ask(What::Servers, None).await;
        waiting.finish_and_clear();
        house.close().await;
        listed.map_err(Fail::Fault)?;
        let Answer::Servers(states) = answer.map_err(Fail::Fault)? else { return Err(mismatch()) };
        self.out.either(&states, || render::servers(&states, &self.out))?;
        Ok(OK)
    }

    pub(super) async fn call(&self, args: CallArgs) -> Result<u8, Fail> {
        let ask = ask(&args.tool, &args.arguments)?;
        let Answer::Call(result) = self.ask(What::Call(ask)).await? else {
            return Err(mismatch());
        };
        self.result_out(&result)
    }

    /// What a tool gave back, and the exit code of it.
    pub(super) fn result_out(&self, result: &ToolResult) -> Result<u8, Fail> {
        self.out.either(result, || render::result(result))?;
        if result.is_error && !self.out.json {
            self.out.note("the tool says that it failed");
        }
        Ok(if result.is_error { FAILED } else { OK })
    }
}

/// A call, from the words of the command line.
pub(super) fn ask(tool: &str, words: &[String]) -> Result<CallAsk, Fail> {
    let arguments = arguments(words)?;
    let Some((server, tool)) = tool.split_once('.') else {
        return Err(Fail::Usage(
            Problem::new(format!("`{}` names no tool", tool.escape_debug()))
                .hint("the form is SERVER.TOOL; `narrows tools` lists them"),
        ));
    };
    Ok(CallAsk { server: server.to_owned(), tool: tool.to_owned(), arguments })
}

/// The arguments of a call: one JSON object, or pairs.
pub(super) fn arguments(words: &[String]) -> Result<Box<RawValue>, Fail> {
    let failed = |word: &str, why: &str| {
        Fail::Usage(
            Problem::new(format!("`{}` {why}", safe(word)))
                .hint("the forms are one JSON object, KEY=VALUE (text) and KEY:=JSON"),
        )
    };
    if let [word] = words
        && word.trim_start().starts_with('{')
    {
        serde_json::from_str::<Map<String, Value>>(word)
            .map_err(|e| failed(word, &format!("is no JSON object: {e}")))?;
        return RawValue::from_string(word.trim().to_owned())
            .map_err(|e| failed(word, &format!("is no JSON object: {e}")));
    }
    let mut map = Map::new();
    for word in words {
        let Some((key, value)) = word.split_once('=') else {
            return Err(failed(word, "is no argument"));
        };
        let (key, value) = match key.strip_suffix(':') {
            Some(key) => {
                let parsed = serde_json::from_str(value)
                    .map_err(|e| failed(word, &format!("holds no JSON: {e}")))?;
                (key, parsed)
            }
            None => (key, Value::String(value.to_owned())),
        };
        if key.is_empty() || map.insert(key.to_owned(), value).is_some() {
            return Err(failed(word, "names no key, or one that was named before"));
        }
    }
    serde_json::value::to_raw_value(&map).map_err(|e| failed("", &e.to_string()))
}

#[cfg(test)]
mod tests;
