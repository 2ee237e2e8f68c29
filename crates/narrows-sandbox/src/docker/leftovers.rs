//! Containers that a gateway left behind when it was killed.
//!
//! Each container says whose it is: the process that made it. One whose process is gone is removed
//! by the next gateway that starts.

use bollard::Docker;
use bollard::models::ContainerSummary;
use bollard::query_parameters::{ListContainersOptionsBuilder, RemoveContainerOptionsBuilder};
use std::collections::HashMap;
use std::fs;

/// The label of every container of ours; its value is the owner.
const LABEL: &str = "narrows.owner";
/// More leftovers than this stay until the next start.
const REMOVED_MAX: usize = 1_000;

/// The labels of a new container.
pub(super) fn labels() -> HashMap<String, String> {
    HashMap::from([(LABEL.to_owned(), owner(std::process::id()).unwrap_or_default())])
}

/// A process, so that no later one is taken for it: namespace of process numbers, number, start.
/// `None`: there is no such process.
fn owner(pid: u32) -> Option<String> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name, in brackets, may hold anything; the start is the 20th field after it.
    let start = stat.rsplit_once(')')?.1.split_whitespace().nth(19)?.to_owned();
    Some(format!("{} {pid} {start}", namespace()?))
}

fn namespace() -> Option<String> {
    Some(fs::read_link("/proc/self/ns/pid").ok()?.to_string_lossy().into_owned())
}

/// Whether the gateway that made a container is known to be gone. One in another namespace of
/// process numbers cannot be looked up: its containers are let be while they run.
fn abandoned(owner_label: &str, running: bool, namespace: &str) -> bool {
    let mut words = owner_label.split(' ');
    let (Some(space), Some(pid)) = (words.next(), words.next()) else { return true };
    if space != namespace {
        return !running;
    }
    let Ok(pid) = pid.parse() else { return true };
    owner(pid).as_deref() != Some(owner_label)
}

/// Removes them, and tells how many there were.
pub(super) async fn remove(daemon: &Docker) -> Result<usize, String> {
    let text = |error: bollard::errors::Error| format!("containers left behind: {error}");
    let filters = HashMap::from([("label".to_owned(), vec![LABEL.to_owned()])]);
    let options = ListContainersOptionsBuilder::new().all(true).filters(&filters).build();
    let found = daemon.list_containers(Some(options)).await.map_err(text)?;
    let namespace = namespace().unwrap_or_default();
    let gone = found.iter().filter(|container| left(container, &namespace)).take(REMOVED_MAX);
    let mut removed = 0;
    for id in gone.filter_map(|container| container.id.as_deref()) {
        let force = RemoveContainerOptionsBuilder::new().force(true).v(true).build();
        match daemon.remove_container(id, Some(force)).await {
            Ok(()) => removed += 1,
            Err(error) => tracing::warn!(container = id, %error, "a container stays behind"),
        }
    }
    if removed > 0 {
        tracing::info!(removed, "removed containers that a killed gateway left behind");
    }
    Ok(removed)
}

fn left(container: &ContainerSummary, namespace: &str) -> bool {
    let labels = container.labels.as_ref();
    let owner = labels.and_then(|labels| labels.get(LABEL)).map_or("", String::as_str);
    let state = container.state.as_ref().map(ToString::to_string).unwrap_or_default();
    let running = matches!(state.as_str(), "running" | "created" | "restarting" | "paused");
    abandoned(owner, running, namespace)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_container_is_left_behind_when_its_process_is_gone() {
        let here = namespace().unwrap();
        let own = labels().remove(LABEL).unwrap();
        assert!(!abandoned(&own, true, &here));
        assert!(!abandoned(&own, false, &here));
        let (rest, _) = own.rsplit_once(' ').unwrap();
        assert!(abandoned(&format!("{rest} 1"), true, &here), "another process with its number");
        assert!(abandoned(&format!("{here} 4194305 77"), true, &here), "no such process");
        assert!(abandoned("", true, &here), "nobody's");
    }

    #[test]
    fn what_runs_for_a_gateway_elsewhere_is_let_be() {
        let here = namespace().unwrap();
        assert!(!abandoned("pid:[1] 7 7", true, &here));
        assert!(abandoned("pid:[1] 7 7", false, &here));
    }
}
