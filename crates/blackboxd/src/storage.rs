//! Opens published files for serving, and sees to it that only bytes that were hashed are served.

use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use torrent::InfoHash;

use crate::catalog::{Content, Identity};

/// Published files that are kept open at most. Beyond that the whole cache is dropped (open transfers keep theirs).
const MAX_OPEN: usize = 1024;

/// A published file, open.
#[derive(Debug)]
pub struct OpenFile {
    file: File,
    path: PathBuf,
    identity: Identity,
}

/// Why bytes can't be served.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The file is no longer what was hashed.
    #[error("{0:?} has changed since it was published")]
    Changed(PathBuf),
    /// It can't be opened or read.
    #[error("{path:?} can't be read: {source}")]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
}

impl OpenFile {
    /// The file, for reading with explicit offsets.
    pub fn file(&self) -> &File {
        &self.file
    }

    /// Makes sure that the file is still what was hashed; to be called before bytes of it are sent.
    ///
    /// # Errors
    /// [`ServeError::Changed`] when inode, size or time differ.
    pub fn check(&self) -> Result<(), ServeError> {
        let metadata = self.file.metadata().map_err(|source| self.unreadable(source))?;
        if Identity::from(&metadata) == self.identity {
            Ok(())
        } else {
            Err(ServeError::Changed(self.path.clone()))
        }
    }

    /// The error for a read that failed.
    pub fn unreadable(&self, source: io::Error) -> ServeError {
        ServeError::Unreadable { path: self.path.clone(), source }
    }
}

/// The publish folder as seen by those who serve from it; keeps files open between blocks.
#[derive(Debug)]
pub struct Storage {
    publish: PathBuf,
    open: Mutex<HashMap<(InfoHash, usize), Arc<OpenFile>>>,
}

impl Storage {
    /// Serves from below `publish`.
    pub fn new(publish: PathBuf) -> Self {
        Self { publish, open: Mutex::default() }
    }

    /// Opens the file with index `file` of `content`.
    ///
    /// # Errors
    /// See [`ServeError`].
    pub fn open(&self, content: &Content, file: usize) -> Result<Arc<OpenFile>, ServeError> {
        let key = (content.info_hash, file);
        let published = &content.files[file];
        if let Some(open) = self.open.lock().unwrap_or_else(PoisonError::into_inner).get(&key)
            && open.identity == published.identity
        {
            return Ok(Arc::clone(open));
        }
        let path = self.publish.join(&published.path);
        let opened = match File::open(&path) {
            Ok(file) => Arc::new(OpenFile { file, path, identity: published.identity }),
            Err(source) => return Err(ServeError::Unreadable { path, source }),
        };
        opened.check()?;
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if open.len() >= MAX_OPEN {
            open.clear();
        }
        open.insert(key, Arc::clone(&opened));
        Ok(opened)
    }

    /// Closes the files of an item that is no longer served.
    pub fn close(&self, content: &Content) {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.retain(|(info_hash, _), _| *info_hash != content.info_hash);
    }
}
