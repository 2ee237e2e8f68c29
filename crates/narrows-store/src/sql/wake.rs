//! Hearing of jobs that others made ready.

use super::Core;
use super::live::Pools;
use sqlx::postgres::PgListener;
use sqlx::{PgPool, Sqlite, pool::PoolConnection};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;

/// Where a server tells it.
const CHANNEL: &str = "narrows_jobs";
/// How often a file is looked at, and how long a lost connection rests.
const PAUSE: Duration = Duration::from_millis(250);
const REST: Duration = Duration::from_secs(1);

const NOTIFY: &str = "SELECT pg_notify('narrows_jobs', current_schema())::text";
/// Between two notifications: whoever listens does not need each.
const GATHER: Duration = Duration::from_millis(5);

/// Tells other replicas of jobs until the store is closed. Not within the transactions that make them
/// ready: a server lets only one transaction that notifies commit at a time.
pub(super) async fn tell(core: Arc<Core>, mut made: watch::Receiver<()>) {
    let mut closing = core.closing.subscribe();
    loop {
        let open = tokio::select! {
            changed = made.changed() => changed.is_ok(),
            // What was made last is told as well.
            _ = closing.wait_for(|closed| *closed) => made.has_changed().is_ok_and(|changed| changed),
        };
        if !open {
            return;
        }
        made.mark_unchanged();
        if let Err(error) = core.within("tell of jobs", core.pools.rows(NOTIFY, &[])).await {
            tracing::warn!("{error}; workers ask now and then meanwhile");
        }
        tokio::time::sleep(GATHER).await;
    }
}

/// Listens until the store is closed.
pub(super) async fn listen(core: Arc<Core>) {
    let mut closing = core.closing.subscribe();
    tokio::select! {
        () = hear(&core) => {}
        // Closed, or gone without being closed.
        _ = closing.wait_for(|closed| *closed) => {}
    }
}

async fn hear(core: &Core) {
    loop {
        let ended = match &core.pools {
            Pools::Lite { reader, .. } if core.place.shared() => match reader.acquire().await {
                Ok(connection) => look(core, connection).await,
                Err(error) => Err(error),
            },
            // Nobody else is there to hear of.
            Pools::Lite { .. } => return,
            Pools::Postgres(pool) => receive(core, pool).await,
        };
        if let Err(error) = ended {
            let error = core.error("listen for jobs", &error);
            tracing::warn!("{error}; workers ask now and then meanwhile");
        }
        tokio::time::sleep(REST).await;
        // Whatever came meanwhile was not heard.
        core.wake();
    }
}

/// A file tells that another connection wrote to it, our own writer's too.
async fn look(core: &Core, mut connection: PoolConnection<Sqlite>) -> Result<(), sqlx::Error> {
    let mut last: Option<i64> = None;
    loop {
        let version: i64 =
            sqlx::query_scalar("PRAGMA data_version").fetch_one(&mut *connection).await?;
        if last.replace(version).is_some_and(|last| last != version) {
            core.wake();
        }
        tokio::time::sleep(PAUSE).await;
    }
}

async fn receive(core: &Core, pool: &PgPool) -> Result<(), sqlx::Error> {
    let mut listener = PgListener::connect_with(pool).await?;
    listener.listen(CHANNEL).await?;
    loop {
        // Without a notification the connection was lost and made anew.
        listener.try_recv().await?;
        core.wake();
    }
}
