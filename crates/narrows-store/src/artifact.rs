//! Artifacts: results too large for a reply, kept for a while, read by handle.

use crate::backend::{Change, Expect, Key, Range, Record, Space};
use crate::error::StoreError;
use crate::observed::text;
use crate::{NAME_BYTES_MAX, Store};
use narrows_types::fault::clip;
use narrows_types::{ArtifactId, ArtifactPart};

/// Bytes of one chunk, an entry of the log. A part that is read costs at most two chunks more than its size.
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
        let expires = now.saturating_add(config.artifact_ttl_s);
        let key = key(owner, id.as_str());
        let record = Record {
            key: key.clone(),
            body: clip(mime.to_owned(), MIME_BYTES_MAX).into_bytes(),
            weight: size,
            version: 0,
            stamp_ms: now.saturating_mul(1_000),
            expires_ms: Some(expires.saturating_mul(1_000)),
        };
        self.evict(config.artifacts_total_bytes_max.saturating_sub(size)).await?;
        let entries = bytes.chunks(CHUNK_BYTES).map(<[u8]>::to_vec).collect();
        let put = Change::Put { record, expect: Expect::Absent };
        let append = Change::Append { key, from: 0, entries };
        if !self.backend().write(vec![put, append]).await? {
            return Err(StoreError::Random(format!("{id} was given out twice")));
        }
        Ok(id)
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
        let gone = || StoreError::NoArtifact { id: clip(id.as_str().to_owned(), 64) };
        let key = key(owner, id.as_str());
        let record = self.backend().get(&key, self.now_ms()).await?.ok_or_else(gone)?;
        let info = info(record);
        let offset = offset.min(info.bytes);
        let length = bytes.min(info.bytes - offset).min(self.inner.config.artifact_bytes_max);
        let body = self.read_chunks(&key, offset, length).await?;
        if body.len() as u64 != length {
            // It was evicted between the two reads.
            return Err(gone());
        }
        Ok(ArtifactPart {
            handle: info.handle,
            mime: info.mime,
            total_bytes: info.bytes,
            offset,
            bytes: body,
            expires_at: info.expires_at,
        })
    }

    /// `offset + length` must lie within the artifact.
    async fn read_chunks(
        &self,
        key: &Key,
        offset: u64,
        length: u64,
    ) -> Result<Vec<u8>, StoreError> {
        if length == 0 {
            return Ok(Vec::new());
        }
        let size = CHUNK_BYTES as u64;
        let first = offset / size;
        let last = (offset + length - 1) / size;
        let chunks = self.backend().read(key, first, last - first + 1).await?;
        let wanted = usize::try_from(length).unwrap_or(usize::MAX);
        let mut skip = usize::try_from(offset % size).unwrap_or(usize::MAX);
        let mut body = Vec::with_capacity(wanted);
        for chunk in &chunks {
            let part = chunk.get(skip..).unwrap_or_default();
            let part = part.get(..wanted - body.len()).unwrap_or(part);
            body.extend_from_slice(part);
            skip = 0;
        }
        Ok(body)
    }

    /// The owner's artifacts, newest first, at most `limit` and at most 1,000.
    pub async fn list_artifacts(
        &self,
        owner: &str,
        limit: usize,
    ) -> Result<Vec<ArtifactInfo>, StoreError> {
        let range = Range {
            space: Space::Artifact,
            owner: Some(owner.to_owned()),
            oldest_first: false,
            after: None,
            limit: limit.min(LIST_MAX),
            bodies: true,
        };
        let records = self.backend().list(&range, self.now_ms()).await?;
        Ok(records.into_iter().map(info).collect())
    }
}

fn key(owner: &str, id: &str) -> Key {
    Key { space: Space::Artifact, owner: owner.to_owned(), id: id.to_owned() }
}

fn info(record: Record) -> ArtifactInfo {
    ArtifactInfo {
        handle: ArtifactId(record.key.id),
        mime: text(&record.body),
        bytes: record.weight,
        created_at: record.stamp_ms / 1_000,
        expires_at: record.expires_ms.unwrap_or(u64::MAX) / 1_000,
    }
}

pub(crate) fn name_fits(what: &'static str, name: &str) -> Result<(), StoreError> {
    let bytes = name.len() as u64;
    if name.len() > NAME_BYTES_MAX {
        let allowed = NAME_BYTES_MAX as u64;
        return Err(StoreError::TooLarge { what, bytes, limit: "name_bytes_max", allowed });
    }
    Ok(())
}

fn new_id() -> Result<ArtifactId, StoreError> {
    Ok(ArtifactId(format!("art_{}", random_text()?)))
}

/// 20 characters of 5 random bits each.
pub(crate) fn random_text() -> Result<String, StoreError> {
    const ALPHABET: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";
    let mut random = [0_u8; 20];
    getrandom::fill(&mut random).map_err(|e| StoreError::Random(e.to_string()))?;
    Ok(random
        .iter()
        .filter_map(|b| ALPHABET.get(usize::from(b & 31)).map(|c| char::from(*c)))
        .collect())
}
