//! Who may go on with a run: nobody while it is under way, nobody once it was cancelled, and no run
//! within has more to use than the run around it.

use crate::ground::Visitor;
use crate::places::Kind;
use crate::plant::{Plant, get, post, rested, until};
use serde_json::{Value, json};

const ASKS: &str = "await count.add({key: 'before'});
    const answer = await ask('go on?', {type: 'boolean'});
    await count.add({key: 'after'});
    return answer;";

fn state(http: &crate::house::Http, path: &str) -> Value {
    let (status, told) = get(http, path);
    assert_eq!(status, 200, "{told}");
    told["state"].clone()
}

#[test]
fn a_run_under_way_is_not_taken_over() {
    let plant = Plant::new(Kind::Sqlite);
    let house = plant.house(0);
    let http = plant.serve(&house);
    let code = "await count.add({key: 'a'}); await count.wait({ms: 3000}); return 'its own';";
    std::thread::scope(|scope| {
        let report = scope.spawn(|| post(&http, "/v1/runs", &json!({"code": code})));
        until("the run is under way", || plant.lines() == 1);
        let (_, told) = get(&http, "/v1/runs?state=running");
        let run = told["runs"][0]["run"].as_str().unwrap_or_else(|| panic!("{told}"));
        for body in [json!({}), json!({"background": true})] {
            let (status, refused) = http.post(&format!("/v1/runs/{run}/resume"), &body);
            assert_eq!(status, 409, "{refused}");
            assert!(refused.to_string().contains("under way already"), "{refused}");
        }
        let report = report.join().unwrap();
        assert_eq!(report["value"], "its own", "{report:#}");
        // It is written down behind the answer.
        let path = format!("/v1/runs/{run}");
        until("its end is written down", || state(&http, &path) == "returned");
        assert_eq!(get(&http, &path).1["executions"], 1);
    });
    assert_eq!(plant.lines(), 1);
}

#[test]
fn an_answer_does_not_revive_what_was_cancelled() {
    let plant = Plant::new(Kind::Sqlite);
    let house = plant.house(1);
    let http = plant.serve(&house);
    let job = post(&http, "/v1/jobs", &json!({"run": {"code": ASKS}}));
    let (job, run) = (job["job"].as_str().unwrap(), job["run"].as_str().unwrap());
    let asked = rested(&http, job);
    assert_eq!(asked["state"], "paused", "{asked:#}");
    let id = asked["questions"][0]["id"].clone();
    let answers = json!({"answers": [{"id": id, "content": {"answer": true}}]});

    post(&http, &format!("/v1/jobs/{job}/cancel"), &json!({}));
    assert_eq!(state(&http, &format!("/v1/runs/{run}")), "cancelled");
    for body in [&answers, &json!({})] {
        let (status, refused) = http.post(&format!("/v1/runs/{run}/resume"), body);
        assert_eq!(status, 409, "{refused}");
        assert!(refused.to_string().contains("has ended: cancelled"), "{refused}");
    }
    assert_eq!(state(&http, &format!("/v1/jobs/{job}")), "cancelled");
    assert_eq!(plant.lines(), 1);

    // Whoever wants it all the same says so.
    post(&http, &format!("/v1/jobs/{job}/retry"), &json!({}));
    assert_eq!(rested(&http, job)["state"], "paused");
    post(&http, &format!("/v1/runs/{run}/resume"), &answers);
    let done = rested(&http, job);
    assert_eq!((&done["state"], &done["result"]["value"]), (&json!("done"), &json!(true)));
    assert_eq!(plant.lines(), 2);
}

#[test]
fn a_run_that_became_a_job_names_it_and_is_cancelled_with_it() {
    let plant = Plant::new(Kind::Sqlite);
    let house = plant.house(0);
    let http = plant.serve(&house);
    let code = "await count.add({key: 'a'}); await count.wait({ms: 60000}); return 1;";
    let arguments = json!({"code": code, "timeout_ms": 500});
    let told = Visitor::open(&http).call("run", &arguments)["result"].clone();
    let job = told["structuredContent"]["job"].as_str().unwrap_or_else(|| panic!("{told:#}"));
    let (_, known) = get(&http, &format!("/v1/jobs/{job}"));
    let run = known["run"].as_str().unwrap_or_else(|| panic!("{known:#}"));
    let (_, known) = get(&http, &format!("/v1/runs/{run}"));
    assert_eq!((&known["job"], &known["state"]), (&json!(job), &json!("running")), "{known:#}");
    post(&http, &format!("/v1/jobs/{job}/cancel"), &json!({}));
    assert_eq!(rested(&http, job)["state"], "cancelled");
    until("its run is cancelled", || state(&http, &format!("/v1/runs/{run}")) == "cancelled");
}

#[test]
fn runs_within_share_the_limit_of_calls() {
    let plant = Plant::new(Kind::Sqlite);
    let house = plant.house_with(json!({"limits": {"calls": 10}}));
    let http = plant.serve(&house);
    let five = "for (let n = 0; n < 5; n++) await count.add({key: `${input.key} ${n}`});
        return 5;";
    let schema = json!({"type": "object", "properties": {"key": {"type": "string"}}});
    let intent = json!({"name": "five", "description": "Adds five.", "code": five,
        "language": "typescript", "inputSchema": schema});
    post(&http, "/v1/intents", &intent);
    let code = "let sum = 0;
        for (const key of ['a', 'b', 'c']) sum += await intents.five({key});
        return sum;";
    let (_, told) = http.post("/v1/runs", &json!({"code": code}));
    assert!(told.to_string().contains("calls"), "{told:#}");
    assert_ne!(told["end"], "returned", "{told:#}");
    // One for each of both intents, and the eight that are left.
    assert_eq!(plant.lines(), 8, "{:?} {told:#}", plant.counts());
}
