//! What a guest boots from: a kernel, drivers, and the worker as the only program.

use narrows_types::Engine;
use nix::fcntl::{FcntlArg, SealFlag, fcntl};
use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::unistd::ftruncate;
use std::ffi::CStr;
use std::fs::{self, File};
use std::io::{self, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

/// A driver is a few hundred KiB; more than this is none.
const MODULE_BYTES_MAX: u64 = 16 << 20;
/// Larger than any kernel or worker.
const FILE_BYTES_MAX: u64 = 1 << 30;
/// What the kernel and the worker need beside the worker's text.
const ROOM_BYTES: u64 = 96 << 20;

/// The parts of an image.
#[derive(Debug, Clone)]
pub(crate) struct Image {
    /// A folder with `vmlinux` and `modules`.
    pub(crate) folder: PathBuf,
    /// The static worker.
    pub(crate) worker: PathBuf,
}

impl Image {
    /// The kernel.
    pub(crate) fn kernel(&self) -> PathBuf {
        self.folder.join("vmlinux")
    }

    /// The archive that the kernel unpacks as its root: the worker and the drivers. For a guest with
    /// so much memory, of which its run may use so much.
    pub(crate) fn initrd(&self, memory_bytes: u64, run_bytes: u64) -> Result<Vec<u8>, String> {
        let modules = self.folder.join("modules");
        let names = fs::read_dir(&modules).map_err(|error| self.missing(&modules, &error))?;
        let mut names: Vec<_> = names.filter_map(|entry| Some(entry.ok()?.file_name())).collect();
        names.sort();
        let worker = read(&self.worker, FILE_BYTES_MAX).map_err(|error| {
            format!(
                "{}: {error}; build it with `cargo xtask worker`, or set `sandbox.worker`",
                self.worker.display()
            )
        })?;
        // For a moment it is there twice: as the archive and unpacked. Then the run has its place.
        let worker_bytes = worker.len() as u64;
        let needed = worker_bytes.max(run_bytes).saturating_add(worker_bytes + ROOM_BYTES);
        if needed > memory_bytes {
            return Err(format!(
                "a guest whose run may use {} MiB needs {} MiB of memory, not {}: raise \
                 `sandbox.microvm.memory_mib`, or lower `limits.memory_bytes`",
                run_bytes >> 20,
                needed.div_ceil(1 << 20),
                memory_bytes >> 20
            ));
        }
        let mut archive = Archive::default();
        archive.entry("init", EXECUTABLE, &worker);
        for folder in ["new", "modules"] {
            archive.entry(folder, FOLDER, &[]);
        }
        for name in names {
            let path = modules.join(&name);
            let module =
                read(&path, MODULE_BYTES_MAX).map_err(|error| self.missing(&path, &error))?;
            archive.entry(&format!("modules/{}", name.to_string_lossy()), PLAIN, &module);
        }
        Ok(archive.end())
    }

    /// What to do where a part is not there.
    pub(crate) fn missing(&self, part: &Path, error: &io::Error) -> String {
        format!(
            "{}: {error}; make the guest's kernel with `cargo xtask microvm {}`, or set \
             `sandbox.microvm.image`",
            part.display(),
            self.folder.display()
        )
    }
}

/// The kernel's command line. What follows the two dashes are the arguments of the first process.
pub(crate) fn command_line(engine: Engine, link: &str) -> String {
    // A guest that panics ends; nobody waits for it.
    let kernel = "console=ttyS0 quiet loglevel=3 panic=-1 reboot=k 8250.nr_uarts=1 \
                  random.trust_cpu=on no_timer_check";
    let first = narrows_types::guest::FIRST;
    format!("{kernel} -- {first} --engine {engine} --link {link} --walls best")
}

fn read(path: &Path, bytes_max: u64) -> io::Result<Vec<u8>> {
    let length = fs::metadata(path)?.len();
    if length > bytes_max {
        return Err(io::Error::other(format!("{length} bytes, at most {bytes_max}")));
    }
    fs::read(path)
}

pub(crate) const EXECUTABLE: u32 = 0o100_755;
const PLAIN: u32 = 0o100_644;
pub(crate) const FOLDER: u32 = 0o040_755;

/// An archive of the kind `newc`, which the kernel reads (its `buffer-format` page).
#[derive(Debug, Default)]
pub(crate) struct Archive {
    bytes: Vec<u8>,
    entries: u32,
}

impl Archive {
    pub(crate) fn entry(&mut self, name: &str, mode: u32, data: &[u8]) {
        self.entries += 1;
        // Eight digits each: inode, mode, owner, group, links, time, size, four numbers of
        // devices, length of the name with its zero, and a checksum that this kind has not.
        let size = u32::try_from(data.len()).unwrap_or(u32::MAX);
        let length = u32::try_from(name.len() + 1).unwrap_or(u32::MAX);
        let head = [self.entries, mode, 0, 0, 1, 0, size, 0, 0, 0, 0, length, 0];
        self.bytes.extend_from_slice(b"070701");
        for number in head {
            self.bytes.extend_from_slice(format!("{number:08x}").as_bytes());
        }
        self.bytes.extend_from_slice(name.as_bytes());
        self.bytes.push(0);
        self.pad();
        self.bytes.extend_from_slice(data);
        self.pad();
    }

    fn pad(&mut self) {
        let padded = self.bytes.len().next_multiple_of(4);
        self.bytes.resize(padded, 0);
    }

    pub(crate) fn end(mut self) -> Vec<u8> {
        self.entry("TRAILER!!!", 0, &[]);
        self.bytes
    }
}

/// A file that is nowhere but in memory, with these bytes in it.
pub(crate) fn in_memory(name: &CStr, bytes: &[u8]) -> io::Result<OwnedFd> {
    let file = empty(name, 0)?;
    let mut file = File::from(file);
    file.write_all(bytes)?;
    Ok(file.into())
}

/// The same, empty, of this size.
pub(crate) fn empty(name: &CStr, bytes: u64) -> io::Result<OwnedFd> {
    let flags = MFdFlags::MFD_CLOEXEC | MFdFlags::MFD_ALLOW_SEALING;
    let file = memfd_create(name, flags)?;
    ftruncate(file.as_fd(), i64::try_from(bytes).map_err(io::Error::other)?)?;
    Ok(file)
}

/// Whoever has it can only read it from now on, and write to copies of its pages.
pub(crate) fn seal(file: &OwnedFd) -> io::Result<()> {
    let seals = SealFlag::F_SEAL_WRITE | SealFlag::F_SEAL_GROW | SealFlag::F_SEAL_SHRINK;
    fcntl(file.as_fd(), FcntlArg::F_ADD_SEALS(seals | SealFlag::F_SEAL_SEAL))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_archive_is_what_the_cpio_tool_would_write() {
        let mut archive = Archive::default();
        archive.entry("init", EXECUTABLE, b"hello");
        let bytes = archive.end();
        let text = String::from_utf8(bytes.clone()).unwrap();
        assert!(text.starts_with("07070100000001000081ed0000000000000000000000010000000000000005"));
        assert_eq!(bytes.len() % 4, 0);
        // 110 bytes of head, the name with its zero, padded; then the file, padded.
        assert_eq!(&bytes[110..115], b"init\0");
        assert_eq!(&bytes[116..121], b"hello");
        assert_eq!(&bytes[124..130], b"070701");
    }

    #[test]
    fn what_is_missing_is_named_with_what_to_do() {
        let folder = tempfile::tempdir().unwrap();
        let image = Image { folder: folder.path().to_owned(), worker: "/nowhere".into() };
        let why = image.initrd(1 << 30, 0).unwrap_err();
        assert!(why.contains("cargo xtask microvm"), "{why}");
        fs::create_dir(folder.path().join("modules")).unwrap();
        let why = image.initrd(1 << 30, 0).unwrap_err();
        assert!(why.contains("/nowhere") && why.contains("sandbox.worker"), "{why}");
    }

    #[test]
    fn a_sealed_file_is_not_written_again() {
        let file = in_memory(c"test", b"before").unwrap();
        seal(&file).unwrap();
        let error = File::from(file).write_all(b"after").unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::PermissionDenied);
    }
}
