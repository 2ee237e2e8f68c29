//! The jail's inside: what runs programs that nobody trusts.
//!
//! The binary starts itself anew as `jailed-worker --engine NAME` and calls [`main`]: that process
//! is a **zygote**. It warms its engine up, raises the walls and forks a sealed **worker** for each
//! run. A worker knows one socket, reads one program from it, speaks frames, and ends. Nothing here
//! knows a catalog, a server or a secret.

mod cpython;
mod deno;
mod evaluate;
mod fence;
mod guest;
mod jail;
mod js;
mod link;
mod living;
mod machine;
mod py;
mod rehearsal;
mod relay;
#[cfg(test)]
mod same;
#[cfg(test)]
mod scripted;
mod single;
mod time;
mod wasm;
mod wire;
mod zygote;

pub use evaluate::{Engine, Stopped, evaluate};
pub use wire::Wire;

/// The global allocator of every process that runs Python: without it memory cannot be limited.
pub use monty_alloc::LimitedAllocator as Allocator;

use jail::Walls;
use narrows_types::Network;
use narrows_types::guest::{FIRST, HYPERVISOR};
use single::Carrier;
use std::path::Path;
use std::process::ExitCode;

/// Runs a zygote or a worker, as `args` say, which follow the word `worker` on the command line:
/// `--engine NAME [--link fork|stdio|DEVICE|vsock:PORT] [--walls floor|best|none] [--python PATH]
/// [--venv PATH] [--deno PATH] [--npm PATH] [--network HOST,HOST] [--memory-bytes N] [--disk-bytes N]
/// [--files N] [--processes N]`. With the link `fork`, which is where nothing is said, it is a zygote
/// whose control socket is descriptor 3; with another one it is a worker for one run. Without a word
/// about walls the floor must stand. After the word `guest` it is the first process of a virtual
/// machine, which forks such a worker; after the word `hypervisor` it becomes one, behind walls of its
/// own.
///
/// Returns only if the arguments are wrong.
pub fn main(args: impl Iterator<Item = String>) -> ExitCode {
    let args: Vec<String> = args.collect();
    // Whoever reads this has no terminal and no socket: the code is all there is to say.
    let Some(orders) = enter(&args) else { return ExitCode::from(2) };
    match orders.engine {
        narrows_types::Engine::Quickjs => orders.run(js::prepare),
        narrows_types::Engine::Monty => orders.run(py::prepare),
        narrows_types::Engine::Wasm => orders.run(wasm::prepare),
        narrows_types::Engine::Cpython => {
            let once = orders.carrier.is_some();
            orders.run(|| cpython::prepare(&orders.python, orders.walls != Walls::None, once))
        }
        narrows_types::Engine::Deno => orders
            .run(|| deno::prepare(orders.deno, orders.network.as_ref(), orders.carrier.is_some())),
    }
}

/// Runs a zygote or a worker with an engine that is given: for tests of the jail itself. `args` as
/// for [`main`]; the engine's name there counts for nothing.
pub fn main_with<E: Engine>(
    args: impl Iterator<Item = String>,
    prepare: impl FnOnce() -> Result<E, String>,
) -> ExitCode {
    let args: Vec<String> = args.collect();
    enter(&args).map_or(ExitCode::from(2), |orders| orders.run(prepare))
}

/// Reads the command line. In the first process of a virtual machine it returns in a child.
fn enter(args: &[String]) -> Option<Orders<'_>> {
    let (guest, args) = match args.split_first() {
        Some((first, rest)) if first == HYPERVISOR => machine::enter(rest),
        Some((first, rest)) if first == FIRST => (true, rest),
        _ => (false, args),
    };
    let orders = Orders::read(args)?;
    if guest {
        guest::enter(orders.carrier.as_ref());
    }
    Some(orders)
}

/// Before the number of the port of virtual sockets that a worker listens on.
const VSOCK: &str = "vsock:";

/// What the command line wants.
#[derive(Debug, PartialEq, Eq)]
struct Orders<'a> {
    engine: narrows_types::Engine,
    /// `None`: a zygote, which forks.
    carrier: Option<Carrier<'a>>,
    walls: Walls,
    python: cpython::Settings,
    deno: deno::Settings<'a>,
    /// What programs may reach at most, where they have a network.
    network: Option<Network>,
}

impl<'a> Orders<'a> {
    fn read(args: &'a [String]) -> Option<Self> {
        let (mut engine, mut carrier, mut walls) = (None, None, Walls::Floor);
        let (mut python, mut deno) = (cpython::Settings::default(), deno::Settings::default());
        let mut network = None;
        let pairs = args.as_chunks::<2>();
        if !pairs.1.is_empty() {
            return None;
        }
        for [name, value] in pairs.0 {
            match (name.as_str(), value.as_str()) {
                ("--engine", name) => engine = Some(narrows_types::Engine::named(name)?),
                ("--link", "fork") => carrier = None,
                ("--link", "stdio") => carrier = Some(Carrier::Stdio),
                ("--link", vsock) if vsock.starts_with(VSOCK) => {
                    let port = vsock.trim_start_matches(VSOCK).parse().ok()?;
                    carrier = Some(Carrier::Vsock(port));
                }
                ("--link", path) if path.starts_with('/') => {
                    carrier = Some(Carrier::Device(Path::new(path)));
                }
                ("--walls", "floor") => walls = Walls::Floor,
                ("--walls", "best") => walls = Walls::Best,
                ("--walls", "none") => walls = Walls::None,
                ("--python", path) => python.python = Some(path.into()),
                ("--deno", path) => deno.binary = Some(Path::new(path)),
                ("--npm", path) => deno.packages = Some(Path::new(path)),
                ("--venv", path) => python.venv = Some(path.into()),
                ("--memory-bytes", number) => deno.memory_bytes = Some(number.parse().ok()?),
                ("--disk-bytes", number) => python.most.disk_bytes = number.parse().ok()?,
                ("--files", number) => python.most.files = number.parse().ok()?,
                ("--network", Network::NONE) => network = Some(Network::default()),
                ("--network", hosts) => network = Some(Network::of(hosts.split(',')).ok()?),
                ("--processes", number) => python.most.processes = number.parse().ok()?,
                _ => return None,
            }
        }
        python.network = network.is_some();
        Some(Self { engine: engine?, carrier, walls, python, deno, network })
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
            ("--engine quickjs --link vsock:52", Some(Carrier::Vsock(52)), Walls::Floor),
        ] {
            assert_eq!(
                Orders::read(&args(line)),
                Some(Orders {
                    engine,
                    carrier,
                    walls,
                    python: cpython::Settings::default(),
                    deno: deno::Settings::default(),
                    network: None,
                }),
                "{line}"
            );
        }
        let wrong = [
            "",
            "quickjs",
            "--engine",
            "--engine v8",
            "--engine quickjs --link tcp",
            "--engine quickjs --link vsock:x",
            "--engine deno --network https://a.com",
        ];
        for wrong in wrong.into_iter().chain(["--engine quickjs --walls some", "--link stdio"]) {
            assert_eq!(Orders::read(&args(wrong)), None, "{wrong}");
        }
    }
}
