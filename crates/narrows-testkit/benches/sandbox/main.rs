//! Every back end and every engine that works here, beside the workers of our peers, in one run.
//!
//! `cargo xtask bench sandbox [PART..] [--json] [--worker PATH]`; a part is the beginning of a row's
//! name, such as `process` or `peer`. `--worker` measures another build of the worker. On a small
//! and shared machine read minima and ratios.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::disallowed_methods,
    clippy::indexing_slicing,
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::print_stdout,
    clippy::print_stderr,
    dead_code,
    reason = "a benchmark fails by panicking, prints, starts programs and shares the tests' house"
)]

#[path = "../../tests/blackbox/house.rs"]
mod blackbox;
#[path = "../durable/house.rs"]
mod house;
mod measure;
mod memory;
mod peers;
mod places;
mod table;
mod through;

use std::path::PathBuf;
use table::Row;

/// What the command line wants.
struct Wanted {
    parts: Vec<String>,
    json: bool,
    worker: Option<PathBuf>,
}

impl Wanted {
    fn read() -> Self {
        let (mut parts, mut json, mut worker) = (Vec::new(), false, None);
        let mut args = std::env::args().skip(1);
        while let Some(arg) = args.next() {
            match arg.as_str() {
                "--json" => json = true,
                "--worker" => worker = args.next().map(PathBuf::from),
                "--bench" => {}
                _ => parts.push(arg),
            }
        }
        Self { parts, json, worker }
    }

    fn has(&self, name: &str) -> bool {
        self.parts.is_empty() || self.parts.iter().any(|part| name.starts_with(part))
    }
}

#[tokio::main(worker_threads = 2)]
async fn main() {
    // `cargo test --benches` calls this too, without `--bench`: nothing to do there.
    if !std::env::args().any(|a| a == "--bench") {
        return;
    }
    let wanted = Wanted::read();
    let mut rows = Vec::new();
    for place in places::all(wanted.worker.as_ref()) {
        if wanted.has(place.name) {
            rows.push(told(measure::measure(&place).await));
        }
    }
    for name in ["engine typescript", "engine python"] {
        if wanted.has(name) {
            rows.push(told(through::measure(name).await));
        }
    }
    for warm in [8, 16] {
        let name = format!("gateway with {} workers", 2 * warm);
        if wanted.has(&name) {
            rows.push(told(memory::gateway(name, warm)));
        }
    }
    for peer in peers::ALL {
        if wanted.has(peer.name) {
            rows.push(told(peers::measure(&peer)));
        }
    }
    if wanted.json {
        println!("{}", serde_json::to_string_pretty(&rows).unwrap());
    } else {
        println!("{}", table::text(&rows));
    }
}

/// Something to look at while the next one is measured.
fn told(row: Row) -> Row {
    eprintln!("{}", table::line(&row));
    row
}
