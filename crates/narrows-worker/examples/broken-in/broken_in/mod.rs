//! An engine that a program has taken over: it makes any system call and writes any bytes that it
//! is told to. The tests of `narrows-testkit` have it in workers of every kind.

mod calls;
pub mod forge;

use forge::Forger;
use narrows_types::frame::{Done, End, FromWorker, Program};
use narrows_types::{ProgramError, Usage};
use narrows_worker::{Engine, Stopped, Wire};
use serde_json::value::RawValue;
use std::io::{Read, Write};
use std::process::ExitCode;

/// The program's text says what it does: `call NAME`, `bytes HEX`, `flood HEX`, `answer JSON`,
/// `late HEX`, `forge SEED`, `drip`, `spin`, `eat`, `exit`, `close`, `silent`, `overflow`.
#[derive(Debug)]
pub struct BrokenIn;

impl Engine for BrokenIn {
    const SAMPLE: &'static str = "rehearse";

    fn run(&mut self, mut stream: Wire, program: &Program) -> Result<Wire, Stopped> {
        let (what, how) = program.code.split_once(' ').unwrap_or((program.code.as_str(), ""));
        let end = match what {
            "call" => match calls::make(how) {
                Some(outcome) => value(&outcome),
                None => threw(&format!("no such call here: {how}")),
            },
            "bytes" => {
                stream.write_all(&unhex(how)).map_err(stopped)?;
                return hang(stream);
            }
            "flood" => {
                let piece = unhex(how).repeat(1_000);
                loop {
                    stream.write_all(&piece).map_err(stopped)?;
                }
            }
            "forge" => {
                forge::forge(&mut stream, Forger::new(how)).map_err(stopped)?;
                return Ok(stream);
            }
            "drip" => {
                forge::drip(&mut stream).map_err(stopped)?;
                return Ok(stream);
            }
            "answer" => value(how),
            "late" => value("null"),
            "spin" => loop {
                std::hint::spin_loop();
            },
            "eat" => eat(),
            "exit" => return Ok(stream),
            "close" => {
                drop(stream);
                loop {
                    std::hint::spin_loop();
                }
            }
            "silent" => return hang(stream),
            "overflow" => value(&calls::overflow(0).to_string()),
            other => threw(&format!("unknown: {other}")),
        };
        let done = FromWorker::Done(Box::new(Done { end, usage: Usage::default() }));
        let bytes = done.encode().map_err(|error| Stopped(error.to_string()))?;
        stream.write_all(&bytes).map_err(stopped)?;
        if what == "late" {
            stream.write_all(&unhex(how)).map_err(stopped)?;
        }
        Ok(stream)
    }
}

/// Stands for an interpreter beside its worker that a program has taken over: `call NAME` in the
/// program's text says what it does.
pub fn beside() -> ExitCode {
    let mut prefix = [0; 4];
    let mut begin = Vec::new();
    let mut input = std::io::stdin();
    let read = input.read_exact(&mut prefix).and_then(|()| {
        begin.resize(u32::from_le_bytes(prefix) as usize, 0);
        input.read_exact(&mut begin)
    });
    let text = String::from_utf8_lossy(&begin);
    let name = text.split_once("call ").map_or("", |(_, rest)| rest);
    let name = name.split(|c: char| !c.is_ascii_alphanumeric() && c != '-' && c != '_').next();
    let end = match name.and_then(calls::make_and_tell) {
        Some(outcome) => value(&outcome),
        None => threw(&format!("no such call here: {name:?}")),
    };
    let done = FromWorker::Done(Box::new(Done { end, usage: Usage::default() })).encode();
    let said = read.is_ok() && done.is_ok_and(|done| std::io::stdout().write_all(&done).is_ok());
    if said { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

#[expect(clippy::needless_pass_by_value, reason = "it is given to map_err")]
fn stopped(error: std::io::Error) -> Stopped {
    Stopped(error.to_string())
}

/// Says nothing until the host is tired of it.
fn hang(mut stream: Wire) -> Result<Wire, Stopped> {
    let mut buffer = [0; 64];
    while stream.read(&mut buffer).map_err(stopped)? > 0 {}
    Ok(stream)
}

/// Takes memory behind the engine's back until there is none.
fn eat() -> End {
    let mut eaten: Vec<Vec<u8>> = Vec::new();
    loop {
        eaten.push(vec![1; 1 << 20]);
        if eaten.len() > 16 << 10 {
            return value("\"16 GiB\"");
        }
    }
}

fn value(json: &str) -> End {
    match RawValue::from_string(json.to_owned()) {
        Ok(value) => End::Value(value),
        Err(error) => threw(&error.to_string()),
    }
}

fn threw(message: &str) -> End {
    let (name, message) = ("Error".to_owned(), message.to_owned());
    End::Threw(ProgramError { name, message, at: Vec::new() })
}

fn unhex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> =
        text.chars().filter_map(|c| c.to_digit(16)).filter_map(|d| u8::try_from(d).ok()).collect();
    digits
        .chunks_exact(2)
        .map(|pair| pair.iter().fold(0, |byte, digit| byte << 4 | digit))
        .collect()
}
