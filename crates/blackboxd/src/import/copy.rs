//! Writing what was read, and handing it on to be hashed: the medium is read once and the copy never.

use std::fs::{self, File};
use std::io::Write;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use nix::fcntl::{PosixFadviseAdvice, posix_fadvise};
use nix::unistd::syncfs;

use super::ahead::ReadAhead;
use super::outcome::ImportError;
use super::source::{Source, SourceFile};
use crate::catalog::Progress;
use crate::hash::{self, Done, Hashes};
use crate::torrents;

/// After so many bytes of a file they are sent to the disk, so that little is left to be waited for in the end.
const WRITE_BACK: u64 = 8 << 20;

/// At the end of a file, less than this (bytes) is left to the kernel: a million small files are not worth a million calls.
const MIN_WRITE_BACK: u64 = 256 << 10;

/// Copies all of `source` to `target`, which must not exist, and hashes it on the way. It is on the disk when this returns.
///
/// # Errors
/// The first error; a part of the copy is there then.
pub(super) fn copy(
    source: &Source,
    target: &Path,
    removed: &AtomicBool,
    progress: &Progress,
) -> Result<Hashes, ImportError> {
    if source.is_folder {
        create_dir(target)?;
    }
    let layout = torrents::layout(source.files.iter().map(|file| file.size).collect());
    let hashes = thread::scope(|scope| {
        let ahead = ReadAhead::start(scope, source, removed)?;
        let writer = Writer { source, target, progress, next: 0, open: None };
        let mut copy = Copy { ahead, writer, block: Vec::new(), given: 0 };
        hash::hash(Done::nothing(layout), hash::MEDIUM_MEMORY, &mut copy)
    })?;
    sync(target)?;
    Ok(hashes)
}

/// Hands on to be hashed what was read and written.
struct Copy<'a> {
    ahead: ReadAhead,
    writer: Writer<'a>,
    block: Vec<u8>,
    /// Bytes of the block that were handed on.
    given: usize,
}

impl hash::Source for Copy<'_> {
    type Error = ImportError;

    fn read(&mut self, buffer: &mut [u8]) -> Result<usize, ImportError> {
        if self.given == self.block.len() {
            self.given = 0;
            self.block = self.ahead.next(std::mem::take(&mut self.block))?.unwrap_or_default();
            // Nothing more comes: it may be asked again, and what is left to do is done.
            if self.block.is_empty() { self.writer.finish()? } else { self.writer.write(&self.block)? }
        }
        let count = buffer.len().min(self.block.len() - self.given);
        buffer[..count].copy_from_slice(&self.block[self.given..self.given + count]);
        self.given += count;
        Ok(count)
    }
}

/// Writes the blocks into the files that they are of.
struct Writer<'a> {
    source: &'a Source,
    target: &'a Path,
    progress: &'a Progress,
    /// Number of the file after the open one.
    next: usize,
    open: Option<OpenCopy<'a>>,
}

struct OpenCopy<'a> {
    original: &'a SourceFile,
    file: File,
    path: PathBuf,
    written: u64,
    sent_to_disk: u64,
}

impl<'a> Writer<'a> {
    /// Writes a block, which is of one file.
    fn write(&mut self, block: &[u8]) -> Result<(), ImportError> {
        let mut copy = match self.open.take() {
            Some(copy) => copy,
            None => self.begin_one_with_content()?,
        };
        copy.write(block)?;
        self.progress.add(Instant::now(), block.len() as u64);
        if copy.written == copy.original.size {
            copy.finish()?;
        } else {
            self.open = Some(copy);
        }
        Ok(())
    }

    /// The copy of the next file that has content; empty ones before it are made.
    fn begin_one_with_content(&mut self) -> Result<OpenCopy<'a>, ImportError> {
        loop {
            let copy = self.begin()?.expect("invariant: a block is of a file");
            if copy.original.size > 0 {
                return Ok(copy);
            }
            copy.finish()?;
        }
    }

    /// The copy of the next file; `None` after the last one.
    fn begin(&mut self) -> Result<Option<OpenCopy<'a>>, ImportError> {
        let Some(original) = self.source.files.get(self.next) else { return Ok(None) };
        self.next += 1;
        OpenCopy::new(original, self.target).map(Some)
    }

    /// Makes the empty files at the end.
    fn finish(&mut self) -> Result<(), ImportError> {
        while let Some(copy) = self.begin()? {
            copy.finish()?;
        }
        Ok(())
    }
}

impl<'a> OpenCopy<'a> {
    fn new(original: &'a SourceFile, target: &Path) -> Result<Self, ImportError> {
        let path = original.below(target);
        if let Some(parent) = path.parent() {
            create_dir(parent)?;
        }
        let file =
            File::create_new(&path).map_err(|source| ImportError::Write { path: path.clone(), source })?;
        Ok(Self { original, file, path, written: 0, sent_to_disk: 0 })
    }

    fn write(&mut self, block: &[u8]) -> Result<(), ImportError> {
        self.file
            .write_all(block)
            .map_err(|source| ImportError::Write { path: self.path.clone(), source })?;
        self.written += block.len() as u64;
        if self.written - self.sent_to_disk >= WRITE_BACK {
            self.send_to_disk();
        }
        Ok(())
    }

    /// Has the kernel write what is new, without waiting for it: that is what this advice does with pages that are not on the
    /// disk yet. As long as there is room they stay in memory, for the first downloaders.
    fn send_to_disk(&mut self) {
        let (from, length) = (self.sent_to_disk, self.written - self.sent_to_disk);
        let (from, length) = (i64::try_from(from).unwrap_or(0), i64::try_from(length).unwrap_or(0));
        // Only advice; the last word has `sync`.
        let _ = posix_fadvise(&self.file, from, length, PosixFadviseAdvice::POSIX_FADV_DONTNEED);
        self.sent_to_disk = self.written;
    }

    /// Gives the copy the time of its original, by which the medium is known again.
    fn finish(mut self) -> Result<(), ImportError> {
        if self.written - self.sent_to_disk >= MIN_WRITE_BACK {
            self.send_to_disk();
        }
        let Some(time) = self.original.mtime.and_then(system_time) else { return Ok(()) };
        self.file.set_modified(time).map_err(|source| ImportError::Write { path: self.path, source })
    }
}

/// `mtime` is in nanoseconds since 1970; `None` where the clock does not reach.
fn system_time(mtime: i64) -> Option<SystemTime> {
    let distance = Duration::from_nanos(mtime.unsigned_abs());
    if mtime < 0 {
        SystemTime::UNIX_EPOCH.checked_sub(distance)
    } else {
        SystemTime::UNIX_EPOCH.checked_add(distance)
    }
}

fn create_dir(path: &Path) -> Result<(), ImportError> {
    fs::create_dir_all(path).map_err(|source| ImportError::Write { path: path.to_owned(), source })
}

/// Everything at `target` is on the disk when this returns.
fn sync(target: &Path) -> Result<(), ImportError> {
    let write = |source| ImportError::Write { path: target.to_owned(), source };
    let file = File::open(target).map_err(write)?;
    syncfs(file.as_fd()).map_err(|error| write(error.into()))
}
