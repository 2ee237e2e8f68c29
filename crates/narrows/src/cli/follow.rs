//! The config of a house that serves is followed: what changes in its file is taken over.

use super::Desk;
use crate::assembly::House;
use crate::config::{Flags, load};
use std::convert::Infallible;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};
use tokio::signal::unix::{Signal, SignalKind, signal};

/// How often the file is looked at.
const LOOK_PAUSE: Duration = Duration::from_secs(1);
/// A file that changed is read once it stayed the same for so long: editors write in parts.
const CALM: Duration = Duration::from_millis(200);

/// What shows that a file is another one.
type Print = Option<(SystemTime, u64)>;

async fn print(file: Option<&Path>) -> Print {
    let found = tokio::fs::metadata(file?).await.ok()?;
    Some((found.modified().ok()?, found.len()))
}

/// What is looked at, from the moment that it was read.
pub(super) struct Watch {
    file: Option<PathBuf>,
    hangup: Option<Signal>,
    known: Print,
}

impl Watch {
    /// From here on no change is missed, and `SIGHUP` ends nothing.
    pub(super) async fn new(file: Option<PathBuf>) -> Self {
        let known = print(file.as_deref()).await;
        Self { file, hangup: signal(SignalKind::hangup()).ok(), known }
    }
}

impl Desk {
    /// Takes the config over whenever its file changes or `SIGHUP` comes. A file that is wrong
    /// changes nothing and is told of in the log.
    pub(super) async fn follow(&self, house: &House, flags: &Flags, watch: Watch) -> Infallible {
        let Watch { file, mut hangup, mut known } = watch;
        let file = file.as_deref();
        loop {
            let called = tokio::select! {
                () = heard(hangup.as_mut()) => true,
                () = tokio::time::sleep(LOOK_PAUSE) => false,
            };
            let mut now = print(file).await;
            if !called && (now == known || now.is_none()) {
                continue;
            }
            loop {
                tokio::time::sleep(CALM).await;
                let again = print(file).await;
                if again == now {
                    break;
                }
                now = again;
            }
            known = now;
            self.take_over(house, flags);
        }
    }

    fn take_over(&self, house: &House, flags: &Flags) {
        let loaded = match load(&self.env, flags) {
            Ok(loaded) => loaded,
            Err(problems) => return problems.iter().for_each(|problem| stays(problem)),
        };
        loaded.warnings.iter().for_each(|warning| tracing::warn!("{warning}"));
        match house.reload(&loaded.settings, &self.env) {
            Ok(told) => self.out.note(&format!("the config was taken over: {told}")),
            Err(fault) => stays(&fault),
        }
    }
}

fn stays(why: &dyn std::fmt::Display) {
    tracing::error!("the old config stays: {why}");
}

async fn heard(signal: Option<&mut Signal>) {
    match signal {
        Some(signal) => drop(signal.recv().await),
        None => std::future::pending().await,
    }
}
