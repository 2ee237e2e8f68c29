//! Texts that we give away and know again: cursors, and digests of keys.

use hmac::{Hmac, KeyInit as _, Mac as _};
use narrows_types::Fault;
use sha2::Sha256;

/// Bytes of the proof in a cursor.
const PROOF_BYTES: usize = 16;

/// The secret of this process.
pub(crate) struct Seal {
    mac: Hmac<Sha256>,
}

impl Seal {
    pub(crate) fn new() -> Result<Self, Fault> {
        let mut secret = [0_u8; 32];
        getrandom::fill(&mut secret)
            .map_err(|e| Fault::bug(format!("no randomness from the system: {e}")))?;
        let mac = Hmac::<Sha256>::new_from_slice(&secret)
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

    fn proof(&self, page: usize, about: &[&[u8]]) -> String {
        let number = (page as u64).to_le_bytes();
        let parts: Vec<&[u8]> = std::iter::once(&number[..]).chain(about.iter().copied()).collect();
        let digest = self.digest(&parts);
        let hex = digest.iter().take(PROOF_BYTES).map(|byte| format!("{byte:02x}"));
        hex.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::Seal;

    #[test]
    fn a_cursor_is_known_again_for_the_same_only() {
        let seal = Seal::new().unwrap();
        let cursor = seal.cursor(3, &[b"ann", b"tools"]);
        assert_eq!(seal.page(&cursor, &[b"ann", b"tools"]), Some(3));
        assert_eq!(seal.page(&cursor, &[b"annt", b"ools"]), None);
        assert_eq!(seal.page(&cursor.replacen('3', "4", 1), &[b"ann", b"tools"]), None);
        assert_eq!(seal.page("", &[b"ann", b"tools"]), None);
        assert_eq!(Seal::new().unwrap().page(&cursor, &[b"ann", b"tools"]), None);
    }
}
