//! How an upstream is kept, for people.

use super::Cell;
use crate::config::Tier;
use tokio::time::Instant;

impl Cell {
    /// What is not as usual in how it is kept.
    pub(super) fn keeping(&self) -> Vec<String> {
        let config = &self.config;
        let tier = match config.tier {
            Tier::Fast => Some("tier fast".to_owned()),
            Tier::Medium => None,
            Tier::Heavy => Some("tier heavy".to_owned()),
        };
        let pool = (config.pool.max > 1)
            .then(|| format!("{} to {} processes", config.pool.min.max(1), config.pool.max));
        let pause = self.health.pause(Instant::now());
        let pause = pause.map(|left| format!("left alone for {} s", left.as_secs() + 1));
        [tier, pool, pause].into_iter().flatten().collect()
    }
}
