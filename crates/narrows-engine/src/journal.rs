//! The journal of a run, open for writing, and the task that writes.
//!
//! A run's entries have numbers that count up, so they are written in their order or not at all.
//! Whoever must know that an entry is safe waits for it; entries of several runs, and several of
//! one, are written together.

use crate::entry::Entry;
use crate::past::Past;
use narrows_store::{Note, RunRow, Store, StoreError};
use narrows_types::{Durability, Fault, JobId, Kind, Origin, Retry, RunId, RunState};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// Lines that wait to be written; who has more waits.
const WAITING_MAX: usize = 4_096;
/// Kibibytes of lines that wait to be written, over all runs; who has more waits.
const WAITING_KIB_MAX: u32 = 64 << 10;
/// Lines written in one transaction.
const BATCH_MAX: usize = 512;
/// Lines that nobody waits for are gathered so long: a transaction costs more than a line.
const GATHER: Duration = Duration::from_millis(25);

/// One run's journal, open for writing.
pub(crate) struct Journal {
    /// None where nothing is written: a replay.
    scribe: Option<Scribe>,
    pub(crate) durability: Durability,
    principal: Arc<str>,
    run: RunId,
    /// The number of the next entry.
    next: u64,
    bytes: u64,
    bytes_max: u64,
    broken: Arc<Broken>,
    /// The row as it was written last, while the run is under way: should its caller go away, it
    /// says so.
    open: Option<RunRow>,
    /// The job that it became meanwhile.
    given: Arc<OnceLock<JobId>>,
}

impl Drop for Journal {
    /// Whoever waited for the run went away. A job's run is somebody else's to go on with.
    fn drop(&mut self) {
        let Some(mut row) = self.open.take().filter(|row| row.job.is_none()) else { return };
        if self.is_taken() || self.has_failed() || self.given.get().is_some() {
            return;
        }
        let Some(scribe) = &self.scribe else { return };
        let Ok(room) = Arc::clone(&scribe.room).try_acquire_owned() else { return };
        row.state = RunState::Lost;
        let why = "its caller went away".to_owned();
        let entry = Entry::End { state: RunState::Lost, value: None, why };
        let entry = if self.kept() { serde_json::to_vec(&entry).ok() } else { None };
        let line = Line {
            principal: Arc::clone(&self.principal),
            run: self.run.clone(),
            from: self.next,
            entry,
            row: Some((row, None)),
            safe: None,
            broken: Arc::clone(&self.broken),
            room,
        };
        // What cannot be said stays `running`, and can be gone on with all the same.
        let _full = scribe.lines.try_send(line);
    }
}

/// Why a journal is not written any more.
#[derive(Debug, Default)]
struct Broken {
    /// Somebody else executes the run.
    taken: AtomicBool,
    /// The store does not work.
    failed: AtomicBool,
}

/// Waits until a line is safe; at once where nobody needs to know.
pub(crate) struct Safe(Option<oneshot::Receiver<Result<(), Fault>>>);

struct Line {
    principal: Arc<str>,
    run: RunId,
    from: u64,
    entry: Option<Vec<u8>>,
    row: Option<(RunRow, Option<u64>)>,
    safe: Option<oneshot::Sender<Result<(), Fault>>>,
    broken: Arc<Broken>,
    /// Its bytes among all that wait.
    room: OwnedSemaphorePermit,
}

impl Safe {
    /// Nobody needs to wait.
    pub(crate) fn now() -> Self {
        Self(None)
    }

    /// Faults if the line was not written.
    pub(crate) async fn wait(self) -> Result<(), Fault> {
        match self.0 {
            None => Ok(()),
            Some(told) => told.await.unwrap_or_else(|_gone| Err(stopped())),
        }
    }
}

fn stopped() -> Fault {
    Fault::new(Kind::Unavailable, Origin::Narrows, "narrows is shutting down")
}

/// The run is somebody else's now.
pub(crate) fn taken(run: &RunId) -> Fault {
    Fault::new(Kind::Conflict, Origin::Narrows, format!("{run} is executed elsewhere"))
        .hint("look at it with `narrows runs show`")
        .retry(Retry::AfterMs(1_000))
}

/// The run is carried out already.
pub(crate) fn under_way(run: &RunId) -> Fault {
    Fault::new(Kind::Conflict, Origin::Agent, format!("{run} is under way already"))
        .hint("wait for its end; `narrows runs show` tells where it is")
        .retry(Retry::AfterMs(1_000))
}

impl Journal {
    /// The journal of a run from entry `next` on.
    pub(crate) fn open(
        scribe: &Scribe,
        durability: Durability,
        (principal, run): (&str, &RunId),
        past: &Past,
        (bytes_max, given): (u64, Arc<OnceLock<JobId>>),
    ) -> Self {
        Self {
            scribe: Some(scribe.clone()),
            durability,
            principal: principal.into(),
            run: run.clone(),
            next: past.entries,
            bytes: past.bytes,
            bytes_max,
            broken: Arc::default(),
            open: None,
            given,
        }
    }

