//! Opens published files for serving, and sees to it that only bytes that were hashed are served.
//!
//! A disk may take its time, or for ever. So what touches one is said to block here, and is never called by those who
//! serve many; they ask [`Storage::ready`] first, which does not.

use std::collections::HashMap;
use std::fs::{File, OpenOptions};
use std::io::{self, IoSliceMut};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use nix::errno::Errno;
use nix::libc::{O_CLOEXEC, O_NOCTTY, O_NONBLOCK};
use nix::sys::resource::{Resource, getrlimit};
use nix::sys::statfs::{TMPFS_MAGIC, fstatfs};
use rustix::io::{ReadWriteFlags, preadv2};
use tokio_util::sync::CancellationToken;
use torrent::{InfoHash, MAX_BLOCK};

use crate::catalog::Content;
use crate::identity::Identity;

/// Published files that are kept open at most, and the part of the descriptors that they may take.
const MAX_OPEN: u64 = 4096;
const DESCRIPTORS_PART: u64 = 8;

/// Files up to this size (bytes) are not kept open: there can be a hundred thousand of them, and each is over with one
/// block.
const MAX_TINY: u64 = MAX_BLOCK as u64;

/// A published file, open.
#[derive(Debug)]
pub struct OpenFile {
    file: File,
    path: PathBuf,
    identity: Identity,
    /// On a file system that is in memory, and can't tell what of it is.
    in_memory: bool,
}

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

