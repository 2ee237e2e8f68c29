//! What was given to us, kept between starts: one file for each upstream and address, readable by
//! its owner only, replaced as a whole. In it, each authorization server has an account of its own:
//! what one of them gave is never shown to another.

use super::Refusal;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use nix::fcntl::{Flock, FlockArg};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use std::collections::BTreeMap;
use std::fmt;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Changes when the form of the files does.
const VERSION: u32 = 1;
/// Bytes of one file.
const FILE_BYTES_MAX: u64 = 1 << 20;
/// Files that are looked through.
const FILES_MAX: usize = 4_096;
/// Authorization servers that one upstream's file remembers.
const ACCOUNTS_MAX: usize = 8;
/// How long another process may hold a file, and how often that is looked at.
const LOCK_WAIT: Duration = Duration::from_secs(20);
const LOCK_PAUSE: Duration = Duration::from_millis(50);

/// A text that is shown to nobody.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub(super) struct Hidden(pub(super) String);

impl fmt::Debug for Hidden {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// What is kept for one upstream at one address.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(super) struct Record {
    version: u32,
    pub(super) server: String,
    /// Where its tokens are sent.
    pub(super) url: String,
    /// By issuer.
    pub(super) accounts: BTreeMap<String, Account>,
    /// The issuer that the resource named last.
    pub(super) issuer: Option<String>,
    /// Scopes that the resource asked for and that nobody has granted yet.
    #[serde(default)]
    pub(super) wanted: Vec<String>,
}

/// What one authorization server knows us by and gave us.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Account {
    pub(super) client: Identity,
    pub(super) token_endpoint: String,
    /// The resource that the tokens are for, as it calls itself.
    pub(super) resource: String,
    /// Scopes that were asked for.
    pub(super) asked: Vec<String>,
    pub(super) token: Option<Token>,
}

/// Who we are to an authorization server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Identity {
    pub(super) id: String,
    pub(super) secret: Option<Hidden>,
    /// `none`, `client_secret_basic`, `client_secret_post` or `private_key_jwt`.
    pub(super) method: String,
    /// Where the browser comes back to.
    pub(super) redirect: Option<String>,
    /// When the secret ends, in seconds since 1970.
    pub(super) secret_ends: Option<u64>,
}

/// A token and what renews it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Token {
    pub(super) access: Hidden,
    pub(super) refresh: Option<Hidden>,
    /// In seconds since 1970, if it is known.
    pub(super) ends: Option<u64>,
    pub(super) scopes: Vec<String>,
}

impl Record {
    /// The account at the issuer that the resource named last.
    pub(super) fn account(&self) -> Option<&Account> {
        self.accounts.get(self.issuer.as_ref()?)
    }

    pub(super) fn token(&self) -> Option<&Token> {
        self.account()?.token.as_ref()
    }

    /// Keeps an account, from now on the one that counts.
    pub(super) fn keep(&mut self, issuer: &str, account: Account) {
        self.accounts.insert(issuer.to_owned(), account);
        self.issuer = Some(issuer.to_owned());
        self.wanted.clear();
        while self.accounts.len() > ACCOUNTS_MAX {
            let other = self.accounts.keys().find(|key| *key != issuer).cloned();
            let Some(other) = other else { break };
            self.accounts.remove(&other);
        }
    }
}

/// One upstream's place. Without a folder, what is kept lives as long as the process.
#[derive(Debug, Clone)]
pub(super) struct Vault {
    folder: Option<Arc<Path>>,
    server: String,
    url: String,
}

impl Vault {
    pub(super) fn new(folder: Option<&Path>, server: &str, url: &reqwest::Url) -> Self {
        let mut url = url.clone();
        url.set_query(None);
        url.set_fragment(None);
        // What stands in an address as user and password is no part of where it is.
        let _no_host = url.set_username("").and_then(|()| url.set_password(None));
        Self { folder: folder.map(Arc::from), server: server.to_owned(), url: url.into() }
    }

    /// A record with nothing in it.
    pub(super) fn empty(&self) -> Record {
        let (server, url) = (self.server.clone(), self.url.clone());
        Record { version: VERSION, server, url, ..Record::default() }
    }

    fn path(&self, ending: &str) -> Option<PathBuf> {
        let mut hash = Sha256::new();
        for part in [&self.server, &self.url] {
            hash.update((part.len() as u64).to_le_bytes());
            hash.update(part.as_bytes());
        }
        let name = URL_SAFE_NO_PAD.encode(hash.finalize());
        Some(self.folder.as_ref()?.join(name + ending))
    }

    /// What is kept; `None` without a file.
    pub(super) fn load(&self) -> Option<Record> {
        let record = read(&self.path(".json")?)?;
        // The name is a hash; what it stands for must be meant too.
        (record.server == self.server && record.url == self.url).then_some(record)
    }

    /// Keeps a record. Readers see the old one or this one.
    pub(super) fn save(&self, record: &Record) -> Result<(), Refusal> {
        let (Some(folder), Some(path)) = (&self.folder, self.path(".json")) else { return Ok(()) };
        write(folder, &path, record)
            .map_err(|e| Refusal::new(format!("{} cannot be written: {e}", path.display())))
    }

    /// Keeps other processes from renewing the same token at once. If one holds on to it for too
    /// long, it is gone on without.
    pub(super) async fn lock(&self) -> Option<Flock<File>> {
        let path = self.path(".lock")?;
        DirBuilder::new().recursive(true).mode(0o700).create(self.folder.as_ref()?).ok()?;
        let mut file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .mode(0o600)
            .open(path)
            .ok()?;
        let patience = tokio::time::Instant::now() + LOCK_WAIT;
        while tokio::time::Instant::now() < patience {
            match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
                Ok(lock) => return Some(lock),
                Err((back, _held)) => file = back,
            }
            tokio::time::sleep(LOCK_PAUSE).await;
        }
        None
    }
}

/// Every record in the folder.
pub(super) fn all(folder: &Path) -> Vec<(PathBuf, Record)> {
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    let paths = entries.take(FILES_MAX).filter_map(|entry| Some(entry.ok()?.path()));
    let records = paths.filter(|path| path.extension().is_some_and(|e| e == "json"));
    records.filter_map(|path| Some((path.clone(), read(&path)?))).collect()
}

fn read(path: &Path) -> Option<Record> {
    let mut bytes = Vec::new();
    File::open(path).ok()?.take(FILE_BYTES_MAX).read_to_end(&mut bytes).ok()?;
    let Ok(record) = serde_json::from_slice::<Record>(&bytes) else {
        // The parser's words could repeat what stands there.
        tracing::warn!("{} is broken and is ignored", path.display());
        return None;
    };
    (record.version == VERSION).then_some(record)
}

fn write(folder: &Path, path: &Path, record: &Record) -> io::Result<()> {
    static WRITES: AtomicU64 = AtomicU64::new(0);
    DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    let number = WRITES.fetch_add(1, Ordering::Relaxed);
    let part = folder.join(format!(".{}-{number}.part", std::process::id()));
    let put = || {
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&part)?;
        file.write_all(&serde_json::to_vec(record)?)?;
        file.sync_all()?;
        fs::rename(&part, path)
    };
    put().inspect_err(|_| {
        // The first error is the one to tell.
        let _gone = fs::remove_file(&part);
    })
}
