//! One way to speak to both databases: values are bound by number, rows read by position.

use super::db::{CONNECTIONS, lost};
use crate::{signed, unsigned};
use sqlx::postgres::PgRow;
use sqlx::sqlite::SqliteRow;
use sqlx::{PgPool, Postgres, Row as _, SqlSafeStr, SqlStr, Sqlite, SqlitePool, Transaction};

/// Which database speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Dialect {
    Lite,
    Postgres,
}

/// What a `PostgreSQL` server says that the time is.
pub(super) const NOW: &str = "CAST(floor(extract(epoch FROM clock_timestamp()) * 1000) AS BIGINT)";

/// The same for a condition: it does not change while a statement runs, so an index can be asked.
pub(super) const ABOUT_NOW: &str =
    "CAST(floor(extract(epoch FROM statement_timestamp()) * 1000) AS BIGINT)";

/// A value for a placeholder.
#[derive(Debug, Clone, Copy)]
pub(super) enum Value<'a> {
    Int(i64),
    Text(&'a str),
    Blob(&'a [u8]),
}

impl From<u64> for Value<'_> {
    fn from(n: u64) -> Self {
        Self::Int(signed(n))
    }
}

impl From<u32> for Value<'_> {
    fn from(n: u32) -> Self {
        Self::Int(i64::from(n))
    }
}

impl<'a> From<&'a str> for Value<'a> {
    fn from(text: &'a str) -> Self {
        Self::Text(text)
    }
}

impl<'a> From<&'a String> for Value<'a> {
    fn from(text: &'a String) -> Self {
        Self::Text(text)
    }
}

impl<'a> From<&'a Vec<u8>> for Value<'a> {
    fn from(bytes: &'a Vec<u8>) -> Self {
        Self::Blob(bytes)
    }
}

/// The values of a statement's placeholders, in their order.
macro_rules! values {
    ($($value:expr),* $(,)?) => { [$($crate::sql::live::Value::from($value)),*] };
}
pub(super) use values;

/// One row of an answer.
pub(super) enum Row {
    Lite(SqliteRow),
    Postgres(PgRow),
}

impl Row {
    pub(super) fn int(&self, at: usize) -> Result<i64, sqlx::Error> {
        match self {
            Self::Lite(row) => row.try_get(at),
            Self::Postgres(row) => row.try_get(at),
        }
    }

    pub(super) fn natural(&self, at: usize) -> Result<u64, sqlx::Error> {
        self.int(at).map(unsigned)
    }

    pub(super) fn text(&self, at: usize) -> Result<String, sqlx::Error> {
        match self {
            Self::Lite(row) => row.try_get(at),
            Self::Postgres(row) => row.try_get(at),
        }
    }

    pub(super) fn blob(&self, at: usize) -> Result<Vec<u8>, sqlx::Error> {
        match self {
            Self::Lite(row) => row.try_get(at),
            Self::Postgres(row) => row.try_get(at),
        }
    }
}

/// `PostgreSQL` has no zero character in texts.
fn without_zeros(text: &str) -> String {
    text.replace('\0', "\u{fffd}")
}

/// A statement that could not be put together; a string takes whatever is written to it.
pub(super) fn unwritten(error: std::fmt::Error) -> sqlx::Error {
    sqlx::Error::Encode(Box::new(error))
}

/// Rows in one statement.
const ROWS: usize = 32;

/// Parts of a list for statements of many rows: few sizes, so that few statements are prepared.
pub(super) fn parts<T>(mut list: &[T]) -> impl Iterator<Item = &[T]> {
    std::iter::from_fn(move || {
        let size = 1 << list.len().min(ROWS).checked_ilog2()?;
        let (part, rest) = list.split_at_checked(size)?;
        list = rest;
        Some(part)
    })
}

/// `($1, $2), ($3, $4)`: placeholders for rows, after those that are `taken`.
pub(super) fn places(taken: usize, rows: usize, columns: usize) -> String {
    let row = |row: usize| {
        let places: Vec<String> =
            (1..=columns).map(|column| format!("${}", taken + row * columns + column)).collect();
        format!("({})", places.join(", "))
    };
    let rows: Vec<String> = (0..rows).map(row).collect();
    rows.join(", ")
}

/// A statement with its values.
macro_rules! bound {
    ($database:ty, $sql:expr, $values:expr) => {{
        let mut query = sqlx::query::<$database>($sql);
        for value in $values {
            query = match *value {
                Value::Int(n) => query.bind(n),
                Value::Blob(bytes) => query.bind(bytes),
                Value::Text(text) => query.bind(text),
            };
        }
        query
    }};
}

macro_rules! bound_postgres {
    ($sql:expr, $values:expr) => {{
        let mut query = sqlx::query::<Postgres>($sql);
        for value in $values {
            query = match *value {
                Value::Int(n) => query.bind(n),
                Value::Blob(bytes) => query.bind(bytes),
                Value::Text(text) if text.contains('\0') => query.bind(without_zeros(text)),
                Value::Text(text) => query.bind(text),
            };
        }
        query
    }};
}

