//! A worker for one run that nobody forked: it is started where its walls stand already, in a
//! container or a virtual machine, or where there are to be none.

use crate::evaluate::Engine;
use crate::guest;
use crate::jail::memory::{Footprint, started_by_others};
use crate::jail::outside::{Outside, Start};
use crate::jail::seal::{Baseline, Seal};
use crate::jail::{Report, Walls, filter, process, walls};
use crate::link::Link;
use crate::wire::Wire;
use crate::zygote::{beside, live};
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
    /// The first connection to this port of a virtual machine's sockets.
    Vsock(u32),
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
    process::learn_time_zone();
    let mut engine = prepare().map_err(|error| format!("the engine does not start: {error}"))?;
    let wire = open(carrier)?;
    process::end_first_process().map_err(|error| format!("signals: {error}"))?;
    let baseline = Baseline::measure();
    if kind == Walls::None {
        started_by_others();
    }
    let mut report = Report::default();
    let start = engine.outside().cloned();
    if start.as_ref().is_some_and(|start| start.network) {
        return Err("a worker that nobody forks has no network".to_owned());
    }
    let (strict, wide) = (filter::worker(None)?, filter::zygote(start.is_some())?);
    let wards = start.is_some();
    let view = start.as_ref().map(Start::view).unwrap_or_default();
    if kind != Walls::None {
        // What is started outside of this binary is the first process of a namespace of its own.
        walls::separate(&mut report, start.is_some(), &view);
        walls::give_up(&mut report, view.read, false);
    }
    let outside = start.map(|start| beside(&start, &report, kind)).transpose()?;
    let evaluator = outside.map(Outside::into_evaluator).transpose();
    let evaluator = evaluator.map_err(|error| format!("socket: {error}"))?;
    if kind != Walls::None {
        report.note(Layer::Seccomp, filter::apply(&wide));
    }
    let layers = report.states();
    let missing = report.missing_floor().filter(|_| kind == Walls::Floor);
    if let Some(LayerState { layer, why, .. }) = missing {
        return Err(format!("no sandbox without {layer}: {why}"));
    }
    // It has no siblings from which a domain of its own would keep it.
    let (landlock, footprint) = (false, Footprint::default());
    let seal = Seal { filter: strict, wards, zygote: None, walls: kind, landlock, footprint };
    let (mut wire, evaluator) = seal.close(wire, evaluator)?;
    if let Some(evaluator) = evaluator {
        engine.meet(evaluator);
    }
    let hello = Link::new(&mut wire).send(&FromWorker::Hello(layers));
    hello.map_err(|_closed| "nobody listens on the wire".to_owned())?;
    Ok((wire, engine, baseline))
}

fn open(carrier: &Carrier<'_>) -> Result<Wire, String> {
    match carrier {
        Carrier::Stdio => {
            let adopted = process::adopt_stdio();
            let (read, write) = adopted.map_err(|error| format!("standard streams: {error}"))?;
            Ok(Wire::pair(read, write))
        }
        Carrier::Device(path) => {
            let opened = std::fs::OpenOptions::new().read(true).write(true).open(path);
            let device = opened.map_err(|error| format!("{}: {error}", path.display()))?;
            Ok(Wire::one(device.into()))
        }
        Carrier::Vsock(port) => guest::accept(*port).map(Wire::one),
    }
}
