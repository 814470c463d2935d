//! Opens published files for serving, and sees to it that only bytes that were hashed are served.
//!
//! A disk may take its time, or for ever. So what touches one is said to block here, and is never called by those who
//! serve many; they ask for a [`View`] first and whether that [has](View::has) what they need, which does not.

mod mapping;
mod open_file;
#[cfg(test)]
pub mod tests;

use std::collections::HashMap;
use std::io::{self, IoSliceMut};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use nix::errno::Errno;
use nix::sys::resource::{Resource, getrlimit};
use nix::unistd::{SysconfVar, sysconf};
use tokio_util::sync::CancellationToken;
use torrent::{InfoHash, MAX_BLOCK};

use crate::catalog::Content;
pub use mapping::{Mapping, Slices};
pub use open_file::OpenFile;

/// Published files that are kept open at most, and the part of the descriptors that they may take.
const MAX_OPEN: u64 = 4096;
const DESCRIPTORS_PART: u64 = 8;

/// Files up to this size (bytes) are not kept open: there can be a hundred thousand of them, and each is over with one
/// block.
const MAX_TINY: u64 = MAX_BLOCK as u64;

/// Files are mapped in windows of this size (bytes).
const WINDOW: u64 = 64 << 20;

/// How much may be mapped at a time, as a multiple of the machine's memory. Page tables take 1/512 of what is looked at
/// through windows: 1.6 % of the memory.
const MAPPED: u64 = 8;

/// Windows at least, however small the memory.
const MIN_WINDOWS: u64 = 16;

/// Why bytes can't be served.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The file is no longer what was hashed.
    #[error("{0:?} has changed since it was published")]
    Changed(PathBuf),
    /// The disk does not give back what was hashed.
    #[error("{0:?} is damaged there")]
    Damaged(String),
    /// It can't be opened or read.
    #[error("{path:?} can't be read: {source}")]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
}

impl ServeError {
    /// Whether the disk failed.
    pub fn is_of_the_disk(&self) -> bool {
        matches!(self, Self::Unreadable { source, .. } if source.raw_os_error() == Some(Errno::EIO as i32))
    }
}

/// The publish folder as seen by those who serve from it; keeps files open between blocks.
#[derive(Debug)]
pub struct Storage {
    publish: PathBuf,
    max_open: usize,
    max_windows: usize,
    files: Mutex<Files>,
}

/// What is kept of files, by the item's name on the wire and their number.
#[derive(Debug, Default)]
struct Files {
    open: HashMap<(InfoHash, usize), Arc<OpenFile>>,
    /// With the window's number.
    windows: HashMap<(InfoHash, usize, u64), Window>,
    /// How often windows were asked for.
    looks: u64,
}

/// A part of a file in the address space.
#[derive(Debug)]
struct Window {
    mapping: Arc<Mapping>,
    /// By the count of looks.
    last_look: u64,
}

/// Where bytes of content are: in a file that is open and mapped.
#[derive(Debug)]
pub struct View {
    file: Arc<OpenFile>,
    mapping: Arc<Mapping>,
    /// Where the mapping begins in the file.
    window: u64,
    /// Where the file begins in the content.
    file_start: u64,
    /// Which bytes of content are in the mapping.
    from: u64,
    to: u64,
}

impl Files {
    fn close(&mut self, item: &InfoHash) {
        self.open.retain(|(info_hash, _), _| info_hash != item);
        self.windows.retain(|(info_hash, ..), _| info_hash != item);
    }

    /// The window with this number of a file, and what had to go for it.
    fn window(
        &mut self,
        key: (InfoHash, usize),
        file: &OpenFile,
        number: u64,
        max: usize,
    ) -> Option<(Arc<Mapping>, Option<Window>)> {
        self.looks += 1;
        let (key, last_look) = ((key.0, key.1, number), self.looks);
        if let Some(window) = self.windows.get_mut(&key) {
            window.last_look = last_look;
            return Some((Arc::clone(&window.mapping), None));
        }
        let start = number * WINDOW;
        let length = usize::try_from(file.identity.size.checked_sub(start)?.min(WINDOW)).ok()?;
        let mapping = Arc::new(Mapping::new(file.file(), start, length).ok()?);
        let oldest = || self.windows.iter().min_by_key(|(_, window)| window.last_look).map(|(key, _)| *key);
        let victim = if self.windows.len() >= max { oldest() } else { None };
        let gone = victim.and_then(|victim| self.windows.remove(&victim));
        self.windows.insert(key, Window { mapping: Arc::clone(&mapping), last_look });
        Some((mapping, gone))
    }
}