/// Connections to one database.
#[derive(Debug)]
pub(super) enum Pools {
    /// One that writes, a few that read; in memory the same one.
    Lite {
        writer: SqlitePool,
        reader: SqlitePool,
    },
    Postgres(PgPool),
}

impl Pools {
    pub(super) fn dialect(&self) -> Dialect {
        match self {
            Self::Lite { .. } => Dialect::Lite,
            Self::Postgres(_) => Dialect::Postgres,
        }
    }

    /// Begins to write.
    pub(super) async fn begin(&self) -> Result<Live, sqlx::Error> {
        Ok(match self {
            Self::Lite { writer, .. } => Live::Lite(writer.begin_with("BEGIN IMMEDIATE").await?),
            Self::Postgres(pool) => Live::Postgres(pool.begin().await?),
        })
    }

    /// One statement that is a transaction by itself, at a third of the cost; how many rows it changed.
    /// None on a server, where the time and the locks come with the transaction.
    pub(super) async fn alone(
        &self,
        sql: impl SqlSafeStr,
        values: &[Value<'_>],
    ) -> Option<Result<u64, sqlx::Error>> {
        let Self::Lite { writer, .. } = self else { return None };
        let done = bound!(Sqlite, sql, values).execute(writer).await;
        Some(done.map(|done| done.rows_affected()))
    }

    /// Reads; once more for each connection of the pool that turns out to be dead.
    pub(super) async fn rows(
        &self,
        sql: impl SqlSafeStr,
        values: &[Value<'_>],
    ) -> Result<Vec<Row>, sqlx::Error> {
        let sql = sql.into_sql_str();
        for _ in 0..CONNECTIONS {
            match self.rows_once(sql.clone(), values).await {
                Err(error) if lost(&error) => {}
                ended => return ended,
            }
        }
        self.rows_once(sql, values).await
    }

    async fn rows_once(&self, sql: SqlStr, values: &[Value<'_>]) -> Result<Vec<Row>, sqlx::Error> {
        Ok(match self {
            Self::Lite { reader, .. } => lite(bound!(Sqlite, sql, values).fetch_all(reader).await?),
            Self::Postgres(pool) => postgres(bound_postgres!(sql, values).fetch_all(pool).await?),
        })
    }

    pub(super) async fn close(&self) {
        match self {
            Self::Lite { writer, reader } => {
                reader.close().await;
                writer.close().await;
            }
            Self::Postgres(pool) => pool.close().await,
        }
    }
}

/// A transaction that writes.
pub(super) enum Live {
    Lite(Transaction<'static, Sqlite>),
    Postgres(Transaction<'static, Postgres>),
}

impl Live {
    pub(super) fn dialect(&self) -> Dialect {
        match self {
            Self::Lite(_) => Dialect::Lite,
            Self::Postgres(_) => Dialect::Postgres,
        }
    }

    pub(super) async fn rows(
        &mut self,
        sql: impl SqlSafeStr,
        values: &[Value<'_>],
    ) -> Result<Vec<Row>, sqlx::Error> {
        Ok(match self {
            Self::Lite(tx) => lite(bound!(Sqlite, sql, values).fetch_all(&mut **tx).await?),
            Self::Postgres(tx) => {
                postgres(bound_postgres!(sql, values).fetch_all(&mut **tx).await?)
            }
        })
    }

    /// How many rows it changed.
    pub(super) async fn exec(
        &mut self,
        sql: impl SqlSafeStr,
        values: &[Value<'_>],
    ) -> Result<u64, sqlx::Error> {
        Ok(match self {
            Self::Lite(tx) => bound!(Sqlite, sql, values).execute(&mut **tx).await?.rows_affected(),
            Self::Postgres(tx) => {
                bound_postgres!(sql, values).execute(&mut **tx).await?.rows_affected()
            }
        })
    }

    /// Several statements without values.
    pub(super) async fn script(&mut self, sql: impl SqlSafeStr) -> Result<(), sqlx::Error> {
        match self {
            Self::Lite(tx) => sqlx::raw_sql(sql).execute(&mut **tx).await.map(drop),
            Self::Postgres(tx) => sqlx::raw_sql(sql).execute(&mut **tx).await.map(drop),
        }
    }

    pub(super) async fn commit(self) -> Result<(), sqlx::Error> {
        match self {
            Self::Lite(tx) => tx.commit().await,
            Self::Postgres(tx) => tx.commit().await,
        }
    }

    pub(super) async fn rollback(self) -> Result<(), sqlx::Error> {
        match self {
            Self::Lite(tx) => tx.rollback().await,
            Self::Postgres(tx) => tx.rollback().await,
        }
    }
}

fn lite(rows: Vec<SqliteRow>) -> Vec<Row> {
    rows.into_iter().map(Row::Lite).collect()
}

fn postgres(rows: Vec<PgRow>) -> Vec<Row> {
    rows.into_iter().map(Row::Postgres).collect()
}
