//! What an item consists of: its files, sorted the same way everywhere.

use std::fs;
use std::io::{self, ErrorKind};
use std::ops::SubAssign;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use nix::errno::Errno;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use torrent::{FilePath, hash_piece};

use crate::identity::Identity;
use crate::watch::is_ignored;

/// Files in one item. A torrent of more would have an info dictionary that few clients load.
pub const MAX_FILES: usize = 1_000_000;

/// Entries of all folders of an item, files and folders and what is ignored: as many folders as files, and as much litter
/// as both. What bounds the time for a hostile disc.
const MAX_ENTRIES: usize = 4 * MAX_FILES;

/// Bytes of all paths in an item together: what bounds the memory for a hostile disc, and the info dictionary. More than 100
/// for each of [`MAX_FILES`].
const MAX_PATHS: usize = 128 << 20;

/// Bytes in one item. In the longest pieces these are a million, and their hashes an info dictionary that few clients load.
const MAX_BYTES: u64 = 16 << 40;

/// The files of an item as they are at some moment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Listing {
    /// The item is a file.
    File(Identity),
    /// The item is a folder; sorted bytewise by path.
    Folder(Vec<ListedFile>),
}

/// A file in a folder.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListedFile {
    /// Path below the item's folder.
    #[serde(serialize_with = "write_path", deserialize_with = "read_path")]
    pub path: FilePath,
    /// What it must still be when it is read.
    pub identity: Identity,
}

/// Why an item can't be listed.
#[derive(Debug, thiserror::Error)]
pub enum ListError {
    /// The item itself is not there.
    #[error("it is gone")]
    Gone,
    /// Something in it vanished while it was listed: look again later.
    #[error("it changes while it is read")]
    Changing,
    /// A folder or file can't be read.
    #[error("{path:?} can't be read: {source}")]
    Unreadable {
        /// The folder or file.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// Something in it can't be published; a sentence that names it.
    #[error("{0}")]
    Refused(String),
    /// Nobody is interested any more.
    #[error("it was interrupted")]
    Cancelled,
}

impl Listing {
    /// Lists the file or folder at `item`. Ignored names are left out; symbolic links to files inside the item stand for
    /// those files, links to folders inside it are left out (their content is there already).
    ///
    /// It ends soon after `cancel` is set.
    ///
    /// # Errors
    /// See [`ListError`].
    pub fn of(item: &Path, cancel: &AtomicBool) -> Result<Self, ListError> {
        let metadata = match fs::symlink_metadata(item) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Err(ListError::Gone),
            result => result.map_err(|source| unreadable(item, source))?,
        };
        if metadata.is_file() {
            let mut budget = Budget::default();
            budget.content(metadata.len())?;
            Ok(Self::File(Identity::from(&metadata)))
        } else if metadata.is_dir() {
            let mut walk = Walk { item, cancel, real: None, budget: Budget::default(), files: Vec::new() };
            walk.run()?;
            walk.files.sort_unstable_by(|a, b| a.path.cmp(&b.path));
            Ok(Self::Folder(walk.files))
        } else if metadata.is_symlink() {
            Err(ListError::Refused("it is a symbolic link; put what it leads to here instead".into()))
        } else {
            Err(ListError::Refused("it is neither a file nor a folder; copy the file itself".into()))
        }
    }

    /// Bytes in all files; never more than there may be in an item.
    pub fn size_bytes(&self) -> u64 {
        self.identities().map(|identity| identity.size).sum()
    }

    /// Number of files.
    pub fn file_count(&self) -> usize {
        self.identities().count()
    }

    /// Identities in the order of the info dictionary.
    pub fn identities(&self) -> impl Iterator<Item = Identity> {
        let (one, many) = match self {
            Self::File(identity) => (Some(*identity), &[][..]),
            Self::Folder(files) => (None, files.as_slice()),
        };
        one.into_iter().chain(many.iter().map(|file| file.identity))
    }

    /// Lengths in bytes, in the order of the info dictionary.
    pub fn lengths(&self) -> impl Iterator<Item = u64> {
        self.identities().map(|identity| identity.size)
    }

