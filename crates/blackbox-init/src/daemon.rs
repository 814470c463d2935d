//! The daemon as init sees it: started under its own user id, spoken to, started again when it ends.

use std::fs;
use std::io;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use appliance::exit;
use appliance::message::{ToDaemon, ToInit};
use appliance::paths;

use crate::children::{Children, Role};
use crate::link::Link;
use crate::log::Level;
use crate::pulse::{Pulse, Verdict};
use crate::supervisor::Supervisor;
use crate::sys::{self, Exit, Identity};
use crate::{alarm, log};

/// Descriptors the daemon may open: ten thousand peers, with their files, several times over.
const MAX_FILES: u64 = 1 << 18;

/// Threads it may have: 512 that may wait for disks in each of its runtimes, and a few for each core.
const MAX_THREADS: u64 = 4096;

/// Where the daemon listens in the appliance.
const LISTENERS: [&str; 6] = ["--web", "[::]:80", "--tracker", "[::]:6969", "--peer", "[::]:6881"];

/// The daemon, running or not.
pub struct Daemon {
    /// The folder for its state; nothing is started before it is known.
    state: Option<&'static str>,
    supervisor: Supervisor,
    pulse: Pulse,
    pid: Option<u32>,
    link: Option<Link>,
    last_words: String,
    /// What it says about itself.
    pub status: Status,
}

/// What the daemon says about itself, for the screen.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Status {
    /// Port of the page, once the daemon is ready.
    pub web_port: Option<u16>,
    /// Items that can be downloaded now.
    pub seeding: usize,
    /// Work going on.
    pub activity: Option<String>,
    /// Who downloads and how much was given away, in words.
    pub traffic: String,
    /// What is wrong.
    pub problems: Vec<String>,
}

/// What a turn of the conversation brought.
#[derive(Debug, PartialEq, Eq)]
pub enum News {
    /// It is ready.
    Ready,
    /// It has proved that it serves.
    Serves,
    /// It has published a medium, or can't.
    Imported(bool),
    /// It is done with the medium in this drive.
    Eject(String),
}

impl Daemon {
    /// A daemon that is not started yet.
    pub fn new(now: Instant) -> Self {
        Self {
            state: None,
            supervisor: Supervisor::new(now),
            pulse: Pulse::new(now),
            pid: None,
            link: None,
            last_words: String::new(),
            status: Status::default(),
        }
    }

    /// Has it started from now on, with its state in this folder; anew, if it runs with another one.
    pub fn enable(&mut self, state: &'static str) {
        if self.state.replace(state).is_some_and(|before| before != state)
            && let Some(pid) = self.pid
        {
            sys::kill(pid, false);
        }
    }

    /// Has it not started any more.
    pub fn disable(&mut self) {
        self.state = None;
    }

    /// When it is to be started.
    pub fn deadline(&self) -> Option<Instant> {
        self.state.and(self.supervisor.deadline())
    }

    /// The conversation, while there is one.
    pub fn link(&self) -> Option<&Link> {
        self.link.as_ref()
    }

    /// Starts it when it is time. Returns whether it was started, and so has to be told everything.
    ///
    /// # Errors
    /// A sentence for people when it can't be started.
    pub fn start_if_due(&mut self, children: &mut Children, now: Instant) -> Result<bool, String> {
        let Some(state) = self.state.filter(|_| self.supervisor.is_due(now)) else { return Ok(false) };
        match spawn(children, state) {
            Ok((pid, link)) => {
                log!("blackboxd: started as process {pid}");
                self.supervisor.started(now);
                self.pulse.started(now);
                self.pid = Some(pid);
                self.link = Some(link);
                Ok(true)
            }
            Err(error) => {
                let wait = self.supervisor.ended(now);
                log!("blackboxd: can't be started: {error}; next try in {} s", wait.as_secs());
                Err(format!("The publishing service can't be started ({error}): write the image again."))
            }
        }
    }

    /// Takes a line it wrote.
    pub fn wrote(&mut self, text: String) {
        if text.starts_with("ready ") {
            log::serial(&text);
        }
        let level = if is_trouble(&text) { Level::Warning } else { Level::Info };
        log::line(level, &format!("blackboxd: {text}"));
        self.last_words = text;
    }

    /// Takes note of its end. Returns a sentence for people.
    pub fn ended(&mut self, exit: Exit, now: Instant) -> String {
        self.pid = None;
        self.link = None;
        self.status = Status::default();
        let wait = self.supervisor.ended(now).as_secs();
        alarm!(
            "blackboxd: ended with {exit}{}",
            self.state.map_or(String::new(), |_| format!("; next start in {wait} s"))
        );
        describe_end(exit, &std::mem::take(&mut self.last_words))
    }

    /// Tells it something, if it runs.
    pub fn tell(&mut self, message: &ToDaemon) {
        let result = self.link.as_mut().map_or(Ok(()), |link| link.send(message));
        self.judge(result);
    }

    /// Writes what waits and takes what has come.
    pub fn converse(&mut self) -> Vec<News> {
        let Some(link) = &mut self.link else { return Vec::new() };
        let messages = match link.flush().and_then(|()| link.receive()) {
            Ok(messages) => messages,
            Err(error) => {
                self.judge(Err(error));
                return Vec::new();
            }
        };
        messages.into_iter().filter_map(|message| self.take(message)).collect()
    }

    /// Changes how long it may be silent.
    pub fn set_patience(&mut self, patience: Duration) {
        self.pulse.set_patience(patience);
    }

