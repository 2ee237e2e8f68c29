//! The scripts, each with what it needs of the common parts before it.

use redis::Script;
use std::sync::LazyLock;

macro_rules! script {
    ($name:ident: $($part:literal),+) => {
        pub(super) static $name: LazyLock<Source> = LazyLock::new(|| {
            Source::new(concat!(include_str!("lua/base.lua"), $(include_str!($part)),+))
        });
    };
}

/// A script and the name that the server knows it by.
pub(super) struct Source {
    pub(super) text: &'static str,
    pub(super) hash: String,
}

impl Source {
    fn new(text: &'static str) -> Self {
        Self { text, hash: Script::new(text).get_hash().to_owned() }
    }
}

script!(WRITE: "lua/records.lua", "lua/write.lua");
script!(LIST: "lua/records.lua", "lua/list.lua");
script!(READ: "lua/records.lua", "lua/read.lua");
script!(SWEEP: "lua/records.lua", "lua/sweep.lua");
script!(TOTAL: "lua/total.lua");
script!(ENQUEUE: "lua/queue.lua", "lua/enqueue.lua");
script!(CLAIM: "lua/queue.lua", "lua/claim.lua");
script!(BEAT: "lua/queue.lua", "lua/beat.lua");
script!(SETTLE: "lua/queue.lua", "lua/settle.lua");
script!(CANCEL: "lua/queue.lua", "lua/cancel.lua");
script!(REVIVE: "lua/queue.lua", "lua/revive.lua");
script!(JOBS: "lua/queue.lua", "lua/jobs.lua");
script!(FORGET: "lua/queue.lua", "lua/forget.lua");
script!(DEPTH: "lua/depth.lua");
