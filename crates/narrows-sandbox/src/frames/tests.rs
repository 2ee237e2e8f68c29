use super::{Broken, Frames};
use narrows_types::frame::{Call, Done, End, FromWorker, Log};
use narrows_types::{LogLevel, Usage};
use serde_json::value::RawValue;
use std::time::Duration;
use tokio::io::{AsyncWriteExt, DuplexStream, duplex};
use tokio::task::JoinSet;

const VALUE_BYTES: usize = 1 << 20;

fn raw(json: &str) -> Box<RawValue> {
    RawValue::from_string(json.to_owned()).unwrap()
}

fn call(id: u32) -> Vec<u8> {
    let call = Call { id, server: "s".to_owned(), tool: "t".to_owned(), args: raw("{}") };
    FromWorker::Call(call).encode().unwrap()
}

fn uses() -> Vec<u8> {
    FromWorker::Uses(Box::default()).encode().unwrap()
}

fn done() -> Vec<u8> {
    let end = End::Value(raw("1"));
    FromWorker::Done(Box::new(Done { end, usage: Usage::default() })).encode().unwrap()
}

fn log() -> Vec<u8> {
    FromWorker::Log(Log { level: LogLevel::Info, text: "x".to_owned() }).encode().unwrap()
}

fn bare(length: u32, rest: &[u8]) -> Vec<u8> {
    let mut bytes = length.to_le_bytes().to_vec();
    bytes.extend_from_slice(rest);
    bytes
}

fn frames() -> (DuplexStream, Frames<DuplexStream>) {
    let (worker, host) = duplex(1 << 20);
    (worker, Frames::new(host))
}

/// What becomes of these bytes: how many good frames, then why no more.
async fn fate(bytes: &[u8]) -> (usize, String) {
    let (mut worker, mut frames) = frames();
    worker.write_all(bytes).await.unwrap();
    drop(worker);
    let mut good = 0;
    loop {
        match frames.next(VALUE_BYTES).await {
            Ok(_) => good += 1,
            Err(Broken::Closed) => return (good, "closed".to_owned()),
            Err(Broken::Protocol(how)) => return (good, how),
        }
    }
}

#[tokio::test]
async fn hostile_frames_end_at_the_first_bad_byte() {
    for (name, bytes, good, why) in [
        ("nothing", vec![], 0, "closed"),
        ("an empty frame", bare(0, b""), 0, "an empty frame"),
        ("a huge length", bare(u32::MAX, b"F"), 0, "a frame of kind 70 with 4294967295 bytes"),
        ("a frame for the worker", bare(2, &[1, b'{']), 0, "a frame of unknown kind 1"),
        ("an unknown kind", bare(2, &[255, 0]), 0, "a frame of unknown kind 255"),
        ("garbage json", bare(5, b"Bnope"), 0, "bad frame"),
        ("a large progress", bare(4_097, b"D"), 0, "a frame of kind 68 with"),
        ("a large log", bare(1 << 20, b"C"), 0, "a frame of kind 67 with"),
        ("half a frame", bare(100, b"A{"), 0, "closed"),
        ("a call first", call(1), 0, "a call frame out of turn"),
        ("a log first", log(), 0, "a log frame out of turn"),
        ("uses twice", [uses(), uses()].concat(), 1, "a uses frame out of turn"),
        ("a call skipped", [uses(), call(2)].concat(), 1, "call 2 out of order, expected 1"),
        ("a call twice", [uses(), call(1), call(1)].concat(), 2, "call 1 out of order"),
        ("call 0", [uses(), call(0)].concat(), 1, "call 0 out of order"),
        ("done twice", [uses(), done(), done()].concat(), 2, "a done frame out of turn"),
        ("a log after done", [uses(), done(), log()].concat(), 2, "a log frame out of turn"),
        ("all in order", [uses(), log(), call(1), call(2), done()].concat(), 5, "closed"),
        ("done at once", done(), 1, "closed"),
    ] {
        let (got, reason) = fate(&bytes).await;
        assert_eq!(got, good, "{name}: {reason}");
        assert!(reason.starts_with(why), "{name}: {reason}");
    }
}

