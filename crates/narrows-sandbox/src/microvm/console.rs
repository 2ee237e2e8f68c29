//! What a machine says on its console: text for people, and a few lines for us. The machine may be
//! in the hands of a hostile program: everything is bounded, and nothing that it says is believed
//! further than a reason goes.

use crate::guard::Ended;
use crate::spawn::Machine;
use crate::zygote::log;
use narrows_types::control::{Death, SIGNALLED};
use narrows_types::guest::{ENDED, FAILED, LISTENS, STARTS, WALL};
use narrows_types::{Layer, LayerState};
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::net::unix::pipe;
use tokio::sync::oneshot;

/// The longest line that is looked at; of a longer one the rest counts as another.
const LINE_BYTES_MAX: usize = 1_024;
/// The last lines that are kept, for an error.
const KEPT: usize = 3;
/// Lines of one machine that reach the log.
const LOGGED_MAX: usize = 50;

/// A console that is being read.
#[derive(Debug)]
pub(crate) struct Console<R = pipe::Receiver> {
    from: R,
    buffer: Vec<u8>,
    logged: usize,
    last: Vec<String>,
    listens: bool,
    ended: Option<Ended>,
}

/// What it said that matters.
#[derive(Debug, PartialEq, Eq)]
enum Said {
    Nothing,
    Listens,
    Ended(Death, u64),
    Failed(String),
}

impl<R: AsyncRead + Unpin> Console<R> {
    pub(crate) fn new(from: R) -> Self {
        Self { from, buffer: Vec::new(), logged: 0, last: Vec::new(), listens: false, ended: None }
    }

    /// Waits until the hypervisor starts, and gives the walls around it. No guest speaks before that.
    pub(crate) async fn starts(&mut self) -> Result<Vec<LayerState>, String> {
        let mut walls = Vec::new();
        while let Some(line) = self.line().await {
            match line.split_once(' ').unwrap_or((line.trim(), "")) {
                (STARTS, _) => return Ok(walls),
                (WALL, state) => walls.extend(wall(state)),
                _ => {
                    if let Said::Failed(why) = self.hear(&line) {
                        return Err(why);
                    }
                }
            }
        }
        Err(self.reason())
    }

    /// Waits until the worker listens.
    pub(crate) async fn listens(&mut self) -> Result<(), String> {
        while !self.listens {
            let Some(line) = self.line().await else { return Err(self.reason()) };
            if let Said::Failed(why) = self.hear(&line) {
                return Err(why);
            }
        }
        Ok(())
    }

    /// Reads until the machine is gone, and tells how its worker ended if it said so.
    pub(crate) async fn drain(&mut self) -> Option<Ended> {
        while let Some(line) = self.line().await {
            self.hear(&line);
        }
        self.ended
    }

    /// What it said last.
    pub(crate) fn reason(&self) -> String {
        if self.last.is_empty() {
            return "the machine ended without a word".to_owned();
        }
        format!("the machine ended: {}", self.last.join("; "))
    }

    fn hear(&mut self, line: &str) -> Said {
        let said = read(line);
        match &said {
            Said::Listens => self.listens = true,
            Said::Ended(how, cpu_us) => {
                self.ended.get_or_insert(Ended { how: *how, cpu_us: *cpu_us, memory_bytes: 0 });
            }
            Said::Nothing | Said::Failed(_) if !line.trim().is_empty() => {
                self.last.push(line.trim().escape_debug().to_string());
                if self.last.len() > KEPT {
                    self.last.remove(0);
                }
                self.logged += 1;
                if self.logged <= LOGGED_MAX {
                    log(line.as_bytes());
                }
            }
            _ => {}
        }
        said
    }

    async fn line(&mut self) -> Option<String> {
        loop {
            let end = self.buffer.iter().position(|byte| *byte == b'\n').map(|at| at + 1);
            let end = end.or((self.buffer.len() >= LINE_BYTES_MAX).then_some(LINE_BYTES_MAX));
            if let Some(end) = end {
                let line: Vec<u8> = self.buffer.drain(..end.min(self.buffer.len())).collect();
                return Some(String::from_utf8_lossy(&line).into_owned());
            }
            let mut chunk = [0; LINE_BYTES_MAX];
            match self.from.read(&mut chunk).await {
                Ok(length @ 1..) => {
                    self.buffer.extend_from_slice(chunk.get(..length).unwrap_or_default());
                }
                Ok(0) | Err(_) if self.buffer.is_empty() => return None,
                Ok(_) | Err(_) => self.buffer.push(b'\n'),
            }
        }
    }
}

/// A wall's name and, where it does not hold, why.
fn wall(said: &str) -> Option<LayerState> {
    let (name, why) = said.trim().split_once(' ').unwrap_or((said.trim(), ""));
    Some(LayerState { layer: Layer::named(name)?, reached: why.is_empty(), why: why.to_owned() })
}

