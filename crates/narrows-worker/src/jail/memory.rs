//! The memory that a run touches, made ready while nobody waits for it.
//!
//! After a fork each page is copied when it is first written to and code is mapped when it is first
//! reached, one fault at a time, which costs more than the rest of a short run. So one child
//! rehearses a program before the walls are up and notes what it came to touch. The zygote maps the
//! code and passes it on; every worker takes the other pages at once, before its program is there.
//! Only an economy: whatever fails here happens on demand.
#![expect(unsafe_code, reason = "nix has no MADV_POPULATE_READ and MADV_POPULATE_WRITE")]

use nix::sys::resource::{UsageWho, getrusage};
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;

const PAGE: usize = 4_096;
/// Ranges of a footprint; a typical one has fewer than 100.
const RANGES_MAX: usize = 256;
/// Pages of one mapping that are looked at.
const PAGES_MAX: usize = 1 << 16;
/// What the kernel maps around a page of a file that is reached: one page stands for all of them.
const AROUND: usize = 16 * PAGE;
/// A range as it passes from process to process: two addresses and whether it is written to.
const RANGE_BYTES: usize = 17;

/// Bits of an entry of `/proc/PID/pagemap`.
const PRESENT: u64 = 1 << 63;
const OF_FILE: u64 = 1 << 61;
const EXCLUSIVE: u64 = 1 << 56;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Range {
    start: usize,
    end: usize,
    written: bool,
}

/// Pages that a run of the rehearsed kind touches.
#[derive(Debug, Default)]
pub(crate) struct Footprint(Vec<Range>);

impl Footprint {
    /// Of this process, a child that has not run anything else since it was forked. Empty where
    /// `/proc` does not tell.
    pub(crate) fn measure() -> Self {
        let Ok(pagemap) = File::open("/proc/self/pagemap") else { return Self::default() };
        let maps = fs::read_to_string("/proc/self/maps").unwrap_or_default();
        let mut ranges = Vec::new();
        for (start, end) in maps.lines().filter_map(mapping) {
            let pages = ((end - start) / PAGE).min(PAGES_MAX);
            let mut entries = vec![0; pages * size_of::<u64>()];
            let offset = (start / PAGE * size_of::<u64>()) as u64;
            if pagemap.read_exact_at(&mut entries, offset).is_err() {
                continue;
            }
            let entries = entries.as_chunks().0.iter().map(|entry| u64::from_ne_bytes(*entry));
            collect(start, entries, &mut ranges);
        }
        ranges.truncate(RANGES_MAX);
        Self(ranges)
    }

    /// As bytes for the parent.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(self.0.len() * RANGE_BYTES);
        for range in &self.0 {
            bytes.extend((range.start as u64).to_ne_bytes());
            bytes.extend((range.end as u64).to_ne_bytes());
            bytes.push(u8::from(range.written));
        }
        bytes
    }

    /// From a child's bytes.
    pub(crate) fn decode(bytes: &[u8]) -> Self {
        let ranges = bytes.as_chunks::<RANGE_BYTES>().0.iter().filter_map(|chunk| {
            let (start, rest) = chunk.split_first_chunk()?;
            let (end, rest) = rest.split_first_chunk()?;
            let address = |bytes| usize::try_from(u64::from_ne_bytes(bytes)).ok();
            Some(Range {
                start: address(*start)?,
                end: address(*end)?,
                written: *rest.first()? != 0,
            })
        });
        Self(ranges.filter(|range| range.start < range.end).take(RANGES_MAX).collect())
    }

    /// Maps the code of a footprint into this process, the zygote, in such a way that a fork
    /// passes it on; what is left is what each worker has to take by itself.
    pub(crate) fn settle(mut self) -> Self {
        for range in self.0.iter().filter(|range| !range.written) {
            populate(range, libc::MADV_POPULATE_READ);
        }
        let read: Vec<usize> =
            self.0.iter().filter(|range| !range.written).map(|range| range.start).collect();
        let maps = fs::read_to_string("/proc/self/maps").unwrap_or_default();
        if let Ok(memory) = OpenOptions::new().read(true).write(true).open("/proc/self/mem") {
            for (start, end) in maps.lines().filter_map(mapping) {
                let reached = read.iter().find(|page| (start..end).contains(*page));
                reached.and_then(|page| pass_on(&memory, *page as u64).ok());
            }
        }
        self.0.retain(|range| range.written);
        self
    }

    /// Makes these pages this process's own.
    pub(crate) fn take(&self) {
        for range in &self.0 {
            populate(range, libc::MADV_POPULATE_WRITE);
        }
    }
}

