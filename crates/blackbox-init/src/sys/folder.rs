//! What the kernel tells of a folder (inotify).

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;

use nix::errno::Errno;
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};

/// A folder in which files may appear.
pub struct FolderWatch(Inotify);

impl FolderWatch {
    /// Watches the files in a folder, but not in folders in it.
    pub fn open(folder: &Path) -> io::Result<Self> {
        let inotify = Inotify::init(InitFlags::IN_NONBLOCK | InitFlags::IN_CLOEXEC)?;
        let written = AddWatchFlags::IN_MODIFY | AddWatchFlags::IN_CLOSE_WRITE;
        inotify.add_watch(folder, written | AddWatchFlags::IN_CREATE | AddWatchFlags::IN_MOVED_TO)?;
        Ok(Self(inotify))
    }

    /// Whether something was written there since it was asked last. What it is and what it is called are not looked at.
    pub fn has_changed(&self) -> bool {
        // As many as fit into its buffer: a writer that never stops is heard of again in the next turn.
        match self.0.read_events() {
            Ok(events) => !events.is_empty(),
            Err(error) => !matches!(error, Errno::EAGAIN | Errno::EINTR),
        }
    }
}

impl AsFd for FolderWatch {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}
