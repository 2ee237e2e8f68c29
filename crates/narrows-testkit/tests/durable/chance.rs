//! Chance that can be had again: the seed is told, and given with `NARROWS_TEST_SEED`.

use std::time::{SystemTime, UNIX_EPOCH};

pub(crate) struct Chance(u64);

impl Chance {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// A number below `end` (splitmix64).
    pub(crate) fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % end
    }
}

pub(crate) fn seed() -> u64 {
    let told = std::env::var("NARROWS_TEST_SEED").ok().and_then(|seed| seed.parse().ok());
    told.unwrap_or_else(|| {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        now.as_secs() * 1_000 + u64::from(now.subsec_millis())
    })
}
