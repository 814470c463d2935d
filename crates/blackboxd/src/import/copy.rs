//! One medium: listed, copied and hashed in one pass, put in its place, published.

use std::fmt;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant, SystemTime};

use appliance::config::ImportMode;
use appliance::message::Medium;
use nix::fcntl::{AT_FDCWD, PosixFadviseAdvice, RenameFlags, posix_fadvise, renameat2};
use nix::sys::statvfs::statvfs;
use nix::unistd::syncfs;
use torrent::piece_length;

use super::name::numbered;
use crate::app::App;
use crate::catalog::{Catalog, Content, Item, Progress, StoreError};
use crate::hash::{self, Done, Hashes, Layout};
use crate::identity::Identity;
use crate::listing::{ListError, Listing};
use crate::publish::PublishError;
use crate::torrents::publication;
use crate::words;

/// Space that stays free on the data volume for the box itself, in bytes.
const RESERVE: u64 = 32 << 20;

/// Names tried for a medium whose label is taken.
const MAX_NUMBER: u32 = 1000;

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
            Self::Known(name) => write!(f, "the same as {name:?}, which is published already"),
        }
    }
}

/// Why a medium was not published; prints as a sentence for people.
#[derive(Debug, thiserror::Error)]
pub(super) enum ImportError {
    #[error("The medium was taken out before all of it was read; insert it again.")]
    Removed,
    #[error("There are no files on it.")]
    Empty,
    #[error("It can't be listed: {0}. Clean the disc and insert it again.")]
    List(ListError),
    #[error("{0:?} on it can't be published: {1}")]
    Refused(String, String),
    #[error(
        "{path} can't be read at byte {offset} ({source}); nothing of it is published. Clean the disc and insert it again."
    )]
    Read { path: String, offset: u64, source: io::Error },
    #[error(
        "It holds {needed}, but only {free} are free. Delete something from the publish folder, or use a larger disk."
    )]
    NoSpace { needed: String, free: String },
    #[error("The copy {path:?} can't be written: {source}.")]
    Write { path: PathBuf, source: io::Error },
    #[error("It was copied, but can't be published: {0}")]
    Store(#[from] StoreError),
    #[error("It was copied, but can't be published: {0}")]
    Publish(#[from] PublishError),
}

/// Copies, hashes and publishes `medium` as `name` (or `name (2)`, ... where another item has that name).
///
/// `show` is told size and number of files when they are known and answers with where progress is counted.
pub(super) fn import(
    app: &App,
    medium: &Medium,
    name: &str,
    staging: &Path,
    removed: &AtomicBool,
    show: impl FnOnce(u64, usize) -> Arc<Progress>,
) -> Result<Imported, ImportError> {
    let (source, name) = match app.config.import.mode {
        ImportMode::Contents => (Source::contents(medium, removed)?, name.to_owned()),
        ImportMode::Image => (Source::image(medium), format!("{name}.iso")),
    };
    if source.size_bytes() == 0 {
        return Err(ImportError::Empty);
    }
    if let Some(item) = known(&app.catalog.snapshot(), &name, &source) {
        return Ok(Imported::Known(item.name.clone()));
    }
    check_space(&app.publish, source.size_bytes())?;
    let staged = staging.join(&name);
    let progress = show(source.size_bytes(), source.files.len());
    let mut copier =
        Copier { source: &source, target: &staged, removed, progress: &progress, next: 0, open: None };
    if source.is_folder {
        create_dir(&staged)?;
    }
    let lengths = source.files.iter().map(|file| file.identity.size).collect();
    let layout = Layout::new(lengths, piece_length(source.size_bytes()));
    let hashes = hash::hash(Done::nothing(layout), hash::MEDIUM_MEMORY, &mut copier)?;
    sync(staging)?;
    place(app, &staged, &name, &hashes)
}

/// What is copied: sorted as the info dictionary will be.
struct Source {
    is_folder: bool,
    files: Vec<SourceFile>,
}

struct SourceFile {
    from: PathBuf,
    /// Below the target; empty when the target is the file itself.
    to: PathBuf,
    identity: Identity,
}

impl Source {
    fn contents(medium: &Medium, removed: &AtomicBool) -> Result<Self, ImportError> {
        let mount = Path::new(&medium.mount);
        let listing = Listing::of(mount, removed).map_err(|error| match error {
            ListError::Refused(why) => ImportError::Refused(medium.label.clone().unwrap_or_default(), why),
            ListError::Gone | ListError::Changing | ListError::Cancelled => ImportError::Removed,
            error @ ListError::Unreadable { .. } => ImportError::List(error),
        })?;
        let files = listing
            .paths(mount)
            .into_iter()
            .map(|(from, identity)| SourceFile {
                to: from.strip_prefix(mount).map(Path::to_owned).unwrap_or_default(),
                from,
                identity,
            })
            .collect();
        Ok(Self { is_folder: true, files })
    }

    /// The whole medium as one file. Without a time of its own, which the raw device does not have.
    fn image(medium: &Medium) -> Self {
        let identity = Identity { inode: 0, size: medium.size_bytes, mtime: 0, ctime: 0 };
        let file = SourceFile { from: PathBuf::from(&medium.device), to: PathBuf::new(), identity };
        Self { is_folder: false, files: vec![file] }
    }

    fn size_bytes(&self) -> u64 {
        self.files.iter().map(|file| file.identity.size).sum()
    }
}

/// The item that is this medium already, as far as paths, sizes and times tell. (The copies have the times of their
/// originals.) An image has no times and is read again.
fn known(catalog: &Catalog, name: &str, source: &Source) -> Option<Arc<Item>> {
    let is_same = |content: &Content| {
        source.is_folder
            && content.file_count() == source.files.len()
            && content.listing.paths(Path::new("")).iter().zip(&source.files).all(|((path, ours), theirs)| {
                *path == theirs.to && ours.size == theirs.identity.size && ours.mtime == theirs.identity.mtime
            })
    };
    (1..)
        .map_while(|number| catalog.named(&numbered(name, number)))
        .find(|item| item.content.as_deref().is_some_and(is_same))
        .cloned()
}

fn check_space(publish: &Path, needed: u64) -> Result<(), ImportError> {
    let volume = statvfs(publish)
        .map_err(|error| ImportError::Write { path: publish.to_owned(), source: error.into() })?;
    let free = (volume.blocks_available() * volume.fragment_size()).saturating_sub(RESERVE);
    if needed <= free {
        return Ok(());
    }
    Err(ImportError::NoSpace { needed: words::bytes(needed), free: words::bytes(free) })
}

/// Reads the source from its first to its last byte and writes the same into the target.
struct Copier<'a> {
    source: &'a Source,
    target: &'a Path,
    removed: &'a AtomicBool,
    progress: &'a Progress,
    next: usize,
    open: Option<OpenCopy<'a>>,
}