#[tokio::test]
async fn a_frame_that_comes_byte_by_byte_survives_a_dropped_wait() {
    let (mut worker, mut frames) = frames();
    let bytes = [uses(), call(1)].concat();
    let (last, first) = bytes.split_last().unwrap();
    for byte in first {
        worker.write_all(&[*byte]).await.unwrap();
        // Each wait is given up; a frame that is complete comes out of one of them.
        let wait = tokio::time::timeout(Duration::from_micros(10), frames.next(VALUE_BYTES));
        if let Ok(frame) = wait.await {
            assert!(matches!(frame, Ok(FromWorker::Uses(_))));
        }
    }
    worker.write_all(&[*last]).await.unwrap();
    let mut frame = frames.next(VALUE_BYTES).await.unwrap();
    if matches!(frame, FromWorker::Uses(_)) {
        frame = frames.next(VALUE_BYTES).await.unwrap();
    }
    assert!(matches!(frame, FromWorker::Call(call) if call.id == 1));
}

#[tokio::test]
async fn a_flood_blocks_the_worker_and_not_the_host() {
    let (mut worker, mut frames) = frames();
    let mut flood = JoinSet::new();
    flood.spawn(async move {
        let line = log();
        worker.write_all(&uses()).await.unwrap();
        let mut sent = 0_usize;
        while worker.write_all(&line).await.is_ok() {
            sent += line.len();
        }
        sent
    });
    for _ in 0..100 {
        frames.next(VALUE_BYTES).await.unwrap();
    }
    assert!(frames.buffer.capacity() <= 1 << 20, "{}", frames.buffer.capacity());
    drop(frames);
    let sent = flood.join_next().await.unwrap().unwrap();
    assert!(sent < 4 << 20, "{sent} bytes went through");
}

async fn all(frames: &mut Frames<DuplexStream>, count: usize) {
    for _ in 0..count {
        frames.next(VALUE_BYTES).await.unwrap();
    }
}

#[tokio::test]
async fn a_worker_that_is_kept_begins_anew() {
    let (mut worker, mut frames) = frames();
    for _ in 0..2 {
        worker.write_all(&[uses(), call(1), call(2), done()].concat()).await.unwrap();
        all(&mut frames, 4).await;
        frames.begin().unwrap();
    }
    // Its calls count from 1 again, and nothing of the program before may come.
    for (bytes, why) in [(call(1), "a call frame out of turn"), (log(), "a log frame out of turn")]
    {
        let (mut worker, mut frames) = self::frames();
        worker.write_all(&[uses(), done()].concat()).await.unwrap();
        all(&mut frames, 2).await;
        frames.begin().unwrap();
        worker.write_all(&bytes).await.unwrap();
        match frames.next(VALUE_BYTES).await {
            Err(Broken::Protocol(how)) => assert_eq!(how, why),
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test]
async fn a_word_without_a_program_is_the_end() {
    let says =
        |broken: Broken| matches!(broken, Broken::Protocol(how) if how.contains("no program"));
    // Behind its last frame, with it or later.
    for together in [true, false] {
        let (mut worker, mut frames) = frames();
        worker.write_all(&[uses(), done()].concat()).await.unwrap();
        if together {
            worker.write_all(&log()).await.unwrap();
        }
        all(&mut frames, 2).await;
        if !together {
            let silent = tokio::time::timeout(Duration::from_millis(20), frames.silence()).await;
            assert!(silent.is_err());
            worker.write_all(&[0]).await.unwrap();
        }
        assert!(says(frames.silence().await));
        assert!(says(frames.begin().unwrap_err()));
    }
    let (worker, mut frames) = frames();
    drop(worker);
    assert!(matches!(frames.silence().await, Broken::Closed));
}
