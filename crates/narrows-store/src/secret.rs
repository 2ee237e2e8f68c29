//! What all replicas of one house share and nobody else knows.

use crate::Store;
use crate::backend::{Change, Expect, Key, Record, Space};
use crate::error::StoreError;

impl Store {
    /// The secret of this name: 32 random bytes, the same for all who share the store.
    pub async fn secret(&self, name: &str) -> Result<Vec<u8>, StoreError> {
        let key = Key { space: Space::Secret, owner: String::new(), id: name.to_owned() };
        if let Some(record) = self.backend().get(&key, self.now_ms()).await? {
            return Ok(record.body);
        }
        let mut body = vec![0_u8; 32];
        getrandom::fill(&mut body).map_err(|e| StoreError::Random(e.to_string()))?;
        let record = Record {
            key: key.clone(),
            weight: body.len() as u64,
            body: body.clone(),
            version: 0,
            stamp_ms: self.now_ms(),
            expires_ms: None,
        };
        if self.backend().write(vec![Change::Put { record, expect: Expect::Absent }]).await? {
            return Ok(body);
        }
        // Another replica was quicker.
        let found = self.backend().get(&key, self.now_ms()).await?;
        found
            .map(|record| record.body)
            .ok_or(StoreError::Busy { what: "share a secret", waited_s: 0 })
    }
}