struct OpenCopy<'a> {
    file: &'a SourceFile,
    reader: File,
    writer: File,
    path: PathBuf,
    copied: u64,
}

impl hash::Source for Copier<'_> {
    type Error = ImportError;

    fn read(&mut self, buffer: &mut [u8]) -> Result<usize, ImportError> {
        loop {
            if self.removed.load(Ordering::Relaxed) {
                return Err(ImportError::Removed);
            }
            if let Some(copy) = &mut self.open {
                let count = copy.step(buffer).map_err(|error| self.or_removed(error))?;
                if count > 0 {
                    self.progress.add(Instant::now(), count as u64);
                    return Ok(count);
                }
                self.open = None;
            }
            let Some(file) = self.source.files.get(self.next) else { return Ok(0) };
            self.next += 1;
            self.open = Some(OpenCopy::new(file, self.target).map_err(|error| self.or_removed(error))?);
        }
    }
}

impl Copier<'_> {
    /// A medium that was pulled gives read errors first.
    fn or_removed(&self, error: ImportError) -> ImportError {
        if self.removed.load(Ordering::Relaxed) { ImportError::Removed } else { error }
    }
}

impl<'a> OpenCopy<'a> {
    fn new(file: &'a SourceFile, target: &Path) -> Result<Self, ImportError> {
        let path = if file.to.as_os_str().is_empty() { target.to_owned() } else { target.join(&file.to) };
        let reader = File::open(&file.from).map_err(|source| read_error(file, 0, source))?;
        // Only advice.
        let _ = posix_fadvise(reader.as_fd(), 0, 0, PosixFadviseAdvice::POSIX_FADV_SEQUENTIAL);
        if let Some(parent) = path.parent() {
            create_dir(parent)?;
        }
        let writer =
            File::create_new(&path).map_err(|source| ImportError::Write { path: path.clone(), source })?;
        Ok(Self { file, reader, writer, path, copied: 0 })
    }

