//! What is sent: programs spliced together from those that the escape tests have, with words that
//! reach for the canaries, and seeds of forged frames. All of it follows from one number.

use crate::bait::Bait;
use narrows_testkit::broken_in::forge::{Dice, Forger};
use serde_json::{Value, json};
use std::fs;
use std::path::Path;

/// Changes to one program, at most.
const CHANGES_MAX: usize = 4;
/// Words up to this length are no statements.
const SHORT: usize = 12;
/// A program that grew beyond this is cut.
const CODE_BYTES_MAX: usize = 60_000;

const BRACKETS: [&str; 11] =
    ["(", "[", "{", "`${", "\"", "-", "not ", "()=>", "await ", "*", "\n "];
const STRANGE: [&str; 10] =
    ["\u{0}", "\u{feff}", "\u{202e}", "\u{2028}", "\r", "é", "\u{1f600}", "\\u{110000}", "#", "//"];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Attack {
    /// Programs, on the real gateway.
    Programs,
    /// Frames, by a gateway whose workers somebody broke into.
    Frames,
}

impl Attack {
    /// What evaluates, its language, and how often of ten times.
    pub(crate) fn engines(self) -> &'static [(&'static str, &'static str, usize)] {
        match self {
            Self::Programs => &[
                ("quickjs", "typescript", 3),
                ("wasm", "typescript", 2),
                ("monty", "python", 2),
                ("cpython", "python", 2),
                ("deno", "typescript", 1),
            ],
            Self::Frames => &[("quickjs", "typescript", 5), ("monty", "python", 5)],
        }
    }

    /// A program that calls a tool, where it can, and gives a number.
    pub(crate) fn plain(self, language: &str, number: u32) -> String {
        match (self, language) {
            (Self::Frames, _) => format!("answer {number}"),
            (Self::Programs, "python") => format!("host.echo(n={number})['arguments']['n']"),
            (Self::Programs, _) => {
                format!("return (await host.echo({{ n: {number} }})).arguments.n")
            }
        }
    }
}

/// One attack.
#[derive(Debug, Clone)]
pub(crate) struct Case {
    pub(crate) seed: u64,
    pub(crate) body: Value,
    /// Frames that are sent until the gateway has to refuse one.
    pub(crate) frames: usize,
}

/// What programs are made of.
pub(crate) struct Quarry {
    attack: Attack,
    typescript: Vec<String>,
    python: Vec<String>,
    /// Statements that reach for the canaries, and words that stand anywhere.
    typescript_words: Vec<String>,
    python_words: Vec<String>,
}

impl Quarry {
    pub(crate) fn new(attack: Attack, bait: &Bait) -> Self {
        let fill = |text: &str| -> Vec<String> {
            let text = text
                .replace("@FILE", &bait.file().display().to_string())
                .replace("@SOCKET", &bait.socket().display().to_string())
                .replace("@PORT", &bait.port().to_string())
                .replace("@PID", &bait.pid().to_string());
            text.lines()
                .filter(|line| !line.is_empty())
                .map(|line| line.replace("\\n", "\n"))
                .collect()
        };
        Self {
            attack,
            typescript: corpus(&["programs", "benign", "deno"], "ts"),
            python: corpus(&["programs", "benign", "cpython"], "py"),
            typescript_words: fill(include_str!("words.ts.txt")),
            python_words: fill(include_str!("words.py.txt")),
        }
    }

    /// The attack of a seed.
    pub(crate) fn case(&self, seed: u64) -> Case {
        let mut dice = Dice::new(seed);
        let engines = self.attack.engines();
        let mut at = dice.below(10);
        let (engine, language, _) = *engines
            .iter()
            .find(|(_, _, share)| {
                let hit = at < *share;
                at = at.saturating_sub(*share);
                hit
            })
            .unwrap_or(&engines[0]);
        let (code, frames) = match self.attack {
            Attack::Programs => (self.program(language, &mut dice), 0),
            Attack::Frames => frames(seed, &mut dice),
        };
        let limits = json!({"cpu_ms": 400, "wall_ms": 800, "memory_bytes": 48 << 20, "calls": 200});
        let body = json!({"code": code, "language": language, "engine": engine, "limits": limits});
        Case { seed, body, frames }
    }

    fn program(&self, language: &str, dice: &mut Dice) -> String {
        let (files, words) = if language == "python" {
            (&self.python, &self.python_words)
        } else {
            (&self.typescript, &self.typescript_words)
        };
        let any = |dice: &mut Dice| files.get(dice.below(files.len())).map_or("", String::as_str);
        let mut tokens = split(any(dice));
        // Most is to get past the parser.
        let gentle = !dice.one_in(3);
        for _ in 0..=dice.below(CHANGES_MAX) {
            let other = split(any(dice));
            let word = words.get(dice.below(words.len())).cloned().unwrap_or_default();
            // What grows grows by factors.
            let bytes: usize = tokens.iter().map(String::len).sum();
            if tokens.is_empty() || bytes > CODE_BYTES_MAX {
                break;
            }
            if gentle {
                nudge(&mut tokens, &other, &word, dice);
            } else {
                change(&mut tokens, &other, word, dice);
            }
        }
        let mut code = tokens.concat();
        while code.len() > CODE_BYTES_MAX || !code.is_char_boundary(code.len()) {
            code.pop();
        }
        code
    }
}

