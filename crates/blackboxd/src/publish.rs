//! From a settled item to one that can be published: read once, hash, compare, describe.

use std::fs::File;
use std::io::{self, ErrorKind, Read, Seek, SeekFrom};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use nix::errno::Errno;
use nix::fcntl::{OFlag, PosixFadviseAdvice, posix_fadvise};
use nix::unistd::{fdatasync, syncfs};

use crate::catalog::{Progress, Publication};
use crate::hash::{self, Checkpoint, Done, Held, Turn};
use crate::identity::Identity;
use crate::lease::has_writer;
use crate::listing::{ListError, Listing};
use crate::torrents;

/// Items of up to this many files are brought to the disk file by file, others with everything else on their file system:
/// each file costs a write of its own, but nobody else's data are waited for.
const MAX_SYNCS: usize = 64;

/// Files up to this size (bytes) are read ahead by the kernel as a whole anyway.
const READ_AHEAD: u64 = 128 << 10;

/// Why an item was not hashed.
#[derive(Debug, thiserror::Error)]
pub enum PublishError {
    /// It changed since it had settled: let it settle again.
    #[error("it changed while it was read")]
    Changed,
    /// Somebody may still write to it: let it settle again.
    #[error("{0:?} is still open in a program that may write to it")]
    InUse(PathBuf),
    /// The daemon ends, or the item changed: what was done is thrown away.
    #[error("it was interrupted")]
    Cancelled,
    /// It can't be published until someone changes it; a sentence that says what.
    #[error("{0}")]
    Refused(String),
    /// Reading failed, or what was read is not safely on the disk.
    #[error("{path:?} can't be read: {source}")]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// An error of ours.
    #[error("it could not be hashed, by a fault of the box itself")]
    Panicked,
}

impl From<ListError> for PublishError {
    fn from(error: ListError) -> Self {
        match error {
            ListError::Gone | ListError::Changing => Self::Changed,
            ListError::Unreadable { path, source } => Self::Unreadable { path, source },
            ListError::Refused(sentence) => Self::Refused(sentence),
            ListError::Cancelled => Self::Cancelled,
        }
    }
}

/// An item that is to be hashed.
#[derive(Debug)]
pub struct Job<'a> {
    /// Its name, and where it is.
    pub name: &'a str,
    /// Where it is.
    pub item: &'a Path,
    /// The state in which it must be (any, if that is not known), and still be when all is read.
    pub fingerprint: Option<u64>,
    /// Whether it gets a torrent of version 1 only.
    pub v1_only: bool,
    /// Whether its torrents are for members alone.
    pub is_private: bool,
    /// Told how far reading has come.
    pub progress: &'a Progress,
    /// Whether to stop.
    pub cancel: &'a AtomicBool,
    /// Where the work done so far is kept over a restart, if it is worth that, until [`hash::forget`].
    pub state: Option<&'a Path>,
    /// Who may use disk and memory.
    pub turn: &'a Turn,
}

impl Job<'_> {
    /// Reads and hashes the item.
    ///
    /// # Errors
    /// See [`PublishError`].
    pub fn run(&self) -> Result<Publication, PublishError> {
        let listing = self.list()?;
        if self.fingerprint.is_some_and(|fingerprint| listing.fingerprint() != fingerprint) {
            return Err(PublishError::Changed);
        }
        let files = listing.paths(self.item);
        secure(self.item, &files, self.cancel)?;
        let layout = torrents::layout(listing.lengths().collect());
        let layout = if self.v1_only { layout.v1_only() } else { layout };
        let (checkpoint, done) = match self.checkpoint(&layout) {
            Some((checkpoint, done)) => (Some(checkpoint), done),
            None => (None, Done::nothing(layout)),
        };
        self.progress.skip(done.read_from());
        let mut turn = self.turn.take(self.state.is_none());
        let mut reader = ContentReader::new(self, files, done.read_from(), checkpoint, &mut turn);
        let hashes = hash::hash(done, hash::MEMORY, &mut reader)?;
        if self.list()? != listing {
            return Err(PublishError::Changed);
        }
        torrents::publication(self.name, listing, hashes, self.is_private).map_err(PublishError::Refused)
    }

    fn list(&self) -> Result<Listing, PublishError> {
        Ok(Listing::of(self.item, self.cancel)?)
    }

    fn checkpoint(&self, layout: &hash::Layout) -> Option<(Checkpoint, Done)> {
        Checkpoint::open(self.state?, self.name, self.fingerprint?, layout)
            .inspect_err(|error| {
                tracing::warn!("a restart will hash {:?} from its start: {error}", self.name);
            })
            .ok()
    }
}

