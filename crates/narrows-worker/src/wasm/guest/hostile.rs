//! Somebody has broken into the guest: calls the host with numbers of their own, writes where they
//! like in its memory. The host's own memory is out of reach, and the worst is a run that is lost.

use super::{Guest, imports};
use crate::js::realm::Realm;
use crate::time::Began;
use crate::wasm::{Prepared, prepare, tick};
use narrows_types::Limits;
use wasmtime::Val;

fn broken_in() -> Guest {
    tick::begin().unwrap();
    let Prepared { mut guest, host, .. } = prepare().unwrap();
    let limits = Limits { cpu_ms: 300, wall_ms: 5_000, ..Limits::default() };
    host.begin(&limits, 0, 1);
    guest.within().run = Some((Began::now(), limits));
    guest
}

/// Whether the host took it.
fn ask(guest: &mut Guest, name: &str, params: &[Val]) -> bool {
    let linker = imports::linker(guest.store.engine()).unwrap();
    let function = linker.get(&mut guest.store, "host", name).unwrap().into_func().unwrap();
    let mut results = vec![Val::I32(0); function.ty(&guest.store).results().len()];
    function.call(&mut guest.store, params, &mut results).is_ok()
}

#[test]
fn the_host_reads_and_writes_nothing_beyond_its_memory() {
    let mut guest = broken_in();
    let bytes = guest.memory().len();
    let last = i32::try_from(bytes).unwrap() - 1;
    for (start, length) in [(-1, 1), (0, -1), (-1, -1), (i32::MIN, i32::MIN), (last, 2)] {
        let place = [Val::I32(start), Val::I32(length)];
        let number = [Val::I32(-1)];
        let fraction = [Val::F64(f64::NAN.to_bits())];
        for (name, params) in [
            ("show", place.to_vec()),
            ("log", [&number[..], &place].concat()),
            ("progress", [&fraction[..], &place].concat()),
            ("call", place.repeat(4)),
        ] {
            assert!(!ask(&mut guest, name, &params), "{name} {start} {length}");
        }
    }
    // A tool without a name is refused, and the refusal has nowhere to go.
    let empty = [Val::I32(0), Val::I32(0)];
    assert!(ask(&mut guest, "call", &empty.repeat(4)));
    assert!(!ask(&mut guest, "refusal", &[Val::I32(-1), Val::I32(-1)]));
    assert_eq!(guest.memory().len(), bytes);
}

#[test]
fn no_number_is_too_strange() {
    let mut guest = broken_in();
    for number in [f64::NAN, f64::INFINITY, -1.0, 1e308, -0.0] {
        let number = Val::F64(number.to_bits());
        assert!(ask(&mut guest, "timer", &[number]));
        assert!(ask(&mut guest, "again", &[Val::I32(-1), number]));
    }
    assert!(ask(&mut guest, "untimer", &[Val::I32(-1)]));
    for seconds in [i64::MIN, -1, i64::MAX] {
        assert!(ask(&mut guest, "zone", &[Val::I64(seconds)]));
    }
}

#[test]
fn a_guest_whose_memory_is_overwritten_harms_only_itself() {
    let mut state = 7_u64;
    let mut roll = |end: usize| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        usize::try_from(state >> 33).unwrap() % end
    };
    let mut lost = 0;
    for round in 0..24 {
        let mut guest = broken_in();
        let bytes = guest.memory().len();
        for _ in 0..(1 << round.min(14)) {
            let at = roll(bytes);
            guest.memory()[at] = u8::try_from(roll(256)).unwrap();
        }
        // What the host makes of it is data.
        let ended =
            guest.compile("const a = [1, 2]; JSON.stringify(a.map(n => host.f({ n })))", "program");
        let ended = ended.and_then(|()| guest.bind("host"));
        let ended = ended.and_then(|()| guest.give("input", "{\"a\":[1]}"));
        let ended = ended.and_then(|()| guest.start());
        let ended = ended.and_then(|()| guest.job().map(drop));
        let ended = ended.and_then(|()| guest.settle(1, "1"));
        let ended = ended.and_then(|()| guest.value().map(drop));
        let told = guest.read_thrown();
        lost += usize::from(ended.is_err() && told.is_err());
        assert!(guest.memory().len() >= bytes);
    }
    assert!(lost > 0, "the guest did not mind");
}