/// Mostly forged frames, else one of the calls that no worker may make.
fn frames(seed: u64, dice: &mut Dice) -> (String, usize) {
    const CALLS: [&str; 12] = [
        "call openat",
        "call connect",
        "call sendmsg",
        "call ptrace",
        "call clone",
        "call execve",
        "call kill",
        "call io_uring_setup",
        "call process_vm_readv",
        "close",
        "exit",
        "overflow",
    ];
    if dice.one_in(12) {
        return (dice.pick(&CALLS).to_owned(), 0);
    }
    let seed = seed.to_string();
    let (mut lied, mut frames) = (false, 0);
    for step in Forger::new(&seed).take_while(|step| !std::mem::replace(&mut lied, step.lie)) {
        frames += step.frames;
    }
    (format!("forge {seed}"), frames)
}

fn corpus(folders: &[&str], extension: &str) -> Vec<String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/escape");
    let mut paths = Vec::new();
    for folder in folders {
        paths.extend(fs::read_dir(root.join(folder)).unwrap().map(|entry| entry.unwrap().path()));
    }
    paths.retain(|path| path.extension().is_some_and(|found| found == extension));
    paths.sort();
    let files: Vec<_> = paths.iter().map(|path| fs::read_to_string(path).unwrap()).collect();
    assert!(files.len() > 60, "only {} programs", files.len());
    files
}

/// Names, numbers, spaces, and each other character by itself.
fn split(code: &str) -> Vec<String> {
    let class = |c: char| match c {
        _ if c.is_alphanumeric() || c == '_' => 0,
        ' ' | '\t' => 1,
        _ => 2,
    };
    let mut tokens: Vec<String> = Vec::new();
    for c in code.chars() {
        match tokens.last_mut() {
            Some(last) if class(c) < 2 && last.chars().next_back().map(class) == Some(class(c)) => {
                last.push(c);
            }
            _ => tokens.push(c.to_string()),
        }
    }
    tokens
}

fn change(tokens: &mut Vec<String>, other: &[String], word: String, dice: &mut Dice) {
    let from = dice.below(tokens.len());
    let to = (from + dice.below(6)).min(tokens.len());
    match dice.below(16) {
        0 => drop(tokens.drain(from..to)),
        1 => {
            let piece = tokens[from..to].concat();
            tokens.insert(from, piece.repeat(dice.below(40)));
        }
        2 => {
            let with = dice.below(tokens.len());
            tokens.swap(from, with);
        }
        3 => {
            let most = if dice.one_in(10) { 5_000 } else { 30 };
            tokens.insert(from, dice.pick(&BRACKETS).repeat(dice.below(most)));
        }
        4 => tokens.insert(from, dice.pick(&STRANGE).to_owned()),
        5 | 6 => drop(tokens.splice(from..=from, [word])),
        7..10 => {
            // Lines of another program.
            let (at, start) = (line(tokens, dice), line(other, dice));
            let end = (start + dice.below(200)).min(other.len());
            let end = other[end..]
                .iter()
                .position(|token| token == "\n")
                .map_or(other.len(), |n| end + n + 1);
            tokens.splice(at..at, other[start..end].iter().cloned());
        }
        10..12 => {
            // A name, a number or a mark of another program in the place of one like it.
            let likes: Vec<&String> =
                other.iter().filter(|token| alike(token, &tokens[from])).collect();
            if let Some(with) = likes.get(dice.below(likes.len())) {
                tokens[from].clone_from(with);
            }
        }
        _ => {
            // As a statement of its own.
            let at = line(tokens, dice);
            tokens.insert(at, format!("{word}\n"));
        }
    }
}

/// Changes a program so that it may well still be one.
fn nudge(tokens: &mut Vec<String>, other: &[String], word: &str, dice: &mut Dice) {
    if word.len() > SHORT && !dice.one_in(3) {
        let at = line(tokens, dice);
        return tokens.insert(at, format!("{word}\n"));
    }
    let from = dice.below(tokens.len());
    let named = |token: &&String| token.chars().all(|c| c.is_alphanumeric() || c == '_');
    let likes = other.iter().filter(named).filter(|token| alike(token, &tokens[from]));
    let likes: Vec<&String> = likes.collect();
    if let Some(with) = likes.get(dice.below(likes.len())) {
        tokens[from].clone_from(with);
    }
}

/// Where a line begins that belongs to nothing before it.
fn line(tokens: &[String], dice: &mut Dice) -> usize {
    let ends = tokens.iter().enumerate().filter(|(_, token)| *token == "\n");
    let free = |at: &usize| {
        let first = tokens.get(*at).and_then(|token| token.chars().next());
        first.is_none_or(char::is_alphabetic)
    };
    let starts: Vec<usize> = ends.map(|(at, _)| at + 1).filter(free).collect();
    starts.get(dice.below(starts.len())).copied().unwrap_or(0)
}

fn alike(one: &str, other: &str) -> bool {
    let kind = |token: &str| {
        token.chars().next().map(|c| (c.is_alphabetic(), c.is_numeric(), c.is_whitespace()))
    };
    one != other && kind(one) == kind(other)
}