    /// A journal that is read and never written.
    pub(crate) fn dry(run: &RunId) -> Self {
        Self {
            scribe: None,
            durability: Durability::Async,
            principal: "".into(),
            run: run.clone(),
            next: 0,
            bytes: 0,
            bytes_max: u64::MAX,
            broken: Arc::default(),
            open: None,
            given: Arc::default(),
        }
    }

    /// Whether nothing is written.
    pub(crate) fn is_dry(&self) -> bool {
        self.scribe.is_none()
    }

    /// The number of the next entry.
    pub(crate) fn next(&self) -> u64 {
        self.next
    }

    /// Whether anything is written down but the run's row.
    pub(crate) fn kept(&self) -> bool {
        self.durability != Durability::Off
    }

    /// Whether the run is somebody else's now.
    pub(crate) fn is_taken(&self) -> bool {
        self.broken.taken.load(Ordering::Relaxed)
    }

    fn has_failed(&self) -> bool {
        self.broken.failed.load(Ordering::Relaxed)
    }

    /// The run is under way: should its caller go away, its row says so.
    pub(crate) fn opened(&mut self, row: RunRow) {
        self.open = Some(row);
    }

    /// Writes an entry. With `sync` durability the caller can wait until it is safe, if `sure`.
    pub(crate) async fn write(&mut self, entry: &Entry, sure: bool) -> Result<Safe, Fault> {
        if !self.kept() {
            return Ok(Safe(None));
        }
        let wait = sure && self.durability == Durability::Sync;
        self.line(Some(entry), None, wait).await
    }

    /// Writes the run's row, perhaps with an entry; waits if asked to.
    pub(crate) async fn row(
        &mut self,
        entry: Option<&Entry>,
        mut row: RunRow,
        version: Option<u64>,
        wait: bool,
    ) -> Result<Safe, Fault> {
        if let Some(job) = self.given.get() {
            row.job = Some(job.clone());
        }
        if row.state != RunState::Running {
            self.open = None;
        }
        let entry = entry.filter(|_| self.kept());
        self.line(entry, Some((row, version)), wait).await
    }

    async fn line(
        &mut self,
        entry: Option<&Entry>,
        row: Option<(RunRow, Option<u64>)>,
        wait: bool,
    ) -> Result<Safe, Fault> {
        if self.is_dry() {
            return Ok(Safe(None));
        }
        if self.is_taken() {
            return Err(taken(&self.run));
        }
        if self.has_failed() {
            if self.durability == Durability::Sync {
                return Err(unwritten());
            }
            // What is missing cannot be made up for: it goes on without.
            self.durability = Durability::Off;
        }
        let entry = match entry.filter(|_| self.kept()) {
            Some(entry) => {
                let bytes = serde_json::to_vec(entry).map_err(|e| Fault::bug(e.to_string()))?;
                self.bytes = self.bytes.saturating_add(bytes.len() as u64);
                Some(bytes)
            }
            None => None,
        };
        if self.bytes > self.bytes_max && self.durability == Durability::Async {
            let bytes = self.bytes;
            tracing::warn!(run = %self.run, bytes, "its journal is too long: it is not kept any more");
            self.durability = Durability::Off;
            let cut = Entry::Cut { bytes };
            let cut = serde_json::to_vec(&cut).map_err(|e| Fault::bug(e.to_string()))?;
            return self.send(Some(cut), row, wait).await;
        }
        if self.bytes > self.bytes_max {
            let message = format!(
                "the run's journal has {} bytes; limit journal_bytes_max is {}",
                self.bytes, self.bytes_max
            );
            let fault = Fault::new(Kind::Limit, Origin::Program, message);
            return Err(fault.hint("do less in one run, or set its durability to off"));
        }
        self.send(entry, row, wait).await
    }

    async fn send(
        &mut self,
        entry: Option<Vec<u8>>,
        row: Option<(RunRow, Option<u64>)>,
        wait: bool,
    ) -> Result<Safe, Fault> {
        let Some(scribe) = &self.scribe else { return Ok(Safe(None)) };
        let from = self.next;
        self.next += u64::from(entry.is_some());
        let (safe, told) = if wait {
            let (safe, told) = oneshot::channel();
            (Some(safe), Some(told))
        } else {
            (None, None)
        };
        let kib = u32::try_from(entry.as_ref().map_or(0, Vec::len) >> 10).unwrap_or(u32::MAX);
        let room = Arc::clone(&scribe.room).acquire_many_owned(kib.clamp(1, WAITING_KIB_MAX));
        let room = room.await.map_err(|_closed| stopped())?;
        let (principal, run) = (Arc::clone(&self.principal), self.run.clone());
        let broken = Arc::clone(&self.broken);
        let line = Line { principal, run, from, entry, row, safe, broken, room };
        scribe.lines.send(line).await.map_err(|_closed| stopped())?;
        Ok(Safe(told))
    }
}

