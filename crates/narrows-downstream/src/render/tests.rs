use super::*;
use narrows_types::{ArtifactId, LogLevel, ProgramError, Shaped, Usage};
use serde_json::Value;

fn report(end: RunEnd) -> RunReport {
    RunReport {
        run: RunId("run_x".to_owned()),
        end,
        logs: vec![LogLine { level: LogLevel::Info, text: "hi".to_owned() }],
        logs_dropped: 0,
        shown: vec![Content(json!({"type": "image", "data": "AA==", "mimeType": "image/png"}))],
        calls: Vec::new(),
        usage: Usage::default(),
        bill: Bill { calls: 2, ms: 7, kept_bytes: 9, cached: 0 },
        text: "the text".to_owned(),
    }
}

fn returned(value: &str) -> RunEnd {
    RunEnd::Returned(Shaped {
        value: Some(RawValue::from_string(value.to_owned()).unwrap()),
        preview: String::new(),
        shape: String::new(),
        artifact: None,
        bytes: value.len() as u64,
    })
}

fn parsed(result: Result<Box<RawValue>, Fault>) -> Value {
    serde_json::from_str(result.unwrap().get()).unwrap()
}

const LEGACY: Seal<'static> = Seal { modern: None, structured: true };

#[test]
fn a_returned_value_goes_back_with_text_and_what_was_shown() {
    let result = parsed(run(&report(returned(r#"{"a":1.50}"#)), LEGACY));
    assert_eq!(
        result,
        json!({
            "content": [
                {"type": "text", "text": "the text"},
                {"type": "image", "data": "AA==", "mimeType": "image/png"},
            ],
            "structuredContent": {
                "run": "run_x", "end": "returned", "value": {"a": 1.5}, "bytes": 10,
                "logs": [{"level": "info", "text": "hi"}],
                "bill": {"calls": 2, "ms": 7, "kept_bytes": 9},
            },
            "isError": false,
        })
    );
}

#[test]
fn numbers_keep_their_digits() {
    let result = run(&report(returned("12345678901234567890.10")), LEGACY).unwrap();
    assert!(result.get().contains(r#""value":12345678901234567890.10"#), "{result}");
}

#[test]
fn a_modern_result_is_sealed_and_an_old_one_has_no_structure() {
    let server = RawValue::from_string(r#"{"name":"n","version":"1"}"#.to_owned()).unwrap();
    let seal = Seal { modern: Some(&server), structured: true };
    let result = parsed(run(&report(returned("null")), seal));
    assert_eq!(result["resultType"], "complete");
    assert_eq!(result["_meta"]["io.modelcontextprotocol/serverInfo"]["name"], "n");
    assert!(result["structuredContent"].as_object().unwrap().contains_key("value"), "null counts");
    let seal = Seal { modern: None, structured: false };
    let result = parsed(run(&report(returned("1")), seal));
    let keys: Vec<&String> = result.as_object().unwrap().keys().collect();
    assert_eq!(keys, ["content", "isError"]);
}

#[test]
fn every_other_end_is_an_error() {
    let ends = [
        RunEnd::Threw(ProgramError {
            name: "TypeError".to_owned(),
            message: "m".to_owned(),
            at: Vec::new(),
        }),
        RunEnd::Rejected { findings: Vec::new() },
        RunEnd::Limit { limit: narrows_types::Limit::WallMs, allowed: 5 },
        RunEnd::Deadlock,
        RunEnd::Lost { reason: "r".to_owned() },
    ];
    for end in ends {
        let result = parsed(run(&report(end), LEGACY));
        assert_eq!(result["isError"], true, "{result}");
        assert!(result["structuredContent"]["end"].is_string(), "{result}");
    }
}

#[test]
fn a_fault_is_text_and_structure() {
    let fault = Fault::not_found("no such thing").hint("look again");
    let result = parsed(tool_fault(&fault, LEGACY));
    assert_eq!(result["content"][0]["text"], "no such thing; look again");
    assert_eq!(
        result["structuredContent"]["error"],
        json!({"kind": "not_found", "message": "no such thing", "hint": "look again",
               "retry": "never"})
    );
    assert_eq!(result["isError"], true);
}

fn part(mime: &str, bytes: &[u8]) -> ArtifactPart {
    ArtifactPart {
        handle: ArtifactId("art_x".to_owned()),
        mime: mime.to_owned(),
        total_bytes: bytes.len() as u64,
        offset: 0,
        bytes: bytes.to_vec(),
        expires_at: 0,
    }
}

#[test]
fn resources_are_text_or_base64() {
    let result = parsed(resource(part("application/json", b"{}"), None, LEGACY));
    assert_eq!(
        result,
        json!({"contents": [
            {"uri": "narrows://artifact/art_x", "mimeType": "application/json", "text": "{}"}
        ]})
    );
    let lied = parsed(resource(part("text/plain", &[0xff]), None, LEGACY));
    assert_eq!(lied["contents"][0]["blob"], "/w==");
    let image = parsed(resource(part("image/png", b"ab"), None, LEGACY));
    assert_eq!(image["contents"][0]["blob"], "YWI=");
    let keep = Keep { ttl_ms: 5, cache_scope: "private" };
    let kept = parsed(resource(part("text/plain", b"x"), Some(keep), LEGACY));
    assert_eq!((&kept["ttlMs"], &kept["cacheScope"]), (&json!(5), &json!("private")));
}
