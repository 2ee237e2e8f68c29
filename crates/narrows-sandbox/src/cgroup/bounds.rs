//! How much all workers together may have.

use super::CgroupConfig;
use super::base::Base;
use std::fs;
use std::path::Path;

/// Memory is counted in pages, which nowhere are larger than this.
const PAGE: u64 = 64 << 10;

/// What a group is given.
#[derive(Debug)]
pub(super) struct Bounds {
    pub(super) memory_bytes: u64,
    tasks: u64,
}

impl Bounds {
    /// For a group that is made in this one.
    pub(super) fn new(config: &CgroupConfig, around: &Base) -> Self {
        let most = config.memory_bytes.unwrap_or_else(|| there_is(around) / 4 * 3);
        Self { memory_bytes: (most / PAGE).max(1) * PAGE, tasks: config.tasks }
    }

    /// Sets them, and reads back what has to hold.
    pub(super) fn set(&self, base: &Base) -> Result<(), String> {
        limit(&base.memory, memory_file(base), self.memory_bytes)?;
        limit(&base.pids, "pids.max", self.tasks)?;
        // What follows is not there everywhere: swap, and a scheduler of groups.
        let (swap, bytes) = if base.unified {
            ("memory.swap.max", 0)
        } else {
            ("memory.memsw.limit_in_bytes", self.memory_bytes)
        };
        drop(fs::write(base.memory.join(swap), bytes.to_string()));
        Ok(())
    }
}

fn memory_file(base: &Base) -> &'static str {
    if base.unified { "memory.max" } else { "memory.limit_in_bytes" }
}

fn limit(dir: &Path, file: &str, most: u64) -> Result<(), String> {
    let path = dir.join(file);
    let failed = |why: &dyn std::fmt::Display| format!("{}: {why}", path.display());
    fs::write(&path, most.to_string()).map_err(|error| failed(&error))?;
    match number(&path) {
        Some(set) if set <= most => Ok(()),
        other => Err(failed(&format!("{most} was written and {other:?} read"))),
    }
}

/// All memory of the machine, or as much of it as the groups around have.
fn there_is(around: &Base) -> u64 {
    let machine = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let machine = machine.lines().find_map(|line| {
        let kib = line.strip_prefix("MemTotal:")?.trim().strip_suffix(" kB")?;
        Some(kib.parse::<u64>().ok()?.saturating_mul(1_024))
    });
    let groups = around.memory.ancestors().map(|dir| number(&dir.join(memory_file(around))));
    groups.take(LEVELS).flatten().chain(machine).min().unwrap_or(u64::MAX)
}

/// Groups in groups that are looked at.
const LEVELS: usize = 16;

/// What a file says, unless that is `max`.
fn number(file: &Path) -> Option<u64> {
    fs::read_to_string(file).ok()?.trim().parse().ok()
}
