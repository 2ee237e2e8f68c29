//! Sealed texts: what we hand to a client and want back as it was.
//!
//! A sealed text is readable and cannot be changed. It holds for one purpose, for what it is bound
//! to (who asked, and what), and until it expires.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use std::fmt;

/// Bytes of a payload.
pub const PAYLOAD_BYTES_MAX: usize = 32 << 10;
const VERSION: u8 = 1;
const HEAD_BYTES: usize = 9;
const TAG_BYTES: usize = 32;
const TOKEN_BYTES_MAX: usize = (HEAD_BYTES + PAYLOAD_BYTES_MAX + TAG_BYTES).div_ceil(3) * 4;

/// Seals and opens. The first key seals, all of them open, so that keys can be changed.
#[derive(Clone)]
pub struct Seal {
    keys: Vec<[u8; 32]>,
}

impl fmt::Debug for Seal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Seal")
    }
}

/// A text that is not opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unsealed {
    /// It is not ours, was changed, or is for another purpose, principal or request.
    Invalid,
    /// Its time is over.
    Expired,
    /// It is too long to be sealed.
    TooLong,
}

impl fmt::Display for Unsealed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Invalid => "not valid here",
            Self::Expired => "expired",
            Self::TooLong => "too long",
        })
    }
}

impl std::error::Error for Unsealed {}

impl Seal {
    /// A seal with a key, and older keys that still open.
    pub fn new(key: [u8; 32], older: &[[u8; 32]]) -> Self {
        Self { keys: std::iter::once(key).chain(older.iter().copied()).collect() }
    }

    /// Seals a payload: for a purpose, bound to some facts, until a time (Unix seconds).
    pub fn seal(
        &self,
        purpose: &str,
        bound: &[&[u8]],
        expires_at: u64,
        payload: &[u8],
    ) -> Result<String, Unsealed> {
        if payload.len() > PAYLOAD_BYTES_MAX {
            return Err(Unsealed::TooLong);
        }
        let key = self.keys.first().ok_or(Unsealed::Invalid)?;
        let mut token = Vec::with_capacity(HEAD_BYTES + payload.len() + TAG_BYTES);
        token.push(VERSION);
        token.extend_from_slice(&expires_at.to_be_bytes());
        token.extend_from_slice(payload);
        let tag = mac(key, purpose, bound, &token).ok_or(Unsealed::Invalid)?;
        token.extend_from_slice(&tag.finalize().into_bytes());
        Ok(URL_SAFE_NO_PAD.encode(token))
    }

    /// The payload of a text that was sealed for the same purpose and facts and is not expired.
    pub fn open(
        &self,
        purpose: &str,
        bound: &[&[u8]],
        now: u64,
        token: &str,
    ) -> Result<Vec<u8>, Unsealed> {
        if token.len() > TOKEN_BYTES_MAX {
            return Err(Unsealed::Invalid);
        }
        let mut token = URL_SAFE_NO_PAD.decode(token).map_err(|_not_ours| Unsealed::Invalid)?;
        let body = token.len().checked_sub(TAG_BYTES).filter(|body| *body >= HEAD_BYTES);
        let tag = token.split_off(body.ok_or(Unsealed::Invalid)?);
        let mut genuine = false;
        for key in &self.keys {
            // Compared in constant time.
            let mac = mac(key, purpose, bound, &token);
            genuine |= mac.is_some_and(|mac| mac.verify_slice(&tag).is_ok());
        }
        let (head, payload) = token.split_at_checked(HEAD_BYTES).ok_or(Unsealed::Invalid)?;
        let (version, expiry) = head.split_first().ok_or(Unsealed::Invalid)?;
        if !genuine || *version != VERSION {
            return Err(Unsealed::Invalid);
        }
        let expiry = expiry.try_into().map_err(|_length| Unsealed::Invalid)?;
        if u64::from_be_bytes(expiry) <= now {
            return Err(Unsealed::Expired);
        }
        Ok(payload.to_vec())
    }
}

/// Each part with its length, so that no two lists of parts look alike.
fn mac(key: &[u8; 32], purpose: &str, bound: &[&[u8]], token: &[u8]) -> Option<Hmac<Sha256>> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).ok()?;
    for part in std::iter::once(purpose.as_bytes()).chain(bound.iter().copied()) {
        mac.update(&(part.len() as u64).to_be_bytes());
        mac.update(part);
    }
    mac.update(token);
    Some(mac)
}

#[cfg(test)]
mod tests {
    use super::{PAYLOAD_BYTES_MAX, Seal, Unsealed};

    const BOUND: [&[u8]; 2] = [b"alice", b"digest"];

    #[test]
    fn only_what_was_sealed_opens() {
        let seal = Seal::new([7; 32], &[]);
        let token = seal.seal("state", &BOUND, 100, b"payload").unwrap();
        assert_eq!(seal.open("state", &BOUND, 99, &token).unwrap(), b"payload");
        assert_eq!(seal.open("state", &BOUND, 100, &token), Err(Unsealed::Expired));
        let invalid = Err(Unsealed::Invalid);
        assert_eq!(seal.open("cursor", &BOUND, 99, &token), invalid);
        assert_eq!(seal.open("state", &[b"bob", b"digest"], 99, &token), invalid);
        assert_eq!(seal.open("state", &[b"alicedigest"], 99, &token), invalid);
        assert_eq!(seal.open("state", &[b"alicedi", b"gest"], 99, &token), invalid);
        assert_eq!(Seal::new([8; 32], &[]).open("state", &BOUND, 99, &token), invalid);
        assert!(Seal::new([8; 32], &[[7; 32]]).open("state", &BOUND, 99, &token).is_ok());
    }

    #[test]
    fn no_change_goes_unseen() {
        let seal = Seal::new([7; 32], &[]);
        let token = seal.seal("state", &BOUND, 100, b"payload").unwrap();
        for at in 0..token.len() {
            let mut changed = token.clone().into_bytes();
            changed[at] = if changed[at] == b'A' { b'B' } else { b'A' };
            let changed = String::from_utf8(changed).unwrap();
            assert_eq!(seal.open("state", &BOUND, 1, &changed), Err(Unsealed::Invalid), "{at}");
            assert_eq!(
                seal.open("state", &BOUND, 1, token.get(..at).unwrap()),
                Err(Unsealed::Invalid)
            );
        }
        for odd in ["", "=", "\u{e9}", "AAAA", &"A".repeat(1 << 20)] {
            assert_eq!(seal.open("state", &BOUND, 1, odd), Err(Unsealed::Invalid));
        }
    }

    #[test]
    fn sizes_are_bounded() {
        let seal = Seal::new([7; 32], &[]);
        let most = vec![0; PAYLOAD_BYTES_MAX];
        let token = seal.seal("state", &[], 100, &most).unwrap();
        assert_eq!(seal.open("state", &[], 1, &token).unwrap(), most);
        let more = vec![0; PAYLOAD_BYTES_MAX + 1];
        assert_eq!(seal.seal("state", &[], 100, &more), Err(Unsealed::TooLong));
    }
}
