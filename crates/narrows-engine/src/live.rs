//! The runs that this process carries out now.

use crate::journal::under_way;
use narrows_types::{Fault, RunId};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Which runs are under way, and how often each: while one lets go of a run the next may have it.
#[derive(Debug, Default)]
pub(crate) struct Live(Mutex<HashMap<RunId, u32>>);

/// A run that is under way until this is dropped.
pub(crate) struct Alive {
    live: Arc<Live>,
    run: RunId,
}

impl Live {
    pub(crate) fn enter(self: &Arc<Self>, run: &RunId) -> Alive {
        *self.lock().entry(run.clone()).or_default() += 1;
        Alive { live: Arc::clone(self), run: run.clone() }
    }

    /// Faults while the run is under way: whoever wants to go on with it would only end it.
    pub(crate) fn rests(&self, run: &RunId) -> Result<(), Fault> {
        if self.lock().contains_key(run) { Err(under_way(run)) } else { Ok(()) }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<RunId, u32>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Alive {
    fn drop(&mut self) {
        let mut live = self.live.lock();
        if let Some(count) = live.get_mut(&self.run) {
            *count -= 1;
            if *count == 0 {
                live.remove(&self.run);
            }
        }
    }
}