    /// Copies the next bytes; 0 when the file is complete.
    fn step(&mut self, buffer: &mut [u8]) -> Result<usize, ImportError> {
        let left = self.file.identity.size - self.copied;
        let length = buffer.len().min(usize::try_from(left).unwrap_or(usize::MAX));
        if length == 0 {
            self.keep_time()?;
            return Ok(0);
        }
        let count = loop {
            match self.reader.read(&mut buffer[..length]) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(source) => return Err(read_error(self.file, self.copied, source)),
                Ok(0) => {
                    let source = io::Error::new(
                        io::ErrorKind::UnexpectedEof,
                        "the file is shorter than the disc says",
                    );
                    return Err(read_error(self.file, self.copied, source));
                }
                Ok(count) => break count,
            }
        };
        self.writer
            .write_all(&buffer[..count])
            .map_err(|source| ImportError::Write { path: self.path.clone(), source })?;
        self.copied += count as u64;
        Ok(count)
    }

    /// Gives the copy the time of its original, by which the medium is known again.
    fn keep_time(&self) -> Result<(), ImportError> {
        let mtime = self.file.identity.mtime;
        let distance = Duration::new(
            mtime.unsigned_abs() / 1_000_000_000,
            u32::try_from(mtime.unsigned_abs() % 1_000_000_000).unwrap_or(0),
        );
        let time = if mtime < 0 {
            SystemTime::UNIX_EPOCH.checked_sub(distance)
        } else {
            SystemTime::UNIX_EPOCH.checked_add(distance)
        };
        let Some(time) = time.filter(|_| mtime != 0) else { return Ok(()) };
        self.writer
            .set_modified(time)
            .map_err(|source| ImportError::Write { path: self.path.clone(), source })
    }
}

fn read_error(file: &SourceFile, offset: u64, source: io::Error) -> ImportError {
    let path = if file.to.as_os_str().is_empty() { &file.from } else { &file.to };
    ImportError::Read { path: path.display().to_string(), offset, source }
}

fn create_dir(path: &Path) -> Result<(), ImportError> {
    fs::create_dir_all(path).map_err(|source| ImportError::Write { path: path.to_owned(), source })
}

/// Everything below `folder` is on disk when this returns.
fn sync(folder: &Path) -> Result<(), ImportError> {
    let write = |source| ImportError::Write { path: folder.to_owned(), source };
    let folder = File::open(folder).map_err(write)?;
    syncfs(folder.as_fd()).map_err(|error| write(error.into()))
}

/// Puts the staged copy under the first name that is free, and publishes it.
fn place(app: &App, staged: &Path, name: &str, hashes: &Hashes) -> Result<Imported, ImportError> {
    // All of it is here: the medium is not needed any more.
    let listing = Listing::of(staged, &AtomicBool::new(false)).map_err(PublishError::from)?;
    for number in 1..=MAX_NUMBER {
        let name = numbered(name, number);
        let described = |listing| publication(&name, listing, hashes.clone()).map_err(PublishError::Refused);
        let publication = described(listing.clone())?;
        let info_hash = publication.content.info_hash();
        let same = |item: &Arc<Item>| item.content.as_ref().is_some_and(|old| old.info_hash() == info_hash);
        if app.catalog.snapshot().named(&name).is_some_and(same) {
            return Ok(Imported::Known(name));
        }
        let path = app.publish.join(&name);
        match renameat2(AT_FDCWD, staged, AT_FDCWD, &path, RenameFlags::RENAME_NOREPLACE) {
            Err(nix::Error::EEXIST) => {}
            Err(error) => return Err(ImportError::Write { path, source: error.into() }),
            Ok(()) => {
                // The content is on disk already.
                let synced = File::open(&app.publish).and_then(|folder| folder.sync_all());
                synced.map_err(|source| ImportError::Write { path: path.clone(), source })?;
                // The rename has moved the time of the last change.
                let listing = Listing::of(&path, &AtomicBool::new(false)).map_err(PublishError::from)?;
                app.catalog.publish(&name, described(listing)?)?;
                return Ok(Imported::New(name));
            }
        }
    }
    Err(ImportError::Refused(name.to_owned(), "a thousand other items have its name".into()))
}
