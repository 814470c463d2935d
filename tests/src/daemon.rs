//! `blackboxd` on this machine.

use std::collections::BTreeSet;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};
use std::sync::Arc;
use std::time::Duration;

use nix::sys::signal::Signal;
use tempfile::TempDir;
use torrent::InfoHash;

use crate::api::Api;
use crate::init::Init;
use crate::process::Process;

/// Time in which the daemon says that it is ready.
const READY: Duration = Duration::from_secs(15);

/// Time in which SIGTERM ends it, by contract.
pub const END: Duration = Duration::from_secs(5);

/// The daemon's program.
pub fn program() -> PathBuf {
    crate::built("BLACKBOXD", "blackboxd")
}

/// Folders and options for a daemon; they outlive it, so that it can be started again on the same state.
#[derive(Debug)]
pub struct Site {
    folder: Arc<TempDir>,
    options: Vec<String>,
}

impl Site {
    /// An empty publish folder and no state.
    pub fn new() -> Self {
        Self::in_folder(crate::temporary_folder())
    }

    /// As [`Site::new`], on a real disk: for tests about reading and writing.
    pub fn on_disk() -> Self {
        Self::in_folder(crate::temporary_folder_on_disk())
    }

    fn in_folder(folder: TempDir) -> Self {
        fs::create_dir(folder.path().join("publish")).expect("new folder");
        Self { folder: Arc::new(folder), options: Vec::new() }
    }

    /// With further options on the command line; `--web`, `--tracker` and `--peer` replace port 0 of 127.0.0.1.
    #[must_use]
    pub fn with_options(mut self, options: &[&str]) -> Self {
        self.options.extend(options.iter().map(|option| (*option).to_owned()));
        self
    }

    /// With all listeners on that address, at ports that the kernel picks.
    #[must_use]
    pub fn listening_on(self, address: &str) -> Self {
        let any = format!("{address}:0");
        self.with_options(&["--web", &any, "--tracker", &any, "--peer", &any])
    }

    /// With a `blackbox.toml`.
    #[must_use]
    pub fn with_config(self, text: &str) -> Self {
        let path = self.folder.path().join("blackbox.toml");
        fs::write(&path, text).expect("new file");
        let path = path.display().to_string();
        self.with_options(&["--config", &path])
    }

    /// A folder besides those of the daemon, deleted with them.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The publish folder.
    pub fn publish(&self) -> PathBuf {
        self.folder.path().join("publish")
    }

    /// The daemon's own folder.
    pub fn state(&self) -> PathBuf {
        self.folder.path().join("state")
    }

    /// The command that starts the daemon.
    pub fn command(&self) -> Command {
        let mut command = Command::new(program());
        command.arg("--publish").arg(self.publish()).arg("--state").arg(self.state());
        for listener in ["--web", "--tracker", "--peer"] {
            if !self.options.iter().any(|option| option == listener) {
                command.args([listener, "127.0.0.1:0"]);
            }
        }
        command.args(&self.options);
        command
    }

    /// Puts a small file named `file` into the publish folder, starts the daemon and waits until it seeds the file.
    ///
    /// # Panics
    /// When it is not in time.
    #[track_caller]
    pub fn start_with_file(&self) -> (Daemon, InfoHash) {
        fs::write(self.publish().join("file"), b"content").expect("writable folder");
        let daemon = self.start();
        let info_hash = daemon.api.seeding("file").info_hash;
        (daemon, info_hash)
    }

    /// Starts the daemon and waits until it is ready.
    ///
    /// # Panics
    /// When it is not in time.
    #[track_caller]
    pub fn start(&self) -> Daemon {
        self.ready(Process::start(self.command()))
    }

    /// As [`Site::start`], with an init to talk to.
    ///
    /// # Panics
    /// When it is not ready in time.
    #[track_caller]
    pub fn start_with_init(&self) -> (Daemon, Init) {
        let (init, descriptor) = Init::new();
        let mut command = self.command();
        command.env(appliance::paths::INIT_FD_VAR, Init::number(&descriptor));
        (self.ready(Process::start_with(command, Some(&descriptor))), init)
    }

    #[track_caller]
    fn ready(&self, mut process: Process) -> Daemon {
        let line = process.wait_for_line("the ready line", READY, |line| {
            line.starts_with("ready ").then(|| line.to_owned())
        });
        let [web, tracker, peer] = addresses(&line);
        Daemon { process, api: Api::new(web), tracker, peer, _folder: Arc::clone(&self.folder) }
    }
}

impl Default for Site {
    fn default() -> Self {
        Self::new()
    }
}

