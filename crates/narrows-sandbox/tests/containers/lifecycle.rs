//! Containers come and go, daemons too.

use crate::daemon::{Daemon, forgetful};
use crate::house::{LONG, config, run, run_until, sandbox, typescript, value, worker};
use crate::inside::hostile;
use bollard::errors::Error;
use bollard::models::{ContainerCreateBody, ContainerSummary};
use bollard::query_parameters::{
    CreateContainerOptions, ImportImageOptionsBuilder, ListContainersOptionsBuilder,
    ListImagesOptions,
};
use bollard::{API_DEFAULT_VERSION, Docker};
use futures_util::TryStreamExt;
use narrows_sandbox::{LeaseEnd, docker};
use sha2::{Digest, Sha256};
use std::collections::HashMap;
use std::fmt::Write as _;
use std::path::Path;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

const LABEL: &str = "narrows.owner";

pub(crate) async fn client(socket: &Path) -> Docker {
    let daemon = Docker::connect_with_unix(socket.to_str().unwrap(), 20, API_DEFAULT_VERSION);
    daemon.unwrap().negotiate_version().await.unwrap()
}

pub(crate) async fn containers(daemon: &Docker) -> Vec<ContainerSummary> {
    loop {
        let options = ListContainersOptionsBuilder::new().all(true).build();
        match daemon.list_containers(Some(options)).await {
            // Podman calls `stopped` for a moment what the API has no word for.
            Err(Error::JsonDataError { .. }) => tokio::time::sleep(Duration::from_millis(20)).await,
            listed => return listed.unwrap(),
        }
    }
}

/// Waits until that holds of the daemon's containers.
async fn until(client: &Docker, holds: impl Fn(&[ContainerSummary]) -> bool) {
    let end = Instant::now() + LONG;
    loop {
        let now = containers(client).await;
        if holds(&now) {
            return;
        }
        assert!(Instant::now() < end, "{now:?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

async fn a_container_goes_with_its_run(docker: docker::Config) {
    let client = client(docker.sockets.first().unwrap()).await;
    let sandbox = sandbox(docker).await;
    let lease =
        sandbox.lease(narrows_types::Language::TypeScript, Instant::now() + LONG).await.unwrap();
    // Besides it there is the one that stands ready, once those of the start are gone.
    until(&client, |now| now.len() == 2).await;
    let used = containers(&client).await.into_iter().map(|c| c.id.unwrap());
    let used: Vec<_> = used.collect();
    drop(lease);
    let left = |now: &[ContainerSummary]| {
        now.iter().filter(|c| used.contains(c.id.as_ref().unwrap())).count()
    };
    until(&client, |now| left(now) < used.len()).await;
    sandbox.shutdown().await;
    assert_eq!(containers(&client).await.len(), 0);
}

#[tokio::test]
async fn a_container_goes_with_its_run_and_all_with_the_sandbox() {
    let daemon = Daemon::own_docker();
    a_container_goes_with_its_run(config(&daemon)).await;
}

/// Also one whose process hears nothing.
#[tokio::test]
async fn podman_ends_a_container_that_does_not_want_to_go() {
    let (daemon, folder) = (Daemon::own_podman(), tempfile::tempdir().unwrap());
    let docker = docker::Config { worker: hostile(folder.path(), "deaf.c"), ..config(&daemon) };
    a_container_goes_with_its_run(docker).await;
}

#[tokio::test]
async fn a_container_that_was_made_unheard_is_removed() {
    let daemon = Daemon::own_docker();
    let client = client(&daemon.socket).await;
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("forgetful.sock");
    let made = forgetful(&daemon.socket, &socket);
    let sandbox = sandbox(docker::Config::new(worker(), vec![socket])).await;
    let error = run_until(&sandbox, typescript("return 1;"), || {}).await.unwrap_err().to_string();
    assert!(error.contains("does not make a container"), "{error}");
    assert!(made.load(Ordering::SeqCst) > 0);
    until(&client, <[_]>::is_empty).await;
    sandbox.shutdown().await;
}

/// An image as `docker save` writes it, with nothing in it.
fn saved(tag: &str, created: &str) -> Vec<u8> {
    let files = |files: &[(&str, &[u8])]| {
        let mut all = tar::Builder::new(Vec::new());
        for (name, bytes) in files {
            let mut header = tar::Header::new_gnu();
            header.set_size(bytes.len() as u64);
            header.set_mode(0o644);
            all.append_data(&mut header, name, *bytes).unwrap();
        }
        all.into_inner().unwrap()
    };
    let layer = files(&[(tag, b"")]);
    let mut hash = String::new();
    for byte in Sha256::digest(&layer) {
        write!(hash, "{byte:02x}").unwrap();
    }
    let image = serde_json::json!({
        "architecture": "amd64",
        "os": "linux",
        "created": created,
        "config": {},
        "rootfs": { "type": "layers", "diff_ids": [format!("sha256:{hash}")] },
    });
    let manifest =
        serde_json::json!([{ "Config": "c.json", "RepoTags": [tag], "Layers": ["l.tar"] }]);
    let (image, manifest) = (image.to_string(), manifest.to_string());
    files(&[
        ("c.json", image.as_bytes()),
        ("l.tar", &layer),
        ("manifest.json", manifest.as_bytes()),
    ])
}

#[tokio::test]
async fn images_of_older_workers_go_unless_they_are_used() {
    let daemon = Daemon::own_docker();
    let client = client(&daemon.socket).await;
    let [old, used, foreign] = ["narrows-worker:old", "narrows-worker:used", "other:old"]
        .map(|n| format!("localhost/{n}"));
    for (tag, created) in [(&old, "2020"), (&used, "2021"), (&foreign, "2022")] {
        let body = saved(tag, &format!("{created}-01-01T00:00:00Z"));
        let loaded = client.import_image(
            ImportImageOptionsBuilder::new().build(),
            bollard::body_full(body.into()),
            None,
        );
        loaded.try_for_each(|_| std::future::ready(Ok(()))).await.unwrap();
    }
    let request = ContainerCreateBody {
        image: Some(used.clone()),
        cmd: Some(vec!["/x".to_owned()]),
        ..ContainerCreateBody::default()
    };
    client.create_container(None::<CreateContainerOptions>, request).await.unwrap();
    let sandbox = sandbox(config(&daemon)).await;
    assert_eq!(value(&run(&sandbox, typescript("return 1;")).await), "1");
    sandbox.shutdown().await;
    let images = client.list_images(None::<ListImagesOptions>).await.unwrap();
    let mut tags: Vec<_> = images.into_iter().flat_map(|image| image.repo_tags).collect();
    tags.retain(|tag| [&old, &used, &foreign].contains(&tag));
    tags.sort();
    assert_eq!(tags, [used, foreign]);
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
