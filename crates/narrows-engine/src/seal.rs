//! Texts that we give away and know again: cursors, and digests of keys.

use hmac::{Hmac, KeyInit as _, Mac as _};
use narrows_types::Fault;
use sha2::Sha256;

/// Bytes of the proof in a cursor.
const PROOF_BYTES: usize = 16;

/// A secret that the replicas of one house share.
pub(crate) struct Seal {
    mac: Hmac<Sha256>,
}

impl Seal {
    /// A seal that all who know the secret make.
    pub(crate) fn new(secret: &[u8]) -> Result<Self, Fault> {
        let mac = Hmac::<Sha256>::new_from_slice(secret)
            .map_err(|e| Fault::bug(format!("no seal: {e}")))?;
        Ok(Self { mac })
    }

    /// A digest that only we can make.
    pub(crate) fn digest(&self, parts: &[&[u8]]) -> [u8; 32] {
        let mut mac = self.mac.clone();
        for part in parts {
            mac.update(&(part.len() as u64).to_le_bytes());
            mac.update(part);
        }
        mac.finalize().into_bytes().into()
    }

    /// A cursor that leads to a page of what `about` names.
    pub(crate) fn cursor(&self, page: usize, about: &[&[u8]]) -> String {
        format!("{page}.{}", self.proof(page, about))
    }

    /// The page that a cursor leads to, if we gave it for the same.
    pub(crate) fn page(&self, cursor: &str, about: &[&[u8]]) -> Option<usize> {
        let (page, proof) = cursor.split_once('.')?;
        let page: usize = page.parse().ok()?;
        // Who forges a cursor sees a page of what may be seen anyway.
        (self.proof(page, about) == proof).then_some(page)
    }

    /// Seals what somebody is to bring back.
    pub(crate) fn seal(&self, about: &[u8], state: &[u8]) -> String {
        format!("{}.{}", hex(state), hex(&self.digest(&[b"state", about, state])))
    }

    /// What was sealed about the same.
    pub(crate) fn open(&self, about: &[u8], sealed: &str) -> Option<Vec<u8>> {
        let (state, proof) = sealed.split_once('.')?;
        let state = unhex(state)?;
        let digest = self.digest(&[b"state", about, &state]);
        let proof = unhex(proof)?;
        // Compared as a whole: where they begin to differ does not show.
        let differs = digest.iter().zip(&proof).fold(0, |all, (a, b)| all | (a ^ b));
        (proof.len() == digest.len() && differs == 0).then_some(state)
    }

    fn proof(&self, page: usize, about: &[&[u8]]) -> String {
        let number = (page as u64).to_le_bytes();
        let parts: Vec<&[u8]> = std::iter::once(&number[..]).chain(about.iter().copied()).collect();
        let digest = self.digest(&parts);
        hex(digest.get(..PROOF_BYTES).unwrap_or(&digest))
    }
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    let digit = |four: u8| char::from_digit(u32::from(four), 16).unwrap_or('0');
    bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect()
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let (pairs, rest) = text.as_bytes().as_chunks::<2>();
    if !rest.is_empty() {
        return None;
    }
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|d| u8::try_from(d).ok());
    pairs.iter().map(|[high, low]| Some(digit(*high)? << 4 | digit(*low)?)).collect()
}

#[cfg(test)]
mod tests {
    use super::Seal;

    #[test]
    fn a_cursor_is_known_again_for_the_same_only() {
        let seal = Seal::new(b"one").unwrap();
        let cursor = seal.cursor(3, &[b"ann", b"tools"]);
        assert_eq!(seal.page(&cursor, &[b"ann", b"tools"]), Some(3));
        assert_eq!(seal.page(&cursor, &[b"annt", b"ools"]), None);
        assert_eq!(seal.page(&cursor.replacen('3', "4", 1), &[b"ann", b"tools"]), None);
        assert_eq!(seal.page("", &[b"ann", b"tools"]), None);
        assert_eq!(Seal::new(b"other").unwrap().page(&cursor, &[b"ann", b"tools"]), None);
    }
}
