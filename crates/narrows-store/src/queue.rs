//! Jobs: one row each, handed out under a lease.
//!
//! The attempt's number is the fencing token of all that a worker says of a job: whoever lost the
//! lease is not heard any more. Crash recovery is the claim itself.

/// Where a job is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum JobState {
    /// It waits for its time and a worker.
    Queued,
    /// A worker has it.
    Running,
    /// It waits for somebody's answer, without a worker.
    Paused,
    /// It ended with a result.
    Done,
    /// It ended with an error that no retry mends.
    Failed,
    /// Its attempts are used up.
    Dead,
    /// Somebody cancelled it.
    Cancelled,
}

impl JobState {
    /// Every state.
    pub const ALL: [Self; 7] = [
        Self::Queued,
        Self::Running,
        Self::Paused,
        Self::Done,
        Self::Failed,
        Self::Dead,
        Self::Cancelled,
    ];

    /// Its name in the store and outside.
    pub fn name(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Running => "running",
            Self::Paused => "paused",
            Self::Done => "done",
            Self::Failed => "failed",
            Self::Dead => "dead",
            Self::Cancelled => "cancelled",
        }
    }

    /// The state of this name.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.name() == name)
    }

    /// Nothing happens to it any more by itself.
    pub fn over(self) -> bool {
        matches!(self, Self::Done | Self::Failed | Self::Dead | Self::Cancelled)
    }
}

/// A job to enqueue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewJob {
    /// Unguessable, or derived from what makes it the same job.
    pub id: String,
    /// Who asked for it.
    pub principal: String,
    /// Among whom the workers are shared fairly.
    pub tenant: String,
    /// Higher goes first.
    pub priority: i32,
    /// Milliseconds from now until it may begin.
    pub delay_ms: u64,
    /// How often it may be begun.
    pub max_attempts: u32,
    /// What is to be done.
    pub body: Vec<u8>,
    /// With it the job is running already, in this worker's hands: attempt 1, for the lease.
    pub running: Option<Taken>,
}

/// A lease that begins with the job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Taken {
    /// Whose.
    pub worker: String,
    /// For how long.
    pub lease_ms: u64,
}

/// A job as it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JobRow {
    /// Its id.
    pub id: String,
    /// Who asked for it.
    pub principal: String,
    /// Among whom the workers are shared fairly.
    pub tenant: String,
    /// Where it is.
    pub state: JobState,
    /// How often it was begun.
    pub attempt: u32,
    /// How often it may be begun.
    pub max_attempts: u32,
    /// Higher goes first.
    pub priority: i32,
    /// Unix milliseconds when it may begin, or when its lease ends.
    pub visible_ms: u64,
    /// Who has it or had it last.
    pub worker: String,
    /// Whether its end was asked for.
    pub cancel: bool,
    /// What it said last of its progress, JSON; empty if nothing.
    pub progress: String,
    /// Its result, once it is done.
    pub result: Vec<u8>,
    /// What went wrong last; empty if nothing.
    pub error: String,
    /// Unix milliseconds when it was enqueued.
    pub created_ms: u64,
    /// Unix milliseconds when it was over; 0 while it is not.
    pub finished_ms: u64,
    /// What is to be done.
    pub body: Vec<u8>,
}

/// What a worker wants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claim {
    /// Who.
    pub worker: String,
    /// At most so many jobs.
    pub count: u32,
    /// For how long.
    pub lease_ms: u64,
    /// Tenants with so many jobs running get no more.
    pub tenant_running_max: u32,
}

/// A worker still has this job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Beat {
    /// Which.
    pub id: String,
    /// Its attempt.
    pub attempt: u32,
    /// New progress, JSON.
    pub progress: Option<String>,
}

/// What a worker hears of a job that it has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pulse {
    /// Go on.
    Held,
    /// Somebody cancelled it: stop and settle.
    Cancel,
    /// The lease was lost: stop, and say nothing.
    Lost,
}

/// How an attempt ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settle {
    /// Which job.
    pub id: String,
    /// Its attempt.
    pub attempt: u32,
    /// How.
    pub outcome: Outcome,
}

/// How an attempt ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// With a result.
    Done(Vec<u8>),
    /// With an error; again after so many milliseconds if attempts are left (dead if not), or never.
    Failed {
        /// What went wrong.
        error: String,
        /// After how long to begin again; never without it.
        retry_ms: Option<u64>,
    },
    /// It waits for somebody's answer; what for, as JSON, becomes its progress. If it was revived
    /// meanwhile it is queued again at once.
    Paused(String),
    /// It was cancelled.
    Cancelled,
    /// The worker stops: somebody else may begin at once, and this attempt does not count.
    Released,
}

/// Which jobs to list.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct JobFilter {
    /// Only this principal's.
    pub principal: Option<String>,
    /// Only in this state.
    pub state: Option<JobState>,
    /// Only those that were enqueued before: created, id of the last page's last.
    pub after: Option<(u64, String)>,
    /// At most so many.
    pub limit: usize,
}

/// How many jobs there are in each state, in the order of [`JobState::ALL`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Depth(pub [u64; 7]);
