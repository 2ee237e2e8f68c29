//! Sessions and the values that they keep.

use crate::Store;
use crate::artifact::name_fits;
use crate::backend::{Change, Expect, Key, Range, Record, Space};
use crate::error::StoreError;
use narrows_types::fault::clip;
use narrows_types::{Budget, SessionId};
use serde::{Deserialize, Serialize};

/// Sessions of one principal in a list, and values in one.
const LIST_MAX: usize = 1_000;
/// Between a namespace and a key.
const BETWEEN: char = '\u{1f}';
/// Values that one page of an eviction looks at.
const EVICT: usize = 64;
/// How often a change that somebody else's overtook is tried again.
const TRIES: usize = 16;

/// What is kept of a session.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct SessionRow {
    /// Unix milliseconds when it was made.
    pub created_at_ms: u64,
    /// Milliseconds without use after which it ends.
    pub idle_ms: u64,
    /// Unix milliseconds when it ends however it is used.
    pub ends_at_ms: u64,
    /// What it may use.
    pub budget: Budget,
    /// What it has used.
    pub used: Budget,
}

/// A session as it stands.
#[derive(Debug, Clone)]
pub struct SessionFound {
    /// Its handle.
    pub session: SessionId,
    /// What is kept of it.
    pub row: SessionRow,
    /// Unix milliseconds when it was used last.
    pub used_at_ms: u64,
    /// Unix milliseconds when it ends, if it is not used before.
    pub expires_at_ms: u64,
}

/// Where a value lies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ValueName {
    /// Keys of different namespaces never meet; empty is one too.
    pub namespace: String,
    /// The key.
    pub key: String,
}

impl Store {
    /// Makes a session for a principal.
    pub async fn make_session(
        &self,
        principal: &str,
        idle_ms: u64,
        life_ms: u64,
        budget: Budget,
    ) -> Result<SessionFound, StoreError> {
        name_fits("the owner's name", principal)?;
        let total = self.backend().total(Space::Session, Some(principal)).await?;
        let allowed = self.config().sessions_max;
        if total.records >= allowed {
            let (what, bytes, limit) =
                ("the number of your sessions", total.records, "sessions_max");
            return Err(StoreError::TooMany { what, count: bytes, limit, allowed });
        }
        let session = SessionId(format!("ses_{}", crate::artifact::random_text()?));
        let now = self.now_ms();
        let ends_at_ms = now.saturating_add(life_ms);
        let row =
            SessionRow { created_at_ms: now, idle_ms, ends_at_ms, budget, used: Budget::default() };
        let record = record(principal, &session, &row, now)?;
        let found = found(&record)?;
        self.backend().write(vec![Change::Put { record, expect: Expect::Absent }]).await?;
        Ok(found)
    }

    /// A session of this principal's, as it stands.
    pub async fn session(
        &self,
        principal: &str,
        session: &SessionId,
    ) -> Result<SessionFound, StoreError> {
        let key = session_key(principal, session);
        let record = self.backend().get(&key, self.now_ms()).await?;
        found(&record.ok_or_else(|| gone(session))?)
    }

    /// Uses a session: its idle time begins anew, and what was used is counted.
    pub async fn use_session(
        &self,
        principal: &str,
        session: &SessionId,
        used: Budget,
    ) -> Result<SessionFound, StoreError> {
        let key = session_key(principal, session);
        for _ in 0..TRIES {
            let now = self.now_ms();
            let old = self.backend().get(&key, now).await?.ok_or_else(|| gone(session))?;
            let mut row: SessionRow = read(&old)?;
            row.used = add(row.used, used);
            let new = record(principal, session, &row, now)?;
            let after = found(&new)?;
            let change = Change::Put { record: new, expect: Expect::Version(old.version) };
            if self.backend().write(vec![change]).await? {
                return Ok(after);
            }
        }
        Err(StoreError::Busy { what: "use the session", waited_s: 1 })
    }

    /// This principal's sessions, last used first.
    pub async fn sessions(&self, principal: &str) -> Result<Vec<SessionFound>, StoreError> {
        let range = Range {
            space: Space::Session,
            owner: Some(principal.to_owned()),
            oldest_first: false,
            after: None,
            limit: LIST_MAX,
            bodies: true,
        };
        let records = self.backend().list(&range, self.now_ms()).await?;
        records.iter().map(found).collect()
    }

    /// Ends a session; its values go with it.
    pub async fn end_session(
        &self,
        principal: &str,
        session: &SessionId,
    ) -> Result<(), StoreError> {
        let key = session_key(principal, session);
        if self.backend().get(&key, self.now_ms()).await?.is_none() {
            return Err(gone(session));
        }
        self.backend().write(vec![Change::Delete { key }]).await?;
        loop {
            let values = self.value_page(session, true, None, EVICT).await?;
            if values.is_empty() {
                return Ok(());
            }
            let gone = values.into_iter().map(|record| Change::Delete { key: record.key });
            self.backend().write(gone.collect()).await?;
        }
    }

    /// How many values a session keeps, and their bytes.
    pub async fn values_total(&self, session: &SessionId) -> Result<(u64, u64), StoreError> {
        let total = self.backend().total(Space::Value, Some(session.as_str())).await?;
        Ok((total.records, total.weight))
    }

    /// A value; reading it makes it the last used.
    pub async fn value(
        &self,
        session: &SessionId,
        name: &ValueName,
    ) -> Result<Option<String>, StoreError> {
        let key = value_key(session, name);
        let now = self.now_ms();
        let Some(record) = self.backend().get(&key, now).await? else { return Ok(None) };
        let expires_ms = record.expires_ms;
        self.backend().write(vec![Change::Touch { key, stamp_ms: now, expires_ms }]).await?;
        Ok(Some(String::from_utf8_lossy(&record.body).into_owned()))
    }

