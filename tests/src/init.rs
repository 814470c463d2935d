//! Plays PID 1 for a hosted daemon: what is "mounted" is a folder of the test's.

use std::collections::VecDeque;
use std::io::{BufRead, BufReader, Write};
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use appliance::message::{Medium, ToDaemon, ToInit, decode, encode};
use nix::fcntl::{FcntlArg, fcntl};

/// Descriptors for children have numbers from here on, out of the way of those that std opens between fork and exec.
const FIRST_NUMBER: i32 = 200;

/// Init's end of the conversation.
#[derive(Debug)]
pub struct Init {
    reader: BufReader<UnixStream>,
    writer: UnixStream,
    /// Read, but not what was waited for.
    unread: VecDeque<ToInit>,
}

impl Init {
    /// Both ends: ours, and the one to be inherited by the daemon.
    ///
    /// # Panics
    /// When the machine has no more descriptors.
    pub fn new() -> (Self, OwnedFd) {
        let (ours, theirs) = UnixStream::pair().expect("a socket pair");
        let raw = fcntl(theirs.as_fd(), FcntlArg::F_DUPFD_CLOEXEC(FIRST_NUMBER)).expect("a descriptor");
        #[expect(unsafe_code, reason = "the only way to own a descriptor that fcntl made")]
        // SAFETY: fcntl has just made it, and nobody else knows of it.
        let theirs = unsafe { OwnedFd::from_raw_fd(raw) };
        let writer = ours.try_clone().expect("a descriptor");
        (Self { reader: BufReader::new(ours), writer, unread: VecDeque::new() }, theirs)
    }

    /// The number to be told to the daemon.
    pub fn number(descriptor: &OwnedFd) -> String {
        descriptor.as_raw_fd().to_string()
    }

    /// Tells the daemon.
    ///
    /// # Panics
    /// When it does not listen.
    #[track_caller]
    pub fn send(&mut self, message: &ToDaemon) {
        let line = encode(message).expect("a short message");
        self.writer.write_all(&line).expect("the daemon listens");
    }

    /// "Inserts" a disc into drive `sr0` that holds what is in `mount`.
    ///
    /// # Panics
    /// When the daemon does not listen.
    #[track_caller]
    pub fn insert(&mut self, label: Option<&str>, mount: &Path) {
        self.send(&ToDaemon::MediumInserted(disc("sr0", label, mount)));
    }

    /// Waits for a message of the daemon's that `pick` takes something from; others are kept for later.
    ///
    /// # Panics
    /// When there is none in time.
    #[track_caller]
    pub fn wait_for<T>(&mut self, what: &str, limit: Duration, pick: impl Fn(&ToInit) -> Option<T>) -> T {
        if let Some((at, found)) = self.unread.iter().enumerate().find_map(|(at, m)| Some((at, pick(m)?))) {
            self.unread.remove(at);
            return found;
        }
        let deadline = std::time::Instant::now() + limit;
        loop {
            let left = deadline.saturating_duration_since(std::time::Instant::now());
            assert!(!left.is_zero(), "{what}: not within {limit:?}; the daemon said {:?}", self.unread);
            self.reader.get_ref().set_read_timeout(Some(left)).expect("a time above zero");
            let mut line = Vec::new();
            match self.reader.read_until(b'\n', &mut line) {
                Ok(0) => panic!("{what}: the daemon hung up after {:?}", self.unread),
                Ok(_) => {}
                Err(error) => panic!("{what}: {error}; the daemon said {:?}", self.unread),
            }
            let message: ToInit = decode(&line).expect("a message of the daemon's");
            match pick(&message) {
                Some(found) => return found,
                None => self.unread.push_back(message),
            }
        }
    }

    /// Waits until the daemon wants `sr0` ejected.
    ///
    /// # Panics
    /// When it does not in time.
    #[track_caller]
    pub fn wait_for_eject(&mut self, limit: Duration) {
        self.wait_for_eject_of("sr0", limit);
    }

    /// Waits until the daemon wants this drive's medium ejected.
    ///
    /// # Panics
    /// When it does not in time.
    #[track_caller]
    pub fn wait_for_eject_of(&mut self, drive: &str, limit: Duration) {
        self.wait_for("the wish to eject", limit, |message| {
            matches!(message, ToInit::Eject { drive: said } if said == drive).then_some(())
        });
    }

    /// Whether the daemon has said, among what was read and not waited for, that it wants this drive's medium ejected.
    pub fn has_heard_eject_of(&self, drive: &str) -> bool {
        self.unread.iter().any(|message| matches!(message, ToInit::Eject { drive: said } if said == drive))
    }
}

/// A disc in this drive that holds what is in `mount`; nothing tells it from another one of that label.
///
/// # Panics
/// When the path is not text.
pub fn disc(drive: &str, label: Option<&str>, mount: &Path) -> Medium {
    let size_bytes =
        crate::content::files(mount).values().map(|file| file.metadata().map_or(0, |m| m.len())).sum();
    Medium {
        drive: drive.into(),
        device: "/dev/null".into(),
        mount: mount.to_str().expect("our paths are text").into(),
        label: label.map(str::to_owned),
        uuid: None,
        size_bytes,
        ejectable: true,
    }
}
