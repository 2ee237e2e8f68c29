//! Records and logs, in the orders that they are asked for in.

use super::draft::Draft;
use crate::backend::{Change, Key, Range, Record, Space, Total};
use std::collections::{BTreeSet, HashMap};
use std::ops::Bound;

/// All that is said of a record beside its body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Meta {
    pub(super) weight: u64,
    pub(super) version: u64,
    pub(super) stamp_ms: u64,
    pub(super) expires_ms: Option<u64>,
}

impl Meta {
    pub(super) fn lives(&self, now_ms: u64) -> bool {
        self.expires_ms.is_none_or(|at| now_ms < at)
    }
}

struct Held {
    meta: Meta,
    body: Vec<u8>,
}

/// The records of one space, or of one owner in it, by stamp.
#[derive(Default)]
struct Order {
    places: BTreeSet<Place>,
    weight: u64,
}

/// Stamp, id, owner.
type Place = (u64, String, String);

/// Every space, and the logs beside its records.
#[derive(Default)]
pub(super) struct Shelves {
    records: HashMap<Key, Held>,
    logs: HashMap<Key, Vec<Vec<u8>>>,
    spaces: HashMap<Space, Order>,
    owners: HashMap<(Space, String), Order>,
    /// When; the space by its name, which has an order; owner, id.
    expiries: BTreeSet<(u64, &'static str, String, String)>,
}

impl Shelves {
    /// The record as it stands, expired or not.
    pub(super) fn meta(&self, key: &Key) -> Option<Meta> {
        self.records.get(key).map(|held| held.meta)
    }

    pub(super) fn log_entries(&self, key: &Key) -> u64 {
        self.logs.get(key).map_or(0, |log| log.len() as u64)
    }

    /// All or nothing: the changes are tried on drafts first.
    pub(super) fn write(&mut self, changes: Vec<Change>, now_ms: u64) -> bool {
        let mut drafts: HashMap<Key, Draft> = HashMap::new();
        for change in changes {
            let key = match &change {
                Change::Put { record, .. } => &record.key,
                Change::Add { key, .. }
                | Change::Touch { key, .. }
                | Change::Delete { key }
                | Change::Append { key, .. } => key,
            };
            let draft = drafts.entry(key.clone()).or_insert_with(|| Draft::of(self, key, now_ms));
            if !draft.apply(change) {
                return false;
            }
        }
        for (key, draft) in drafts {
            self.commit(key, draft);
        }
        true
    }

    fn commit(&mut self, key: Key, draft: Draft) {
        if !draft.changed {
            return;
        }
        if draft.log_cleared {
            self.logs.remove(&key);
        }
        if !draft.appended.is_empty() {
            self.logs.entry(key.clone()).or_default().extend(draft.appended);
        }
        let before = self.take(&key);
        if let Some(meta) = draft.meta {
            let body = draft.body.or_else(|| before.map(|held| held.body)).unwrap_or_default();
            self.place(key, Held { meta, body });
        }
    }

    /// Takes a record out of every order; its log stays.
    fn take(&mut self, key: &Key) -> Option<Held> {
        let held = self.records.remove(key)?;
        let place = (held.meta.stamp_ms, key.id.clone(), key.owner.clone());
        if let Some(order) = self.spaces.get_mut(&key.space) {
            order.remove(&place, held.meta.weight);
        }
        let whose = (key.space, key.owner.clone());
        if let Some(order) = self.owners.get_mut(&whose) {
            order.remove(&place, held.meta.weight);
            if order.places.is_empty() {
                self.owners.remove(&whose);
            }
        }
        if let Some(at) = held.meta.expires_ms {
            self.expiries.remove(&(at, key.space.name(), key.owner.clone(), key.id.clone()));
        }
        Some(held)
    }

