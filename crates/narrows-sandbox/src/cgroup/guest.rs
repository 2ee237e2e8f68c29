//! Version 2 of control groups, wherever the tests run: in a machine of QEMU, with the kernel of `cargo
//! xtask microvm`, whose first process is a shell that starts the tests of this module again.
#![expect(clippy::disallowed_methods, reason = "a test starts programs and asks where parts are")]

use crate::microvm::image::{Archive, EXECUTABLE, FOLDER};
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// What the shell and the tests call.
const PROGRAMS: [&str; 10] =
    ["dash", "sleep", "head", "tail", "mount", "mkdir", "cat", "ls", "chown", "setpriv"];
/// Everybody's folders, each after the one that it is in.
const FOLDERS: [&str; 7] = ["bin", "proc", "sys", "dev", "tmp", "lib", "lib64"];
const INIT: &str = include_str!("guest.sh");

fn said(program: &str, args: &[&str]) -> String {
    let ran = Command::new(program).args(args).output();
    let ran = ran.unwrap_or_else(|error| panic!("{program}: {error}"));
    String::from_utf8_lossy(&ran.stdout).into_owned()
}

/// What a program needs beside itself.
fn libraries(program: &Path) -> Vec<PathBuf> {
    let listed = said("ldd", &[program.to_str().unwrap()]);
    let paths = listed.split_whitespace().filter(|word| word.starts_with('/'));
    paths.map(PathBuf::from).collect()
}

/// A file system with the tests, a shell and what both need.
fn initrd(tests: &Path) -> Vec<u8> {
    let mut archive = Archive::default();
    let (mut folders, mut files) = (BTreeSet::new(), BTreeSet::new());
    for folder in FOLDERS {
        archive.entry(folder, FOLDER, &[]);
    }
    archive.entry("init", EXECUTABLE, INIT.as_bytes());
    let found = |name: &str| {
        let places = ["/bin", "/usr/bin"].map(|place| Path::new(place).join(name));
        places.into_iter().find(|path| path.exists()).unwrap_or_else(|| panic!("no {name}"))
    };
    let programs = PROGRAMS.iter().map(|name| (*name, found(name)));
    for (name, path) in programs.chain([("tests", tests.to_owned())]) {
        archive.entry(&format!("bin/{name}"), EXECUTABLE, &fs::read(&path).unwrap());
        if name == "dash" {
            archive.entry("bin/sh", EXECUTABLE, &fs::read(&path).unwrap());
        }
        files.extend(libraries(&path));
    }
    for file in files {
        let above = file.parent().unwrap().ancestors().filter(|above| *above != Path::new("/"));
        folders.extend(above.map(Path::to_owned));
        let name = file.strip_prefix("/").unwrap().to_str().unwrap().to_owned();
        for folder in &folders {
            let folder = folder.strip_prefix("/").unwrap().to_str().unwrap();
            archive.entry(folder, FOLDER, &[]);
        }
        archive.entry(&name, EXECUTABLE, &fs::read(&file).unwrap());
    }
    archive.end()
}

#[test]
fn version_two_works_for_root_and_for_whom_a_group_is_given_to() {
    let repository = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let parts = std::env::var("NARROWS_PARTS").map_or(repository.join(".cache"), PathBuf::from);
    let kernel = parts.join("microvm/vmlinux");
    assert!(
        kernel.is_file(),
        "run the tests by `cargo xtask test`, which makes the guest's kernel"
    );
    let folder = tempfile::tempdir().unwrap();
    let (tests, rest) = (folder.path().join("tests"), folder.path().join("initrd"));
    let this = std::env::current_exe().unwrap();
    said("strip", &["-o", tests.to_str().unwrap(), this.to_str().unwrap()]);
    fs::write(&rest, initrd(&tests)).unwrap();
    let line = "-M q35 -accel tcg -cpu max -m 700 -nodefaults -no-user-config -nographic -no-reboot \
                -serial stdio";
    let mut args: Vec<&str> = line.split_whitespace().collect();
    args.extend(["-append", "console=ttyS0 quiet loglevel=1 panic=-1"]);
    args.extend(["-kernel", kernel.to_str().unwrap(), "-initrd", rest.to_str().unwrap()]);
    let said = said("qemu-system-x86_64", &args);
    let times = |words: &str| said.matches(words).count();
    // Root in a group and in the root group, somebody in a group of his.
    assert_eq!((times("test result: ok. 6 passed"), times("FAILED")), (3, 0), "{said}");
    // The stranger, in a group with others in it and in the root group; nobody else.
    assert_eq!(times("no control group was tried"), 2, "{said}");
    for words in [
        "root: left nothing, passes on nothing, holds nobody",
        "somebody: left nothing, passes on nothing, holds nobody",
        "a stranger: left nothing, passes on nothing, holds somebody",
        "which is not ours, is in /sys/fs/cgroup/mixed too: give Narrows a group of its own",
        "no group can be made in /sys/fs/cgroup: Permission denied",
        "the end",
    ] {
        assert_eq!(times(words), 1, "{words}: {said}");
    }
}