/// Makes sure that nobody has the files open for writing, as far as can be known, and that they are on the disk: a power cut
/// must not leave other bytes in them than those that are hashed. (After this, a store into mapped memory moves the time of
/// the file, too.)
fn secure(item: &Path, files: &[(PathBuf, Identity)], cancel: &AtomicBool) -> Result<(), PublishError> {
    for (path, identity) in files {
        if cancel.load(Ordering::Relaxed) {
            return Err(PublishError::Cancelled);
        }
        let file = open(path, *identity)?;
        if has_writer(&file) {
            return Err(PublishError::InUse(path.clone()));
        }
        if files.len() <= MAX_SYNCS {
            synced(path, fdatasync(&file))?;
        }
    }
    if files.len() > MAX_SYNCS {
        let folder = File::open(item).map_err(|source| unreadable(item, source))?;
        synced(item, syncfs(&folder))?;
    }
    Ok(())
}

fn synced(path: &Path, result: nix::Result<()>) -> Result<(), PublishError> {
    match result {
        // There is nothing to bring to the disk.
        Ok(()) | Err(Errno::EINVAL | Errno::ENOSYS | Errno::EROFS) => Ok(()),
        Err(error) => Err(unreadable(path, error.into())),
    }
}

/// The content of all files, one after the other; each must be the file that was listed, before and after.
struct ContentReader<'a, 't> {
    job: &'a Job<'a>,
    files: std::vec::IntoIter<(PathBuf, Identity)>,
    current: Option<Current>,
    /// Bytes of the next file that were read another day.
    skip: u64,
    checkpoint: Option<Checkpoint>,
    turn: &'a mut Held<'t>,
}

struct Current {
    file: File,
    path: PathBuf,
    identity: Identity,
    /// Bytes still to be read.
    left: u64,
}

impl<'a, 't> ContentReader<'a, 't> {
    /// Begins at byte `from` of the content.
    fn new(
        job: &'a Job<'a>,
        files: Vec<(PathBuf, Identity)>,
        from: u64,
        checkpoint: Option<Checkpoint>,
        turn: &'a mut Held<'t>,
    ) -> Self {
        let mut skip = from;
        let mut read = 0;
        for (_, identity) in &files {
            let Some(after) = skip.checked_sub(identity.size) else { break };
            (skip, read) = (after, read + 1);
        }
        let mut files = files.into_iter();
        // What was read another day is not opened again.
        files.by_ref().take(read).for_each(drop);
        Self { job, files, current: None, skip, checkpoint, turn }
    }

    /// The file that is read now, opened if need be; `None` after the last.
    fn current(&mut self) -> Result<Option<&mut Current>, PublishError> {
        if self.current.is_none() {
            let Some((path, identity)) = self.files.next() else { return Ok(None) };
            let mut file = open(&path, identity)?;
            let skip = std::mem::take(&mut self.skip);
            if skip > 0 {
                file.seek(SeekFrom::Start(skip)).map_err(|source| unreadable(&path, source))?;
            }
            if identity.size > READ_AHEAD {
                // Only advice: a file system that can't take it reads all the same.
                let _ = posix_fadvise(&file, 0, 0, PosixFadviseAdvice::POSIX_FADV_SEQUENTIAL);
            }
            self.current = Some(Current { file, path, identity, left: identity.size - skip });
        }
        Ok(self.current.as_mut())
    }
}

impl hash::Source for ContentReader<'_, '_> {
    type Error = PublishError;

