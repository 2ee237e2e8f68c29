//! The rehearsal: a child runs a sample program before the walls are up, so that it is known which
//! memory a run touches, and a second one which of it exactly. The zygote plays the host; the sample
//! is ours, so that the zygote still never sees a stranger's program.

use crate::evaluate::Engine;
use crate::jail::memory::Footprint;
use crate::jail::process::{self, Side};
use crate::link::Link;
use crate::wire::Wire;
use narrows_types::Limits;
use narrows_types::frame::{FromWorker, Go, PREFIX_BYTES, Program, Reply, ToWorker};
use std::io::{Read, Write};
use std::mem::ManuallyDrop;
use std::os::unix::net::UnixStream;
use std::time::Duration;

/// A rehearsal takes a millisecond.
const WAIT: Duration = Duration::from_secs(2);
/// Frames of a rehearsal: `Uses`, a call or two, `Done`.
const FRAMES_MAX: usize = 16;
/// Bytes of one of its frames.
const FRAME_BYTES_MAX: usize = 1 << 20;

/// What a short program of this engine touches. Empty if the rehearsal fails: then every worker
/// takes its memory on demand.
pub(crate) fn rehearse<E: Engine>(engine: &mut Option<E>) -> Footprint {
    let rough = play(engine, &Footprint::default()).unwrap_or_default();
    play(engine, &rough).unwrap_or(rough).settle()
}

/// One child's part and the zygote's; what `rough` has of code the child has page by page.
fn play<E: Engine>(engine: &mut Option<E>, rough: &Footprint) -> Option<Footprint> {
    let (mut ours, theirs) = UnixStream::pair().ok()?;
    ours.set_read_timeout(Some(WAIT)).ok()?;
    ours.set_write_timeout(Some(WAIT)).ok()?;
    let Side::Parent(child) = process::fork().ok()? else {
        drop(ours);
        rough.part();
        process::exit(perform(engine.take(), theirs))
    };
    drop(theirs);
    let footprint = host(&mut ours, E::SAMPLE);
    // What it did not end by itself ends now: there is no run to lose.
    drop(ours);
    if footprint.is_none() {
        process::kill(child);
    }
    process::reap(true).ok()?;
    footprint
}

/// The child's part. Its last words on the socket, after its last frame, are the footprint.
fn perform<E: Engine>(engine: Option<E>, mut socket: UnixStream) -> i32 {
    let played = engine.and_then(|engine| {
        let mut engine = ManuallyDrop::new(engine);
        let mut wire = Wire::from(socket.try_clone().ok()?);
        let ToWorker::Run(program) = Link::new(&mut wire).receive().ok()? else { return None };
        engine.run(wire, &program).ok()?;
        socket.write_all(&Footprint::measure().encode()).ok()
    });
    i32::from(played.is_none())
}

/// The zygote's part: a host that has one server, `sample`, whose every call gives an object.
fn host(socket: &mut UnixStream, code: &str) -> Option<Footprint> {
    let program = Program {
        code: code.to_owned(),
        language: narrows_types::Language::default(),
        input: None,
        limits: Limits::default(),
        now_ms: 0,
        seed: 0,
        state: false,
    };
    socket.write_all(&ToWorker::Run(Box::new(program)).encode().ok()?).ok()?;
    for _ in 0..FRAMES_MAX {
        let mut prefix = [0; PREFIX_BYTES];
        socket.read_exact(&mut prefix).ok()?;
        let length = u32::from_le_bytes(prefix) as usize;
        let mut frame = vec![0; length.min(FRAME_BYTES_MAX)];
        socket.read_exact(&mut frame).ok()?;
        let answer = match FromWorker::decode(&frame).ok()? {
            FromWorker::Uses(_) => ToWorker::Go(Go { namespaces: vec!["sample".to_owned()] }),
            FromWorker::Call(call) => {
                let body = r#"{"a": 1, "rows": [{"b": "c"}, {"b": "d"}]}"#.to_owned();
                ToWorker::Reply(Reply { id: call.id, ok: true, at_us: 0, body })
            }
            FromWorker::Done(_) => {
                let mut bytes = Vec::new();
                socket.take(FRAME_BYTES_MAX as u64).read_to_end(&mut bytes).ok()?;
                return Some(Footprint::decode(&bytes));
            }
            FromWorker::Hello(_)
            | FromWorker::Log(_)
            | FromWorker::Progress(_)
            | FromWorker::Show(_)
            | FromWorker::Idle => continue,
        };
        socket.write_all(&answer.encode().ok()?).ok()?;
    }
    None
}
