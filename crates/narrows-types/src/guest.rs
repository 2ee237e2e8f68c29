//! Words that are said to the host on a virtual machine's console, one a line: by whoever starts the
//! hypervisor, and then by the guest's first process.

/// Begins the line that tells how the worker ended: `exit` or `signal`, the number, and the
/// processor time that it used in microseconds.
pub const ENDED: &str = "narrows-ended";

/// Begins the line that tells why the machine cannot run a worker.
pub const FAILED: &str = "narrows-failed";

/// The line of a worker that is warm and waits for its host to connect.
pub const LISTENS: &str = "narrows-listens";

/// The word before the worker's own arguments where it is the first process of a virtual machine.
pub const FIRST: &str = "guest";

/// The word before the orders of a worker that becomes a hypervisor, behind walls of its own.
pub const HYPERVISOR: &str = "hypervisor";

/// Begins a line about a wall around a hypervisor: the layer's name and, where it does not hold, why.
pub const WALL: &str = "narrows-wall";

/// The line after the last such one; what follows is the hypervisor's and its guest's.
pub const STARTS: &str = "narrows-starts";
