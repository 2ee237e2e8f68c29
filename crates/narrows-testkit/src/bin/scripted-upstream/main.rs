//! A real MCP server that does what its flags say, for tests and benchmarks. Starts in a
//! millisecond, answers in microseconds, misbehaves on request.

#![expect(
    clippy::disallowed_methods,
    reason = "a test server sleeps, reads its flags and the clock"
)]

mod answer;
mod faults;
mod http;

use answer::{Script, Server};
use serde_json::Value;
use std::io::{BufRead, Write};
use std::process::ExitCode;
use std::sync::{Arc, Mutex};

const HELP: &str = "\
scripted-upstream [FLAGS]
  --era legacy|modern|both   which protocol eras it serves (both)
  --serve-list FILE          serve the tools of a saved list; each call answers with its arguments
  --http PORT                Streamable HTTP on 127.0.0.1:PORT instead of stdio (0: any; printed)
  --hang-at-start            read nothing, answer nothing
  --garbage                  print lines that are not JSON between answers
  --die-after N              exit with code 3 at the Nth tools/call
  --broken-tool              list one tool whose definition is broken
  --page N                   list N tools a page
  --faults                   have tools and resources that go wrong in every way
  --log FILE                 append a line for each tools/call that arrives
";

fn main() -> ExitCode {
    let mut script = Script::default();
    let mut port: Option<u16> = None;
    let mut args = std::env::args().skip(1);
    while let Some(flag) = args.next() {
        let mut value = || args.next().unwrap_or_default();
        match flag.as_str() {
            "--era" => script.era = value(),
            "--serve-list" => script.list = Some(value()),
            "--http" => port = value().parse().ok(),
            "--hang-at-start" => script.hang = true,
            "--garbage" => script.garbage = true,
            "--die-after" => script.die_after = value().parse().unwrap_or(0),
            "--broken-tool" => script.broken_tool = true,
            "--faults" => script.faults.on = true,
            "--log" => script.faults.log = faults::log(&value()),
            "--page" => script.page = value().parse().unwrap_or(0),
            _ => return usage(),
        }
    }
    let server = match Server::new(script) {
        Ok(server) => Arc::new(server),
        Err(why) => return fail(&why),
    };
    let outcome = match port {
        Some(port) => http::serve(&server, port),
        None => stdio(&server),
    };
    outcome.map_or_else(|e| fail(&e.to_string()), |()| ExitCode::SUCCESS)
}

fn usage() -> ExitCode {
    fail(HELP)
}

fn fail(why: &str) -> ExitCode {
    // Nothing is left to tell if standard error is closed.
    let _closed = writeln!(std::io::stderr(), "{why}");
    ExitCode::from(2)
}

/// One message a line; calls that take time answer from threads of their own.
fn stdio(server: &Arc<Server>) -> std::io::Result<()> {
    if server.script.hang {
        loop {
            std::thread::park();
        }
    }
    let out = Arc::new(Mutex::new(std::io::stdout()));
    for line in std::io::stdin().lock().lines() {
        let Ok(message) = serde_json::from_str::<Value>(&line?) else { continue };
        if server.script.garbage {
            write(&out, "this line is no JSON: [debug] starting {");
        }
        if let Some((bytes, ends)) = server.garbled(&message) {
            write_all(&out, &bytes);
            if ends {
                answer::die();
            }
        } else if server.takes_time(&message) {
            let (server, out) = (Arc::clone(server), Arc::clone(&out));
            std::thread::spawn(move || {
                if let Some(answer) = server.answer(&message, &mut |note| write(&out, note)) {
                    write(&out, &answer);
                }
            });
        } else if let Some(answer) = server.answer(&message, &mut |note| write(&out, note)) {
            write(&out, &answer);
        }
    }
    Ok(())
}

fn write(out: &Mutex<std::io::Stdout>, line: &str) {
    let mut bytes = Vec::with_capacity(line.len() + 1);
    bytes.extend_from_slice(line.as_bytes());
    bytes.push(b'\n');
    write_all(out, &bytes);
}

fn write_all(out: &Mutex<std::io::Stdout>, bytes: &[u8]) {
    let Ok(mut out) = out.lock() else { return };
    // A client that went away is the end of the input too.
    let _gone = out.write_all(bytes).and_then(|()| out.flush());
}