    fn place(&mut self, key: Key, held: Held) {
        let place = (held.meta.stamp_ms, key.id.clone(), key.owner.clone());
        let whose = (key.space, key.owner.clone());
        self.spaces.entry(key.space).or_default().insert(place.clone(), held.meta.weight);
        self.owners.entry(whose).or_default().insert(place, held.meta.weight);
        if let Some(at) = held.meta.expires_ms {
            self.expiries.insert((at, key.space.name(), key.owner.clone(), key.id.clone()));
        }
        self.records.insert(key, held);
    }

    pub(super) fn get(&self, key: &Key, now_ms: u64) -> Option<Record> {
        let held = self.records.get(key).filter(|held| held.meta.lives(now_ms))?;
        Some(record(key.clone(), held.meta, held.body.clone()))
    }

    pub(super) fn list(&self, range: &Range, now_ms: u64) -> Vec<Record> {
        let order = match &range.owner {
            Some(owner) => self.owners.get(&(range.space, owner.clone())),
            None => self.spaces.get(&range.space),
        };
        let Some(order) = order else { return Vec::new() };
        let found = |(_, id, owner): &Place| {
            let key = Key { space: range.space, owner: owner.clone(), id: id.clone() };
            let held = self.records.get(&key).filter(|held| held.meta.lives(now_ms))?;
            let body = if range.bodies { held.body.clone() } else { Vec::new() };
            Some(record(key, held.meta, body))
        };
        // Below every owner, so that the place of the last page's end stands before all its kind.
        let edge = range.after.clone().map(|(stamp, id)| (stamp, id, String::new()));
        if range.oldest_first {
            let from = edge.clone().map_or(Bound::Unbounded, Bound::Included);
            order
                .places
                .range((from, Bound::Unbounded))
                .skip_while(|at| edge.as_ref().is_some_and(|e| (at.0, &at.1) == (e.0, &e.1)))
                .filter_map(found)
                .take(range.limit)
                .collect()
        } else {
            let to = edge.map_or(Bound::Unbounded, Bound::Excluded);
            let places = order.places.range((Bound::Unbounded, to)).rev();
            places.filter_map(found).take(range.limit).collect()
        }
    }

    pub(super) fn read(&self, key: &Key, from: u64, count: u64, now_ms: u64) -> Vec<Vec<u8>> {
        let expired = self.meta(key).is_some_and(|meta| !meta.lives(now_ms));
        let Some(log) = self.logs.get(key).filter(|_| !expired) else { return Vec::new() };
        let from = usize::try_from(from).unwrap_or(usize::MAX);
        let count = usize::try_from(count).unwrap_or(usize::MAX);
        log.iter().skip(from).take(count).cloned().collect()
    }

    pub(super) fn total(&self, space: Space, owner: Option<&str>) -> Total {
        let order = match owner {
            Some(owner) => self.owners.get(&(space, owner.to_owned())),
            None => self.spaces.get(&space),
        };
        order.map_or_else(Total::default, |order| Total {
            records: order.places.len() as u64,
            weight: order.weight,
        })
    }

    pub(super) fn sweep(&mut self, now_ms: u64, max: usize) -> u64 {
        let mut swept = 0;
        while swept < max as u64 {
            let Some((at, space, owner, id)) = self.expiries.first() else { break };
            let Some(space) = Space::ALL.into_iter().find(|known| known.name() == *space) else {
                break;
            };
            if *at > now_ms {
                break;
            }
            let key = Key { space, owner: owner.clone(), id: id.clone() };
            self.take(&key);
            self.logs.remove(&key);
            swept += 1;
        }
        swept
    }
}

impl Order {
    fn insert(&mut self, place: Place, weight: u64) {
        self.places.insert(place);
        self.weight = self.weight.saturating_add(weight);
    }

    fn remove(&mut self, place: &Place, weight: u64) {
        self.places.remove(place);
        self.weight = self.weight.saturating_sub(weight);
    }
}

fn record(key: Key, meta: Meta, body: Vec<u8>) -> Record {
    let Meta { weight, version, stamp_ms, expires_ms } = meta;
    Record { key, body, weight, version, stamp_ms, expires_ms }
}
