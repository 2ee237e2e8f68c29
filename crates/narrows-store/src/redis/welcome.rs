//! What is looked at once when a server is opened.

use super::link::Link;
use crate::error::StoreError;
use redis::{FromRedisValue, Value};
use std::collections::HashMap;

/// The oldest version with all that the scripts use.
const VERSION_MIN: (u32, u32) = (6, 2);

/// Refuses a server that is too old, and warns of one that may lose what it is given.
pub(super) async fn check(link: &Link) -> Result<(), StoreError> {
    let what = "ask for the version";
    let hello = link.command(what, &redis::cmd("HELLO")).await?;
    let found = version(hello).ok_or_else(|| link.failed(what, "it names no version"))?;
    if number(&found).is_none_or(|number| number < VERSION_MIN) {
        let (major, minor) = VERSION_MIN;
        let why = format!("its version is {found}; use redis {major}.{minor} or newer");
        return Err(StoreError::Open { place: link.address.place.clone(), why });
    }
    let place = &link.address.place;
    let appends = setting(link, "appendonly").await;
    let saves = setting(link, "save").await;
    if appends.is_some_and(|on| on != "yes") && saves.is_some_and(|when| when.is_empty()) {
        tracing::warn!(
            "the store {place} keeps nothing on disk: set `appendonly yes`, or a restart of the \
             server loses every run and job"
        );
    }
    if let Some(policy) = setting(link, "maxmemory-policy").await.filter(|p| p != "noeviction") {
        tracing::warn!(
            "the store {place} may evict runs and jobs: its maxmemory-policy is {policy}, set \
             `maxmemory-policy noeviction`"
        );
    }
    Ok(())
}

fn version(hello: Value) -> Option<String> {
    let mut fields = HashMap::<String, Value>::from_redis_value(hello).ok()?;
    String::from_redis_value(fields.remove("version")?).ok()
}

fn number(version: &str) -> Option<(u32, u32)> {
    let mut parts = version.split('.');
    Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
}

/// A setting of the server, if it may be asked for.
async fn setting(link: &Link, name: &str) -> Option<String> {
    let mut command = redis::cmd("CONFIG");
    command.arg("GET").arg(name);
    let answer = link.command("ask for a setting", &command).await.ok()?;
    HashMap::<String, String>::from_redis_value(answer).ok()?.remove(name)
}