    /// The identity of the file at this place in the info dictionary.
    pub fn identity(&self, index: usize) -> Option<Identity> {
        match self {
            Self::File(identity) => (index == 0).then_some(*identity),
            Self::Folder(files) => files.get(index).map(|file| file.identity),
        }
    }

    /// The file at this place in the info dictionary: its path when the item is at `item`, and its identity.
    pub fn file(&self, item: &Path, index: usize) -> Option<(PathBuf, Identity)> {
        match self {
            Self::File(identity) => (index == 0).then(|| (item.to_owned(), *identity)),
            Self::Folder(files) => files.get(index).map(|file| file.below(item)),
        }
    }

    /// The files of a folder.
    pub fn folder(&self) -> Option<&[ListedFile]> {
        match self {
            Self::File(_) => None,
            Self::Folder(files) => Some(files),
        }
    }

    /// The files' paths when the item is at `item`, with their identities, in the order of the info dictionary.
    pub fn paths(&self, item: &Path) -> Vec<(PathBuf, Identity)> {
        match self {
            Self::File(identity) => vec![(item.to_owned(), *identity)],
            Self::Folder(files) => files.iter().map(|file| file.below(item)).collect(),
        }
    }

    /// A number that differs when anything in the listing differs, and is the same in every process.
    pub fn fingerprint(&self) -> u64 {
        let mut all = Vec::new();
        let mut put = |path: &str, Identity { inode, size, mtime, ctime }: Identity| {
            // No path has a zero byte.
            all.extend_from_slice(path.as_bytes());
            all.push(0);
            let fields = [inode.to_le_bytes(), size.to_le_bytes(), mtime.to_le_bytes(), ctime.to_le_bytes()];
            all.extend_from_slice(fields.as_flattened());
        };
        match self {
            Self::File(identity) => put("", *identity),
            Self::Folder(files) => files.iter().for_each(|file| put(file.path.as_str(), file.identity)),
        }
        let digest = hash_piece(&all);
        u64::from_le_bytes(*digest.first_chunk().expect("invariant: a SHA-1 begins with 8 bytes"))
    }
}

impl ListedFile {
    fn below(&self, item: &Path) -> (PathBuf, Identity) {
        (item.join(self.path.as_str()), self.identity)
    }
}

fn write_path<S: Serializer>(path: &FilePath, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(path.as_str())
}

fn read_path<'de, D: Deserializer<'de>>(deserializer: D) -> Result<FilePath, D::Error> {
    let path = String::deserialize(deserializer)?;
    FilePath::from_path(Path::new(&path)).map_err(de::Error::custom)
}

/// What an item may still have more of.
struct Budget {
    entries: usize,
    files: usize,
    paths: usize,
    bytes: u64,
}

impl Default for Budget {
    fn default() -> Self {
        Self { entries: MAX_ENTRIES, files: MAX_FILES, paths: MAX_PATHS, bytes: MAX_BYTES }
    }
}

impl Budget {
    fn entry(&mut self) -> Result<(), ListError> {
        take(&mut self.entries, 1, || format!("it has more than {MAX_ENTRIES} files and folders"))
    }

    fn path(&mut self, path: &FilePath) -> Result<(), ListError> {
        take(&mut self.paths, path.as_str().len(), || "its names are too long together".into())
    }

    fn file(&mut self, size: u64) -> Result<(), ListError> {
        take(&mut self.files, 1, || format!("it has more than {MAX_FILES} files"))?;
        self.content(size)
    }

    fn content(&mut self, size: u64) -> Result<(), ListError> {
        take(&mut self.bytes, size, || format!("it is larger than {} TiB", MAX_BYTES >> 40))
    }
}

/// Takes `amount` from what is left, or refuses the item.
fn take<N: Copy + PartialOrd + SubAssign>(
    left: &mut N,
    amount: N,
    what: impl FnOnce() -> String,
) -> Result<(), ListError> {
    if *left < amount {
        return Err(ListError::Refused(format!("{}; pack them together or split it", what())));
    }
    *left -= amount;
    Ok(())
}

struct Walk<'a> {
    item: &'a Path,
    cancel: &'a AtomicBool,
    /// The item's path without symbolic links; looked up when the first link is met.
    real: Option<PathBuf>,
    budget: Budget,
    files: Vec<ListedFile>,
}

