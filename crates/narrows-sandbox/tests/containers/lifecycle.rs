//! Containers come and go, daemons too.

use crate::daemon::Daemon;
use crate::house::{LONG, config, run, run_until, sandbox, typescript, value};
use bollard::models::{ContainerCreateBody, ContainerSummary};
use bollard::query_parameters::{CreateContainerOptions, ListContainersOptionsBuilder};
use bollard::{API_DEFAULT_VERSION, Docker};
use narrows_sandbox::{LeaseEnd, docker};
use std::collections::HashMap;
use std::path::Path;
use std::time::{Duration, Instant};

const LABEL: &str = "narrows.owner";

pub(crate) async fn client(socket: &Path) -> Docker {
    let daemon = Docker::connect_with_unix(socket.to_str().unwrap(), 20, API_DEFAULT_VERSION);
    daemon.unwrap().negotiate_version().await.unwrap()
}

pub(crate) async fn containers(daemon: &Docker) -> Vec<ContainerSummary> {
    let options = ListContainersOptionsBuilder::new().all(true).build();
    daemon.list_containers(Some(options)).await.unwrap()
}

#[tokio::test]
async fn a_container_goes_with_its_run_and_all_with_the_sandbox() {
    let daemon = Daemon::own_docker();
    let client = client(&daemon.socket).await;
    let sandbox = sandbox(config(&daemon)).await;
    let lease =
        sandbox.lease(narrows_types::Language::TypeScript, Instant::now() + LONG).await.unwrap();
    let used = containers(&client).await.into_iter().map(|c| c.id.unwrap());
    let used: Vec<_> = used.collect();
    assert!(!used.is_empty());
    drop(lease);
    // One stays ready; the one that was let go of does not.
    let until = Instant::now() + LONG;
    loop {
        let now = containers(&client).await;
        let left = now.iter().filter(|c| used.contains(c.id.as_ref().unwrap())).count();
        if left < used.len() {
            break;
        }
        assert!(Instant::now() < until, "{now:?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    sandbox.shutdown().await;
    assert_eq!(containers(&client).await.len(), 0);
}

#[tokio::test]
async fn what_a_killed_gateway_left_behind_is_removed() {
    let daemon = Daemon::own_docker();
    let client = client(&daemon.socket).await;
    let first = sandbox(config(&daemon)).await;
    assert_eq!(value(&run(&first, typescript("return 1;")).await), "1");
    let image = containers(&client).await[0].image.clone();
    first.shutdown().await;
    let space = std::fs::read_link("/proc/self/ns/pid").unwrap();
    for owner in [format!("{} 4194305 1", space.display()), "pid:[1] 7 7".to_owned()] {
        let labels = HashMap::from([(LABEL.to_owned(), owner)]);
        let request = ContainerCreateBody {
            image: image.clone(),
            labels: Some(labels),
            entrypoint: Some(vec!["/narrows-worker".to_owned()]),
            ..ContainerCreateBody::default()
        };
        client.create_container(None::<CreateContainerOptions>, request).await.unwrap();
    }
    let second = sandbox(config(&daemon)).await;
    assert_eq!(value(&run(&second, typescript("return 2;")).await), "2");
    second.shutdown().await;
    // Whose gateway may well live, elsewhere, is let be.
    let left = containers(&client).await;
    let owners: Vec<_> = left.iter().map(|c| c.labels.as_ref().unwrap()[LABEL].as_str()).collect();
    assert_eq!(owners, ["pid:[1] 7 7"]);
}

#[tokio::test]
async fn a_run_is_lost_with_its_daemon_and_the_next_is_told_why() {
    let daemon = Daemon::own_docker();
    let sandbox = sandbox(config(&daemon)).await;
    let hangs = typescript("await host.hang({});");
    let ran = run_until(&sandbox, hangs, || daemon.kill()).await.unwrap();
    let Err(LeaseEnd::Lost(_, why)) = &ran else { panic!("{ran:?}") };
    assert!(why.contains("daemon"), "{why}");
    // The one that stood ready is dead too, or nobody can make another one.
    let until = Instant::now() + LONG;
    let error = loop {
        match run_until(&sandbox, typescript("return 1;"), || {}).await {
            Err(error) => break error.to_string(),
            Ok(ran) => assert!(Instant::now() < until, "{ran:?}"),
        }
    };
    assert!(error.contains("container daemon"), "{error}");
    sandbox.shutdown().await;
}

#[tokio::test]
async fn without_a_daemon_it_says_what_to_do() {
    let nowhere = Path::new("/nowhere/docker.sock").to_owned();
    let sandbox = sandbox(docker::Config::new("/proc/self/exe".into(), vec![nowhere])).await;
    let error = run_until(&sandbox, typescript("return 1;"), || {}).await.unwrap_err().to_string();
    for part in ["/nowhere/docker.sock", "start docker or podman", "sandbox.docker.socket"] {
        assert!(error.contains(part), "{error}");
    }
    sandbox.shutdown().await;
}

#[tokio::test]
async fn an_unknown_runtime_is_refused_with_the_known_ones() {
    let daemon = Daemon::docker();
    let docker = docker::Config { runtime: Some("kata".to_owned()), ..config(&daemon) };
    let sandbox = sandbox(docker).await;
    let error = run_until(&sandbox, typescript("return 1;"), || {}).await.unwrap_err().to_string();
    assert!(error.contains("no runtime kata") && error.contains("runc"), "{error}");
    sandbox.shutdown().await;
}
