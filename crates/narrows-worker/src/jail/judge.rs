//! Runs a filter as the kernel does, to know what becomes of a call without making it.

use seccompiler::BpfProgram;

/// What becomes of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    Allowed,
    Refused(i32),
    Killed,
}

/// What filters that were applied one after another make of a call: the strictest word counts, and
/// among errors that of the filter which was applied last.
pub(super) fn judge_all<'f>(
    filters: impl IntoIterator<Item = &'f BpfProgram>,
    number: i64,
    arguments: [u64; 6],
) -> Verdict {
    let mut found = Verdict::Allowed;
    for filter in filters {
        match judge(filter, number, arguments) {
            Verdict::Killed => return Verdict::Killed,
            Verdict::Refused(errno) => found = Verdict::Refused(errno),
            Verdict::Allowed => {}
        }
    }
    found
}

/// What one filter makes of a call.
pub(super) fn judge(filter: &BpfProgram, number: i64, arguments: [u64; 6]) -> Verdict {
    const ARCHITECTURE: u32 = if cfg!(target_arch = "x86_64") { 0xc000_003e } else { 0xc000_00b7 };
    let number = u32::try_from(number).unwrap();
    let mut shown = [number.to_ne_bytes(), ARCHITECTURE.to_ne_bytes()].concat();
    shown.extend(0_u64.to_ne_bytes());
    shown.extend(arguments.iter().flat_map(|argument| argument.to_ne_bytes()));
    let (mut at, mut held) = (0, 0_u32);
    loop {
        let one = &filter[at];
        at += 1;
        let jump = match one.code {
            0x20 => {
                let word = shown[one.k as usize..].first_chunk().unwrap();
                held = u32::from_ne_bytes(*word);
                continue;
            }
            0x54 => {
                held &= one.k;
                continue;
            }
            0x05 => {
                at += one.k as usize;
                continue;
            }
            0x06 => return verdict(one.k),
            0x15 => held == one.k,
            0x25 => held > one.k,
            0x35 => held >= one.k,
            0x45 => held & one.k != 0,
            other => panic!("instruction {other:#x}"),
        };
        at += usize::from(if jump { one.jt } else { one.jf });
    }
}

fn verdict(word: u32) -> Verdict {
    match (word >> 16, word & 0xffff) {
        (0x7fff, _) => Verdict::Allowed,
        (0x0005, errno) => Verdict::Refused(i32::try_from(errno).unwrap()),
        (0x8000, _) => Verdict::Killed,
        _ => panic!("action {word:#x}"),
    }
}
