//! Frames of every kind, true and false, drawn from a seed: what was found can be had again.

use narrows_worker::Wire;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use std::io::{self, Read, Write};
use std::os::fd::AsFd;

/// Steps of one run, at most.
const STEPS_MAX: u64 = 120;
/// What the host is told without an end, in one step.
const FLOOD: usize = 400;
/// The largest payload that is forged: beyond every limit of the host.
const LARGE_BYTES: usize = 17 << 20;

/// A value that may be told again and again.
const SMALL_BYTES: usize = 200;

/// Kinds of frames: ours, the host's, and none's.
const KINDS: [u8; 14] = [65, 66, 67, 68, 69, 70, 71, 72, 1, 2, 3, 4, 0, 255];
/// Kinds that the host expects of a program that runs.
const HONEST: [u8; 7] = [CALL, CALL, CALL, CALL, 67, 68, 69];
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
    "\\u00e9",
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
/// Texts among them.
const TEXTS: [&str; 4] = ["\"\"", "\"\\u0000\"", "\"\\u001b[2J\"", "\"\\ud83d\\ude00\""];
/// Numbers that count something.
const NUMBERS: [&str; 4] = ["0", "1", "18446744073709551615", "9007199254740993"];
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
    /// Whether any frame is made wrong on purpose, or each is only strange.
    lies: bool,
    /// Bytes of large texts that the frame may still have.
    room: usize,
    calls: u64,
    begun: bool,
    done: bool,
}

impl Forger {
    /// `seed` is a number.
    pub fn new(seed: &str) -> Self {
        let mut dice = Dice::new(seed.trim().parse().unwrap_or_default());
        let left = dice.roll() % STEPS_MAX;
        let lies = dice.one_in(2);
        Self { dice, left, lies, room: 0, calls: 0, begun: false, done: false }
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
                let size = self.dice.below(size).min(self.room);
                self.room -= size;
                format!("\"{}\"", "x".repeat(size))
            }
            _ if self.lies && self.dice.one_in(60) => self.dice.pick(&NOISE).to_owned(),
            _ => self.dice.pick(&WORDS).to_owned(),
        }
    }

    /// What fits a kind, mostly.
    fn payload(&mut self, kind: u8) -> String {
        self.room = LARGE_BYTES;
        let value = self.json(0);
        match kind {
            USES => self.uses(&value),
            CALL => {
                if !self.lies || !self.dice.one_in(30) {
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
                let level = self.dice.pick(&["debug", "info", "warn", "error"]);
                format!("{{\"level\":\"{level}\",\"text\":{}}}", self.text(value))
            }
            68 => {
                let fraction = self.number();
                format!("{{\"fraction\":{fraction},\"message\":{}}}", self.text(value))
            }
            DONE => {
                let limit = self.dice.pick(&["wall_ms", "calls", "stack", "none"]);
                let end = match self.dice.below(5) {
                    0 => format!("{{\"limit\":\"{limit}\"}}"),
                    1 => "\"deadlock\"".to_owned(),
                    2 => {
                        let name = self.text(value);
                        format!(
                            "{{\"threw\":{{\"name\":{name},\"message\":\"\\u0000\",\"at\":[]}}}}"
                        )
                    }
                    _ => format!("{{\"value\":{value}}}"),
                };
                let used = self.number();
                format!(
                    "{{\"end\":{end},\"usage\":{{\"wall_us\":{used},\"cpu_us\":{used},\"memory_bytes\":{used}}}}}"
                )
            }
            71 if !self.lies || !self.dice.one_in(20) => String::new(),
            _ => value,
        }
    }

    /// Where a text is expected.
    fn text(&mut self, value: String) -> String {
        if value.starts_with('"') || self.lies && self.dice.one_in(10) {
            return value;
        }
        self.dice.pick(&TEXTS).to_owned()
    }

    /// Where a number is expected.
    fn number(&mut self) -> &'static str {
        if self.lies && self.dice.one_in(10) {
            return self.dice.pick(&WORDS);
        }
        self.dice.pick(&NUMBERS)
    }

    fn uses(&mut self, value: &str) -> String {
        let many = self.dice.one_in(20) && value.len() < SMALL_BYTES;
        let count = if many { 2_500 } else { self.dice.below(3) };
        let references: Vec<_> = (0..count)
            .map(|_| {
                let (root, member) = (self.dice.pick(&SERVERS), self.dice.pick(&TOOLS));
                let guarded = !self.lies || self.dice.one_in(2);
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

    fn kind(&mut self) -> u8 {
        let of = |from: &[u8], dice: &mut Dice| from.get(dice.below(from.len())).copied();
        let kind = if self.lies && self.dice.one_in(8) {
            of(&KINDS, &mut self.dice)
        } else {
            Some(USES).filter(|_| !self.begun).or_else(|| of(&HONEST, &mut self.dice))
        };
        kind.unwrap_or_default()
    }

    fn step(&mut self) -> Step {
        let kind = self.kind();
        let payload = self.payload(kind);
        let mut bytes = Self::frame(kind, payload.as_bytes());
        let lie = self.lies && self.begun && self.dice.one_in(12);
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
pub(super) fn forge(wire: &mut Wire, forger: Forger) -> io::Result<()> {
    for step in forger {
        let size = step.bytes.len().div_ceil(step.pieces).max(1);
        for piece in step.bytes.chunks(size) {
            wire.write_all(piece)?;
            if step.pieces > 1 {
                pause()?;
            }
        }
        if step.listens {
            hear(wire)?;
        }
    }
    Ok(())
}

/// Sends the longest frame there is, byte by byte.
pub(super) fn drip(wire: &mut Wire) -> io::Result<()> {
    let frame = Forger::frame(67, &vec![b' '; 60_000]);
    frame.iter().try_for_each(|byte| {
        wire.write_all(&[*byte])?;
        pause()
    })
}

/// A millisecond.
fn pause() -> io::Result<()> {
    Ok(poll(&mut [], PollTimeout::from(1_u8)).map(drop)?)
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
