//! A `PostgreSQL` server: the one that `cargo xtask test` started, or a private one of this process.

use sqlx::{AssertSqlSafe, Connection, PgConnection};
use std::sync::atomic::{AtomicU32, Ordering};
use tokio::sync::OnceCell;

#[path = "../../../../narrows-testkit/tests/support/server.rs"]
#[expect(clippy::disallowed_methods, dead_code, reason = "shared with the kit's tests")]
mod private;

use private::Server;

/// The url of a fresh schema, with more options.
pub(super) async fn fresh(more: &str) -> String {
    static SERVER: OnceCell<(String, Option<Server>)> = OnceCell::const_new();
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    let (server, _own) = SERVER.get_or_init(find).await;
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    let schema = format!("store_{}_{number}", std::process::id());
    let mut connection = PgConnection::connect(server).await.unwrap();
    // A process before us may have had our id.
    let sql = format!("DROP SCHEMA IF EXISTS {schema} CASCADE; CREATE SCHEMA {schema}");
    sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut connection).await.unwrap();
    connection.close().await.unwrap();
    format!("{server}?options=-c%20search_path%3D{schema}{more}")
}

/// Cuts all connections of this name.
pub(super) async fn cut(url: &str, name: &str) {
    let sql = format!(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
         WHERE application_name = '{name}' AND pid <> pg_backend_pid()"
    );
    run(&url.replace(name, "cutter"), &sql).await;
}

/// Runs something in a connection of its own.
pub(super) async fn run(url: &str, sql: &str) {
    let mut connection = PgConnection::connect(url).await.unwrap();
    sqlx::raw_sql(AssertSqlSafe(sql.to_owned())).execute(&mut connection).await.unwrap();
    connection.close().await.unwrap();
}

async fn find() -> (String, Option<Server>) {
    tokio::task::spawn_blocking(private::postgres).await.unwrap()
}