impl OpenFile {
    /// Blocks.
    fn open(path: PathBuf, identity: Identity) -> Result<Self, ServeError> {
        // O_NONBLOCK: opening a FIFO that took the file's place must not wait for a writer.
        let mut options = OpenOptions::new();
        options.read(true).custom_flags(O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
        let file = match options.open(&path) {
            Ok(file) => file,
            Err(source) => return Err(ServeError::Unreadable { path, source }),
        };
        let in_memory = fstatfs(&file).is_ok_and(|system| system.filesystem_type() == TMPFS_MAGIC);
        let opened = Self { file, path, identity, in_memory };
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

    /// Fills `part` with the bytes at `offset` and makes sure that they are of the file that was hashed. Blocks.
    ///
    /// # Errors
    /// See [`ServeError`].
    pub fn read(&self, part: &mut [u8], offset: u64) -> Result<(), ServeError> {
        let read = self.file.read_exact_at(part, offset);
        // First this: a file that was cut short ends too early because it has changed.
        self.check()?;
        read.map_err(|source| self.unreadable(source))
    }

    /// Whether the bytes are in memory, so that reading them waits for nothing. A file system that can't tell has
    /// none there.
    fn is_cached(&self, offset: u64, length: u64) -> bool {
        let is_there = |offset| {
            let mut byte = [0];
            let read = preadv2(&self.file, &mut [IoSliceMut::new(&mut byte)], offset, ReadWriteFlags::NOWAIT);
            matches!(read, Ok(1))
        };
        // Both ends: what is read ahead comes and goes in larger portions than a block.
        self.in_memory || (is_there(offset) && is_there(offset + length.saturating_sub(1)))
    }

    fn unreadable(&self, source: io::Error) -> ServeError {
        ServeError::Unreadable { path: self.path.clone(), source }
    }
}

/// The publish folder as seen by those who serve from it; keeps files open between blocks.
#[derive(Debug)]
pub struct Storage {
    publish: PathBuf,
    max_open: usize,
    open: Mutex<HashMap<(InfoHash, usize), Arc<OpenFile>>>,
}

impl Storage {
    /// Serves from below `publish`.
    pub fn new(publish: PathBuf) -> Self {
        let descriptors = getrlimit(Resource::RLIMIT_NOFILE).map_or(1024, |(soft, _)| soft);
        let max_open = (descriptors / DESCRIPTORS_PART).clamp(1, MAX_OPEN);
        Self { publish, max_open: usize::try_from(max_open).unwrap_or(1), open: Mutex::default() }
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
        if let Some(opened) = self.opened(content, file) {
            return Ok(opened);
        }
        let opened = Arc::new(self.open_alone(content, file)?);
        let mut open = self.lock();
        // An item is first cancelled and then closed, so that nothing of it is kept by who comes late.
        if opened.identity.size > MAX_TINY && !online.is_cancelled() {
            if open.len() >= self.max_open
                && let Some(any) = open.keys().next().copied()
            {
                open.remove(&any);
            }
            open.insert((content.info_hash(), file), Arc::clone(&opened));
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

    /// The file and the offset in it where `length` bytes of content at `offset` can be had at once: it is open, they
    /// are in memory and are what was hashed. Does not block.
    pub fn ready(&self, content: &Content, offset: u64, length: u64) -> Option<(Arc<OpenFile>, u64)> {
        check_damage(content, offset, length).ok()?;
        let span = content.spans.spans(offset, length).next().filter(|span| span.length == length)?;
        let file = self.opened(content, span.file)?;
        (file.check().is_ok() && file.is_cached(span.offset, length)).then_some((file, span.offset))
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
        let mut rest = bytes.as_mut_slice();
        for span in content.spans.spans(offset, length as u64) {
            let part = usize::try_from(span.length).unwrap_or(usize::MAX).min(rest.len());
            let (part, after) = std::mem::take(&mut rest).split_at_mut(part);
            rest = after;
            self.open(content, online, span.file)?.read(part, span.offset)?;
        }
        check_damage(content, offset, length as u64)?;
        Ok(bytes)
    }

    /// Closes the files of an item that is no longer served or that could not be read.
    pub fn close(&self, content: &Content) {
        let closed = content.info_hash();
        self.lock().retain(|(info_hash, _), _| *info_hash != closed);
    }

    /// Closes all files: their volume is gone, or must not be kept busy.
    pub fn close_all(&self) {
        self.lock().clear();
    }

    fn opened(&self, content: &Content, file: usize) -> Option<Arc<OpenFile>> {
        let open = self.lock();
        let opened = open.get(&(content.info_hash(), file))?;
        (opened.identity == content.listing.identity(file)?).then(|| Arc::clone(opened))
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<(InfoHash, usize), Arc<OpenFile>>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
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

#[cfg(test)]
pub mod tests {
    use std::fs;
    use std::path::Path;
    use std::time::{Duration, SystemTime};

    use nix::sys::stat::Mode as Permissions;
    use nix::unistd::mkfifo;

    use super::*;
    use crate::catalog::testing;

    /// Writes a folder of that name with files into `publish`, and describes it. Its hashes are none.
    pub fn folder(publish: &Path, name: &str, files: &[(String, Vec<u8>)]) -> Content {
        Arc::into_inner(testing::folder(publish, name, files).content).unwrap()
    }

    /// Bytes that differ from place to place.
    pub fn bytes(length: usize) -> Vec<u8> {
        (0..length).map(|at| at.wrapping_mul(2_654_435_761).to_le_bytes()[2]).collect()
    }

    const BIG: usize = 200_000;

    struct Published {
        publish: tempfile::TempDir,
        storage: Storage,
        content: Content,
    }

    impl Published {
        /// One large file.
        fn new() -> Self {
            let publish = tempfile::tempdir().unwrap();
            let content = folder(publish.path(), "item", &[("big".into(), bytes(BIG))]);
            Self { storage: Storage::new(publish.path().to_owned()), publish, content }
        }

        fn path(&self) -> PathBuf {
            self.publish.path().join("item/big")
        }

        fn read(&self, offset: usize, length: usize) -> Result<Vec<u8>, ServeError> {
            self.storage.read(&self.content, &self.content.online(), offset as u64, length)
        }

        fn is_ready(&self) -> bool {
            self.storage.ready(&self.content, 0, 16_384).is_some()
        }
    }

    #[test]
    fn what_was_read_once_is_ready_until_it_is_closed() {
        let published = Published::new();
        assert!(!published.is_ready(), "it is not open");
        assert_eq!(published.read(1, 70_000).unwrap(), &bytes(BIG)[1..70_001]);
        assert!(published.is_ready());
        published.storage.close(&published.content);
        assert!(!published.is_ready());
        published.read(0, 1).unwrap();
        published.storage.close_all();
        assert!(!published.is_ready());
    }

    #[test]
    fn what_has_changed_is_neither_ready_nor_read() {
        let changes: &[fn(&Path)] = &[
            |path| fs::write(path, vec![0; BIG]).unwrap(),
            |path| fs::File::options().append(true).open(path).unwrap().set_len(7).unwrap(),
            |path| {
                let time = SystemTime::now() - Duration::from_secs(9);
                fs::File::open(path).unwrap().set_modified(time).unwrap();
            },
        ];
        for (number, change) in changes.iter().enumerate() {
            let published = Published::new();
            published.read(0, 16_384).unwrap();
            // No clock is so coarse that this is the time of the first write.
            let file = fs::File::open(published.path()).unwrap();
            change(&published.path());
            if number == 0 {
                file.set_modified(SystemTime::now() + Duration::from_secs(1)).unwrap();
            }
            assert!(!published.is_ready(), "change {number}");
            let read = published.read(100_000, 16_384);
            assert!(matches!(read, Err(ServeError::Changed(_))), "change {number}: {read:?}");
        }
    }

    #[test]
    fn what_took_the_place_of_a_file_is_not_waited_for() {
        let published = Published::new();
        fs::remove_file(published.path()).unwrap();
        mkfifo(&published.path(), Permissions::S_IRWXU).unwrap();
        assert!(matches!(published.read(0, 1), Err(ServeError::Changed(_))));
        fs::remove_file(published.path()).unwrap();
        assert!(matches!(published.read(0, 1), Err(ServeError::Unreadable { .. })));
    }

    #[test]
    fn nothing_is_kept_open_of_what_is_no_longer_served() {
        let published = Published::new();
        let online = published.content.online();
        published.content.retired.cancel();
        published.storage.close(&published.content);
        // A connection that has not noticed yet.
        published.storage.read(&published.content, &online, 0, 1).unwrap();
        assert!(published.storage.lock().is_empty());
    }

    #[test]
    fn tiny_files_are_read_into_one_block_and_not_kept() {
        let publish = tempfile::tempdir().unwrap();
        let all = bytes(10_000);
        let files: Vec<_> =
            all.iter().enumerate().map(|(at, byte)| (format!("{at:05}"), vec![*byte])).collect();
        let content = folder(publish.path(), "tiny", &files);
        let storage = Storage::new(publish.path().to_owned());
        assert_eq!(storage.read(&content, &content.online(), 0, all.len()).unwrap(), all);
        assert!(storage.lock().is_empty() && storage.ready(&content, 0, 1).is_none());
    }

    #[test]
    fn open_files_are_bounded() {
        let publish = tempfile::tempdir().unwrap();
        let files: Vec<_> = (0..8).map(|number| (number.to_string(), bytes(20_000))).collect();
        let content = folder(publish.path(), "several", &files);
        let storage = Storage { max_open: 3, ..Storage::new(publish.path().to_owned()) };
        storage.read(&content, &content.online(), 0, 160_000).unwrap();
        assert_eq!(storage.lock().len(), 3);
    }
}