fn populate(range: &Range, advice: libc::c_int) {
    let address = std::ptr::without_provenance_mut(range.start);
    // SAFETY: it reads or changes no value: the pages are faulted in as if read or written to, and
    // a range that is not mapped, or not writable, makes it fail.
    unsafe { libc::madvise(address, range.end - range.start, advice) };
}

/// A fork copies what is mapped of a file only where a page of the mapping has been written to, so
/// one byte of it is overwritten with itself.
fn pass_on(memory: &File, address: u64) -> io::Result<()> {
    let mut byte = [0];
    memory.read_exact_at(&mut byte, address)?;
    memory.write_all_at(&byte, address)
}

/// The most memory that this process has had so far. 0 if the kernel does not tell.
pub(crate) fn peak_bytes() -> u64 {
    let kib = getrusage(UsageWho::RUSAGE_SELF).map_or(0, |usage| usage.max_rss());
    u64::try_from(kib).unwrap_or(0).saturating_mul(1_024)
}

/// A line such as `55d0-55f1 rw-p 00000000 00:00 0 [heap]`, if it is memory like any other.
fn mapping(line: &str) -> Option<(usize, usize)> {
    let (addresses, rest) = line.split_once(' ')?;
    if !rest.starts_with('r') || rest.get(3..4) != Some("p") || rest.contains("[v") {
        return None;
    }
    let (start, end) = addresses.split_once('-')?;
    let address = |text| usize::from_str_radix(text, 16).ok();
    let (start, end) = (address(start)?, address(end)?);
    (start < end).then_some((start, end))
}

/// Adds what stands out of one mapping: pages written to since the fork, and mapped code.
fn collect(start: usize, entries: impl Iterator<Item = u64>, ranges: &mut Vec<Range>) {
    let first = ranges.len();
    for (page, entry) in entries.enumerate() {
        let written = match (entry & PRESENT != 0, entry & OF_FILE != 0) {
            (true, true) => false,
            (true, false) if entry & EXCLUSIVE != 0 => true,
            _ => continue,
        };
        let at = start + page * PAGE;
        let last = ranges.get_mut(first..).and_then(<[Range]>::last_mut);
        match last.filter(|last| last.written == written) {
            Some(last) if written && last.end == at => last.end += PAGE,
            Some(last) if !written && last.start / AROUND == at / AROUND => {}
            _ => ranges.push(Range { start: at, end: at + PAGE, written }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_to_and_what_is_mapped_stand_out() {
        let inherited = PRESENT;
        let own = PRESENT | EXCLUSIVE;
        let file = PRESENT | OF_FILE | EXCLUSIVE;
        let mut ranges = Vec::new();
        let entries = [own, own, inherited, own, 0, file, 0, file];
        let entries = entries.into_iter().chain(std::iter::repeat_n(file, 16));
        collect(0x1_0000, entries, &mut ranges);
        let range = |from, to, written| Range {
            start: 0x1_0000 + from * PAGE,
            end: 0x1_0000 + to * PAGE,
            written,
        };
        let expected =
            [range(0, 2, true), range(3, 4, true), range(5, 6, false), range(16, 17, false)];
        assert_eq!(ranges, expected);
        let passed = Footprint::decode(&Footprint(ranges.clone()).encode());
        assert_eq!(passed.0, ranges);
        assert_eq!(Footprint::decode(&[1, 2, 3]).0, []);
    }

    #[test]
    fn only_private_memory_counts() {
        assert_eq!(mapping("1000-3000 rw-p 00000000 00:00 0    [heap]"), Some((0x1000, 0x3000)));
        assert_eq!(mapping("1000-3000 r-xp 00000000 00:00 0 /bin/x"), Some((0x1000, 0x3000)));
        for other in [
            "1000-3000 ---p 00000000 00:00 0",
            "1000-3000 rw-s 00000000 00:00 0 /dev/zero",
            "1000-3000 r-xp 00000000 00:00 0    [vdso]",
            "3000-1000 rw-p 00000000 00:00 0",
            "x-y rw-p",
            "",
        ] {
            assert_eq!(mapping(other), None, "{other}");
        }
    }
}
