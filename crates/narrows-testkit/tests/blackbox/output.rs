//! What goes back fits its budget; what does not is kept.

use crate::house::{House, scripted};
use serde_json::{Value, json};

#[test]
fn a_large_value_becomes_preview_shape_and_handle_that_the_next_program_reads() {
    let house = House::new(&json!({"scripted": scripted(&[])}));
    let mut agent = house.agent();
    agent.initialize();
    for language in ["typescript", "python"] {
        let code = match language {
            "python" => "r = await scripted.big(bytes=1000000)\nr['rows']",
            _ => "return (await scripted.big({bytes: 1000000})).rows",
        };
        let result = agent.run(language, code);
        let report = &result["structuredContent"];
        let size = result.to_string().len();
        assert!(size < 6_000, "{size} bytes came back: {result:#}");
        let text = result["content"][0]["text"].as_str().unwrap();
        assert!(text.len() <= 2_048, "the text keeps the whole budget: {}", text.len());
        let handle = report["artifact"].as_str().unwrap_or_else(|| panic!("{result:#}")).to_owned();
        assert!(report["shape"].as_str().unwrap().contains("10000"), "{report:#}");
        let next = match language {
            "python" => format!(
                "rows = await artifact('{handle}')\nlen([r for r in rows if r['state'] == 'open'])"
            ),
            _ => format!(
                "return (await artifact('{handle}')).filter(r => r.state === 'open').length"
            ),
        };
        assert_eq!(agent.value(language, &next), 10, "{language}");
        let uri = format!("narrows://artifact/{handle}");
        let read = agent.request("resources/read", &json!({"uri": uri}));
        let text =
            read["result"]["contents"][0]["text"].as_str().unwrap_or_else(|| panic!("{read:.300}"));
        assert_eq!(serde_json::from_str::<Value>(text).unwrap().as_array().unwrap().len(), 10_000);
    }
}

#[test]
fn logs_and_errors_share_the_budget() {
    let house = House::new(&json!({"scripted": scripted(&[])}));
    let mut agent = house.agent();
    agent.initialize();
    let flood = "for (let i = 0; i < 100000; i++) console.log('line', i, 'x'.repeat(50)); return 1";
    let result = agent.run("typescript", flood);
    assert!(result.to_string().len() < 6_000, "{result:#}");
    assert!(result["content"][0]["text"].as_str().unwrap().len() <= 2_048, "{result:#}");
    let thrown = agent.run("typescript", "throw new Error('y'.repeat(1000000))");
    assert_eq!(thrown["isError"], true);
    assert!(thrown.to_string().len() < 6_000, "{}", thrown.to_string().len());
    let failed = agent.run("typescript", "await scripted.fail({})");
    let text = failed["content"][0]["text"].as_str().unwrap();
    assert!(text.contains("scripted.fail") && text.contains("it failed as asked"), "{text}");
}

#[test]
fn a_program_that_is_wrong_makes_no_call_and_hears_everything_at_once() {
    let house = House::new(&json!({"scripted": scripted(&[])}));
    let mut agent = house.agent();
    agent.initialize();
    for (language, code) in [
        (
            "typescript",
            "await scripted.ecko({text: 'a'});\nawait scripted.echo({txt: 'a'});\nawait scripted.sleep({ms: 'long'});\nawait skripted.echo({});",
        ),
        (
            "python",
            "await scripted.ecko(text='a')\nawait scripted.echo(txt='a')\nawait scripted.sleep(ms='long')\nawait skripted.echo()",
        ),
    ] {
        let result = agent.run(language, code);
        assert_eq!(result["isError"], true, "{result:#}");
        let report = &result["structuredContent"];
        assert_eq!(report["end"], "rejected", "{result:#}");
        let findings = report["findings"].as_array().unwrap();
        let lines: Vec<u64> = findings.iter().map(|f| f["at"]["line"].as_u64().unwrap()).collect();
        for line in 1..=4 {
            assert!(lines.contains(&line), "{language}: line {line} in {findings:#?}");
        }
        let all = report["findings"].to_string();
        assert!(all.contains("scripted.echo"), "names the nearest: {all}");
        assert_eq!(report["bill"]["calls"], 0, "{report:#}");
    }
}

#[test]
fn shapes_are_learned_where_no_schema_says_them() {
    let house = House::new(&json!({"scripted": scripted(&[])}));
    let mut agent = house.agent();
    agent.initialize();
    agent.value("typescript", "return (await scripted.echo({text: 'a'})).echo");
    let start = std::time::Instant::now();
    loop {
        let found = agent.tool("search", &json!({"query": "give back the text", "limit": 1}));
        let text = found["content"][0]["text"].as_str().unwrap().to_owned();
        if text.contains("observed") && text.contains("echo: string") {
            return;
        }
        assert!(start.elapsed().as_secs() < 10, "{text}");
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
}
