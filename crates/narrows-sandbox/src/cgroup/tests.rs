//! Real groups of this machine, where we may make any, around processes that have no other limit.

use super::*;
use crate::spawn::{Launch, Started, Walls, start};
use narrows_types::Engine;
use std::io::Write as _;
use std::sync::Arc;

const LONG: Duration = Duration::from_mins(1);

/// Set by `cargo xtask test`, which leaves these tests out where somebody goes without groups.
const DEMANDED: &str = "NARROWS_LEDGER";

/// A group in our own. `None` where there can be none, which is told, and a failure where they are
/// demanded.
fn group(memory_bytes: u64, tasks: u64) -> Option<Arc<Cgroup>> {
    let place = CgroupPlace::Auto;
    let cgroup = Cgroup::new(CgroupConfig { place, memory_bytes: Some(memory_bytes), tasks });
    if let Err(why) = cgroup.group() {
        assert!(std::env::var_os(DEMANDED).is_none(), "no control group: {why}");
        let told = writeln!(io::stderr(), "no control group was tried: {why}");
        told.unwrap();
        return None;
    }
    Some(Arc::new(cgroup))
}

fn base(cgroup: &Cgroup) -> Base {
    cgroup.group().unwrap().base.clone()
}

/// A shell instead of a zygote: nothing but the group holds it.
async fn shell(cgroup: &Arc<Cgroup>, script: &str) -> Started {
    let launch = Launch {
        program: "/bin/sh".into(),
        args: vec!["-c".to_owned(), script.to_owned()],
        engine: Engine::Quickjs,
        walls: Walls::None,
        network: None,
    };
    start(launch, Arc::clone(cgroup)).await.unwrap()
}

async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let end = Instant::now() + LONG;
    while !holds() {
        assert!(Instant::now() < end, "not in time: {what}");
        sleep(LOOK).await;
    }
}

fn read(dir: &Path, file: &str) -> String {
    fs::read_to_string(dir.join(file)).unwrap()
}

#[tokio::test]
async fn a_fork_bomb_is_held_and_ends_with_the_group() {
    let Some(cgroup) = group(1 << 30, 20) else { return };
    // It has an end of its own, should nothing hold it.
    let bomb = "bomb() { sleep 300 & [ $1 -gt 8 ] || { bomb $(($1 + 1)) & bomb $(($1 + 1)) & }; }; \
                bomb 0; sleep 300";
    let started = shell(&cgroup, bomb).await;
    assert_eq!(started.bounded, Ok(()));
    let base = base(&cgroup);
    until("it forks in vain", || !read(&base.pids, "pids.events").starts_with("max 0")).await;
    let now: u64 = read(&base.pids, "pids.current").trim().parse().unwrap();
    assert!(now <= 20, "{now}");
    // A group can only be removed once all in it are gone.
    cgroup.remove().await;
    assert!(base.dirs().iter().all(|dir| !dir.exists()), "{base:?}");
}

#[tokio::test]
async fn whoever_has_too_much_is_killed_and_that_is_told_once() {
    let Some(cgroup) = group(48 << 20, 20) else { return };
    assert_eq!(cgroup.starved(), None);
    // A line without an end, and more than there is to keep it.
    let eats = shell(&cgroup, "head -c 200000000 /dev/zero | tail -n 1 >/dev/null").await;
    let ended = tokio::time::timeout(LONG, eats.running.ended).await.unwrap().unwrap();
    assert!(base(&cgroup).killed() > 0, "{ended:?}");
    for _ in 0..base(&cgroup).killed() {
        assert_eq!(cgroup.starved(), Some(48 << 20));
    }
    assert_eq!(cgroup.starved(), None);
    cgroup.remove().await;
}

#[tokio::test]
async fn bounds_are_what_was_said_and_less_than_there_is() {
    let Some(cgroup) = group((64 << 20) + 1, 7) else { return };
    let base = base(&cgroup);
    let memory = if base.unified { "memory.max" } else { "memory.limit_in_bytes" };
    assert_eq!(read(&base.memory, memory).trim(), (64 << 20).to_string());
    assert_eq!(read(&base.pids, "pids.max").trim(), "7");
    cgroup.remove().await;
    let usual = Cgroup::new(CgroupConfig { place: CgroupPlace::Auto, ..CgroupConfig::off() });
    let bytes = usual.group().unwrap().memory_bytes;
    assert!(bytes > 64 << 20 && bytes < 1 << 50, "{bytes}");
    usual.remove().await;
}

#[tokio::test]
async fn what_a_dead_gateway_left_goes_with_the_next_start_and_nothing_else() {
    let Some(cgroup) = group(1 << 30, 20) else { return };
    let around = Base::find(&CgroupPlace::Auto).unwrap();
    let own = names::own();
    let [namespace, ..] = own.trim_start_matches("narrows-").split('-').collect::<Vec<_>>()[..]
    else {
        panic!("{own}")
    };
    let left = around.child(&format!("narrows-{namespace}-{}-1-0", u32::MAX)).make().unwrap();
    let others = [format!("narrows-1-{}-1-0", u32::MAX), "narrows-else".to_owned()];
    let others = others.map(|name| around.child(&name).make().unwrap());
    // Somebody is in there still.
    let mut sleeper = sleeper();
    fs::write(left.memory.join(PROCS), sleeper.id().to_string()).unwrap();
    let mut next = Vec::new();
    until("it is gone", || {
        let cgroup = Cgroup::new(CgroupConfig { place: CgroupPlace::Auto, ..CgroupConfig::off() });
        cgroup.group().unwrap();
        next.push(cgroup);
        left.dirs().iter().all(|dir| !dir.exists())
    })
    .await;
    assert!(!sleeper.wait().unwrap().success());
    for other in &others {
        assert!(other.dirs().iter().all(|dir| dir.exists()));
        other.remove().unwrap();
    }
    assert!(base(&cgroup).dirs().iter().all(|dir| dir.exists()));
    for one in next.iter().chain([&*cgroup]) {
        one.remove().await;
    }
}

#[expect(clippy::disallowed_methods, reason = "a test starts a program")]
fn sleeper() -> std::process::Child {
    std::process::Command::new("/bin/sleep").arg("300").spawn().unwrap()
}

#[test]
fn where_there_can_be_no_group_it_says_why() {
    for (place, why) in [
        (CgroupPlace::Off, "`sandbox.cgroup` is off"),
        (CgroupPlace::At("/no/such/group".into()), "there is no group"),
        // Not a place where groups are made.
        (CgroupPlace::At("/cgroup.procs".into()), "there is no group"),
    ] {
        let cgroup = Cgroup::new(CgroupConfig { place, ..CgroupConfig::off() });
        let held = cgroup.holds(std::process::id()).unwrap_err();
        assert!(held.contains(why), "{held}");
        assert_eq!((cgroup.starved(), cgroup.door().0.len()), (None, 0));
    }
}