fn unwritten() -> Fault {
    Fault::new(Kind::Unavailable, Origin::Narrows, "the run's journal cannot be written")
        .hint("see the log")
        .retry(Retry::AfterMs(1_000))
}

/// Takes lines for all journals.
#[derive(Clone)]
pub(crate) struct Scribe {
    lines: mpsc::Sender<Line>,
    room: Arc<Semaphore>,
}

/// Writes them.
pub(crate) struct Clerk {
    store: Store,
    lines: mpsc::Receiver<Line>,
}

pub(crate) fn open(store: &Store) -> (Scribe, Clerk) {
    let (sender, lines) = mpsc::channel(WAITING_MAX);
    let room = Arc::new(Semaphore::new(WAITING_KIB_MAX as usize));
    (Scribe { lines: sender, room }, Clerk { store: store.clone(), lines })
}

impl Clerk {
    /// Writes until it is cancelled, then what is left.
    pub(crate) async fn run(mut self, stop: CancellationToken) {
        let mut batch = Vec::with_capacity(BATCH_MAX);
        loop {
            tokio::select! {
                () = stop.cancelled() => {
                    self.lines.close();
                    while self.lines.recv_many(&mut batch, BATCH_MAX).await > 0 {
                        self.write(&mut batch).await;
                    }
                    return;
                }
                taken = self.lines.recv_many(&mut batch, BATCH_MAX) => {
                    if taken == 0 {
                        return;
                    }
                    self.gather(&mut batch, &stop).await;
                    self.write(&mut batch).await;
                }
            }
        }
    }

    /// Takes along what comes shortly after, unless somebody waits.
    async fn gather(&mut self, batch: &mut Vec<Line>, stop: &CancellationToken) {
        let until = Instant::now() + GATHER;
        while batch.len() < BATCH_MAX && batch.iter().all(|line| line.safe.is_none()) {
            let room = BATCH_MAX - batch.len();
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep_until(until) => return,
                taken = self.lines.recv_many(batch, room) => {
                    if taken == 0 {
                        return;
                    }
                }
            }
        }
    }

    async fn write(&self, batch: &mut Vec<Line>) {
        let mut notes: Vec<Note> = Vec::new();
        let mut waiters: Vec<Vec<Line>> = Vec::new();
        for mut line in batch.drain(..) {
            // Lines of one journal that follow each other are one note. Two journals of one run are
            // not: one of them comes too late.
            let follows = |at: &usize| {
                let (note, waiting) = (notes.get(*at), waiters.get(*at));
                let same = waiting.and_then(|lines| lines.first());
                same.is_some_and(|first| Arc::ptr_eq(&first.broken, &line.broken))
                    && note.is_some_and(|n| n.from + n.entries.len() as u64 == line.from)
            };
            let found = (0..notes.len()).rfind(follows);
            let at = found.unwrap_or_else(|| {
                notes.push(Note {
                    principal: line.principal.to_string(),
                    run: line.run.clone(),
                    from: line.from,
                    entries: Vec::new(),
                    row: None,
                });
                waiters.push(Vec::new());
                notes.len() - 1
            });
            let (Some(note), Some(waiting)) = (notes.get_mut(at), waiters.get_mut(at)) else {
                continue;
            };
            note.entries.extend(line.entry.take());
            note.row = match (note.row.take(), line.row.take()) {
                // What the first must have been holds for both.
                (Some((_, first)), Some((row, version))) => Some((row, first.or(version))),
                (before, after) => after.or(before),
            };
            waiting.push(line);
        }
        let written = self.store.note(&notes).await;
        for (at, lines) in waiters.into_iter().enumerate() {
            let result = match &written {
                Ok(written) => Ok(written.get(at).copied().unwrap_or(false)),
                Err(error) => Err(error),
            };
            tell(lines, result);
        }
    }
}

fn tell(lines: Vec<Line>, result: Result<bool, &StoreError>) {
    for line in lines {
        let told = match result {
            Ok(true) => Ok(()),
            Ok(false) if line.broken.failed.load(Ordering::Relaxed) => Err(unwritten()),
            Ok(false) => {
                line.broken.taken.store(true, Ordering::Relaxed);
                Err(taken(&line.run))
            }
            Err(error) => {
                if !line.broken.failed.swap(true, Ordering::Relaxed) {
                    tracing::warn!(run = %line.run, "its journal is not written: {error}");
                }
                Err(unwritten())
            }
        };
        drop(line.room);
        if let Some(safe) = line.safe {
            // Who waited may be gone.
            let _gone = safe.send(told);
        }
    }
}
