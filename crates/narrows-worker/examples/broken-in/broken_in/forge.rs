//! Frames of every kind, true and false, drawn from a seed: what was found can be had again.

use narrows_worker::Wire;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use std::io::{self, Read, Write};
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

/// Steps of one run, at most.
const STEPS_MAX: u64 = 120;
/// What the host is told without an end, in one step.
const FLOOD: usize = 400;
/// The largest payload that is forged: beyond every limit of the host.
const LARGE_BYTES: usize = 17 << 20;

/// Kinds of frames: ours, the host's, and none's.
const KINDS: [u8; 14] = [65, 66, 67, 68, 69, 70, 71, 72, 1, 2, 3, 4, 0, 255];
const USES: u8 = 65;
const CALL: u8 = 66;
const DONE: u8 = 70;

/// Names of servers, ours among them.
const SERVERS: [&str; 8] =
    ["host", "host", "narrows", "narrows", "", "../host", "__proto__", "h\\u0000"];
/// Names of tools, of those that are no tools, too.
const TOOLS: [&str; 14] = [
    "echo",
    "fail",
    "hang",
    "wait",
    "search",
    "artifact",
    "session_get",
    "session_set",
    "session_delete",
    "session_list",
    "",
    "constructor",
    "\\ud800",
    "tools/call",
];
/// Values, each of which something may choke on.
const WORDS: [&str; 19] = [
    "null",
    "true",
    "0",
    "-0",
    "-1",
    "1e300",
    "-1e-400",
    "18446744073709551616",
    "0.1e1",
    "9007199254740993",
    "\"\"",
    "\"x\"",
    "\"\\u0000\"",
    "\"\\ud83d\\ude00\"",
    "\"\\u001b[2J\"",
    "\"../../etc/passwd\"",
    "{}",
    "{\"__proto__\":{\"a\":1}}",
    "{\"a\":1,\"a\":2}",
];
/// What is no JSON, or hardly.
const NOISE: [&str; 6] = ["1e400", "\"\\ud800\"", "nul", "\"", "\u{feff}1", "\u{0}"];
/// Keys that something inside of the gateway may listen to.
const KEYS: [&str; 16] = [
    "a", "id", "server", "tool", "args", "text", "level", "query", "handle", "key", "value",
    "until_us", "ttl_s", "type", "data", "end",
];

/// Chance that can be had again.
#[derive(Debug, Clone)]
pub struct Dice(u64);

impl Dice {
    /// Always the same for a seed.
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// Any number (splitmix64).
    pub fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `end`; 0 where there is none.
    pub fn below(&mut self, end: usize) -> usize {
        let end = u64::try_from(end.max(1)).unwrap_or(1);
        usize::try_from(self.roll() % end).unwrap_or(0)
    }

    /// Whether one of so many came.
    pub fn one_in(&mut self, many: usize) -> bool {
        self.below(many) == 0
    }

    /// One of them.
    pub fn pick<'a>(&mut self, from: &[&'a str]) -> &'a str {
        from.get(self.below(from.len())).copied().unwrap_or_default()
    }
}

/// One thing that is sent.
#[derive(Debug)]
pub struct Step {
    /// What goes onto the wire.
    pub bytes: Vec<u8>,
    /// Frames in it.
    pub frames: usize,
    /// No honest worker sends it.
    pub lie: bool,
    /// In so many pieces, with a pause between them.
    pieces: usize,
    /// Hears what the host has to say afterwards.
    listens: bool,
}

/// Draws the steps of one run.
#[derive(Debug)]
pub struct Forger {
    dice: Dice,
    left: u64,
    calls: u64,
    begun: bool,
    done: bool,
}

impl Forger {
    /// `seed` is a number.
    pub fn new(seed: &str) -> Self {
        let mut dice = Dice::new(seed.trim().parse().unwrap_or_default());
        let left = dice.roll() % STEPS_MAX;
        Self { dice, left, calls: 0, begun: false, done: false }
    }