/// A daemon that is ready. It is killed with the value.
#[derive(Debug)]
pub struct Daemon {
    /// The child.
    pub process: Process,
    /// Its page.
    pub api: Api,
    /// Its tracker, TCP and UDP.
    pub tracker: SocketAddr,
    /// Where peers connect to.
    pub peer: SocketAddr,
    /// Deleted when the process above has ended, or it would make it anew.
    _folder: Arc<TempDir>,
}

impl Daemon {
    /// Ends it with SIGTERM.
    ///
    /// # Panics
    /// When that takes longer than it may, or it does not end well.
    #[track_caller]
    pub fn end(mut self) {
        self.process.signal(Signal::SIGTERM);
        let status = self.process.wait(END);
        assert!(status.success(), "SIGTERM is a proper end: {status}");
    }

    /// Ends it with SIGKILL.
    ///
    /// # Panics
    /// When the kernel does not.
    #[track_caller]
    pub fn kill(mut self) -> ExitStatus {
        self.process.signal(Signal::SIGKILL);
        self.process.wait(END)
    }

    /// Bytes of content it has read to hash them.
    ///
    /// # Panics
    /// When it does not say.
    #[track_caller]
    pub fn bytes_hashed(&self) -> u64 {
        self.api.metric("blackbox_hashed_bytes_total")
    }

    /// Bytes it has read from files so far, wherever they came from. Sockets count too.
    ///
    /// # Panics
    /// When it has ended.
    pub fn bytes_read(&self) -> u64 {
        self.kernel_says("io", "rchar:")
    }

    /// The most memory it has had so far, in bytes.
    ///
    /// # Panics
    /// When it has ended.
    pub fn most_memory(&self) -> u64 {
        self.kernel_says("status", "VmHWM:") << 10
    }

    /// The memory that is its own, without that of files, in bytes.
    ///
    /// # Panics
    /// When it has ended.
    pub fn own_memory(&self) -> u64 {
        self.kernel_says("status", "RssAnon:") << 10
    }

    /// How many of its threads wait for a disk.
    ///
    /// # Panics
    /// When it has ended.
    pub fn threads_at_disks(&self) -> usize {
        let threads = fs::read_dir(format!("/proc/{}/task", self.process.id())).expect("a running process");
        let waits = |thread: &Path| {
            // A thread may have ended meanwhile. Its state comes after its name, which is in brackets.
            let stat = fs::read_to_string(thread.join("stat")).unwrap_or_default();
            stat.rsplit_once(')').is_some_and(|(_, rest)| rest.trim_start().starts_with('D'))
        };
        threads.filter(|thread| waits(&thread.as_ref().expect("a readable folder").path())).count()
    }

    /// How many descriptors it has open.
    ///
    /// # Panics
    /// When it has ended.
    pub fn descriptors(&self) -> usize {
        fs::read_dir(format!("/proc/{}/fd", self.process.id())).expect("a running process").count()
    }

    /// What the kernel says of its threads under this key in `/proc/PID/status`, each answer once.
    ///
    /// # Panics
    /// When it has ended.
    pub fn threads_say(&self, key: &str) -> BTreeSet<String> {
        let threads = fs::read_dir(format!("/proc/{}/task", self.process.id())).expect("a running process");
        let answer = |thread: std::io::Result<fs::DirEntry>| {
            // A thread may have ended meanwhile.
            let status = fs::read_to_string(thread.ok()?.path().join("status")).ok()?;
            status.lines().find_map(|line| Some(line.strip_prefix(key)?.trim().to_owned()))
        };
        threads.filter_map(answer).collect()
    }

    /// A number that the kernel keeps about it.
    fn kernel_says(&self, file: &str, key: &str) -> u64 {
        let text =
            fs::read_to_string(format!("/proc/{}/{file}", self.process.id())).expect("a running process");
        let value =
            text.lines().find_map(|line| line.strip_prefix(key)?.split_whitespace().next()?.parse().ok());
        value.unwrap_or_else(|| panic!("no {key} in {text}"))
    }
}

/// The addresses in a ready line.
///
/// # Panics
/// When it is not as in the contract.
#[track_caller]
pub fn addresses(line: &str) -> [SocketAddr; 3] {
    let words: Vec<&str> = line.split(' ').collect();
    let ["ready", web, tracker, peer] = words[..] else { panic!("not a ready line: {line:?}") };
    [("web=", web), ("tracker=", tracker), ("peer=", peer)].map(|(key, word)| {
        let address = word.strip_prefix(key).and_then(|address| address.parse().ok());
        address.unwrap_or_else(|| panic!("no {key} in {line:?}"))
    })
}