fn read(line: &str) -> Said {
    let mut words = line.split_whitespace();
    match words.next() {
        Some(LISTENS) => Said::Listens,
        Some(FAILED) => Said::Failed(words.collect::<Vec<_>>().join(" ")),
        Some(ENDED) => {
            let kind = words.next();
            let mut number = || words.next()?.parse::<u64>().ok();
            let (code, cpu_us) = (number().and_then(|code| i32::try_from(code).ok()), number());
            match (kind, code, cpu_us) {
                (Some("exit"), Some(code), Some(cpu_us)) => Said::Ended(Death::Exit(code), cpu_us),
                (Some("signal"), Some(signal), Some(cpu_us)) => {
                    Said::Ended(Death::Signal(signal), cpu_us)
                }
                _ => Said::Nothing,
            }
        }
        _ => Said::Nothing,
    }
}

/// Reads the console of a machine to its end and tells how its worker ended: as the guest says, or
/// else as the machine itself did.
pub(crate) async fn bury(
    mut console: Console,
    machine: oneshot::Receiver<Ended>,
    tell: oneshot::Sender<Ended>,
) {
    let said = console.drain().await;
    let died = machine.await.map_or(Death::Signal(libc::SIGKILL), |ended| ended.how);
    let how = match died {
        // As the one told who waited for it.
        Death::Exit(code) if code > SIGNALLED => Death::Signal(code - SIGNALLED),
        how => how,
    };
    // What the hypervisor used is not what the run used.
    let machine = Ended { how, cpu_us: 0, memory_bytes: 0 };
    // Whoever held it may be gone too.
    let _unheard = tell.send(said.unwrap_or(machine));
}

/// Ends a machine and waits until it is gone, with all that it had open: the process that we started
/// only waits for the hypervisor, so that its own end says too little.
pub(crate) async fn end(mut machine: Machine, mut console: Console) {
    let ended = machine.ended.take();
    drop(machine);
    console.drain().await;
    if let Some(ended) = ended {
        drop(ended.await);
    }
}

/// The console of a machine.
pub(crate) fn of(machine: &mut Machine) -> Result<Console, String> {
    machine.output.take().map(Console::new).ok_or_else(|| "the machine has no console".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::AsyncWriteExt;

    #[test]
    fn only_whole_lines_of_ours_count() {
        for (line, said) in [
            ("narrows-listens", Said::Listens),
            ("narrows-ended exit 65 12", Said::Ended(Death::Exit(65), 12)),
            ("narrows-ended signal 27 9\r", Said::Ended(Death::Signal(27), 9)),
            ("narrows-failed there is no /dev/x", Said::Failed("there is no /dev/x".to_owned())),
            ("narrows-ended", Said::Nothing),
            ("narrows-ended exit -1 12", Said::Nothing),
            ("narrows-ended exit 99999999999 12", Said::Nothing),
            ("narrows-ended quit 1 12", Said::Nothing),
            ("[    0.1] narrows-listens", Said::Nothing),
            ("", Said::Nothing),
        ] {
            assert_eq!(read(line), said, "{line}");
        }
    }

    #[tokio::test]
    async fn walls_are_told_before_anything_else() {
        let said = "narrows-wall seccomp \nnarrows-wall landlock the kernel has no landlock\n\
                    narrows-starts\nnarrows-wall rlimits\n";
        let mut console = Console::new(said.as_bytes());
        let walls = console.starts().await.unwrap();
        assert_eq!(walls.len(), 2);
        assert!(walls[0].reached && walls[0].layer == Layer::Seccomp);
        assert_eq!((walls[1].reached, &*walls[1].why), (false, "the kernel has no landlock"));
        let mut console = Console::new(&b"narrows-failed /x: no such file\n"[..]);
        assert_eq!(console.starts().await, Err("/x: no such file".to_owned()));
        let mut console = Console::new(&b"what is this\n"[..]);
        assert!(console.starts().await.unwrap_err().contains("what is this"));
    }

    #[tokio::test]
    async fn a_machine_that_dies_has_not_used_its_runs_time() {
        for (last, how, wanted) in [
            ("", Death::Exit(137), (Death::Signal(libc::SIGKILL), 0)),
            ("", Death::Exit(1), (Death::Exit(1), 0)),
            ("narrows-ended exit 64 7000\n", Death::Exit(0), (Death::Exit(64), 7_000)),
        ] {
            let (mut from, console) = pipe::pipe().unwrap();
            from.write_all(last.as_bytes()).await.unwrap();
            drop(from);
            let ((died, machine), (tell, told)) = (oneshot::channel(), oneshot::channel());
            died.send(Ended { how, cpu_us: 90_000_000, memory_bytes: 0 }).unwrap();
            bury(Console::new(console), machine, tell).await;
            let told = told.await.unwrap();
            assert_eq!((told.how, told.cpu_us), wanted);
        }
    }

    #[tokio::test]
    async fn a_flood_is_read_and_not_kept() {
        let flood = "x".repeat(1 << 20) + "\nKernel panic\nnarrows-ended exit 0 5\n";
        let mut console = Console::new(flood.as_bytes());
        assert_eq!(console.drain().await.map(|ended| ended.cpu_us), Some(5));
        assert!(console.reason().ends_with("Kernel panic"), "{}", console.reason());
        assert!(console.reason().len() < 4 * LINE_BYTES_MAX);
    }
}
