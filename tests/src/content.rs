//! Content to publish, made of seeded chance: the seed is part of a failing test's output.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

/// A generator of pseudo-random numbers (splitmix64).
#[derive(Debug, Clone)]
pub struct Chance(u64);

impl Chance {
    /// The same seed gives the same numbers.
    pub fn new(seed: u64) -> Self {
        eprintln!("seed {seed}");
        Self(seed)
    }

    /// A seed that differs from run to run, unless the environment sets `BLACKBOX_SEED`.
    pub fn fresh() -> Self {
        Self::new(fresh_seed())
    }

    /// Another generator, for what happens at the same time: neither takes numbers from the other.
    #[must_use]
    pub fn fork(&mut self) -> Self {
        Self(self.number())
    }

    /// The next number.
    pub fn number(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `limit`.
    pub fn below(&mut self, limit: u64) -> u64 {
        self.number() % limit
    }

    /// One of several.
    pub fn pick<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[usize::try_from(self.below(choices.len() as u64)).expect("below a length")]
    }

    /// So many bytes.
    pub fn bytes(&mut self, length: usize) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(length + 8);
        while bytes.len() < length {
            bytes.extend_from_slice(&self.number().to_le_bytes());
        }
        bytes.truncate(length);
        bytes
    }
}

/// The seed of [`Chance::fresh`].
pub fn fresh_seed() -> u64 {
    let fixed =
        std::env::var("BLACKBOX_SEED").ok().map(|seed| seed.parse().expect("BLACKBOX_SEED is a number"));
    let now = || std::time::UNIX_EPOCH.elapsed().expect("a clock after 1970").subsec_nanos().into();
    fixed.unwrap_or_else(now)
}

/// Writes a file of `length` pseudo-random bytes, with the folders it is in.
pub fn write_file(chance: &mut Chance, path: &Path, length: u64) {
    const CHUNK: u64 = 1 << 20;
    fs::create_dir_all(path.parent().expect("a file is in a folder")).expect("folder");
    let mut file = File::create(path).expect("new file");
    let mut left = length;
    while left > 0 {
        let bytes = chance.bytes(usize::try_from(left.min(CHUNK)).expect("fits"));
        file.write_all(&bytes).expect("room on the disk");
        left -= bytes.len() as u64;
    }
}

/// Makes a folder like those that people publish: folders in folders, names of several scripts, sizes around the edges
/// of pieces, and empty files.
pub fn write_tree(chance: &mut Chance, folder: &Path) {
    // Without `?`, `#`, `%` and `;`, of which transmission and makers of discs make other names.
    const NAMES: [&str; 8] = ["a", "B b", "Über", "日本", "z.txt", "a.b", "-x", "q&=+,'"];
    let sizes = [0, 1, 16_383, 16_384, 16_385, 100_000];
    for number in 0..3 + chance.below(6) {
        let mut path = folder.to_owned();
        for _ in 0..chance.below(3) {
            path.push(format!("{}.d", chance.pick(&NAMES)));
        }
        path.push(format!("{}{number}", chance.pick(&NAMES)));
        let length = chance.pick(&sizes) + chance.below(2) * chance.below(70_000);
        write_file(chance, &path, length);
    }
    // There is always something in it.
    write_file(chance, &folder.join("last"), 1);
}

/// The files below `folder` with their content; a file by itself has an empty path.
pub fn files(path: &Path) -> BTreeMap<PathBuf, PathBuf> {
    let mut found = BTreeMap::new();
    let mut todo = vec![path.to_owned()];
    while let Some(next) = todo.pop() {
        if next.is_dir() {
            todo.extend(
                fs::read_dir(&next).expect("readable folder").map(|entry| entry.expect("entry").path()),
            );
        } else {
            found.insert(next.strip_prefix(path).expect("below it").to_owned(), next);
        }
    }
    found
}

/// Bytes in a file, or in all files below a folder.
pub fn size(path: &Path) -> u64 {
    files(path).values().map(|file| file.metadata().expect("length").len()).sum()
}

/// Demands that two files, or two folders, hold the same bytes under the same names.
///
/// # Panics
/// When they differ; the first difference is named.
#[track_caller]
pub fn assert_same(published: &Path, downloaded: &Path) {
    let (ours, theirs) = (files(published), files(downloaded));
    let names = |files: &BTreeMap<PathBuf, PathBuf>| files.keys().cloned().collect::<Vec<_>>();
    assert_eq!(names(&ours), names(&theirs), "files of {published:?} and {downloaded:?}");
    for (name, path) in &ours {
        assert!(same_bytes(path, &theirs[name]), "{name:?} differs in {published:?} and {downloaded:?}");
    }
}

/// As [`assert_same`], for a download by a client that makes no empty files.
///
/// # Panics
/// When they differ; the first difference is named.
#[track_caller]
pub fn assert_downloaded(published: &Path, downloaded: &Path) {
    for (name, path) in files(published) {
        let copy = downloaded.join(&name);
        // Joining an empty name adds a slash.
        let copy = if name.as_os_str().is_empty() { downloaded.to_owned() } else { copy };
        if path.metadata().expect("length").len() == 0 && !copy.exists() {
            fs::create_dir_all(copy.parent().expect("a file is in a folder")).expect("folder");
            File::create(copy).expect("new file");
        }
    }
    assert_same(published, downloaded);
}

fn same_bytes(a: &Path, b: &Path) -> bool {
    let open = |path| File::open(path).expect("readable file");
    let (mut a, mut b) = (open(a), open(b));
    if a.metadata().expect("length").len() != b.metadata().expect("length").len() {
        return false;
    }
    let (mut left, mut right) = (vec![0; 1 << 20], vec![0; 1 << 20]);
    loop {
        let count = a.read(&mut left).expect("readable file");
        if count == 0 {
            return true;
        }
        b.read_exact(&mut right[..count]).expect("readable file");
        if left[..count] != right[..count] {
            return false;
        }
    }
}