    /// Keeps a value, at most until `ends_at_ms`. The values used longest ago go if it is too much.
    pub async fn set_value(
        &self,
        session: &SessionId,
        name: &ValueName,
        json: &str,
        ends_at_ms: u64,
    ) -> Result<(), StoreError> {
        let config = self.config();
        let key = value_key(session, name);
        let weight = (json.len() + key.id.len()) as u64;
        for (limit, allowed) in [
            ("value_bytes_max", config.value_bytes_max),
            ("session_bytes_max", config.session_bytes_max),
        ] {
            if weight > allowed {
                return Err(StoreError::TooLarge {
                    what: "the value",
                    bytes: weight,
                    limit,
                    allowed,
                });
            }
        }
        name_fits("the key", &key.id)?;
        let record = Record {
            key,
            body: json.as_bytes().to_vec(),
            weight,
            version: 0,
            stamp_ms: self.now_ms(),
            expires_ms: Some(ends_at_ms),
        };
        self.backend().write(vec![Change::Put { record, expect: Expect::Any }]).await?;
        self.evict_values(session).await
    }

    /// Removes a value; `false` if there was none.
    pub async fn delete_value(
        &self,
        session: &SessionId,
        name: &ValueName,
    ) -> Result<bool, StoreError> {
        let key = value_key(session, name);
        let found = self.backend().get(&key, self.now_ms()).await?.is_some();
        self.backend().write(vec![Change::Delete { key }]).await?;
        Ok(found)
    }

    /// The keys of a namespace that begin with `prefix`, in order, at most 1,000.
    pub async fn value_keys(
        &self,
        session: &SessionId,
        namespace: &str,
        prefix: &str,
    ) -> Result<Vec<String>, StoreError> {
        let begin = format!("{namespace}{BETWEEN}");
        let mut keys = Vec::new();
        let mut after = None;
        while keys.len() < LIST_MAX {
            let page = self.value_page(session, false, after, LIST_MAX).await?;
            let Some(last) = page.last() else { break };
            after = Some((last.stamp_ms, last.key.id.clone()));
            let own = page.iter().filter_map(|record| record.key.id.strip_prefix(&begin));
            keys.extend(own.filter(|key| key.starts_with(prefix)).map(ToOwned::to_owned));
        }
        keys.sort_unstable();
        keys.truncate(LIST_MAX);
        Ok(keys)
    }

    async fn value_page(
        &self,
        session: &SessionId,
        oldest_first: bool,
        after: Option<(u64, String)>,
        limit: usize,
    ) -> Result<Vec<Record>, StoreError> {
        let owner = Some(session.as_str().to_owned());
        let range = Range { space: Space::Value, owner, oldest_first, after, limit, bodies: false };
        self.backend().list(&range, self.now_ms()).await
    }

    async fn evict_values(&self, session: &SessionId) -> Result<(), StoreError> {
        let config = self.config();
        loop {
            let total = self.backend().total(Space::Value, Some(session.as_str())).await?;
            let mut bytes = total.weight.saturating_sub(config.session_bytes_max);
            let mut count = total.records.saturating_sub(config.session_values_max);
            if bytes == 0 && count == 0 {
                return Ok(());
            }
            let mut evicted = Vec::new();
            for record in self.value_page(session, true, None, EVICT).await? {
                if bytes == 0 && count == 0 {
                    break;
                }
                bytes = bytes.saturating_sub(record.weight);
                count = count.saturating_sub(1);
                evicted.push(Change::Delete { key: record.key });
            }
            if evicted.is_empty() {
                return Ok(());
            }
            self.backend().write(evicted).await?;
        }
    }
}

fn gone(session: &SessionId) -> StoreError {
    StoreError::NoSuch { what: "session", id: clip(session.as_str().to_owned(), 64) }
}

fn read(record: &Record) -> Result<SessionRow, StoreError> {
    serde_json::from_slice(&record.body)
        .map_err(|e| StoreError::Unreadable { what: "a session", why: e.to_string() })
}

fn found(record: &Record) -> Result<SessionFound, StoreError> {
    Ok(SessionFound {
        session: SessionId(record.key.id.clone()),
        row: read(record)?,
        used_at_ms: record.stamp_ms,
        expires_at_ms: record.expires_ms.unwrap_or(u64::MAX),
    })
}

fn record(
    principal: &str,
    session: &SessionId,
    row: &SessionRow,
    now: u64,
) -> Result<Record, StoreError> {
    let body = serde_json::to_vec(row)
        .map_err(|e| StoreError::Unreadable { what: "a session", why: e.to_string() })?;
    Ok(Record {
        key: session_key(principal, session),
        weight: body.len() as u64,
        body,
        version: 0,
        stamp_ms: now,
        expires_ms: Some(row.ends_at_ms.min(now.saturating_add(row.idle_ms))),
    })
}

fn add(left: Budget, right: Budget) -> Budget {
    Budget {
        calls: left.calls.saturating_add(right.calls),
        ms: left.ms.saturating_add(right.ms),
        bytes: left.bytes.saturating_add(right.bytes),
        tokens: left.tokens.saturating_add(right.tokens),
    }
}

fn session_key(principal: &str, session: &SessionId) -> Key {
    Key { space: Space::Session, owner: principal.to_owned(), id: session.as_str().to_owned() }
}

fn value_key(session: &SessionId, name: &ValueName) -> Key {
    let id = format!("{}{BETWEEN}{}", name.namespace, name.key);
    Key { space: Space::Value, owner: session.as_str().to_owned(), id }
}