    /// A frame with a true length.
    fn frame(kind: u8, payload: &[u8]) -> Vec<u8> {
        let length = u32::try_from(payload.len().saturating_add(1)).unwrap_or(u32::MAX);
        let mut bytes = length.to_le_bytes().to_vec();
        bytes.push(kind);
        bytes.extend_from_slice(payload);
        bytes
    }

    /// A value, or almost one.
    fn json(&mut self, depth: usize) -> String {
        let count = self.dice.below(4);
        match self.dice.below(if depth > 5 { 8 } else { 12 }) {
            8 | 9 => {
                let items: Vec<_> = (0..count).map(|_| self.json(depth + 1)).collect();
                format!("[{}]", items.join(","))
            }
            10 | 11 => {
                let fields = (0..count).map(|_| {
                    let key = self.dice.pick(&KEYS);
                    format!("\"{key}\":{}", self.json(depth + 1))
                });
                let fields: Vec<_> = fields.collect();
                format!("{{{}}}", fields.join(","))
            }
            7 if self.dice.one_in(4) => {
                let deep = self.dice.below(2_000);
                format!("{}{}", "[".repeat(deep), "]".repeat(deep))
            }
            6 if self.dice.one_in(8) => {
                let size = if self.dice.one_in(40) { LARGE_BYTES } else { 40_000 };
                format!("\"{}\"", "x".repeat(self.dice.below(size)))
            }
            _ if self.dice.one_in(60) => self.dice.pick(&NOISE).to_owned(),
            _ => self.dice.pick(&WORDS).to_owned(),
        }
    }

    /// What fits a kind, mostly.
    fn payload(&mut self, kind: u8) -> String {
        let value = self.json(0);
        match kind {
            USES => self.uses(&value),
            CALL => {
                if !self.dice.one_in(30) {
                    self.calls = self.calls.wrapping_add(1);
                }
                let (server, tool) = (self.dice.pick(&SERVERS), self.dice.pick(&TOOLS));
                let args = if self.dice.one_in(6) {
                    value
                } else {
                    format!("{{\"{}\":{value}}}", self.dice.pick(&KEYS))
                };
                format!(
                    "{{\"id\":{},\"server\":\"{server}\",\"tool\":\"{tool}\",\"args\":{args}}}",
                    self.calls
                )
            }
            67 => {
                let level = self.dice.pick(&["debug", "info", "warn", "error", "fatal"]);
                format!("{{\"level\":\"{level}\",\"text\":{value}}}")
            }
            68 => {
                let fraction = self.dice.pick(&WORDS);
                format!("{{\"fraction\":{fraction},\"message\":{value}}}")
            }
            DONE => {
                let limit = self.dice.pick(&["wall_ms", "calls", "stack", "none"]);
                let end = match self.dice.below(5) {
                    0 => format!("{{\"limit\":\"{limit}\"}}"),
                    1 => "\"deadlock\"".to_owned(),
                    2 => format!(
                        "{{\"threw\":{{\"name\":{value},\"message\":\"\\u0000\",\"at\":[]}}}}"
                    ),
                    _ => format!("{{\"value\":{value}}}"),
                };
                let used = self.dice.pick(&WORDS);
                format!(
                    "{{\"end\":{end},\"usage\":{{\"wall_us\":{used},\"cpu_us\":{used},\"memory_bytes\":{used}}}}}"
                )
            }
            71 if !self.dice.one_in(20) => String::new(),
            _ => value,
        }
    }

    fn uses(&mut self, value: &str) -> String {
        let count = if self.dice.one_in(20) { 2_500 } else { self.dice.below(3) };
        let references: Vec<_> = (0..count)
            .map(|_| {
                let (root, member) = (self.dice.pick(&SERVERS), self.dice.pick(&TOOLS));
                let guarded = self.dice.one_in(2);
                format!(
                    "{{\"root\":\"{root}\",\"path\":[\"{member}\"],\"at\":{{\"line\":1,\"column\":0}},\
                     \"arguments\":[{{\"keyword\":null,\"value\":{{\"known\":{value}}},\"at\":{{\"line\":4294967295,\"column\":1}}}}],\
                     \"guarded\":{guarded}}}"
                )
            })
            .collect();
        format!("{{\"references\":[{}],\"findings\":[]}}", references.join(","))
    }

