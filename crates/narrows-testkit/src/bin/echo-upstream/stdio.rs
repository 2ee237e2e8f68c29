//! One message a line: what came in one read is answered in one write.

use crate::answer::{When, answer};
use std::io::{Read, Write};

const READ_BYTES: usize = 256 << 10;

pub(crate) fn serve() -> std::io::Result<()> {
    let (mut input, mut held) = (std::io::stdin().lock(), Vec::new());
    let mut chunk = vec![0; READ_BYTES];
    loop {
        let read = input.read(&mut chunk)?;
        if read == 0 {
            return Ok(());
        }
        held.extend_from_slice(chunk.get(..read).unwrap_or_default());
        let Some(end) = held.iter().rposition(|b| *b == b'\n') else { continue };
        let mut out = Vec::with_capacity(end);
        for line in held.get(..end).unwrap_or_default().split(|b| *b == b'\n') {
            take(line, &mut out);
        }
        write(&out)?;
        held.drain(..=end);
    }
}

fn take(line: &[u8], out: &mut Vec<u8>) {
    if line.trim_ascii().is_empty() {
        return;
    }
    let start = out.len();
    match answer(line, out) {
        None => {}
        Some(When::Now) => out.push(b'\n'),
        Some(When::Never) => out.truncate(start),
        Some(When::After(pause)) => {
            let mut late = out.split_off(start);
            late.push(b'\n');
            std::thread::spawn(move || {
                std::thread::sleep(pause);
                // A client that went away is the end of the input too.
                let _gone = write(&late);
            });
        }
    }
}

fn write(bytes: &[u8]) -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    out.write_all(bytes)?;
    out.flush()
}