impl Walk<'_> {
    fn run(&mut self) -> Result<(), ListError> {
        let mut folders = vec![self.item.to_owned()];
        while let Some(folder) = folders.pop() {
            let entries = fs::read_dir(&folder).map_err(|source| unreadable(&folder, source))?;
            for entry in entries {
                let entry = entry.map_err(|source| unreadable(&folder, source))?;
                if self.cancel.load(Ordering::Relaxed) {
                    return Err(ListError::Cancelled);
                }
                self.budget.entry()?;
                if !is_ignored(&entry.file_name()) && self.visit(&entry)? {
                    folders.push(entry.path());
                }
            }
        }
        Ok(())
    }

    /// Takes a file in; says whether the entry is a folder to go into.
    fn visit(&mut self, entry: &fs::DirEntry) -> Result<bool, ListError> {
        let path = entry.path();
        let mut metadata = entry.metadata().map_err(|source| unreadable(&path, source))?;
        let relative = self.relative(&path)?;
        self.budget.path(&relative)?;
        if metadata.is_symlink() {
            metadata = self.follow(&path)?;
            if metadata.is_dir() {
                return Ok(false);
            }
        }
        if metadata.is_dir() {
            return Ok(true);
        }
        if !metadata.is_file() {
            return Err(ListError::Refused(format!(
                "{relative:?} is a device or pipe; take it out of the folder"
            )));
        }
        self.budget.file(metadata.len())?;
        self.files.push(ListedFile { path: relative, identity: Identity::from(&metadata) });
        Ok(false)
    }

    fn relative(&self, path: &Path) -> Result<FilePath, ListError> {
        let relative = path.strip_prefix(self.item).expect("invariant: the walk never leaves the item");
        FilePath::from_path(relative).map_err(|error| ListError::Refused(format!("{error}; rename it")))
    }

    /// What a symbolic link points to, if that is inside the item.
    fn follow(&mut self, link: &Path) -> Result<fs::Metadata, ListError> {
        let refused = |why: &str| {
            let name = link.strip_prefix(self.item).unwrap_or(link);
            ListError::Refused(format!("{name:?} is a symbolic link {why}; replace it by the file itself"))
        };
        let target = match link.canonicalize() {
            Err(error) if error.kind() == ErrorKind::NotFound => {
                return Err(refused("to something that is not there"));
            }
            Err(error) if error.raw_os_error() == Some(Errno::ELOOP as i32) => {
                return Err(refused("that can't be followed"));
            }
            Err(error) => return Err(unreadable(link, error)),
            Ok(target) => target,
        };
        if self.real.is_none() {
            self.real = Some(self.item.canonicalize().map_err(|source| unreadable(self.item, source))?);
        }
        if !self.real.as_ref().is_some_and(|real| target.starts_with(real)) {
            return Err(refused("that leads out of the item"));
        }
        fs::metadata(&target).map_err(|source| unreadable(&target, source))
    }
}

