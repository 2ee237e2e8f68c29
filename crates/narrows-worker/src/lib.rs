//! The jail's inside: what runs programs that nobody trusts.
//!
//! The binary starts itself anew as `jailed-worker --engine quickjs|monty` and calls [`main`]: that process
//! is a **zygote**. It warms its engine up, raises the walls and forks a sealed **worker** for each
//! run. A worker knows one socket, reads one program from it, speaks frames, and ends. Nothing here
//! knows a catalog, a server or a secret.

mod evaluate;
mod fence;
mod jail;
mod js;
mod link;
mod py;
mod rehearsal;
#[cfg(test)]
mod same;
mod single;
mod time;
mod wire;
mod zygote;

pub use evaluate::{Engine, Stopped, evaluate};
pub use wire::Wire;

/// The global allocator of every process that runs Python: without it memory cannot be limited.
pub use monty_alloc::LimitedAllocator as Allocator;

use jail::Walls;
use single::Carrier;
use std::path::Path;
use std::process::ExitCode;

/// Runs a zygote or a worker, as `args` say, which follow the word `worker` on the command line:
/// `--engine NAME [--link fork|stdio|DEVICE] [--walls floor|best|none]`. With the link `fork`, which
/// is where nothing is said, it is a zygote whose control socket is descriptor 3; with another one
/// it is a worker for one run. Without a word about walls the floor must stand.
///
/// Returns only if the arguments are wrong.
pub fn main(args: impl Iterator<Item = String>) -> ExitCode {
    let args: Vec<String> = args.collect();
    // Whoever reads this has no terminal and no socket: the code is all there is to say.
    let Some(orders) = Orders::read(&args) else { return ExitCode::from(2) };
    match orders.engine {
        narrows_types::Engine::Quickjs => orders.run(js::prepare),
        narrows_types::Engine::Monty => orders.run(py::prepare),
        _ => ExitCode::from(2),
    }
}

/// Runs a zygote or a worker with an engine that is given: for tests of the jail itself. `args` as
/// for [`main`]; the engine's name there counts for nothing.
pub fn main_with<E: Engine>(
    args: impl Iterator<Item = String>,
    prepare: impl FnOnce() -> Result<E, String>,
) -> ExitCode {
    let args: Vec<String> = args.collect();
    Orders::read(&args).map_or(ExitCode::from(2), |orders| orders.run(prepare))
}

/// What the command line wants.
#[derive(Debug, PartialEq, Eq)]
struct Orders<'a> {
    engine: narrows_types::Engine,
    /// `None`: a zygote, which forks.
    carrier: Option<Carrier<'a>>,
    walls: Walls,
}

impl<'a> Orders<'a> {
    fn read(args: &'a [String]) -> Option<Self> {
        let (mut engine, mut carrier, mut walls) = (None, None, Walls::Floor);
        let pairs = args.as_chunks::<2>();
        if !pairs.1.is_empty() {
            return None;
        }
        for [name, value] in pairs.0 {
            match (name.as_str(), value.as_str()) {
                ("--engine", name) => engine = Some(narrows_types::Engine::named(name)?),
                ("--link", "fork") => carrier = None,
                ("--link", "stdio") => carrier = Some(Carrier::Stdio),
                ("--link", path) if path.starts_with('/') => {
                    carrier = Some(Carrier::Device(Path::new(path)));
                }
                ("--walls", "floor") => walls = Walls::Floor,
                ("--walls", "best") => walls = Walls::Best,
                ("--walls", "none") => walls = Walls::None,
                _ => return None,
            }
        }
        Some(Self { engine: engine?, carrier, walls })
    }

    fn run<E: Engine>(&self, prepare: impl FnOnce() -> Result<E, String>) -> ! {
        match &self.carrier {
            None => zygote::run(prepare, self.walls),
            Some(carrier) => single::run(prepare, carrier, self.walls),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_line_says_what_kind_of_worker_it_is() {
        let args = |line: &str| line.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
        let engine = narrows_types::Engine::Quickjs;
        for (line, carrier, walls) in [
            ("--engine quickjs", None, Walls::Floor),
            ("--walls best --engine quickjs", None, Walls::Best),
            ("--engine quickjs --link stdio --walls none", Some(Carrier::Stdio), Walls::None),
            (
                "--engine quickjs --link /dev/vport0p1",
                Some(Carrier::Device(Path::new("/dev/vport0p1"))),
                Walls::Floor,
            ),
        ] {
            assert_eq!(
                Orders::read(&args(line)),
                Some(Orders { engine, carrier, walls }),
                "{line}"
            );
        }
        let wrong = ["", "quickjs", "--engine", "--engine v8", "--engine quickjs --link tcp"];
        for wrong in wrong.into_iter().chain(["--engine quickjs --walls some", "--link stdio"]) {
            assert_eq!(Orders::read(&args(wrong)), None, "{wrong}");
        }
    }
}
