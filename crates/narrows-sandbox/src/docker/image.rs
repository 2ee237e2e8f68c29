//! The image of the containers: one file, the static worker.

use bollard::Docker;
use bollard::errors::Error;
use bollard::models::ImageSummary;
use bollard::query_parameters::{
    CreateImageOptionsBuilder, ListImagesOptionsBuilder, RemoveImageOptions,
};
use bytes::Bytes;
use futures_util::TryStreamExt;
use sha2::{Digest, Sha256};
use std::collections::HashMap;
use std::fmt::Write as _;
use std::io;
use std::path::Path;

/// Where the worker stands in the image.
pub(super) const WORKER: &str = "/narrows-worker";
/// The name of the images; their tags are made of what is in them. No registry has that name, so
/// nobody ever looks for it there.
const NAME: &str = "localhost/narrows-worker";
/// A worker larger than this is none: about 40 times the real one's size.
const WORKER_BYTES_MAX: u64 = 512 << 20;
/// Between an image and one that is older.
const APART_SECONDS: i64 = 60 * 60;
/// More older images than this stay until the next start.
const REMOVED_MAX: usize = 100;
/// Bytes of the hash that become the tag.
const TAG_BYTES: usize = 16;

/// Makes sure that the daemon has the image of the worker at this path, and names it. The name
/// follows from the content, so a new worker never runs under an old one's name.
pub(super) async fn provide(daemon: &Docker, worker: &Path) -> Result<String, String> {
    let unread = |why: &dyn std::fmt::Display| {
        format!("the static worker {}: {why}; build it with `cargo xtask worker`", worker.display())
    };
    let found = tokio::fs::metadata(worker).await.map_err(|error| unread(&error))?;
    if !found.is_file() || found.len() > WORKER_BYTES_MAX {
        return Err(unread(&"it is no file of a sensible size"));
    }
    let program = tokio::fs::read(worker).await.map_err(|error| unread(&error))?;
    let tag = tag(&program);
    let name = format!("{NAME}:{tag}");
    match daemon.inspect_image(&name).await {
        Ok(_) => return Ok(name),
        Err(Error::DockerResponseServerError { status_code: 404, .. }) => {}
        Err(error) => return Err(format!("image {name}: {error}")),
    }
    let files = archive(&program).map_err(|error| format!("image {name}: {error}"))?;
    // The tag stands with the name: Podman does not look at it where it stands by itself.
    let options = CreateImageOptionsBuilder::new().from_src("-").repo(&name).build();
    let load = daemon.create_image(Some(options), Some(bollard::body_full(files)), None);
    load.try_for_each(|_| std::future::ready(Ok(())))
        .await
        .map_err(|error| format!("the daemon does not take the image {name}: {error}"))?;
    tracing::info!(image = name, "worker image made");
    Ok(name)
}

/// Removes the images of older workers that no container is made of. Whoever still wants one makes
/// it anew.
pub(super) async fn remove_older(daemon: &Docker, current: &str) {
    let filters = HashMap::from([("reference".to_owned(), vec![NAME.to_owned()])]);
    let options = ListImagesOptionsBuilder::new().filters(&filters).build();
    let found = match daemon.list_images(Some(options)).await {
        Ok(found) => found,
        Err(error) => return tracing::warn!(%error, "images of older workers stay"),
    };
    for name in older(&found, current).into_iter().take(REMOVED_MAX) {
        // One that a container is made of stays, and one may be gone already.
        let stays = daemon.remove_image(name, None::<RemoveImageOptions>, None).await.err();
        tracing::info!(image = name, ?stays, "the image of an older worker is not wanted any more");
    }
}

/// Those that were made a good while before the current one: gateways that start at the same time,
/// each with a worker of its own, leave each other's alone.
fn older<'a>(images: &'a [ImageSummary], current: &str) -> Vec<&'a str> {
    let of = |image: &ImageSummary| image.repo_tags.iter().any(|tag| tag == current);
    let Some(made) = images.iter().find(|image| of(image)).map(|image| image.created) else {
        return Vec::new();
    };
    let old = images.iter().filter(|image| image.created.saturating_add(APART_SECONDS) < made);
    let ours = |tag: &&str| tag.rsplit_once(':').is_some_and(|(name, _)| name == NAME);
    old.flat_map(|image| image.repo_tags.iter().map(String::as_str).filter(ours)).collect()
}

fn tag(program: &[u8]) -> String {
    let mut tag = String::new();
    for byte in Sha256::digest(program).iter().take(TAG_BYTES) {
        // Writing to a string cannot fail.
        let _infallible = write!(tag, "{byte:02x}");
    }
    tag
}

/// A file system with one file, which anybody may run and nobody may change.
fn archive(program: &[u8]) -> io::Result<Bytes> {
    let mut header = tar::Header::new_ustar();
    header.set_size(u64::try_from(program.len()).map_err(io::Error::other)?);
    header.set_mode(0o555);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    let mut files = tar::Builder::new(Vec::with_capacity(program.len().saturating_add(4_096)));
    files.append_data(&mut header, WORKER.trim_start_matches('/'), program)?;
    files.into_inner().map(Bytes::from)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;

    #[test]
    fn an_image_is_one_file_that_nobody_may_change() {
        let bytes = archive(b"\x7fELF").unwrap();
        let mut files = tar::Archive::new(&bytes[..]);
        let mut names = Vec::new();
        for file in files.entries().unwrap() {
            let mut file = file.unwrap();
            let mut content = Vec::new();
            file.read_to_end(&mut content).unwrap();
            assert_eq!(
                (content.as_slice(), file.header().mode().unwrap()),
                (&b"\x7fELF"[..], 0o555)
            );
            names.push(file.path().unwrap().display().to_string());
        }
        assert_eq!(names, ["narrows-worker"]);
    }

    #[test]
    fn only_images_of_ours_that_are_older_go() {
        let image = |tag: &str, created| ImageSummary {
            repo_tags: vec![tag.to_owned()],
            created,
            ..ImageSummary::default()
        };
        let current = format!("{NAME}:b");
        let old = format!("{NAME}:a");
        let images = [
            image(&old, 1_000),
            image("localhost/other:a", 1_000),
            image(&current, 1_000_000),
            image(&format!("{NAME}:c"), 999_999),
            image(&format!("{NAME}:d"), 2_000_000),
        ];
        assert_eq!(older(&images, &current), [old.as_str()]);
        assert_eq!(older(&images[..2], &current), Vec::<&str>::new());
    }

    #[test]
    fn the_tag_follows_from_the_content() {
        assert_eq!(tag(b"").as_str(), "e3b0c44298fc1c149afbf4c8996fb924");
        assert_ne!(tag(b"a"), tag(b"b"));
    }
}
