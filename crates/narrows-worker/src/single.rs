//! A worker for one run that nobody forked: it is started where its walls stand already, in a
//! container or a virtual machine, or where there are to be none.

use crate::evaluate::Engine;
use crate::jail::memory::Footprint;
use crate::jail::seal::{Baseline, Seal};
use crate::jail::{Report, Walls, filter, process, walls};
use crate::link::Link;
use crate::wire::Wire;
use crate::zygote::live;
use narrows_types::control::EXIT_UNSEALED;
use narrows_types::frame::FromWorker;
use narrows_types::{Layer, LayerState};
use std::io::Write;
use std::path::Path;

/// What carries the frames of such a worker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Carrier<'a> {
    /// Standard input and output.
    Stdio,
    /// A device that is read and written.
    Device(&'a Path),
}

/// Says hello on its wire and runs one program. Does not return.
pub(crate) fn run<E: Engine>(
    prepare: impl FnOnce() -> Result<E, String>,
    carrier: &Carrier<'_>,
    kind: Walls,
) -> ! {
    match start(prepare, carrier, kind) {
        Ok((wire, engine, baseline)) => live(wire, engine, baseline),
        Err(why) => {
            // For people; whoever launched it sees the code.
            drop(writeln!(std::io::stderr(), "worker: {why}"));
            process::exit(EXIT_UNSEALED)
        }
    }
}

fn start<E: Engine>(
    prepare: impl FnOnce() -> Result<E, String>,
    carrier: &Carrier<'_>,
    kind: Walls,
) -> Result<(Wire, E, Baseline), String> {
    let wire = open(carrier)?;
    process::learn_time_zone();
    let engine = prepare().map_err(|error| format!("the engine does not start: {error}"))?;
    let baseline = Baseline::measure();
    let (strict, wide) = (filter::worker()?, filter::zygote()?);
    let mut report = Report::default();
    if kind != Walls::None {
        walls::separate(&mut report, false);
        walls::give_up(&mut report);
        report.note(Layer::Seccomp, filter::apply(&wide));
    }
    let layers = report.states();
    let missing = report.missing_floor().filter(|_| kind == Walls::Floor);
    if let Some(LayerState { layer, why, .. }) = missing {
        return Err(format!("no sandbox without {layer}: {why}"));
    }
    // It has no siblings from which a domain of its own would keep it.
    let (landlock, footprint) = (false, Footprint::default());
    let seal = Seal { filter: strict, zygote: None, walls: kind, landlock, footprint };
    let mut wire = seal.close(wire)?;
    let hello = Link::new(&mut wire).send(&FromWorker::Hello(layers));
    hello.map_err(|_closed| "nobody listens on the wire".to_owned())?;
    Ok((wire, engine, baseline))
}

fn open(carrier: &Carrier<'_>) -> Result<Wire, String> {
    let adopt = |fd| process::adopt(fd).map_err(|error| format!("descriptor {fd}: {error}"));
    match carrier {
        Carrier::Stdio => Ok(Wire::pair(adopt(0)?, adopt(1)?)),
        Carrier::Device(path) => {
            let opened = std::fs::OpenOptions::new().read(true).write(true).open(path);
            let device = opened.map_err(|error| format!("{}: {error}", path.display()))?;
            Ok(Wire::one(device.into()))
        }
    }
}