/// Forgets any entry if there are as many as there may be.
fn make_room<K: Copy + Eq + std::hash::Hash, V>(map: &mut HashMap<K, V>, max: usize) {
    if map.len() >= max
        && let Some(any) = map.keys().next().copied()
    {
        map.remove(&any);
    }
}

impl View {
    /// How many of the bytes of content from `offset` on, of which there are to be `length`, are here.
    pub fn covers(&self, offset: u64, length: u64) -> u64 {
        if offset < self.from { 0 } else { self.to.saturating_sub(offset).min(length) }
    }

    /// Whether these bytes of content, which are [covered](Self::covers), are in memory and in a file that is still what was
    /// hashed: then they can be sent at once. Does not block.
    pub fn has(&self, offset: u64, length: u64) -> bool {
        let at = self.at(offset);
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        self.file.is_present(offset - self.file_start, length, &self.mapping, at) && self.file.check().is_ok()
    }

    /// Adds bytes of content that are covered to those that are sent.
    pub fn push<'a>(&'a self, slices: &mut Slices<'a>, offset: u64, length: u64) {
        slices.push_mapped(&self.mapping, self.at(offset), usize::try_from(length).unwrap_or(usize::MAX));
    }

    /// Fills all parts with the bytes of content from `offset` on, which are covered. Blocks unless they are
    /// [here](Self::has).
    ///
    /// # Errors
    /// See [`ServeError`].
    pub fn read(&self, parts: &mut [IoSliceMut<'_>], offset: u64) -> Result<(), ServeError> {
        self.file.read_vectored(parts, offset - self.file_start)
    }

    fn at(&self, offset: u64) -> usize {
        usize::try_from(offset - self.file_start - self.window).unwrap_or(usize::MAX)
    }
}

impl Storage {
    /// Serves from below `publish`.
    pub fn new(publish: PathBuf) -> Self {
        let descriptors = getrlimit(Resource::RLIMIT_NOFILE).map_or(1024, |(soft, _)| soft);
        let max_open = (descriptors / DESCRIPTORS_PART).clamp(1, MAX_OPEN);
        let max_windows = (MAPPED * memory() / WINDOW).max(MIN_WINDOWS);
        Self {
            publish,
            max_open: usize::try_from(max_open).unwrap_or(1),
            max_windows: usize::try_from(max_windows).unwrap_or(usize::MAX),
            files: Mutex::default(),
        }
    }

    /// Opens the file with index `file` of `content`, which is served until `online` is cancelled. Blocks.
    ///
    /// # Errors
    /// See [`ServeError`].
    pub fn open(
        &self,
        content: &Content,
        online: &CancellationToken,
        file: usize,
    ) -> Result<Arc<OpenFile>, ServeError> {
        if let Some(opened) = opened(&self.lock(), content, file) {
            return Ok(opened);
        }
        let opened = Arc::new(self.open_alone(content, file)?);
        let mut files = self.lock();
        // An item is first cancelled and then closed, so that nothing of it is kept by who comes late.
        if opened.identity.size > MAX_TINY && !online.is_cancelled() {
            let key = (content.info_hash(), file);
            make_room(&mut files.open, self.max_open);
            files.open.insert(key, Arc::clone(&opened));
            // Of the file that was open before, which may have been another.
            files.windows.retain(|(info_hash, file, _), _| (*info_hash, *file) != key);
        }
        Ok(opened)
    }

    /// Opens the file with index `file` of `content` for the caller alone, damaged or not. Blocks.
    ///
    /// # Errors
    /// See [`ServeError`].
    pub fn open_alone(&self, content: &Content, file: usize) -> Result<OpenFile, ServeError> {
        let (path, identity) = content.file(file);
        OpenFile::open(self.publish.join(path), identity)
    }

