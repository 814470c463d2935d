//! The child that writes the log to files. It outlives all others, and ends when its pipe is closed, even by a fault of init.

use std::fs::{self, File, OpenOptions};
use std::io::{self, PipeWriter};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt, chown};
use std::path::Path;
use std::time::{Duration, Instant};

use appliance::journal::{MEMORY_SEGMENT_BYTES, SEGMENT_BYTES};
use appliance::paths;

use super::Machine;
use crate::alarm;
use crate::children::Role;
use crate::supervisor::Supervisor;
use crate::sys::{self, Identity};
use crate::tools;

/// What the kernel, init and its children say.
const KERNEL_LOG: &str = "/dev/kmsg";

/// Descriptors: the folder's, the kernel's log and the pipe, and the usual three.
const MAX_FILES: u64 = 32;

/// One process of one thread.
const MAX_THREADS: u64 = 4;

/// The child, running or not.
pub(super) struct Journal {
    supervisor: Supervisor,
    /// Where it writes, once that is known, and most bytes of a segment there.
    place: Option<(&'static str, u64)>,
    /// The kernel's log, as far as it was read.
    kernel: Option<File>,
    /// It ends when this is closed.
    life: Option<PipeWriter>,
}

impl Journal {
    pub(super) fn new(now: Instant) -> Self {
        Self { supervisor: Supervisor::new(now), place: None, kernel: None, life: None }
    }

    /// When the child is to be started, while it does not run.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.place.and(self.supervisor.deadline())
    }
}

/// Makes the folder of the log, if it is not there: the child's, and the daemon may read it.
///
/// # Errors
/// When it can't be made.
pub fn make_folder(path: &Path) -> io::Result<()> {
    fs::create_dir_all(path)?;
    chown(path, Some(paths::LOG_ID), Some(paths::DAEMON_ID))?;
    // What is made in it gets its group.
    fs::set_permissions(path, fs::Permissions::from_mode(0o2750))
}

impl Machine {
    /// Has the log written from now on, to the data partition or to memory; from the beginning, if it was not written there yet.
    ///
    /// # Errors
    /// When there is no folder for it.
    pub fn enable_journal(&mut self, on_disk: bool) -> io::Result<()> {
        let place = if on_disk {
            (paths::LOG, SEGMENT_BYTES)
        } else {
            make_folder(Path::new(paths::LOG_IN_MEMORY))?;
            (paths::LOG_IN_MEMORY, MEMORY_SEGMENT_BYTES)
        };
        self.journal.kernel =
            Some(OpenOptions::new().read(true).custom_flags(sys::NONBLOCK).open(KERNEL_LOG)?);
        self.journal.place = Some(place);
        // One that runs ends, and is started anew.
        self.journal.life = None;
        Ok(())
    }

    pub(super) fn start_journal(&mut self, now: Instant) {
        let Some((folder, bytes)) = self.journal.place else { return };
        if !self.journal.supervisor.is_due(now) {
            return;
        }
        match self.spawn_journal(folder, bytes) {
            Ok(life) => {
                self.journal.life = Some(life);
                self.journal.supervisor.started(now);
            }
            Err(error) => {
                self.journal.supervisor.ended(now);
                alarm!("journal: can't be started: {error}");
            }
        }
    }

    fn spawn_journal(&mut self, folder: &str, bytes: u64) -> io::Result<PipeWriter> {
        let kernel = self.journal.kernel.as_ref().ok_or(io::ErrorKind::NotFound)?;
        let (theirs, ours) = io::pipe()?;
        let mut command = tools::own_child(&["journal", folder, &bytes.to_string()]);
        for number in [sys::inherit(&mut command, kernel), sys::inherit(&mut command, &theirs)] {
            command.arg(number.to_string());
        }
        let identity = Identity { id: paths::LOG_ID, files: MAX_FILES, threads: MAX_THREADS };
        sys::become_service(&mut command, identity);
        self.children.spawn(command, Role::Journal, "", None)?;
        Ok(ours)
    }

    /// A log that can't be written to the data partition goes on in memory.
    pub(super) fn journal_ended(&mut self, reason: &str, now: Instant) {
        self.journal.supervisor.ended(now);
        if self.journal.life.take().is_none() || self.is_halting() {
            return;
        }
        alarm!("journal: ended ({reason})");
        if self.journal.place.is_some_and(|(folder, _)| folder == paths::LOG)
            && sys::is_read_only(Path::new(paths::LOG)).unwrap_or(true)
            && let Err(error) = self.enable_journal(false)
        {
            alarm!("journal: {error}");
        }
    }

    /// Whether no child runs any more, but for the one that writes the log.
    pub fn is_alone(&self) -> bool {
        self.children.pids().iter().all(|pid| self.children.role(*pid) == Some(&Role::Journal))
    }

    /// Has the child write what there is, and end.
    pub fn close_journal(&mut self, limit: Duration) {
        self.journal.life = None;
        self.turn_until(limit, |machine| machine.children.pids().is_empty());
    }
}
