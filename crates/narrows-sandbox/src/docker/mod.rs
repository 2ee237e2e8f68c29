//! Workers in containers, by the Docker API: Docker's daemon or Podman's, and gVisor where it is
//! one of the daemon's runtimes.
//!
//! One container is one run. Its process is the static worker, its standard input and output carry
//! the frames, and one task owns it from its making to its removal.

mod attach;
mod container;
mod daemon;
mod image;
mod keeper;
mod leftovers;

pub use daemon::sockets;

use crate::backend::{Backend, Ender, Fresh, Launched};
use crate::cgroup;
use arc_swap::ArcSwapOption;
use bollard::Docker as Daemon;
use bollard::models::ContainerCreateBody;
use container::Profiles;
use daemon::Traits;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use keeper::Keeper;
use narrows_types::{Engine, Layer, LayerState};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::oneshot;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// How long containers may take to be removed when the back end closes.
const REMOVAL: Duration = Duration::from_secs(10);

/// Settings.
#[derive(Debug, Clone)]
pub struct Config {
    /// Where the daemon may listen; the first that is there is used. See [`sockets`].
    pub sockets: Vec<PathBuf>,
    /// The daemon's runtime for containers, such as `runsc` for gVisor. `None`: its default.
    pub runtime: Option<String>,
    /// The static worker, of which the image is made.
    pub worker: PathBuf,
    /// Memory of a container, over which it is killed. The run's own limit is kept by the worker.
    pub memory_bytes: u64,
    /// Processors that a container may keep busy.
    pub cpus: u16,
    /// Processes and threads in a container.
    pub processes: u16,
    /// Scratch files in a container, which are in memory.
    pub disk_bytes: u64,
}

impl Config {
    /// Usual settings for this worker.
    pub fn new(worker: PathBuf, sockets: Vec<PathBuf>) -> Self {
        Self {
            sockets,
            runtime: None,
            worker,
            memory_bytes: 1 << 30,
            cpus: 1,
            processes: 16,
            disk_bytes: 16 << 20,
        }
    }
}

/// The back end.
#[derive(Debug)]
pub(crate) struct Docker {
    config: Config,
    ready: ArcSwapOption<Ready>,
    tasks: TaskTracker,
    stop: CancellationToken,
}

/// What is found out and done once.
#[derive(Debug)]
struct Ready {
    daemon: Daemon,
    traits: Traits,
    profiles: Profiles,
    /// Made anew when somebody takes it away.
    image: Mutex<String>,
}

impl Docker {
    pub(crate) fn new(config: Config) -> Self {
        let (tasks, stop) = (TaskTracker::new(), CancellationToken::new());
        Self { config, ready: ArcSwapOption::empty(), tasks, stop }
    }

    /// Everything that comes before the first container.
    async fn find(&self) -> Result<Ready, String> {
        let (daemon, traits) = daemon::connect(&self.config.sockets).await?;
        if let Some(runtime) = &self.config.runtime
            && !traits.runtimes.contains(runtime)
        {
            let known = traits.runtimes.join(", ");
            return Err(format!(
                "the container daemon has no runtime {runtime}, only {known}; add it to the \
                 daemon, or change sandbox.docker.runtime"
            ));
        }
        for what in &traits.unlimited {
            tracing::warn!("the container daemon cannot limit {what}: only the worker itself does");
        }
        leftovers::remove(&daemon).await?;
        let image = image::provide(&daemon, &self.config.worker).await?;
        image::remove_older(&daemon, &image).await;
        let image = Mutex::new(image);
        let profiles =
            Profiles::new(&traits).map_err(|error| format!("the seccomp profile: {error}"))?;
        let mut ready = Ready { daemon, traits, profiles, image };
        // Whether our own profile is loaded, only a start tells.
        if ready.profiles.apparmor
            && let Err(why) = self.start(&ready, Engine::Quickjs).await
        {
            if !names_apparmor(&why) {
                return Err(why);
            }
            let name = container::APPARMOR;
            tracing::warn!(why, "containers get the daemon's own AppArmor profile: load {name}");
            ready.profiles.apparmor = false;
        }
        Ok(ready)
    }

    /// Starts one container and waits for its worker's hello.
    async fn start(
        &self,
        ready: &Ready,
        engine: Engine,
    ) -> Result<(Fresh, Vec<LayerState>), String> {
        let mut fresh = match self.container(ready, engine).await {
            Err(keeper::Unstarted::NoImage) => {
                let image = image::provide(&ready.daemon, &self.config.worker).await?;
                ready.set_image(image);
                self.container(ready, engine).await
            }
            other => other,
        }
        .map_err(|error| error.to_string())?;
        let layers = fresh.hello().await?;
        let mut layers = outer(layers, &ready.traits);
        cgroup::note(&mut layers, self.bounded(&ready.traits));
        Ok((fresh, layers))
    }