    /// Where the byte of content at `offset` is, if its file is open. Does not block.
    pub fn view(&self, content: &Content, offset: u64) -> Option<View> {
        let span = content.spans.spans(offset, 1).next()?;
        let file_start = content.spans.start(span.file);
        let number = span.offset / WINDOW;
        let mut files = self.lock();
        let file = opened(&files, content, span.file)?;
        let key = (content.info_hash(), span.file);
        let (mapping, gone) = files.window(key, &file, number, self.max_windows)?;
        drop(files);
        // To take it out of the address space takes its time.
        drop(gone);
        let window = number * WINDOW;
        let from = file_start + window;
        let to = file_start + file.identity.size.min(window + WINDOW);
        Some(View { file, mapping, window, file_start, from, to })
    }

    /// Reads `length` bytes of content at `offset`, from as many files as it takes. Blocks.
    ///
    /// # Errors
    /// See [`ServeError`].
    pub fn read(
        &self,
        content: &Content,
        online: &CancellationToken,
        offset: u64,
        length: usize,
    ) -> Result<Vec<u8>, ServeError> {
        let mut bytes = vec![0; length];
        self.read_parts(content, online, offset, &mut bytes, |file, part, at| {
            file.read(part, at).map(|()| true)
        })?;
        Ok(bytes)
    }

    /// As [`read`](Self::read), if all of them are in memory; else `None`. Blocks for as long as files are opened.
    ///
    /// # Errors
    /// See [`ServeError`].
    pub fn read_present(
        &self,
        content: &Content,
        online: &CancellationToken,
        offset: u64,
        length: usize,
    ) -> Result<Option<Vec<u8>>, ServeError> {
        let mut bytes = vec![0; length];
        let is_present = self.read_parts(content, online, offset, &mut bytes, OpenFile::read_present)?;
        Ok(is_present.then_some(bytes))
    }

    /// Reads the parts of each file until one can't be had; whether all could.
    fn read_parts(
        &self,
        content: &Content,
        online: &CancellationToken,
        offset: u64,
        bytes: &mut [u8],
        read: impl Fn(&OpenFile, &mut [u8], u64) -> Result<bool, ServeError>,
    ) -> Result<bool, ServeError> {
        let length = bytes.len() as u64;
        let mut rest = bytes;
        for span in content.spans.spans(offset, length) {
            let part = usize::try_from(span.length).unwrap_or(usize::MAX).min(rest.len());
            let (part, after) = std::mem::take(&mut rest).split_at_mut(part);
            rest = after;
            if !read(&*self.open(content, online, span.file)?, part, span.offset)? {
                return Ok(false);
            }
        }
        check_damage(content, offset, length)?;
        Ok(true)
    }

    /// Whether the files with these bytes of content are open, all of them. Does not block.
    pub fn is_open(&self, content: &Content, offset: u64, length: u64) -> bool {
        let files = self.lock();
        content.spans.spans(offset, length).all(|span| opened(&files, content, span.file).is_some())
    }

    /// Closes the files of an item that is no longer served or that could not be read.
    pub fn close(&self, content: &Content) {
        self.lock().close(&content.info_hash());
    }

    /// Closes all files: their volume is gone, or must not be kept busy.
    pub fn close_all(&self) {
        *self.lock() = Files::default();
    }

    fn lock(&self) -> MutexGuard<'_, Files> {
        self.files.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The machine's memory in bytes.
fn memory() -> u64 {
    let get = |variable| sysconf(variable).ok().flatten().and_then(|value| u64::try_from(value).ok());
    let (pages, size) = (get(SysconfVar::_PHYS_PAGES), get(SysconfVar::PAGE_SIZE));
    pages.unwrap_or(0).saturating_mul(size.unwrap_or(0))
}

fn opened(files: &Files, content: &Content, file: usize) -> Option<Arc<OpenFile>> {
    let opened = files.open.get(&(content.info_hash(), file))?;
    (opened.identity == content.listing.identity(file)?).then(|| Arc::clone(opened))
}

/// Makes sure that bytes of content are not known to be damaged.
///
/// # Errors
/// [`ServeError::Damaged`].
pub fn check_damage(content: &Content, offset: u64, length: u64) -> Result<(), ServeError> {
    if content.damage.touches(&(offset..offset.saturating_add(length))) {
        return Err(ServeError::Damaged(content.name.clone()));
    }
    Ok(())
}