    /// When it is to be looked at, while it runs.
    pub fn look_deadline(&self) -> Option<Instant> {
        self.pid.map(|_| self.pulse.deadline())
    }

    /// Looks, if it is time, whether it still gives signs of life, and ends it if it does not.
    pub fn look(&mut self, now: Instant, uptime: Duration) -> Verdict {
        let Some(pid) = self.pid else { return Verdict::Wait };
        let verdict = self.pulse.look(now, uptime);
        if verdict != Verdict::Wait {
            alarm!("blackboxd: it gives no sign of life; it is ended");
            sys::kill(pid, true);
        }
        verdict
    }

    fn take(&mut self, message: ToInit) -> Option<News> {
        match message {
            ToInit::Alive => {
                self.pulse.sign();
                None
            }
            ToInit::Ready { web_port } => {
                self.status.web_port = Some(web_port);
                Some(News::Ready)
            }
            ToInit::Serves => Some(News::Serves),
            ToInit::Eject { drive } => Some(News::Eject(drive)),
            ToInit::Imported { published } => Some(News::Imported(published)),
            ToInit::Screen { seeding, activity, traffic, problems } => {
                self.status = Status { web_port: self.status.web_port, seeding, activity, traffic, problems };
                None
            }
        }
    }

    /// Ends a conversation that went wrong, and a daemon that can't be talked to.
    fn judge(&mut self, result: io::Result<()>) {
        let Err(error) = result else { return };
        self.link = None;
        // Its end closes the stream first and is heard of a moment later.
        let ending = matches!(
            error.kind(),
            io::ErrorKind::UnexpectedEof | io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset
        );
        if let Some(pid) = self.pid.filter(|_| !ending) {
            log!("blackboxd: {error}; it is ended");
            sys::kill(pid, true);
        }
    }
}

/// Starts the program with its end of a new stream pair.
fn spawn(children: &mut Children, state: &str) -> io::Result<(u32, Link)> {
    // Inherited by the child alone: std opens both ends close-on-exec, and only the child clears that.
    let (ours, theirs) = UnixStream::pair()?;
    let mut command = Command::new(paths::DAEMON);
    command.args(["--publish", paths::PUBLISH, "--state", state, "--config", paths::CONFIG]).args(LISTENERS);
    command.env_clear().current_dir("/");
    let descriptor = sys::inherit(&mut command, &theirs);
    command.env(paths::INIT_FD_VAR, descriptor.to_string());
    sys::become_service(
        &mut command,
        Identity { id: paths::DAEMON_ID, files: MAX_FILES, threads: MAX_THREADS },
    );
    let link = Link::new(ours)?;
    Ok((children.spawn(command, Role::Daemon, "", None)?, link))
}

/// A folder for the daemon's state that is lost when the box is switched off.
///
/// # Errors
/// When it can't be made.
pub fn make_temporary_state(path: &Path) -> io::Result<()> {
    fs::create_dir_all(path)?;
    std::os::unix::fs::chown(path, Some(paths::DAEMON_ID), Some(paths::DAEMON_ID))
}

/// Whether a line of its log, which has the level behind the time, tells of trouble.
fn is_trouble(line: &str) -> bool {
    matches!(line.split_whitespace().nth(1), Some("WARN" | "ERROR"))
}

fn describe_end(exit: Exit, last_words: &str) -> String {
    if exit == Exit::Code(i32::from(exit::USAGE)) {
        format!(
            "The publishing service refuses its settings: {last_words}. Correct {} on the disk.",
            paths::CONFIG_NAME
        )
    } else {
        format!("The publishing service stopped ({exit}) and is being started again.")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_end_is_described_with_what_to_do() {
        let refused = describe_end(Exit::Code(2), "blackbox.toml: line 3: unknown key");
        assert!(refused.contains("line 3") && refused.contains("Correct blackbox.toml"), "{refused}");
        for exit in [Exit::Signal(9), Exit::Code(1), Exit::Code(0)] {
            let sentence = describe_end(exit, "");
            assert!(sentence.contains(&exit.to_string()) && sentence.contains("started again"), "{sentence}");
        }
    }

    #[test]
    fn the_state_is_what_was_said_last() {
        let mut daemon = Daemon::new(Instant::now());
        assert_eq!(daemon.take(ToInit::Ready { web_port: 80 }), Some(News::Ready));
        let screen = ToInit::Screen {
            seeding: 3,
            activity: Some("Reading".into()),
            traffic: "1 peer".into(),
            problems: vec!["full".into()],
        };
        assert_eq!(daemon.take(screen), None);
        assert_eq!((daemon.status.web_port, daemon.status.seeding), (Some(80), 3));
        assert_eq!(daemon.take(ToInit::Eject { drive: "sr0".into() }), Some(News::Eject("sr0".into())));
        daemon.ended(Exit::Signal(9), Instant::now());
        assert_eq!(daemon.status, Status::default(), "a daemon that ended publishes nothing");
    }

    #[test]
    fn nothing_is_started_before_it_is_enabled_or_after_it_is_disabled() {
        let now = Instant::now();
        let mut daemon = Daemon::new(now);
        assert_eq!(daemon.deadline(), None);
        daemon.enable("/x");
        assert_eq!(daemon.deadline(), Some(now));
        daemon.disable();
        assert_eq!(daemon.start_if_due(&mut Children::default(), now), Ok(false));
    }
}
