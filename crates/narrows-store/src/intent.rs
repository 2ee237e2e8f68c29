//! Intents: a small head that says which version is in use, and a log of the versions.

use crate::Store;
use crate::artifact::name_fits;
use crate::backend::{Change, Expect, Key, Range, Record, Space};
use crate::error::StoreError;
use narrows_types::fault::clip;
use serde::{Deserialize, Serialize};

/// Intents of one principal.
const LIST_MAX: usize = 1_000;
/// How often a change that somebody else's overtook is tried again.
const TRIES: usize = 16;

/// What stands before an intent's versions.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct IntentHead {
    /// Its name.
    pub name: String,
    /// The version in use, from 1.
    pub version: u32,
    /// How many versions exist.
    pub versions: u32,
    /// The version in use, as the engine wrote it.
    pub body: String,
}

impl Store {
    /// Saves a new version of an intent and makes it the one in use.
    pub async fn save_intent(
        &self,
        principal: &str,
        name: &str,
        body: &str,
    ) -> Result<IntentHead, StoreError> {
        name_fits("the owner's name", principal)?;
        name_fits("the intent's name", name)?;
        let key = key(principal, name);
        for _ in 0..TRIES {
            let old = self.backend().get(&key, self.now_ms()).await?;
            let (versions, expect) = match &old {
                Some(record) => (head(record)?.versions, Expect::Version(record.version)),
                None => (0, Expect::Absent),
            };
            if versions >= self.config().intent_versions_max {
                let allowed = u64::from(self.config().intent_versions_max);
                let (what, limit) = ("the number of its versions", "intent_versions_max");
                let count = u64::from(versions);
                return Err(StoreError::TooMany { what, count, limit, allowed });
            }
            let head = IntentHead {
                name: name.to_owned(),
                version: versions + 1,
                versions: versions + 1,
                body: body.to_owned(),
            };
            let entries = vec![body.as_bytes().to_vec()];
            let changes = vec![
                Change::Put { record: self.record(&key, &head)?, expect },
                Change::Append { key: key.clone(), from: u64::from(versions), entries },
            ];
            if self.backend().write(changes).await? {
                return Ok(head);
            }
        }
        Err(StoreError::Busy { what: "save the intent", waited_s: 1 })
    }

    /// Makes an older version the one in use.
    pub async fn use_version(
        &self,
        principal: &str,
        name: &str,
        version: u32,
    ) -> Result<IntentHead, StoreError> {
        let key = key(principal, name);
        for _ in 0..TRIES {
            let old = self.backend().get(&key, self.now_ms()).await?.ok_or_else(|| gone(name))?;
            let mut head = head(&old)?;
            head.body = self.version(principal, name, version).await?;
            head.version = version;
            let expect = Expect::Version(old.version);
            let change = Change::Put { record: self.record(&key, &head)?, expect };
            if self.backend().write(vec![change]).await? {
                return Ok(head);
            }
        }
        Err(StoreError::Busy { what: "roll the intent back", waited_s: 1 })
    }

    /// One version of an intent.
    pub async fn version(
        &self,
        principal: &str,
        name: &str,
        version: u32,
    ) -> Result<String, StoreError> {
        let Some(number) = version.checked_sub(1) else { return Err(gone(name)) };
        let found = self.backend().read(&key(principal, name), u64::from(number), 1).await?;
        let body = found.first().ok_or_else(|| StoreError::NoSuch {
            what: "intent version",
            id: format!("{} {version}", clip(name.to_owned(), 64)),
        })?;
        Ok(String::from_utf8_lossy(body).into_owned())
    }

    /// An intent.
    pub async fn intent(&self, principal: &str, name: &str) -> Result<IntentHead, StoreError> {
        let found = self.backend().get(&key(principal, name), self.now_ms()).await?;
        head(&found.ok_or_else(|| gone(name))?)
    }

    /// This principal's intents, by name.
    pub async fn intents(&self, principal: &str) -> Result<Vec<IntentHead>, StoreError> {
        let range = Range {
            space: Space::Intent,
            owner: Some(principal.to_owned()),
            oldest_first: false,
            after: None,
            limit: LIST_MAX,
            bodies: true,
        };
        let records = self.backend().list(&range, self.now_ms()).await?;
        let mut heads: Vec<IntentHead> =
            records.iter().map(head).collect::<Result<_, StoreError>>()?;
        heads.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(heads)
    }

    /// Removes an intent with all its versions.
    pub async fn delete_intent(&self, principal: &str, name: &str) -> Result<(), StoreError> {
        let key = key(principal, name);
        if self.backend().get(&key, self.now_ms()).await?.is_none() {
            return Err(gone(name));
        }
        self.backend().write(vec![Change::Delete { key }]).await?;
        Ok(())
    }

    fn record(&self, key: &Key, head: &IntentHead) -> Result<Record, StoreError> {
        let body = serde_json::to_vec(head)
            .map_err(|e| StoreError::Unreadable { what: "an intent", why: e.to_string() })?;
        let weight = body.len() as u64;
        let stamp_ms = self.now_ms();
        Ok(Record { key: key.clone(), body, weight, version: 0, stamp_ms, expires_ms: None })
    }
}

fn head(record: &Record) -> Result<IntentHead, StoreError> {
    serde_json::from_slice(&record.body)
        .map_err(|e| StoreError::Unreadable { what: "an intent", why: e.to_string() })
}

fn gone(name: &str) -> StoreError {
    StoreError::NoSuch { what: "intent", id: clip(name.to_owned(), 64) }
}

fn key(principal: &str, name: &str) -> Key {
    Key { space: Space::Intent, owner: principal.to_owned(), id: name.to_owned() }
}
