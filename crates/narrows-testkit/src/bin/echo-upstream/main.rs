//! The fastest MCP server that is true, for benchmarks of gateways: it answers faster than any
//! gateway asks, over stdio and Streamable HTTP, in both eras.

#![expect(
    clippy::disallowed_methods,
    reason = "a test server reads its flags and sleeps when told"
)]

mod answer;
mod http;
mod stdio;

use std::io::Write as _;
use std::process::ExitCode;

const HELP: &str = "\
echo-upstream [FLAGS]
  --http PORT   Streamable HTTP on 127.0.0.1:PORT instead of stdio (0: any; the URL is printed)
  --name NAME   no meaning: tells processes apart
";

fn main() -> ExitCode {
    let mut port: Option<u16> = None;
    let mut args = std::env::args().skip(1);
    while let Some(flag) = args.next() {
        match (flag.as_str(), args.next()) {
            ("--http", Some(value)) => port = value.parse().ok(),
            ("--name", Some(_)) => {}
            _ => return fail(HELP),
        }
    }
    let served = match port {
        Some(port) => http::serve(port),
        None => stdio::serve(),
    };
    served.map_or_else(|e| fail(&e.to_string()), |()| ExitCode::SUCCESS)
}

fn fail(why: &str) -> ExitCode {
    // Nothing is left to tell if standard error is closed.
    let _closed = writeln!(std::io::stderr(), "{why}");
    ExitCode::from(2)
}
