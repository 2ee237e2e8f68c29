//! The guest of the `microvm` back end: a kernel and its modules, out of Debian's package for cloud
//! machines. The worker, which is the guest's only program, is put beside them by the sandbox.

use crate::shell::{self, Fail, say};
use std::fs;
use std::path::{Path, PathBuf};

/// Depends on the newest kernel of the kind.
const PACKAGE: &str = "linux-image-cloud-amd64";
/// What a guest needs to hear its host, each after what it needs itself.
const MODULES: [&str; 10] = [
    "drivers/virtio/virtio_ring",
    "drivers/virtio/virtio",
    "drivers/virtio/virtio_pci_legacy_dev",
    "drivers/virtio/virtio_pci_modern_dev",
    "drivers/virtio/virtio_pci",
    "drivers/virtio/virtio_mmio",
    "drivers/char/virtio_console",
    "net/vmw_vsock/vsock",
    "net/vmw_vsock/vmw_vsock_virtio_transport_common",
    "net/vmw_vsock/vmw_vsock_virtio_transport",
];
/// How a kernel may be compressed: its first bytes, and what unpacks it.
const PACKERS: [(&[u8], &str); 3] = [
    (&[0x02, 0x21, 0x4c, 0x18], "lz4"),
    (&[0xfd, b'7', b'z', b'X', b'Z'], "xz"),
    (&[0x28, 0xb5, 0x2f, 0xfd], "zstd"),
];

/// Makes `folder` with `vmlinux` and `modules`. Quick where they are there.
pub(crate) fn image(folder: &Path) -> Result<(), Fail> {
    let kernel = shell::tool("apt-cache", &["depends", "--important", PACKAGE]).output()?;
    let kernel = kernel.lines().find_map(|line| line.trim().strip_prefix("Depends: "));
    let kernel =
        kernel.ok_or_else(|| Fail(format!("apt does not know {PACKAGE}: run `apt-get update`")))?;
    let made = folder.join("narrows.stamp");
    if fs::read_to_string(&made).is_ok_and(|found| found == kernel) {
        return Ok(());
    }
    say(&format!("making the kernel of microvm guests from {kernel}\n"));
    if folder.exists() {
        fs::remove_dir_all(folder)?;
    }
    let work = folder.join("work");
    fs::create_dir_all(&work)?;
    shell::tool("apt-get", &["download", "-q", kernel]).folder(&work).run()?;
    let package = find(&work, ".deb")?;
    let tree = work.join("tree");
    let (package, target) = (package.to_string_lossy(), tree.to_string_lossy());
    shell::tool("dpkg", &["-x", &package, &target]).run()?;
    unpack(&find(&tree.join("boot"), "")?, &work, &folder.join("vmlinux"))?;
    modules(&tree, &folder.join("modules"))?;
    fs::remove_dir_all(&work)?;
    Ok(fs::write(made, kernel)?)
}

/// The first entry whose name ends so; of a kernel's files in `boot` the one that boots.
fn find(folder: &Path, ending: &str) -> Result<PathBuf, Fail> {
    let names = shell::list(folder)?;
    let wanted = |name: &&String| {
        if ending.is_empty() { name.starts_with("vmlinuz") } else { name.ends_with(ending) }
    };
    let name = names.iter().find(wanted);
    let name = name.ok_or_else(|| Fail(format!("nothing useful in {}", folder.display())))?;
    Ok(folder.join(name))
}

/// Takes the kernel out of the program that would unpack it at each boot. Where that program says
/// its payload is, is part of Linux's boot protocol.
fn unpack(vmlinuz: &Path, work: &Path, target: &Path) -> Result<(), Fail> {
    let image = fs::read(vmlinuz)?;
    let bad = || Fail(format!("{} is no kernel of a known kind", vmlinuz.display()));
    let word = |at: usize| {
        let bytes = image.get(at..)?.first_chunk::<4>()?;
        usize::try_from(u32::from_le_bytes(*bytes)).ok()
    };
    let setup = image.get(0x1f1).map_or(4, |sectors| usize::from((*sectors).max(1)));
    let start = word(0x248).ok_or_else(bad)? + (setup + 1) * 512;
    // Its last word is the length that it unpacks to.
    let end = start + word(0x24c).ok_or_else(bad)?.saturating_sub(4);
    let payload = image.get(start..end).ok_or_else(bad)?;
    let packer = PACKERS.iter().find(|(magic, _)| payload.starts_with(magic));
    let (_, tool) = packer.ok_or_else(bad)?;
    let packed = work.join(format!("kernel.{tool}"));
    fs::write(&packed, payload)?;
    let (packed, target) = (packed.to_string_lossy(), target.to_string_lossy());
    let line = format!("{tool} -d -c '{packed}' > '{target}'");
    shell::tool("sh", &["-c", &line]).run()
}

/// Numbered in the order in which the guest is to load them.
fn modules(tree: &Path, target: &Path) -> Result<(), Fail> {
    let versions = tree.join("lib/modules");
    let all = versions.join(
        shell::list(&versions)?
            .first()
            .ok_or_else(|| Fail("the kernel's package has no modules".to_owned()))?,
    );
    fs::create_dir_all(target)?;
    for (number, module) in MODULES.iter().enumerate() {
        let from = all.join("kernel").join(format!("{module}.ko"));
        let name = module.rsplit('/').next().unwrap_or(module);
        fs::copy(&from, target.join(format!("{number:02}-{name}.ko")))
            .map_err(|error| Fail(format!("{}: {error}", from.display())))?;
    }
    Ok(())
}
