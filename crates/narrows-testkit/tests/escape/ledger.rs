//! What was tried on which back end: one line for each attack, in the file that `cargo xtask test`
//! names. From it comes the table at the end of a test run, and whether a back end is missing.

use std::fs::OpenOptions;
use std::io::Write as _;

/// The file.
const LEDGER: &str = "NARROWS_LEDGER";
/// Back ends that somebody goes without, with commas between them.
const WITHOUT: &str = "NARROWS_WITHOUT";

/// An attack came to its end. What counts is that it was made: how it ended is judged by its test.
pub(crate) fn ran(place: &str, kind: &str, name: &str) {
    let name: String = name.chars().take(60).collect();
    write(&["ran", place, kind, &name.replace(char::is_control, " ")]);
}

/// Whether somebody goes without a back end.
pub(crate) fn left_out(place: &str) -> bool {
    let without = std::env::var(WITHOUT).unwrap_or_default();
    let named = without.split(',').any(|name| name.trim() == place);
    if named {
        write(&["missing", place, &format!("{WITHOUT} names it")]);
    }
    named
}

/// What a back end needs is not there. Under `cargo xtask test` that is a failure; whoever runs a test
/// by itself is told.
pub(crate) fn missing(place: &str, why: &str) {
    if std::env::var_os(LEDGER).is_some() {
        broken(place, why);
    }
    tell(&format!("{place} did not run: {why}"));
}

/// A back end does not start.
pub(crate) fn broken(place: &str, why: &str) -> ! {
    let why = why.replace(char::is_control, " ");
    write(&["missing", place, &why]);
    panic!("{place} did not run: {why}; mend that, or go without it: {WITHOUT}={place}");
}

#[expect(clippy::print_stderr, reason = "for whoever runs a test by itself")]
fn tell(line: &str) {
    eprintln!("{line}");
}

fn write(words: &[&str]) {
    let Some(path) = std::env::var_os(LEDGER) else { return };
    // One write each: other tests write too.
    let line = words.join("\t") + "\n";
    let mut file = OpenOptions::new().append(true).create(true).open(path).unwrap();
    file.write_all(line.as_bytes()).unwrap();
}
