//! A private broker, which a test may end as a crash would and start again with what it wrote down.

use std::io::{BufRead, BufReader};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// Each ends when its standard input does, however this process ends.
const NATS: &str = r#"
PATH="$PATH:/usr/sbin"
nats-server -a 127.0.0.1 -p "$2" -js -sd "$1" --user ann --pass 'ses@me' >"$1/out" 2>&1 </dev/null &
pid=$!
echo started
cat >/dev/null
kill -9 $pid
wait
"#;
/// Past the script that would make it another user's; its names are known to a server of its own.
const RABBITMQ: &str = r#"
folder=$1 server=$(ls -d /usr/lib/rabbitmq/lib/rabbitmq_server-*/sbin/rabbitmq-server | tail -1)
export HOME="$folder" ERL_EPMD_PORT="$4" ERL_EPMD_ADDRESS=127.0.0.1
export RABBITMQ_NODENAME=narrows@localhost RABBITMQ_NODE_IP_ADDRESS=127.0.0.1
export RABBITMQ_NODE_PORT="$2" RABBITMQ_DIST_PORT="$3" RABBITMQ_ALLOW_INPUT=1
export RABBITMQ_MNESIA_BASE="$folder/data" RABBITMQ_LOG_BASE="$folder/log"
export RABBITMQ_PID_FILE="$folder/pid" RABBITMQ_ENABLED_PLUGINS_FILE="$folder/plugins"
export RABBITMQ_CONFIG_FILE="$folder/none" RABBITMQ_CONF_ENV_FILE="$folder/none.env"
export RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS="-noinput -kernel inet_dist_use_interface {127,0,0,1} \
    +S 1:1 +sbwt none"
epmd -port "$4" -address 127.0.0.1 >/dev/null 2>&1 </dev/null &
names=$!
"$server" >"$folder/out" 2>&1 </dev/null &
pid=$!
echo started
cat >/dev/null
kill -9 $pid $names
wait
"#;
/// Far longer than it ever takes to start.
const PATIENCE: Duration = Duration::from_mins(2);

/// Which.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Nats,
    Rabbit,
}

/// Ends with this.
pub(crate) struct Broker {
    kind: Kind,
    ports: [u16; 3],
    folder: TempDir,
    shell: Option<Child>,
}

impl Broker {
    pub(crate) fn start(kind: Kind) -> Self {
        let ports = free_ports();
        let mut broker = Self { kind, ports, folder: TempDir::new().unwrap(), shell: None };
        broker.restart();
        broker
    }

    /// What narrows is told of it.
    pub(crate) fn url(&self) -> String {
        let port = self.ports[0];
        match self.kind {
            Kind::Nats => format!("nats://ann:ses%40me@127.0.0.1:{port}"),
            Kind::Rabbit => format!("amqp://guest:guest@127.0.0.1:{port}/%2f"),
        }
    }

    /// Ends it as a crash would.
    pub(crate) fn kill(&mut self) {
        if let Some(mut shell) = self.shell.take() {
            drop(shell.stdin.take());
            let _gone = shell.wait();
        }
    }

    /// Starts it with what it wrote down; it answers then.
    pub(crate) fn restart(&mut self) {
        let script = if self.kind == Kind::Nats { NATS } else { RABBITMQ };
        self.shell = Some(launch(script, self.folder.path(), self.ports));
        let until = Instant::now() + PATIENCE;
        while TcpStream::connect((Ipv4Addr::LOCALHOST, self.ports[0])).is_err() {
            let out = || std::fs::read_to_string(self.folder.path().join("out"));
            assert!(Instant::now() < until, "no {:?} broker: {:?}", self.kind, out());
            pause();
        }
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        self.kill();
    }
}

#[expect(clippy::disallowed_methods, reason = "a test's own server, which ends by its input")]
fn launch(script: &str, folder: &std::path::Path, ports: [u16; 3]) -> Child {
    let mut child = Command::new("sh")
        .args(["-c", script, "sh"])
        .arg(folder)
        .args(ports.map(|port| port.to_string()))
        .current_dir("/")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    assert_eq!(line, "started\n");
    child
}

#[expect(clippy::disallowed_methods, reason = "a test waits for a server of its own")]
fn pause() {
    std::thread::sleep(Duration::from_millis(100));
}

/// Taken together, so that they differ.
fn free_ports() -> [u16; 3] {
    let listeners = [(); 3].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
    listeners.each_ref().map(|listener| listener.local_addr().unwrap().port())
}
