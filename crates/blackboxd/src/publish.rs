//! From a settled item to a published one: read once, hash, compare, make the info dictionary.

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use nix::fcntl::{PosixFadviseAdvice, posix_fadvise};
use torrent::{File as InfoFile, Hashes, Info, Mode, piece_length};

use crate::catalog::{Content, Identity, Progress};
use crate::hash::hash_pieces;
use crate::listing::{ListError, Listing};

/// Why an item was not hashed.
#[derive(Debug, thiserror::Error)]
pub enum PublishError {
    /// It changed since it had settled: let it settle again.
    #[error("it changed while it was read")]
    Changed,
    /// The daemon ends, or the item changed: what was done is thrown away.
    #[error("it was interrupted")]
    Cancelled,
    /// It can't be published until someone changes it; a sentence that says what.
    #[error("{0}")]
    Refused(String),
    /// Reading failed.
    #[error("{path:?} can't be read: {source}")]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
}

impl From<ListError> for PublishError {
    fn from(error: ListError) -> Self {
        match error {
            ListError::Gone | ListError::Changing => Self::Changed,
            ListError::Unreadable { path, source } => Self::Unreadable { path, source },
            ListError::Refused(sentence) => Self::Refused(sentence),
        }
    }
}

/// Reads and hashes the item at `item`, whose listing must still be `listing` when all is read.
///
/// # Errors
/// See [`PublishError`].
pub fn hash_item(
    item: &Path,
    name: &str,
    listing: &Listing,
    progress: &Progress,
    cancel: &AtomicBool,
) -> Result<Content, PublishError> {
    let mut reader =
        ContentReader { files: listing.paths(item).into_iter(), current: None, progress, cancel };
    let pieces = hash_pieces(piece_length(listing.size_bytes()), |buffer| reader.read(buffer))?;
    if Listing::of(item)? != *listing {
        return Err(PublishError::Changed);
    }
    content(name, listing, pieces)
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
    current: Option<(File, PathBuf, Identity)>,
    progress: &'a Progress,
    cancel: &'a AtomicBool,
}

impl ContentReader<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> Result<usize, PublishError> {
        loop {
            if self.cancel.load(Ordering::Relaxed) {
                return Err(PublishError::Cancelled);
            }
            let Some((file, path, identity)) = &mut self.current else {
                let Some((path, identity)) = self.files.next() else { return Ok(0) };
                self.current = Some((open(&path, identity)?, path, identity));
                continue;
            };
            match file.read(buffer) {
                Ok(0) => {
                    check(file, path, *identity)?;
                    self.current = None;
                }
                Ok(count) => {
                    self.progress.add(count as u64);
                    return Ok(count);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(source) => return Err(PublishError::Unreadable { path: path.clone(), source }),
            }
        }
    }
}

fn open(path: &Path, identity: Identity) -> Result<File, PublishError> {
    let file = File::open(path).map_err(|source| match source.kind() {
        io::ErrorKind::NotFound => PublishError::Changed,
        _ => PublishError::Unreadable { path: path.to_owned(), source },
    })?;
    check(&file, path, identity)?;
    // Only advice: a file system that can't take it reads all the same.
    let _ = posix_fadvise(file.as_fd(), 0, 0, PosixFadviseAdvice::POSIX_FADV_SEQUENTIAL);
    Ok(file)
}

fn check(file: &File, path: &Path, identity: Identity) -> Result<(), PublishError> {
    let metadata =
        file.metadata().map_err(|source| PublishError::Unreadable { path: path.to_owned(), source })?;
    if Identity::from(&metadata) == identity { Ok(()) } else { Err(PublishError::Changed) }
}
