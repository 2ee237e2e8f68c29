//! Tasks of upstreams: who has the task that a client asks for.

use crate::Store;
use crate::artifact::name_fits;
use crate::backend::{Change, Expect, Key, Record, Space};
use crate::error::StoreError;

impl Store {
    /// Notes that a principal's task is at a server. A task that is known stays where it is.
    pub async fn hold_task(
        &self,
        principal: &str,
        task: &str,
        server: &str,
        ttl_ms: u64,
    ) -> Result<(), StoreError> {
        name_fits("the owner's name", principal)?;
        name_fits("the task's id", task)?;
        let now = self.now_ms();
        let record = Record {
            key: key(principal, task),
            body: server.as_bytes().to_vec(),
            weight: 1,
            version: 0,
            stamp_ms: now,
            expires_ms: Some(now.saturating_add(ttl_ms)),
        };
        let put = Change::Put { record, expect: Expect::Absent };
        self.backend().write(vec![put]).await.map(drop)
    }

    /// The server that has a principal's task.
    pub async fn task_server(
        &self,
        principal: &str,
        task: &str,
    ) -> Result<Option<String>, StoreError> {
        if name_fits("the task's id", task).is_err() {
            return Ok(None);
        }
        let found = self.backend().get(&key(principal, task), self.now_ms()).await?;
        Ok(found.map(|record| String::from_utf8_lossy(&record.body).into_owned()))
    }
}

fn key(principal: &str, task: &str) -> Key {
    Key { space: Space::Task, owner: principal.to_owned(), id: task.to_owned() }
}
