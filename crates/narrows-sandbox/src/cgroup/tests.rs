//! Real groups of this machine, where we may make any, around processes that have no other limit.

use super::*;
use crate::backend::{Ender, Fresh};
use crate::guard::{Ended, Guard, LeaseEnd, Order};
use crate::shelf::Shelf;
use crate::spawn::{Launch, Running, Started, Walls, start};
use narrows_types::Engine;
use narrows_types::control::Death;
use std::io::Write as _;
use tokio::sync::{Semaphore, oneshot, watch};
use tokio_util::sync::CancellationToken;

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

/// A child whose end is one kill of the kernel's that nobody has been told of.
async fn starve(cgroup: &Arc<Cgroup>) -> Running {
    let before = base(cgroup).killed();
    let mut eats = shell(cgroup, "head -c 200000000 /dev/zero | tail -n 1 >/dev/null").await;
    tokio::time::timeout(LONG, &mut eats.running.ended).await.unwrap().unwrap();
    let killed = base(cgroup).killed() - before;
    assert!(killed > 0);
    for _ in 1..killed {
        assert!(cgroup.starved().is_some());
    }
    eats.running
}

const KILLED: Ended = Ended { how: Death::Signal(libc::SIGKILL), cpu_us: 0, memory_bytes: 0 };

/// What is told of a run that is cancelled, and whose worker is buried so.
async fn cancelled(cgroup: &Arc<Cgroup>, running: Running, how: Option<Ended>) -> LeaseEnd {
    let order = Order { deadline: Instant::now() + LONG, limits: None, spent_us: 0, kill: true };
    let (_orders, ordered) = watch::channel(order);
    let (tell, told) = watch::channel(None);
    let (buried, heard) = oneshot::channel();
    let guard = Guard {
        worker: Ender::Process(running.process),
        orders: ordered,
        ended: heard,
        tell,
        place: Arc::new(Semaphore::new(1)).try_acquire_owned().unwrap(),
        stop: CancellationToken::new(),
        cgroup: Some(Arc::clone(cgroup)),
    };
    let burying = async {
        sleep(LOOK).await;
        let how = match how {
            Some(how) => how,
            None => running.ended.await.unwrap(),
        };
        buried.send(how).unwrap();
    };
    tokio::join!(guard.watch(), burying);
    let gone = told.borrow().clone().unwrap();
    gone.end
}

#[tokio::test]
async fn a_kill_that_no_run_is_told_of_is_not_told_of_the_next_one() {
    let Some(cgroup) = group(48 << 20, 20) else { return };
    let was_killed =
        |end| matches!(&end, LeaseEnd::Lost(_, why) if why.starts_with("the worker was killed"));
    // Its run was cancelled before anybody heard of its end.
    let eats = starve(&cgroup).await;
    assert!(was_killed(cancelled(&cgroup, eats, Some(KILLED)).await));
    assert_eq!(cgroup.starved(), None);
    // It had no run.
    for waits in [true, false] {
        starve(&cgroup).await;
        let mut shelf = Shelf::new(1, 2, Some(Arc::clone(&cgroup)));
        let (read, write) = (Box::new(tokio::io::empty()), Box::new(tokio::io::sink()));
        let (tell, ended) = oneshot::channel();
        let worker = Ender::Told(CancellationToken::new());
        shelf.put(Fresh { read, write, worker, ended, door: None });
        tell.send(KILLED).unwrap();
        if waits {
            shelf.loss().await;
        } else {
            shelf.sort_out();
        }
        assert_eq!((shelf.idle(), cgroup.starved()), (0, None));
    }
    // One that we kill ourselves takes it from nobody.
    starve(&cgroup).await;
    let sleeps = shell(&cgroup, "exec sleep 300").await;
    assert!(was_killed(cancelled(&cgroup, sleeps.running, None).await));
    assert!(cgroup.starved().is_some());
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
