//! Containers that a gateway left behind when it was killed.
//!
//! Each container says whose it is: the process that made it. One whose process is gone is removed
//! by the next gateway that starts.

use crate::gateway::Gateway;
use bollard::Docker;
use bollard::errors::Error;
use bollard::models::ContainerSummary;
use bollard::query_parameters::{ListContainersOptionsBuilder, RemoveContainerOptionsBuilder};
use std::collections::HashMap;
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// The label of every container of ours; its value is the owner.
const LABEL: &str = "narrows.owner";
/// More leftovers than this stay until the next start.
const REMOVED_MAX: usize = 1_000;
/// How long a daemon is asked anew for a list that can be read.
const LIST: Duration = Duration::from_secs(5);

/// The labels of a new container.
pub(super) fn labels() -> HashMap<String, String> {
    HashMap::from([(LABEL.to_owned(), Gateway::this().to_string())])
}

/// Whether the gateway that made a container is known to be gone. One in another namespace of
/// process numbers cannot be looked up: its containers are let be while they run.
fn abandoned(owner_label: &str, running: bool) -> bool {
    match owner_label.parse::<Gateway>() {
        Ok(owner) if owner.is_near() => owner.is_gone(),
        Ok(_) => !running,
        Err(()) => true,
    }
}

/// Removes them, and tells how many there were. A list that cannot be read is told and left for the
/// next start: it keeps no run from starting.
pub(super) async fn remove(daemon: &Docker) -> Result<usize, String> {
    let found = match ours(daemon).await {
        Ok(found) => found,
        Err(error) if unreadable(&error) => {
            tracing::warn!(%error, "containers that a killed gateway left behind stay");
            return Ok(0);
        }
        Err(error) => return Err(format!("containers left behind: {error}")),
    };
    let gone = found.iter().filter(|container| left(container)).take(REMOVED_MAX);
    let mut removed = 0;
    for id in gone.filter_map(|container| container.id.as_deref()) {
        removed += usize::from(removes(daemon, id).await);
    }
    if removed > 0 {
        tracing::info!(removed, "removed containers that a killed gateway left behind");
    }
    Ok(removed)
}

async fn removes(daemon: &Docker, id: &str) -> bool {
    let force = RemoveContainerOptionsBuilder::new().force(true).v(true).build();
    let removed = daemon.remove_container(id, Some(force)).await;
    if let Err(error) = &removed {
        tracing::warn!(container = id, %error, "a container stays behind");
    }
    removed.is_ok()
}

/// Podman calls a container `stopped` until it has cleared up after it, for which Docker's API has
/// no word: then the whole list, with whoever's containers, cannot be read.
async fn ours(daemon: &Docker) -> Result<Vec<ContainerSummary>, Error> {
    let filters = HashMap::from([("label".to_owned(), vec![LABEL.to_owned()])]);
    let options = ListContainersOptionsBuilder::new().all(true).filters(&filters).build();
    let end = Instant::now() + LIST;
    loop {
        match daemon.list_containers(Some(options.clone())).await {
            Err(error) if unreadable(&error) && Instant::now() < end => {
                sleep(Duration::from_millis(50)).await;
            }
            listed => return listed,
        }
    }
}

fn unreadable(error: &Error) -> bool {
    matches!(error, Error::JsonDataError { .. } | Error::JsonSerdeError { .. })
}

fn left(container: &ContainerSummary) -> bool {
    let labels = container.labels.as_ref();
    let owner = labels.and_then(|labels| labels.get(LABEL)).map_or("", String::as_str);
    let state = container.state.as_ref().map(ToString::to_string).unwrap_or_default();
    let running = matches!(state.as_str(), "running" | "created" | "restarting" | "paused");
    abandoned(owner, running)
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::UnixListener;

    /// What Podman 4.3 said of a container that had just ended, shortened.
    const STOPPED: &str = r#"[{"Id":"b5","Names":["/narrows-1"],"State":"stopped","Status":""}]"#;

    /// A fake daemon: one answer for each connection.
    async fn answer(listener: UnixListener, answers: &[&str]) {
        for body in answers {
            let (mut asker, _) = listener.accept().await.unwrap();
            assert!(asker.read(&mut [0; 4096]).await.unwrap() > 0);
            let length = body.len();
            let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n");
            let head = format!("{head}content-type: application/json\r\nconnection: close\r\n\r\n");
            asker.write_all((head + body).as_bytes()).await.unwrap();
        }
    }

    #[tokio::test]
    async fn a_list_with_a_state_that_the_api_does_not_know_is_asked_for_anew() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("fake.sock");
        let listener = UnixListener::bind(&path).unwrap();
        let version = bollard::API_DEFAULT_VERSION;
        let client = Docker::connect_with_unix(path.to_str().unwrap(), 5, version).unwrap();
        let answers = [STOPPED, STOPPED, "[]"];
        let (removed, ()) = tokio::join!(remove(&client), answer(listener, &answers));
        assert_eq!(removed, Ok(0));
    }

    #[test]
    fn a_container_is_left_behind_when_its_process_is_gone() {
        let own = labels().remove(LABEL).unwrap();
        for running in [true, false] {
            assert!(!abandoned(&own, running));
        }
        let (rest, _) = own.rsplit_once(' ').unwrap();
        assert!(abandoned(&format!("{rest} 1"), true), "another process with its number");
        let (here, _) = rest.rsplit_once(' ').unwrap();
        assert!(abandoned(&format!("{here} 4194305 77"), true), "no such process");
        assert!(abandoned("", true), "nobody's");
    }

    #[test]
    fn what_runs_for_a_gateway_elsewhere_is_let_be() {
        for elsewhere in ["pid:[1] 7 7", "pid:[0] 7 7"] {
            assert!(!abandoned(elsewhere, true));
            assert!(abandoned(elsewhere, false));
        }
    }
}
