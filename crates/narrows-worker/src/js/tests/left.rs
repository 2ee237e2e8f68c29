//! What a program left under way when it had its value.

use super::run;
use serde_json::json;

#[test]
fn timers_that_nobody_awaited_fire() {
    let seen = run("setTimeout(async () => console.log((await files.read({ n: 1 })).n), 0);\n\
         setTimeout(() => setTimeout(console.log, 5_000, 'later'), 70_000); 'done'");
    assert_eq!(seen.value(), json!("done"));
    assert_eq!(seen.logs, ["1", "later"]);
}

#[test]
fn the_value_outlives_what_its_timers_do() {
    let code = "setInterval(() => console.log('beat'), 1); setTimeout(() => { throw new Error('x') });\n\
                let n = 0; (function again() { n++; setTimeout(again) })(); 'done'";
    let seen = run(code);
    assert_eq!(seen.value(), json!("done"));
    assert_eq!(seen.logs, ["nobody awaited this error: x"]);
}
