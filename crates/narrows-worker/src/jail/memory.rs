//! The memory that a run touches, made ready while nobody waits for it.
//!
//! After a fork each page is copied when it is first written to and code is mapped when it is first
//! reached, one fault at a time, which costs more than the rest of a short run. So one child
//! rehearses a program before the walls are up and notes what it came to touch. The zygote maps the
//! code and passes it on; every worker takes the other pages at once, before its program is there.
//!
//! The kernel maps sixteen pages of a file where one is reached. A worker that inherits all of them
//! takes longer to fork, and to take down, than its program takes to run, so a second child, in
//! which each page is a mapping of its own, rehearses which of them are needed.
//! Only an economy: whatever fails here happens on demand.
#![expect(unsafe_code, reason = "nix has no MADV_POPULATE_READ and MADV_POPULATE_WRITE")]

use nix::sys::resource::{UsageWho, getrusage};
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::atomic::{AtomicBool, Ordering};

const PAGE: usize = 4_096;
/// Ranges of a footprint; a typical one has some 300.
const RANGES_MAX: usize = 2_048;
/// Pages of one mapping that are looked at.
const PAGES_MAX: usize = 1 << 16;
/// A range as it passes from process to process: two addresses and whether it is written to.
const RANGE_BYTES: usize = 17;

/// Bits of an entry of `/proc/PID/pagemap`.
const PRESENT: u64 = 1 << 63;
const SWAPPED: u64 = 1 << 62;
const OF_FILE: u64 = 1 << 61;
const EXCLUSIVE: u64 = 1 << 56;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Range {
    start: usize,
    end: usize,
    written: bool,
}

impl Range {
    fn holds(&self, address: usize) -> bool {
        (self.start..self.end).contains(&address)
    }
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
            let Some(entries) = entries(&pagemap, start, end) else { continue };
            collect(start, entries.into_iter(), &mut ranges);
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

    /// Makes each page of the code in it a mapping of its own, in this process, a child that is to
    /// rehearse: what differs from its neighbours, if only in whether a dump has it, is not one with
    /// them.
    pub(crate) fn part(&self) {
        for range in self.0.iter().filter(|range| !range.written) {
            for start in (range.start..range.end).step_by(2 * PAGE) {
                let page = Range { start, end: start + PAGE, written: false };
                advise(&page, libc::MADV_DONTDUMP);
            }
        }
    }

    /// Maps the code of a footprint into this process, the zygote, and no more of its files, in such
    /// a way that a fork passes it on; what is left is what each worker has to take by itself.
    pub(crate) fn settle(mut self) -> Self {
        let maps = fs::read_to_string("/proc/self/maps").unwrap_or_default();
        let memory = OpenOptions::new().read(true).write(true).open("/proc/self/mem");
        for file in files(&maps) {
            let code = |range: &&Range| !range.written && file.holds(range.start);
            let code: Vec<_> = self.0.iter().filter(code).collect();
            let (Some(first), Ok(memory)) = (code.first(), &memory) else { continue };
            // What starting up reached is found again in the page cache.
            advise(&file, libc::MADV_DONTNEED);
            for range in &code {
                // While it is a mapping of its own, nothing around it is mapped with it.
                for advice in [libc::MADV_DONTDUMP, libc::MADV_POPULATE_READ, libc::MADV_DODUMP] {
                    advise(range, advice);
                }
            }
            // What fails costs time only.
            drop(pass_on(memory, first.start as u64));
        }
        self.0.retain(|range| range.written);
        self
    }

    /// Makes these pages this process's own.
    pub(crate) fn take(&self) {
        for range in &self.0 {
            advise(range, libc::MADV_POPULATE_WRITE);
        }
    }
}

/// Advice that changes no value: to fault pages in as if read or written to, to mark them for dumps,
/// and to forget those of [`files`].
fn advise(range: &Range, advice: libc::c_int) {
    let address = std::ptr::without_provenance_mut(range.start);
    // SAFETY: no value changes. Pages are forgotten of code and constants only, which nothing unmaps
    // and whose next access finds the file's same bytes.
    unsafe { libc::madvise(address, range.end - range.start, advice) };
}

/// Private mappings of files, code and constants, of which no page was written to: one that was,
/// such as by the dynamic linker, is nowhere else.
fn files(maps: &str) -> Vec<Range> {
    let Ok(pagemap) = File::open("/proc/self/pagemap") else { return Vec::new() };
    let clean = |entry: &u64| match entry & (PRESENT | SWAPPED) {
        0 => true,
        PRESENT => entry & OF_FILE != 0,
        _ => false,
    };
    let files = maps.lines().filter(|line| is_constant(line)).filter_map(mapping);
    let files = files.filter_map(|(start, end)| {
        let entries = entries(&pagemap, start, end)?;
        let end = start + entries.len() * PAGE;
        entries.iter().all(clean).then_some(Range { start, end, written: false })
    });
    files.collect()
}

/// A fork copies what is mapped of a file only where a page of the mapping has been written to, so
/// one byte of it is overwritten with itself.
fn pass_on(memory: &File, address: u64) -> io::Result<()> {
    let mut byte = [0];
    memory.read_exact_at(&mut byte, address)?;
    memory.write_all_at(&byte, address)
}

/// What this process had before its own beginning is in the kernel's count of it.
static INHERITED: AtomicBool = AtomicBool::new(false);

/// Tells that this process was not forked by one of ours but started, and may read `/proc` for good.
/// The kernel's count of a process begins at its fork, with what the parent had, and an exec does
/// not begin it anew; that of its memory it does.
pub(crate) fn started_by_others() {
    INHERITED.store(true, Ordering::Relaxed);
}

/// The most memory that this process has had so far. 0 if the kernel does not tell.
pub(crate) fn peak_bytes() -> u64 {
    if INHERITED.load(Ordering::Relaxed) {
        return status_bytes("VmHWM:");
    }
    let kib = getrusage(UsageWho::RUSAGE_SELF).map_or(0, |usage| usage.max_rss());
    u64::try_from(kib).unwrap_or(0).saturating_mul(1_024)
}

/// What `/proc/PID/pagemap` says of a mapping's pages.
fn entries(pagemap: &File, start: usize, end: usize) -> Option<Vec<u64>> {
    let pages = ((end - start) / PAGE).min(PAGES_MAX);
    let mut bytes = vec![0; pages * size_of::<u64>()];
    pagemap.read_exact_at(&mut bytes, (start / PAGE * size_of::<u64>()) as u64).ok()?;
    Some(bytes.as_chunks().0.iter().map(|entry| u64::from_ne_bytes(*entry)).collect())
}

/// Whether it is of a file and not to be written to, of a line as [`mapping`] reads it.
fn is_constant(line: &str) -> bool {
    line.contains(" /") && line.split(' ').nth(1).is_some_and(|flags| !flags.contains('w'))
}

/// A figure in `/proc/self/status`. 0 if it cannot be read.
pub(crate) fn status_bytes(name: &str) -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix(name));
    let kib = line.and_then(|rest| rest.split_whitespace().next()?.parse::<u64>().ok());
    kib.unwrap_or(0).saturating_mul(1_024)
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
            Some(last) if last.end == at => last.end += PAGE,
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
        let entries = entries.into_iter().chain(std::iter::repeat_n(file, 2));
        collect(0x1_0000, entries, &mut ranges);
        let range = |from, to, written| Range {
            start: 0x1_0000 + from * PAGE,
            end: 0x1_0000 + to * PAGE,
            written,
        };
        let expected =
            [range(0, 2, true), range(3, 4, true), range(5, 6, false), range(7, 10, false)];
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