    /// Whether each container has a control group that bounds it.
    fn bounded(&self, traits: &Traits) -> Result<(), String> {
        if let Some(runtime) = &self.config.runtime {
            return Err(format!("whether {runtime} keeps the limits of a container is not known"));
        }
        let missing = traits.unlimited.iter().find(|what| ["memory", "processes"].contains(what));
        missing.map_or(Ok(()), |what| Err(format!("the container daemon cannot limit {what}")))
    }

    /// Hands one container to a task of its own, which outlives this future if it is dropped, and
    /// then removes what it made.
    async fn container(&self, ready: &Ready, engine: Engine) -> Result<Fresh, keeper::Unstarted> {
        let (answer, answered) = oneshot::channel();
        let (tell, ended) = oneshot::channel();
        let kill = self.stop.child_token();
        let request = ready.request(&self.config, engine);
        let keeper = Keeper { daemon: ready.daemon.clone(), kill: kill.clone(), tell };
        self.tasks.spawn(keeper.keep(request, answer));
        let (read, write) = answered.await.map_err(|_stopped| keeper::Unstarted::Stopped)??;
        Ok(Fresh { read, write, worker: Ender::Told(kill), ended, door: None })
    }
}

impl Ready {
    fn request(&self, config: &Config, engine: Engine) -> ContainerCreateBody {
        let image = self.image.lock().map(|image| image.clone()).unwrap_or_default();
        container::request(config, &image, engine, &self.traits, &self.profiles)
    }

    fn set_image(&self, name: String) {
        if let Ok(mut image) = self.image.lock() {
            *image = name;
        }
    }
}

impl Backend for Docker {
    fn prepare(&self, engine: Engine) -> BoxFuture<'_, Result<Vec<LayerState>, String>> {
        async move {
            // Anew each time: what was found out once may not hold any more.
            let ready = Arc::new(self.find().await?);
            self.ready.store(Some(Arc::clone(&ready)));
            let (_fresh, layers) = self.start(&ready, engine).await?;
            Ok(layers)
        }
        .boxed()
    }

    fn launch(&self, engine: Engine) -> BoxFuture<'_, Result<Launched, String>> {
        async move {
            let ready = self.ready.load_full().ok_or("no container was tried yet")?;
            self.start(&ready, engine).await
        }
        .boxed()
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        async move {
            self.stop.cancel();
            self.tasks.close();
            if timeout(REMOVAL, self.tasks.wait()).await.is_err() {
                tracing::warn!("{} containers are not removed yet", self.tasks.len());
            }
        }
        .boxed()
    }
}

/// A daemon refuses a profile that is not loaded. Whatever else fails, it is not for the profile.
fn names_apparmor(why: &str) -> bool {
    why.to_ascii_lowercase().contains("apparmor")
}

/// The walls that the worker has raised, and the namespaces of the container around them: whether
/// it has these, a worker that may make none cannot see.
fn outer(mut layers: Vec<LayerState>, traits: &Traits) -> Vec<LayerState> {
    let around = [
        (Layer::UserNamespace, traits.user_namespace),
        (Layer::PidNamespace, true),
        (Layer::MountNamespace, true),
        (Layer::NetNamespace, true),
        (Layer::IpcNamespace, true),
        (Layer::UtsNamespace, true),
    ];
    for (layer, _) in around.into_iter().filter(|(_, holds)| *holds) {
        let state = LayerState { layer, reached: true, why: String::new() };
        match layers.iter_mut().find(|known| known.layer == layer) {
            Some(known) => *known = state,
            None => layers.push(state),
        }
    }
    layers
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_worker_says_of_itself_stands() {
        let said =
            |layer, why: &str| LayerState { layer, reached: why.is_empty(), why: why.to_owned() };
        let inside = vec![
            said(Layer::NoNewPrivs, "no"),
            said(Layer::Seccomp, "no filters here"),
            said(Layer::Rlimits, "no"),
            said(Layer::Capabilities, ""),
            said(Layer::UserNamespace, "not permitted"),
            said(Layer::NetNamespace, "not permitted"),
        ];
        let traits = Traits { seccomp: true, ..Traits::default() };
        let all = outer(inside, &traits);
        let holds = |layer| all.iter().any(|state| state.layer == layer && state.reached);
        for layer in [Layer::NoNewPrivs, Layer::Seccomp, Layer::Rlimits, Layer::UserNamespace] {
            assert!(!holds(layer), "{layer}");
        }
        for layer in [Layer::Capabilities, Layer::NetNamespace, Layer::PidNamespace] {
            assert!(holds(layer), "{layer}");
        }
        let traits = Traits { user_namespace: true, ..traits };
        assert!(outer(all, &traits).iter().any(|s| s.layer == Layer::UserNamespace && s.reached));
    }

    #[test]
    fn only_a_refused_profile_is_given_up() {
        for (why, refused) in [
            ("runc create failed: unable to apply apparmor profile: no such file", true),
            ("AppArmor profile \"narrows-worker\" specified but not loaded", true),
            ("the container daemon does not start a container: no space left on device", false),
            ("the container daemon does not make a container: Timeout error", false),
        ] {
            assert_eq!(names_apparmor(why), refused, "{why}");
        }
    }
}