    /// Makes a frame that was well-formed into one that is not, somewhere.
    fn twist(&mut self, bytes: &mut Vec<u8>) {
        let at = self.dice.below(bytes.len());
        let any = u8::try_from(self.dice.below(256)).unwrap_or_default();
        match self.dice.below(6) {
            0 => {
                let bit = 1 << self.dice.below(8);
                bytes.iter_mut().skip(at).take(1).for_each(|byte| *byte ^= bit);
            }
            1 => bytes.truncate(at),
            2 => bytes.insert(at, any),
            3 => {
                let length = [0, 1, u32::MAX, 1 << 31, 16 << 20, 65_537];
                let length = length.get(self.dice.below(length.len())).copied().unwrap_or_default();
                bytes.splice(..bytes.len().min(4), length.to_le_bytes());
            }
            4 => bytes.iter_mut().skip(4).take(1).for_each(|kind| *kind = any),
            _ => {
                let again: Vec<u8> = bytes.iter().skip(at).copied().collect();
                bytes.extend(again);
            }
        }
    }

    fn step(&mut self) -> Step {
        // Most of what is said first is what the host expects: else no lie would get any further.
        let mut kind = KINDS.get(self.dice.below(KINDS.len())).copied().unwrap_or_default();
        if kind > 72 || kind < USES || !self.begun && kind != DONE {
            kind = if self.dice.one_in(8) {
                kind
            } else if self.begun {
                CALL
            } else {
                USES
            };
        }
        if matches!(kind, DONE | USES) && self.begun && !self.dice.one_in(10) {
            kind = CALL;
        }
        let payload = self.payload(kind);
        let mut bytes = Self::frame(kind, payload.as_bytes());
        let lie = self.begun && self.dice.one_in(12);
        self.begun = true;
        let mut frames = 1;
        if lie {
            self.twist(&mut bytes);
        } else if matches!(kind, 67 | 68 | 71) && self.dice.one_in(10) && bytes.len() < 1_000 {
            frames = FLOOD;
            bytes = bytes.repeat(FLOOD);
        }
        let pieces = if self.dice.one_in(6) { self.dice.below(12).saturating_add(2) } else { 1 };
        Step { bytes, frames, lie, pieces, listens: self.dice.one_in(3) }
    }
}

impl Iterator for Forger {
    type Item = Step;

    fn next(&mut self) -> Option<Step> {
        if self.done {
            return None;
        }
        if let Some(left) = self.left.checked_sub(1) {
            self.left = left;
            return Some(self.step());
        }
        self.done = true;
        let last = Self::frame(DONE, b"{\"end\":{\"value\":7}}");
        let cut = if self.dice.one_in(4) { self.dice.below(last.len()) } else { last.len() };
        let bytes = last.into_iter().take(cut).collect();
        Some(Step { bytes, frames: 1, lie: false, pieces: 1, listens: self.dice.one_in(8) })
    }
}

/// Sends all of it, or as much as the host takes.
pub(super) fn forge(mut wire: Wire, forger: Forger) -> io::Result<()> {
    for step in forger {
        let size = step.bytes.len().div_ceil(step.pieces).max(1);
        for piece in step.bytes.chunks(size) {
            wire.write_all(piece)?;
            if step.pieces > 1 {
                pause(Duration::from_micros(300));
            }
        }
        if step.listens {
            hear(&mut wire)?;
        }
    }
    Ok(())
}

/// No call that a sealed worker may make sleeps.
fn pause(time: Duration) {
    let begun = Instant::now();
    while begun.elapsed() < time {
        std::hint::spin_loop();
    }
}

/// Takes what the host says next, if it does within a short time.
fn hear(wire: &mut Wire) -> io::Result<()> {
    let mut buffer = vec![0; 64 << 10];
    let mut descriptors = [PollFd::new(wire.as_fd(), PollFlags::POLLIN)];
    if poll(&mut descriptors, PollTimeout::from(3_u8))? > 0 {
        wire.read(&mut buffer).map(drop)?;
    }
    Ok(())
}
