//! The servers that a test run shares: private, on loopback, gone with the run.

use crate::ledger;
use crate::shell::{self, Fail, Run, Server, say};
use std::net::TcpListener;

/// The scripts that start them: the tests start their own by the same.
const POSTGRES: &str = include_str!("../../crates/narrows-testkit/external/daemons/postgres.sh");
const REDIS: &str = include_str!("../../crates/narrows-testkit/external/daemons/redis.sh");

/// Container daemons: where the tests look for their sockets, the scripts that start them, and the
/// Debian packages that they are in.
const DAEMONS: [(&str, &str, &str); 2] = [
    ("NARROWS_TEST_DOCKER", "dockerd.sh", "docker.io"),
    ("NARROWS_TEST_PODMAN", "podman.sh", "podman"),
];

/// What runs beside the tests.
pub(crate) struct Services {
    servers: Vec<Server>,
    places: Vec<(&'static str, String)>,
}

impl Services {
    /// Tells a test run where they are.
    pub(crate) fn describe(&self, run: &mut Run) {
        for (name, url) in &self.places {
            run.env(name, url);
        }
    }

    /// Container daemons, each on a socket of its own. Only root can start them.
    fn containers(&mut self, root: bool) -> Result<(), Fail> {
        let scripts = shell::root().join("crates/narrows-testkit/external/daemons");
        let without = ledger::without()?;
        for (name, script, package) in DAEMONS {
            if ledger::needless(package, &without) {
                continue;
            }
            let socket = format!("/tmp/narrows-{}-{script}.sock", std::process::id());
            let script = scripts.join(script).to_string_lossy().into_owned();
            let sudo: &[&str] = if root { &[] } else { &["sudo"] };
            let words = [sudo, &["sh", &script, &socket]].concat();
            let (program, args) = words.split_first().ok_or_else(|| Fail("no words".to_owned()))?;
            let hint = |Fail(why)| Fail(format!("{why}; NARROWS_WITHOUT names what to go without"));
            self.servers.push(shell::tool(program, args).serve().map_err(hint)?);
            self.places.push((name, socket));
        }
        Ok(())
    }

    /// Ends them.
    pub(crate) fn end(self) -> Result<(), Fail> {
        for server in self.servers {
            server.end()?;
        }
        Ok(())
    }
}

/// How surely they keep what they hold.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Care {
    /// Not beyond the run: tests need no more.
    None,
    /// As a real one does, so that what it costs is measured.
    Real,
}

/// Starts them; container daemons too, where there are to be any.
pub(crate) fn start(care: Care, containers: bool) -> Result<Services, Fail> {
    let mut services = Services { servers: Vec::new(), places: Vec::new() };
    let (fast, appending) = if care == Care::Real { ("", "yes") } else { ("-F", "no") };
    let port = free_port()?;
    // Its server refuses to be root.
    let root = shell::works("test", &["-w", "/usr/bin"]);
    let postgres = if root { vec!["runuser", "-u", "postgres", "--", "sh"] } else { vec!["sh"] };
    services.servers.push(serve(&postgres, POSTGRES, port, fast)?);
    let url = format!("postgres://narrows@127.0.0.1:{port}/postgres");
    services.places.push(("NARROWS_TEST_POSTGRES", url));
    let port = free_port()?;
    services.servers.push(serve(&["sh"], REDIS, port, appending)?);
    services.places.push(("NARROWS_TEST_REDIS", format!("redis://127.0.0.1:{port}")));
    if containers {
        services.containers(root)?;
    }
    for (name, url) in &services.places {
        say(&format!("{name}={url}\n"));
    }
    Ok(services)
}

fn serve(shell: &[&str], script: &str, port: u16, flag: &str) -> Result<Server, Fail> {
    let port = port.to_string();
    let words = [shell, &["-c", script, "sh", &port, flag]].concat();
    let (program, args) = words.split_first().ok_or_else(|| Fail("no words".to_owned()))?;
    shell::tool(program, args).serve()
}

fn free_port() -> Result<u16, Fail> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}
