//! What a batch would make of one record and its log.

use super::shelf::{Meta, Shelves};
use crate::backend::{Change, Expect, Key, Record};

pub(super) struct Draft {
    pub(super) meta: Option<Meta>,
    /// The new body; without one the record keeps its own.
    pub(super) body: Option<Vec<u8>>,
    /// The log as it stood is gone.
    pub(super) log_cleared: bool,
    pub(super) appended: Vec<Vec<u8>>,
    pub(super) changed: bool,
    /// Entries of the log as it stands in the store and still counts.
    log_before: u64,
    now_ms: u64,
}

impl Draft {
    /// What stands there now.
    pub(super) fn of(shelves: &Shelves, key: &Key, now_ms: u64) -> Self {
        Self {
            meta: shelves.meta(key),
            body: None,
            log_cleared: false,
            appended: Vec::new(),
            changed: false,
            log_before: shelves.log_entries(key),
            now_ms,
        }
    }

    /// The record, if it has not expired.
    fn alive(&self) -> Option<Meta> {
        self.meta.filter(|meta| meta.lives(self.now_ms))
    }

    /// A record that comes after an expired one finds nothing of it, swept or not.
    fn clear_expired(&mut self) {
        if self.meta.is_some() && self.alive().is_none() {
            self.delete();
        }
    }

    /// Makes one change; `false` if what it expects is not so.
    pub(super) fn apply(&mut self, change: Change) -> bool {
        match change {
            Change::Put { record, expect } => self.put(record, expect),
            Change::Add { weight, stamp_ms, .. } => {
                self.add(weight, stamp_ms);
                true
            }
            Change::Touch { stamp_ms, expires_ms, .. } => {
                if let Some(meta) = self.alive() {
                    self.meta = Some(Meta { stamp_ms, expires_ms, ..meta });
                    self.changed = true;
                }
                true
            }
            Change::Delete { .. } => {
                self.delete();
                true
            }
            Change::Append { from, entries, .. } => self.append(from, entries),
        }
    }

    fn put(&mut self, record: Record, expect: Expect) -> bool {
        let found = self.alive().map(|meta| meta.version);
        let met = match expect {
            Expect::Any => true,
            Expect::Absent => found.is_none(),
            Expect::Version(version) => found == Some(version),
        };
        if !met {
            return false;
        }
        self.clear_expired();
        let version = found.unwrap_or_default() + 1;
        let Record { body, weight, stamp_ms, expires_ms, .. } = record;
        self.meta = Some(Meta { weight, version, stamp_ms, expires_ms });
        self.body = Some(body);
        self.changed = true;
        true
    }

    fn add(&mut self, weight: u64, stamp_ms: u64) {
        self.clear_expired();
        self.meta = Some(if let Some(meta) = self.meta {
            Meta { weight: meta.weight.saturating_add(weight), stamp_ms, ..meta }
        } else {
            self.body = Some(Vec::new());
            Meta { weight, version: 1, stamp_ms, expires_ms: None }
        });
        self.changed = true;
    }

    fn delete(&mut self) {
        self.meta = None;
        self.body = None;
        self.log_cleared = true;
        self.log_before = 0;
        self.appended.clear();
        self.changed = true;
    }

    fn append(&mut self, from: u64, entries: Vec<Vec<u8>>) -> bool {
        if self.log_before + self.appended.len() as u64 != from {
            return false;
        }
        self.changed |= !entries.is_empty();
        self.appended.extend(entries);
        true
    }
}
