//! The jail: everything between a program and the machine. The only unsafe code of this crate.
//!
//! [`walls`] are raised once, in the zygote; [`seal`] closes each worker behind them;
//! [`filter`] holds the lists of system calls, [`foreign`] and [`threaded`] those of interpreters that
//! [`outside`] starts, [`sockets`] what they have of a network, [`calls`] what they have in common; [`memory`] knows which pages a run touches;
//! [`process`] and [`control`] wrap what the standard library lacks.

mod calls;
pub(crate) mod control;
pub(crate) mod filter;
pub(crate) mod foreign;
#[cfg(test)]
mod judge;
pub(crate) mod launcher;
pub(crate) mod memory;
pub(crate) mod outside;
pub(crate) mod process;
mod root;
pub(crate) mod seal;
pub(crate) mod sockets;
mod threaded;
pub(crate) mod walls;

use narrows_types::{Layer, LayerState};

/// Which walls a worker insists on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Walls {
    /// Every wall that can be had; without [`Layer::FLOOR`] nothing runs.
    Floor,
    /// Every wall that can be had.
    Best,
    /// None.
    None,
}

/// What was tried and what came of it.
#[derive(Debug, Default)]
pub(crate) struct Report(Vec<LayerState>);

impl Report {
    /// Notes a layer. A layer that is noted twice holds only if it held both times.
    pub(crate) fn note(&mut self, layer: Layer, outcome: Result<(), String>) {
        let state = LayerState {
            layer,
            reached: outcome.is_ok(),
            why: outcome.err().map(clip).unwrap_or_default(),
        };
        match self.0.iter_mut().find(|old| old.layer == layer) {
            Some(old) if old.reached => *old = state,
            Some(_) => {}
            None => self.0.push(state),
        }
    }

    /// Every layer, in order; one that was never tried does not hold.
    pub(crate) fn states(&self) -> Vec<LayerState> {
        let state = |layer| self.0.iter().find(|state| state.layer == layer).cloned();
        let untried =
            |layer| LayerState { layer, reached: false, why: "not tried on this path".to_owned() };
        Layer::ALL.into_iter().map(|layer| state(layer).unwrap_or_else(|| untried(layer))).collect()
    }

    /// Whether a layer holds.
    pub(crate) fn reached(&self, layer: Layer) -> bool {
        self.0.iter().any(|state| state.layer == layer && state.reached)
    }

    /// The first layer of the floor that does not hold.
    pub(crate) fn missing_floor(&self) -> Option<LayerState> {
        let fails = |state: &LayerState| !state.reached && Layer::FLOOR.contains(&state.layer);
        self.states().into_iter().find(fails)
    }
}

/// Keeps a message small enough for all of them in one control packet.
fn clip(text: String) -> String {
    narrows_types::fault::clip(text, 200)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_layer_that_failed_once_stays_failed() {
        let mut report = Report::default();
        report.note(Layer::Landlock, Ok(()));
        report.note(Layer::Landlock, Err("no".to_owned()));
        report.note(Layer::Landlock, Ok(()));
        let state = report.states().into_iter().find(|s| s.layer == Layer::Landlock);
        assert!(state.is_some_and(|s| !s.reached && s.why == "no"));
    }

    #[test]
    fn the_floor_is_missing_until_it_is_noted() {
        let mut report = Report::default();
        assert!(report.missing_floor().is_some());
        for layer in Layer::FLOOR {
            report.note(layer, Ok(()));
        }
        assert!(report.missing_floor().is_none());
        assert_eq!(report.states().len(), Layer::ALL.len());
    }
}
