//! What is served is what was hashed.

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
        self.storage
            .view(&self.content, 0)
            .is_some_and(|view| view.covers(0, 16_384) == 16_384 && view.has(0, 16_384))
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
fn what_is_in_memory_is_read_without_waiting() {
    let published = Published::new();
    let online = published.content.online();
    let Published { storage, content, .. } = &published;
    assert!(!storage.is_open(content, 1, 70_000));
    let read = storage.read_present(content, &online, 1, 70_000).unwrap();
    assert_eq!(read.unwrap(), &bytes(BIG)[1..70_001]);
    assert!(storage.is_open(content, 1, 70_000));
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
    assert!(published.storage.lock().open.is_empty());
}

#[test]
fn tiny_files_are_read_into_one_block_and_not_kept() {
    let publish = tempfile::tempdir().unwrap();
    let all = bytes(10_000);
    let files: Vec<_> = all.iter().enumerate().map(|(at, byte)| (format!("{at:05}"), vec![*byte])).collect();
    let content = folder(publish.path(), "tiny", &files);
    let storage = Storage::new(publish.path().to_owned());
    assert_eq!(storage.read(&content, &content.online(), 0, all.len()).unwrap(), all);
    assert!(storage.lock().open.is_empty() && storage.view(&content, 0).is_none());
}

#[test]
fn open_files_are_bounded() {
    let publish = tempfile::tempdir().unwrap();
    let files: Vec<_> = (0..8).map(|number| (number.to_string(), bytes(20_000))).collect();
    let content = folder(publish.path(), "several", &files);
    let storage = Storage { max_open: 3, ..Storage::new(publish.path().to_owned()) };
    storage.read(&content, &content.online(), 0, 160_000).unwrap();
    assert_eq!(storage.lock().open.len(), 3);
}

#[test]
fn windows_are_bounded_and_those_in_use_stay() {
    let publish = tempfile::tempdir().unwrap();
    let files: Vec<_> = (0..8).map(|number| (number.to_string(), bytes(20_000))).collect();
    let content = folder(publish.path(), "several", &files);
    let storage = Storage { max_windows: 3, ..Storage::new(publish.path().to_owned()) };
    storage.read(&content, &content.online(), 0, 160_000).unwrap();
    let held = storage.view(&content, 0).unwrap();
    for number in 0..8 {
        assert!(storage.view(&content, number * 20_000).unwrap().has(number * 20_000, 20_000));
        // This one is always looked at last but one.
        assert!(storage.view(&content, 0).is_some());
        let files = storage.lock();
        assert!(files.windows.len() <= 3 && files.windows.contains_key(&(content.info_hash(), 0, 0)));
    }
    assert!(held.has(0, 20_000), "what is held outlives its place");
}
