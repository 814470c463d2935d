//! What became of a medium, in sentences for people.

use std::fmt;
use std::io;
use std::path::PathBuf;

use crate::catalog::StoreError;
use crate::publish::PublishError;

/// What became of a medium.
#[derive(Debug)]
pub(super) enum Imported {
    /// A new item of that name.
    New(String),
    /// The item of that name is the same.
    Known(String),
}

impl fmt::Display for Imported {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::New(name) => write!(f, "published as {name:?}"),
            Self::Known(name) => write!(f, "found to be the same as {name:?}, which is published already"),
        }
    }
}

/// Why a medium was not published; prints as a sentence for people.
#[derive(Debug, thiserror::Error)]
pub(super) enum ImportError {
    #[error("The medium was taken out before all of it was read; insert it again.")]
    Removed,
    #[error("There are no files on it that can be published.")]
    Empty,
    #[error(
        "It has no folder {0} at its top, so nothing of it is published: blackbox.toml says from_folder = {0:?}."
    )]
    NoFolder(String),
    #[error("{0:?} on it can't be listed: {1}. Clean the disc and insert it again.")]
    List(PathBuf, io::Error),
    #[error("Its file system is damaged: it names files that are not there. Repair it, and insert it again.")]
    Damaged,
    #[error("{0:?} on it is private: let everybody read it, and insert the medium again.")]
    Private(PathBuf),
    #[error("{0:?} on it can't be published: {1}")]
    Refused(String, String),
    #[error(
        "{path:?} can't be read at byte {offset} (sector {}, counted from 0; {source}); nothing of it is published. \
         Clean the disc and insert it again.",
        offset / super::patient::SECTOR
    )]
    Read {
        /// The file, or the device for an image; sectors count from its beginning.
        path: String,
        offset: u64,
        source: io::Error,
    },
    #[error(
        "It holds {needed}, but only {free} are free. Delete something from the publish folder, or use a larger disk."
    )]
    NoSpace { needed: String, free: String },
    #[error("The copy {path:?} can't be written: {source}.")]
    Write { path: PathBuf, source: io::Error },
    #[error("The box is too busy to read it ({0}); insert it again.")]
    Thread(io::Error),
    #[error("It was copied, but can't be published: {0}")]
    Store(#[from] StoreError),
    #[error("It was copied, but can't be published: {0}")]
    Publish(#[from] PublishError),
}
