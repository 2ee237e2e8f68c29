//! Artifacts: results too large for a reply, kept for a while, read by handle.

use crate::error::StoreError;
use crate::sweep::evict;
use crate::{NAME_BYTES_MAX, Store, signed, unsigned};
use narrows_types::fault::clip;
use narrows_types::{ArtifactId, ArtifactPart};
use sqlx::{Row, SqliteConnection};

/// Bytes of one stored chunk. A part that is read costs at most two chunks more than its size.
const CHUNK_BYTES: usize = 256 << 10;
/// Bytes of a media type.
const MIME_BYTES_MAX: usize = 256;
/// Artifacts in one list.
const LIST_MAX: usize = 1_000;

/// What is known of an artifact without reading it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ArtifactInfo {
    /// Its handle.
    pub handle: ArtifactId,
    /// Its media type.
    pub mime: String,
    /// Its size in bytes.
    pub bytes: u64,
    /// Unix seconds when it was stored.
    pub created_at: u64,
    /// Unix seconds when it is deleted.
    pub expires_at: u64,
}

impl Store {
    /// Stores `bytes` for `owner` and gives the handle, unguessable. Older artifacts go if the
    /// total would be too large. Fails if `bytes` alone is larger than a limit allows.
    pub async fn put_artifact(
        &self,
        owner: &str,
        mime: &str,
        bytes: &[u8],
    ) -> Result<ArtifactId, StoreError> {
        let config = &self.inner.config;
        let size = bytes.len() as u64;
        for (limit, allowed) in [
            ("artifact_bytes_max", config.artifact_bytes_max),
            ("artifacts_total_bytes_max", config.artifacts_total_bytes_max),
        ] {
            if size > allowed {
                return Err(StoreError::TooLarge {
                    what: "the result",
                    bytes: size,
                    limit,
                    allowed,
                });
            }
        }
        name_fits("the owner's name", owner)?;
        let id = new_id()?;
        let now = self.now();
        let info = ArtifactInfo {
            handle: id.clone(),
            mime: clip(mime.to_owned(), MIME_BYTES_MAX),
            bytes: size,
            created_at: now,
            expires_at: now.saturating_add(config.artifact_ttl_s),
        };
        self.within("keep a result", self.insert(owner, &info, bytes)).await?;
        Ok(id)
    }

    async fn insert(
        &self,
        owner: &str,
        info: &ArtifactInfo,
        bytes: &[u8],
    ) -> Result<(), sqlx::Error> {
        let mut tx = self.inner.writer.begin_with("BEGIN IMMEDIATE").await?;
        let room = self.inner.config.artifacts_total_bytes_max.saturating_sub(info.bytes);
        evict(&mut tx, room).await?;
        sqlx::query(
            "INSERT INTO artifact (id, owner, mime, bytes, created_at, expires_at) \
             VALUES (?, ?, ?, ?, ?, ?)",
        )
        .bind(info.handle.as_str())
        .bind(owner)
        .bind(&info.mime)
        .bind(signed(info.bytes))
        .bind(signed(info.created_at))
        .bind(signed(info.expires_at))
        .execute(&mut *tx)
        .await?;
        write_chunks(&mut tx, info.handle.as_str(), bytes).await?;
        tx.commit().await
    }

    /// Reads at most `bytes` bytes from `offset`; fewer at the end, none beyond it. Somebody
    /// else's artifact does not exist.
    pub async fn read_artifact(
        &self,
        owner: &str,
        id: &ArtifactId,
        offset: u64,
        bytes: u64,
    ) -> Result<ArtifactPart, StoreError> {
        self.within("read a result", self.read(owner, id, offset, bytes))
            .await?
            .ok_or_else(|| StoreError::NoArtifact { id: clip(id.as_str().to_owned(), 64) })
    }

    async fn read(
        &self,
        owner: &str,
        id: &ArtifactId,
        offset: u64,
        bytes: u64,
    ) -> Result<Option<ArtifactPart>, sqlx::Error> {
        // One read transaction: the artifact cannot be evicted between its two statements.
        let mut tx = self.inner.reader.begin().await?;
        let found = sqlx::query(
            "SELECT id, mime, bytes, created_at, expires_at FROM artifact \
             WHERE id = ? AND owner = ? AND expires_at > ?",
        )
        .bind(id.as_str())
        .bind(owner)
        .bind(signed(self.now()))
        .fetch_optional(&mut *tx)
        .await?;
        let Some(info) = found.map(|row| info(&row)).transpose()? else { return Ok(None) };
        let offset = offset.min(info.bytes);
        let length = bytes.min(info.bytes - offset).min(self.inner.config.artifact_bytes_max);
        let body = read_chunks(&mut tx, id.as_str(), offset, length).await?;
        Ok(Some(ArtifactPart {
            handle: info.handle,
            mime: info.mime,
            total_bytes: info.bytes,
            offset,
            bytes: body,
            expires_at: info.expires_at,
        }))
    }