fn unreadable(path: &Path, source: io::Error) -> ListError {
    match source.kind() {
        ErrorKind::NotFound | ErrorKind::NotADirectory => ListError::Changing,
        _ => ListError::Unreadable { path: path.to_owned(), source },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;
    use std::os::unix::fs::symlink;

    fn item() -> tempfile::TempDir {
        tempfile::tempdir().unwrap()
    }

    fn list(item: &Path) -> Result<Listing, ListError> {
        Listing::of(item, &AtomicBool::new(false))
    }

    fn paths(listing: &Listing) -> Vec<String> {
        match listing {
            Listing::File(_) => vec![],
            Listing::Folder(files) => files.iter().map(|file| file.path.to_string()).collect(),
        }
    }

    fn refusal(item: &Path) -> String {
        match list(item) {
            Err(ListError::Refused(sentence)) => sentence,
            other => panic!("not refused: {other:?}"),
        }
    }

    #[test]
    fn folders_are_sorted_bytewise_by_component_and_litter_is_left_out() {
        let item = item();
        for name in [
            "b",
            "a/z",
            "a/B",
            "a.txt",
            "a-",
            "\u{e9}",
            "sub/.git/config",
            "sub/x.part",
            "Thumbs.db",
            "z/empty",
        ] {
            let path = item.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, name).unwrap();
        }
        let listing = list(item.path()).unwrap();
        assert_eq!(paths(&listing), ["a/B", "a/z", "a-", "a.txt", "b", "z/empty", "\u{e9}"]);
        assert_eq!(listing.file_count(), 7);
    }

    #[test]
    fn links_inside_the_item_are_followed_once() {
        let item = item();
        fs::write(item.path().join("real"), "12345").unwrap();
        symlink("real", item.path().join("link")).unwrap();
        symlink(".", item.path().join("loop")).unwrap();
        let listing = list(item.path()).unwrap();
        assert_eq!(paths(&listing), ["link", "real"]);
        assert_eq!(listing.size_bytes(), 10);
    }

    #[test]
    fn what_cannot_be_published_is_named() {
        type Make = fn(&Path);
        let cases: [(&str, Make, &str); 4] = [
            ("way-out", |p| symlink("/etc/passwd", p).unwrap(), "leads out of the item"),
            ("dangling", |p| symlink("nothing", p).unwrap(), "not there"),
            ("circle", |p| symlink("circle", p).unwrap(), "can't be followed"),
            ("socket", |p| drop(std::os::unix::net::UnixListener::bind(p).unwrap()), "device or pipe"),
        ];
        for (name, make, why) in cases {
            let item = item();
            make(&item.path().join(name));
            let sentence = refusal(item.path());
            assert!(sentence.contains(name) && sentence.contains(why), "{sentence}");
        }
        let item = item();
        fs::write(item.path().join(OsStr::from_bytes(b"caf\xe9")), "").unwrap();
        assert!(refusal(item.path()).contains("UTF-8"), "{}", refusal(item.path()));
    }

    #[test]
    fn any_change_changes_the_fingerprint() {
        let item = item();
        let file = item.path().join("file");
        fs::write(&file, "one").unwrap();
        let before = list(item.path()).unwrap().fingerprint();
        assert_eq!(before, list(item.path()).unwrap().fingerprint());
        fs::File::options().write(true).open(&file).unwrap().set_modified(std::time::UNIX_EPOCH).unwrap();
        let touched = list(item.path()).unwrap().fingerprint();
        fs::write(item.path().join("two"), "").unwrap();
        let added = list(item.path()).unwrap().fingerprint();
        assert!(before != touched && touched != added);
    }

    #[test]
    fn a_missing_item_is_gone() {
        assert!(matches!(list(Path::new("/nonexistent/item")), Err(ListError::Gone)));
    }

    #[test]
    fn too_much_of_anything_is_refused_and_nothing_overflows() {
        let sparse = |sizes: &[u64]| {
            let item = item();
            for (number, size) in sizes.iter().enumerate() {
                let file = fs::File::create(item.path().join(number.to_string())).unwrap();
                file.set_len(*size).unwrap();
            }
            list(item.path()).map(|listing| listing.size_bytes())
        };
        // As much as the file system of the test takes: 8 TiB in one file.
        assert_eq!(sparse(&[MAX_BYTES / 2, MAX_BYTES / 2]).unwrap(), MAX_BYTES);
        let refused = sparse(&[MAX_BYTES / 2, MAX_BYTES / 2, 1]);
        assert!(matches!(&refused, Err(ListError::Refused(why)) if why.contains("16 TiB")), "{refused:?}");

        let check = |mut budget: Budget, why: &str| {
            let spent = budget
                .entry()
                .and_then(|()| budget.path(&FilePath::from_path(Path::new("abc")).unwrap()))
                .and_then(|()| budget.file(u64::MAX));
            assert!(
                matches!(&spent, Err(ListError::Refused(sentence)) if sentence.contains(why)),
                "{spent:?}"
            );
        };
        check(Budget { entries: 0, ..Budget::default() }, "files and folders");
        check(Budget { paths: 2, ..Budget::default() }, "names");
        check(Budget { files: 0, ..Budget::default() }, "1000000 files");
        check(Budget::default(), "larger");
    }

    #[test]
    fn listing_ends_when_nobody_is_interested() {
        let item = item();
        fs::write(item.path().join("file"), "").unwrap();
        let result = Listing::of(item.path(), &AtomicBool::new(true));
        assert!(matches!(result, Err(ListError::Cancelled)), "{result:?}");
    }
}
