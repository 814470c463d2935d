//! From a settled item to a published one: read once, hash, compare, make the info dictionary.

use std::fs::File;
use std::io::{self, ErrorKind, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use nix::errno::Errno;
use nix::fcntl::{OFlag, PosixFadviseAdvice, posix_fadvise};
use nix::unistd::{fdatasync, syncfs};
use torrent::{File as InfoFile, Hashes, Info, Mode, piece_length};

use crate::catalog::{Content, Identity, Progress};
use crate::hash::hash_pieces;
use crate::lease::has_writer;
use crate::listing::{ListError, Listing};

/// Items of up to this many files are brought to the disk file by file, others with everything else on their file system:
/// each file costs a write of its own, but nobody else's data are waited for.
const MAX_SYNCS: usize = 64;

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

/// Reads and hashes the item at `item`, whose listing must have `fingerprint`, and still have it when all is read.
///
/// # Errors
/// See [`PublishError`].
pub fn hash_item(
    item: &Path,
    name: &str,
    fingerprint: u64,
    progress: &Progress,
    cancel: &AtomicBool,
) -> Result<Content, PublishError> {
    let listing = Listing::of(item, cancel)?;
    if listing.fingerprint() != fingerprint {
        return Err(PublishError::Changed);
    }
    let files = listing.paths(item);
    secure(item, &files, cancel)?;
    let mut reader = ContentReader { files: files.into_iter(), current: None, progress, cancel };
    let pieces = hash_pieces(piece_length(listing.size_bytes()), |buffer| reader.read(buffer))?;
    if Listing::of(item, cancel)? != listing {
        return Err(PublishError::Changed);
    }
    content(name, &listing, pieces)
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

/// Puts a hashed item together.
///
/// # Errors
/// [`PublishError::Refused`] when it can't be described by an info dictionary.
pub fn content(name: &str, listing: &Listing, pieces: Vec<u8>) -> Result<Content, PublishError> {
    let mode = match listing {
        Listing::File(identity) => Mode::Single { length: identity.size },
        Listing::Folder(files) => Mode::Multiple {
            files: files
                .iter()
                .map(|file| InfoFile { path: file.path.clone(), length: file.identity.size })
                .collect(),
        },
    };
    let piece_length = piece_length(listing.size_bytes());
    let hashes = Hashes::V1 { pieces };
    let info = Info { name: name.to_owned(), piece_length, mode, hashes, private: false };
    let identities: Vec<Identity> = listing.identities().collect();
    Content::new(Arc::from(info.to_bytes()), &identities).map_err(PublishError::Refused)
}

/// The content of all files, one after the other; each must be the file that was listed, before and after.
struct ContentReader<'a> {
    files: std::vec::IntoIter<(PathBuf, Identity)>,
    current: Option<Current>,
    progress: &'a Progress,
    cancel: &'a AtomicBool,
}

struct Current {
    file: File,
    path: PathBuf,
    identity: Identity,
    /// Bytes still to be read.
    left: u64,
}

impl ContentReader<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> Result<usize, PublishError> {
        loop {
            if self.cancel.load(Ordering::Relaxed) {
                return Err(PublishError::Cancelled);
            }
            let Some(current) = &mut self.current else {
                let Some((path, identity)) = self.files.next() else { return Ok(0) };
                let file = open(&path, identity)?;
                // Only advice: a file system that can't take it reads all the same.
                let _ = posix_fadvise(&file, 0, 0, PosixFadviseAdvice::POSIX_FADV_SEQUENTIAL);
                self.current = Some(Current { file, path, identity, left: identity.size });
                continue;
            };
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
                    self.progress.add(count as u64);
                    return Ok(count);
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(source) => return Err(unreadable(&current.path, source)),
            }
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
    use std::sync::Arc;

    /// Hashes an item of `count` files of 5 bytes, after `change` was made to it, which may return something to be held.
    fn check<T>(count: usize, change: impl FnOnce(&Path) -> T) -> Result<Content, PublishError> {
        // In memory, where the kernel knows who writes.
        let folder = tempfile::tempdir_in("/dev/shm").unwrap();
        let item = folder.path().join("item");
        fs::create_dir(&item).unwrap();
        for number in 0..count {
            fs::write(item.join(number.to_string()), "12345").unwrap();
        }
        let fingerprint = Listing::of(&item, &AtomicBool::new(false)).unwrap().fingerprint();
        let _held = change(&item);
        let progress: Arc<Progress> = Arc::default();
        let result = hash_item(&item, "item", fingerprint, &progress, &AtomicBool::new(false));
        assert!(result.is_err() || progress.done() == count as u64 * 5);
        result
    }

    #[test]
    fn an_item_that_nobody_touches_is_hashed() {
        for count in [1, MAX_SYNCS, MAX_SYNCS + 1] {
            let content = check(count, |_| {}).unwrap();
            assert_eq!((content.files.len(), content.size_bytes()), (count, count as u64 * 5));
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
        let listed = Identity { inode: 1, size: 5, mtime: 0 };
        assert!(matches!(open(&path, listed), Err(PublishError::Changed)));
    }

    #[test]
    fn a_file_that_is_open_for_writing_is_not_hashed() {
        let result = check(3, |item| File::options().append(true).open(item.join("2")).unwrap());
        assert!(matches!(&result, Err(PublishError::InUse(path)) if path.ends_with("2")), "{result:?}");
        check(3, |item| File::open(item.join("2")).unwrap()).expect("a reader is no writer");
    }
}