    /// The owner's artifacts, newest first, at most `limit` and at most 1,000.
    pub async fn list_artifacts(
        &self,
        owner: &str,
        limit: usize,
    ) -> Result<Vec<ArtifactInfo>, StoreError> {
        let query = sqlx::query(
            "SELECT id, mime, bytes, created_at, expires_at FROM artifact \
             WHERE owner = ? AND expires_at > ? ORDER BY created_at DESC, id LIMIT ?",
        )
        .bind(owner)
        .bind(signed(self.now()))
        .bind(signed(limit.min(LIST_MAX) as u64));
        let work = async {
            let rows = query.fetch_all(&self.inner.reader).await?;
            rows.iter().map(info).collect()
        };
        self.within("list results", work).await
    }
}

fn info(row: &sqlx::sqlite::SqliteRow) -> Result<ArtifactInfo, sqlx::Error> {
    Ok(ArtifactInfo {
        handle: ArtifactId(row.try_get("id")?),
        mime: row.try_get("mime")?,
        bytes: unsigned(row.try_get("bytes")?),
        created_at: unsigned(row.try_get("created_at")?),
        expires_at: unsigned(row.try_get("expires_at")?),
    })
}

async fn write_chunks(
    connection: &mut SqliteConnection,
    id: &str,
    bytes: &[u8],
) -> Result<(), sqlx::Error> {
    for (number, chunk) in bytes.chunks(CHUNK_BYTES).enumerate() {
        sqlx::query("INSERT INTO artifact_chunk (artifact, number, body) VALUES (?, ?, ?)")
            .bind(id)
            .bind(signed(number as u64))
            .bind(chunk)
            .execute(&mut *connection)
            .await?;
    }
    Ok(())
}

/// `offset + length` must lie within the artifact.
async fn read_chunks(
    connection: &mut SqliteConnection,
    id: &str,
    offset: u64,
    length: u64,
) -> Result<Vec<u8>, sqlx::Error> {
    if length == 0 {
        return Ok(Vec::new());
    }
    let size = CHUNK_BYTES as u64;
    let first = offset / size;
    let last = (offset + length - 1) / size;
    let rows = sqlx::query(
        "SELECT body FROM artifact_chunk WHERE artifact = ? AND number BETWEEN ? AND ? \
         ORDER BY number",
    )
    .bind(id)
    .bind(signed(first))
    .bind(signed(last))
    .fetch_all(connection)
    .await?;
    let wanted = usize::try_from(length).unwrap_or(usize::MAX);
    let mut skip = usize::try_from(offset % size).unwrap_or(usize::MAX);
    let mut body = Vec::with_capacity(wanted);
    for row in &rows {
        let chunk: &[u8] = row.try_get("body")?;
        let part = chunk.get(skip..).unwrap_or_default();
        let part = part.get(..wanted - body.len()).unwrap_or(part);
        body.extend_from_slice(part);
        skip = 0;
    }
    Ok(body)
}

pub(crate) fn name_fits(what: &'static str, name: &str) -> Result<(), StoreError> {
    let bytes = name.len() as u64;
    if name.len() > NAME_BYTES_MAX {
        let allowed = NAME_BYTES_MAX as u64;
        return Err(StoreError::TooLarge { what, bytes, limit: "name_bytes_max", allowed });
    }
    Ok(())
}

/// `art_` and 20 characters of 5 random bits each.
fn new_id() -> Result<ArtifactId, StoreError> {
    const ALPHABET: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";
    let mut random = [0_u8; 20];
    getrandom::fill(&mut random).map_err(|e| StoreError::Random(e.to_string()))?;
    let text: String = random
        .iter()
        .filter_map(|b| ALPHABET.get(usize::from(b & 31)).map(|c| char::from(*c)))
        .collect();
    Ok(ArtifactId(format!("art_{text}")))
}
