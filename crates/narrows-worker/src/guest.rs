//! The first process of a virtual machine whose only program is a worker: makes the machine ready,
//! forks the worker, tells the host on the console how it ended, and ends the machine.

use crate::jail::process::{self, Side};
use crate::single::Carrier;
use narrows_types::control::{Death, EXIT_MEMORY};
use narrows_types::guest::{ENDED, FAILED, LISTENS};
use nix::kmod::{ModuleInitFlags, finit_module};
use nix::mount::{MsFlags, mount};
use nix::sys::reboot::{RebootMode, reboot};
use nix::sys::socket::{AddressFamily, Backlog, SockFlag, SockType, VsockAddr};
use nix::sys::socket::{bind, listen, socket};
use std::fs::{self, File};
use std::io::{self, Write};
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::Path;
use std::time::{Duration, Instant};

/// Drivers, each named so that it comes after what it needs.
const MODULES: &str = "/modules";
/// Where the machine's root is built. The first one, which the kernel unpacks, can never be left,
/// so that no worker could give itself an empty one.
const ROOT: &str = "/new";
/// How long the host's device may take to appear after its driver has been loaded.
const DEVICE: Duration = Duration::from_secs(10);

/// Returns in the worker, a child of the machine's first process, once its device is there.
/// Whatever else happens ends the machine.
pub(crate) fn enter(carrier: Option<&Carrier<'_>>) {
    match prepare(carrier).and_then(|()| process::fork().map_err(|error| format!("fork: {error}")))
    {
        Ok(Side::Child) => {}
        Ok(Side::Parent(_)) => match process::reap(true) {
            Ok(Some(dead)) => {
                let (kind, number) = match dead.how {
                    Death::Exit(code) => ("exit", code),
                    // The machine's memory was less than what its run might use.
                    Death::Signal(libc::SIGKILL) if out_of_memory() => ("exit", EXIT_MEMORY),
                    Death::Signal(signal) => ("signal", signal),
                };
                end(&format!("{ENDED} {kind} {number} {}", dead.cpu_us))
            }
            Ok(None) => end(&format!("{FAILED} the worker is lost")),
            Err(error) => end(&format!("{FAILED} wait: {error}")),
        },
        Err(why) => end(&format!("{FAILED} {why}")),
    }
}

/// Whether the kernel has killed anybody for lack of memory; there is only one to kill.
fn out_of_memory() -> bool {
    let told = fs::read_to_string("/proc/vmstat").unwrap_or_default();
    told.lines().any(|line| line.strip_prefix("oom_kill ").is_some_and(|count| count != "0"))
}

fn prepare(carrier: Option<&Carrier<'_>>) -> Result<(), String> {
    load_drivers()?;
    let none = None::<&str>;
    let at = |point: &str| Path::new(ROOT).join(point);
    let mounted = |what: &str, point: &Path, flags| {
        fs::create_dir_all(point)
            .and_then(|()| Ok(mount(Some(what), point, Some(what), flags, none)?))
            .map_err(|error| format!("mount {what}: {error}"))
    };
    let quiet = MsFlags::MS_NOSUID | MsFlags::MS_NOEXEC;
    mounted("tmpfs", Path::new(ROOT), quiet | MsFlags::MS_NODEV)?;
    mounted("devtmpfs", &at("dev"), quiet)?;
    mounted("proc", &at("proc"), quiet | MsFlags::MS_NODEV)?;
    fs::create_dir(at("tmp")).map_err(|error| format!("tmp: {error}"))?;
    nix::unistd::chdir(ROOT)
        .and_then(|()| mount(Some("."), "/", none, MsFlags::MS_MOVE, none))
        .and_then(|()| nix::unistd::chroot("."))
        .map_err(|error| format!("change of root: {error}"))?;
    match carrier {
        Some(Carrier::Device(device)) => appears(device),
        _ => Ok(()),
    }
}

fn load_drivers() -> Result<(), String> {
    let entries = fs::read_dir(MODULES).map_err(|error| format!("{MODULES}: {error}"))?;
    let mut paths: Vec<_> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
    paths.sort();
    for path in paths {
        File::open(&path)
            .and_then(|file| Ok(finit_module(&file, c"", ModuleInitFlags::empty())?))
            .map_err(|error| format!("{}: {error}", path.display()))?;
    }
    Ok(())
}

/// A driver makes its devices on its own time.
fn appears(device: &Path) -> Result<(), String> {
    let begun = Instant::now();
    while !device.exists() {
        if begun.elapsed() > DEVICE {
            return Err(format!("there is no {}", device.display()));
        }
        #[expect(clippy::disallowed_methods, reason = "this process does nothing else")]
        std::thread::sleep(Duration::from_millis(2));
    }
    Ok(())
}

/// Waits for the host to connect, having told it that it can. A machine is saved and restored while
/// this waits, so it has to work at any later time.
pub(crate) fn accept(port: u32) -> Result<OwnedFd, String> {
    let connected = || -> io::Result<OwnedFd> {
        let flags = SockFlag::SOCK_CLOEXEC;
        let listener = socket(AddressFamily::Vsock, SockType::Stream, flags, None)?;
        bind(listener.as_raw_fd(), &VsockAddr::new(libc::VMADDR_CID_ANY, port))?;
        listen(&listener, Backlog::new(1)?)?;
        // Without a console the host waits in vain, and says so.
        drop(writeln!(io::stdout(), "\n{LISTENS}"));
        process::accept(&listener)
    };
    connected().map_err(|error| format!("vsock port {port}: {error}"))
}

/// Says one last line and ends the machine. The host starts none anew.
fn end(line: &str) -> ! {
    // Nobody else writes to the console; the empty line ends what the kernel may have begun.
    let said = writeln!(io::stdout(), "\n{line}");
    let Err(error) = reboot(RebootMode::RB_AUTOBOOT);
    // The end of the first process is the end of the machine, too.
    process::exit(if said.is_ok() && error == nix::Error::EPERM { 2 } else { 1 })
}