    fn read(&mut self, buffer: &mut [u8]) -> Result<usize, PublishError> {
        loop {
            if self.job.cancel.load(Ordering::Relaxed) {
                return Err(PublishError::Cancelled);
            }
            let Some(current) = self.current()? else { return Ok(0) };
            // Not beyond its size: a file that grows as fast as it is read has no end.
            let length = buffer.len().min(usize::try_from(current.left).unwrap_or(usize::MAX));
            if length == 0 {
                check(&current.file, &current.path, current.identity)?;
                self.current = None;
                continue;
            }
            match current.file.read(&mut buffer[..length]) {
                Ok(0) => return Err(PublishError::Changed),
                Ok(count) => {
                    current.left -= count as u64;
                    self.job.progress.add(Instant::now(), count as u64);
                    return Ok(count);
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(source) => return Err(unreadable(&current.path, source)),
            }
        }
    }

    fn should_rest(&self) -> bool {
        self.turn.is_wanted()
    }

    fn rest(&mut self) {
        self.turn.pass();
    }

    fn hashed(&mut self, done: &Done) {
        if let Some(checkpoint) = &mut self.checkpoint
            && let Err(error) = checkpoint.save(done)
        {
            tracing::warn!("a restart will hash more of {:?} again: {error}", self.job.name);
            self.checkpoint.take().into_iter().for_each(Checkpoint::remove);
        }
    }
}

/// Opens a file that was listed. Never waits: what has become a pipe is another file.
fn open(path: &Path, identity: Identity) -> Result<File, PublishError> {
    let file = File::options().read(true).custom_flags(OFlag::O_NONBLOCK.bits()).open(path);
    let file = file.map_err(|source| unreadable(path, source))?;
    check(&file, path, identity)?;
    Ok(file)
}

fn check(file: &File, path: &Path, identity: Identity) -> Result<(), PublishError> {
    let metadata = file.metadata().map_err(|source| unreadable(path, source))?;
    if Identity::from(&metadata) == identity { Ok(()) } else { Err(PublishError::Changed) }
}

fn unreadable(path: &Path, source: io::Error) -> PublishError {
    match source.kind() {
        ErrorKind::NotFound => PublishError::Changed,
        _ => PublishError::Unreadable { path: path.to_owned(), source },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    /// Hashes an item of `count` files of 5 bytes, after `change` was made to it, which may return something to be held.
    fn check<T>(count: usize, change: impl FnOnce(&Path) -> T) -> Result<Publication, PublishError> {
        // In memory, where the kernel knows who writes.
        let folder = tempfile::tempdir_in("/dev/shm").unwrap();
        let item = folder.path().join("item");
        fs::create_dir(&item).unwrap();
        for number in 0..count {
            fs::write(item.join(number.to_string()), "12345").unwrap();
        }
        let fingerprint = Listing::of(&item, &AtomicBool::new(false)).unwrap().fingerprint();
        let _held = change(&item);
        let (progress, cancel, turn) = (Progress::of(0), AtomicBool::new(false), Turn::default());
        let job = Job {
            name: "item",
            item: &item,
            fingerprint: Some(fingerprint),
            v1_only: false,
            is_private: false,
            progress: &progress,
            cancel: &cancel,
            state: None,
            turn: &turn,
        };
        let result = job.run();
        assert!(result.is_err() || progress.done() == count as u64 * 5);
        result
    }

    #[test]
    fn an_item_that_nobody_touches_is_hashed() {
        for count in [1, MAX_SYNCS, MAX_SYNCS + 1] {
            let content = check(count, |_| {}).unwrap().content;
            assert_eq!((content.file_count(), content.size_bytes()), (count, count as u64 * 5));
        }
    }

    #[test]
    fn a_changed_item_is_not_hashed() {
        type Change = fn(&Path);
        let changes: [Change; 4] = [
            |item| fs::write(item.join("1"), "123456").unwrap(),
            |item| fs::remove_file(item.join("1")).unwrap(),
            |item| fs::write(item.join("another"), "").unwrap(),
            |item| fs::remove_dir_all(item).unwrap(),
        ];
        for change in changes {
            let result = check(3, change);
            assert!(matches!(result, Err(PublishError::Changed)), "{result:?}");
        }
    }

    #[test]
    fn a_pipe_in_the_place_of_a_file_does_not_hold_it_up() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("item");
        nix::unistd::mkfifo(&path, nix::sys::stat::Mode::S_IRWXU).unwrap();
        let listed = Identity::of_nothing(1, 5);
        assert!(matches!(open(&path, listed), Err(PublishError::Changed)));
    }

    #[test]
    fn a_file_that_is_open_for_writing_is_not_hashed() {
        let result = check(3, |item| File::options().append(true).open(item.join("2")).unwrap());
        assert!(matches!(&result, Err(PublishError::InUse(path)) if path.ends_with("2")), "{result:?}");
        check(3, |item| File::open(item.join("2")).unwrap()).expect("a reader is no writer");
    }
}
