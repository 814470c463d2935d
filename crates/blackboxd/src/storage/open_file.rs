//! A published file, open.

use std::fs::{File, OpenOptions};
use std::io::{self, IoSliceMut};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::PathBuf;

use nix::libc::{O_CLOEXEC, O_NOCTTY, O_NONBLOCK};
use nix::sys::statfs::{TMPFS_MAGIC, fstatfs};
use nix::unistd::geteuid;
use rustix::io::{Errno, ReadWriteFlags, preadv, preadv2};

use super::ServeError;
use super::mapping::Mapping;
use crate::identity::Identity;

/// What is read ahead comes and goes in portions of so many bytes at least.
const PORTION: usize = 16 * 1024;

/// A published file, open.
#[derive(Debug)]
pub struct OpenFile {
    file: File,
    path: PathBuf,
    pub(super) identity: Identity,
    presence: Presence,
}

/// How to find out what of a file is in memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Presence {
    /// All of it: the file system is in memory.
    Whole,
    /// `mincore` tells.
    Mapped,
    /// It would not tell, as the file is another user's: reads that may not wait do.
    Read,
}

impl OpenFile {
    /// Blocks.
    pub(super) fn open(path: PathBuf, identity: Identity) -> Result<Self, ServeError> {
        // O_NONBLOCK: opening a FIFO that took the file's place must not wait for a writer.
        let mut options = OpenOptions::new();
        options.read(true).custom_flags(O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
        let file = match options.open(&path) {
            Ok(file) => file,
            Err(source) => return Err(ServeError::Unreadable { path, source }),
        };
        let presence = if fstatfs(&file).is_ok_and(|system| system.filesystem_type() == TMPFS_MAGIC) {
            Presence::Whole
        } else if file.metadata().is_ok_and(|metadata| metadata.uid() == geteuid().as_raw()) {
            Presence::Mapped
        } else {
            Presence::Read
        };
        let opened = Self { file, path, identity, presence };
        opened.check()?;
        Ok(opened)
    }

    /// The file, for reading with explicit offsets.
    pub fn file(&self) -> &File {
        &self.file
    }

    /// Makes sure that the file is still what was hashed; to be called before bytes of it are sent.
    ///
    /// # Errors
    /// [`ServeError::Changed`] when its identity differs.
    pub fn check(&self) -> Result<(), ServeError> {
        let metadata = self.file.metadata().map_err(|source| self.unreadable(source))?;
        if metadata.is_file() && Identity::from(&metadata) == self.identity {
            Ok(())
        } else {
            Err(ServeError::Changed(self.path.clone()))
        }
    }

    /// Fills `part` with the bytes at `offset` and makes sure that they are of the file that was hashed. Blocks unless they
    /// are in memory.
    ///
    /// # Errors
    /// See [`ServeError`].
    pub fn read(&self, part: &mut [u8], offset: u64) -> Result<(), ServeError> {
        self.read_vectored(&mut [IoSliceMut::new(part)], offset)
    }

    /// As [`read`](Self::read), of bytes that follow each other in the file and not where they go to.
    ///
    /// # Errors
    /// See [`ServeError`].
    pub fn read_vectored(&self, parts: &mut [IoSliceMut<'_>], offset: u64) -> Result<(), ServeError> {
        let read = self.fill(parts, offset);
        // First this: a file that was cut short ends too early because it has changed.
        self.check()?;
        read.map_err(|source| self.unreadable(source))
    }

    /// As [`read`](Self::read), if the bytes are in memory; whether they are. Does not block.
    ///
    /// # Errors
    /// See [`ServeError`].
    pub(super) fn read_present(&self, part: &mut [u8], offset: u64) -> Result<bool, ServeError> {
        if self.presence != Presence::Whole {
            let length = part.len();
            let read = preadv2(&self.file, &mut [IoSliceMut::new(part)], offset, ReadWriteFlags::NOWAIT);
            // What is wrong with the file shows to those who may wait.
            return if read == Ok(length) { self.check().map(|()| true) } else { Ok(false) };
        }
        self.read(part, offset).map(|()| true)
    }

    fn fill(&self, mut parts: &mut [IoSliceMut<'_>], mut offset: u64) -> io::Result<()> {
        // Those that are empty would be taken for the end of the file.
        IoSliceMut::advance_slices(&mut parts, 0);
        while !parts.is_empty() {
            match preadv(&self.file, parts, offset) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(count) => {
                    offset += count as u64;
                    IoSliceMut::advance_slices(&mut parts, count);
                }
                Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    /// Whether the bytes at `offset`, which are at `at` in `mapping`, are in memory, so that reading them waits for nothing.
    pub(super) fn is_present(&self, offset: u64, length: usize, mapping: &Mapping, at: usize) -> bool {
        match self.presence {
            Presence::Whole => true,
            Presence::Mapped => mapping.is_resident(at, length),
            Presence::Read => {
                let end = offset.saturating_add(length as u64);
                let last = end.saturating_sub(1);
                (offset..end).step_by(PORTION).chain([last]).all(|at| self.can_be_read_at_once(at))
            }
        }
    }

    /// A file system that can't tell has none in memory.
    fn can_be_read_at_once(&self, offset: u64) -> bool {
        let mut byte = [0];
        let read = preadv2(&self.file, &mut [IoSliceMut::new(&mut byte)], offset, ReadWriteFlags::NOWAIT);
        matches!(read, Ok(1))
    }

    fn unreadable(&self, source: io::Error) -> ServeError {
        ServeError::Unreadable { path: self.path.clone(), source }
    }
}
