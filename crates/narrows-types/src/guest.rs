//! Words that the first process of a virtual machine says to the host on its console, one a line.

/// Begins the line that tells how the worker ended: `exit` or `signal`, the number, and the
/// processor time that it used in microseconds.
pub const ENDED: &str = "narrows-ended";

/// Begins the line that tells why the machine cannot run a worker.
pub const FAILED: &str = "narrows-failed";

/// The line of a worker that is warm and waits for its host to connect.
pub const LISTENS: &str = "narrows-listens";

/// The word before the worker's own arguments where it is the first process of a virtual machine.
pub const FIRST: &str = "guest";
