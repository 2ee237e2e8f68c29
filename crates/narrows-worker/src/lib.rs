//! The jail's inside: what runs programs that nobody trusts.
//!
//! The binary starts itself anew as `jailed-worker --engine js|py` and calls [`main`]: that process
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
mod time;
mod zygote;

pub use evaluate::{Engine, Stopped, evaluate};

/// The global allocator of every process that runs Python: without it memory cannot be limited.
pub use monty_alloc::LimitedAllocator as Allocator;

use std::process::ExitCode;

/// Runs a zygote. `args` is what follows the word `worker` on the command line:
/// `--engine js` or `--engine py`. The control socket is descriptor 3.
///
/// Returns only if the arguments are wrong.
pub fn main(args: impl Iterator<Item = String>) -> ExitCode {
    match engine(args).as_deref() {
        Some("js") => zygote::run(js::prepare),
        Some("py") => zygote::run(py::prepare),
        // Whoever reads this has no terminal and no socket: the code is all there is to say.
        _ => ExitCode::from(2),
    }
}

/// Runs a zygote with an engine that is given: for tests of the jail itself.
pub fn main_with<E: Engine>(prepare: impl FnOnce() -> Result<E, String>) -> ! {
    zygote::run(prepare)
}

fn engine(mut args: impl Iterator<Item = String>) -> Option<String> {
    match (args.next().as_deref(), args.next(), args.next()) {
        (Some("--engine"), Some(name), None) => Some(name),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::engine;

    #[test]
    fn only_one_engine_is_taken() {
        let parse = |line: &str| engine(line.split_whitespace().map(str::to_owned));
        assert_eq!(parse("--engine js").as_deref(), Some("js"));
        for wrong in ["", "js", "--engine", "--engine js py", "engine js"] {
            assert_eq!(parse(wrong), None, "{wrong}");
        }
    }
}
