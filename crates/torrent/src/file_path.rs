//! Where a file is in its torrent.

use std::cmp::Ordering;
use std::ffi::OsStr;
use std::path::Path;
use std::{fmt, str};

/// Longest name of a file or folder (bytes); Linux' own limit (`NAME_MAX`).
pub const MAX_NAME: usize = 255;

/// Longest path (bytes, with its slashes): with the name of the torrent and the publish folder before it, it
/// still fits into what Linux takes in one call (`PATH_MAX`, 4096).
pub const MAX_PATH: usize = 3072;

/// Most names in a path. In v2 metainfo each is a level of nesting, and libtorrent loads no more than 100.
pub const MAX_NAMES: usize = 64;

/// The path of a file in a torrent: one or more names of files and folders, none of which leads out of it.
///
/// Each is UTF-8, not empty, not `.` or `..`, without `/` and NUL, and at most [`MAX_NAME`] bytes long. In all
/// there are at most [`MAX_NAMES`] names and [`MAX_PATH`] bytes.
///
/// Ordered by names, bytewise: as a walk that sorts each folder's names meets the files, on every machine.
/// (`a/b` comes before `a-b`, though `/` is greater than `-`.)
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct FilePath {
    /// The names with `/` between them.
    joined: Box<str>,
}

/// Why something can't be the path of a file in a torrent. Names in it are printable and not overlong.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FilePathError {
    /// There is no name.
    #[error("the path is empty")]
    Empty,
    /// A name is not UTF-8, as metainfo must be (BEP 3); what is wrong in it is shown as U+FFFD.
    #[error("the name {0:?} is not UTF-8")]
    NotUtf8(String),
    /// A name is empty, `.` or `..`, or it holds a `/` or NUL.
    #[error("{0:?} can't be the name of a file")]
    NotAName(String),
    /// A name is longer than [`MAX_NAME`]; its beginning is shown.
    #[error("the name {0:?} is longer than {MAX_NAME} bytes")]
    NameTooLong(String),
    /// The path has more than [`MAX_NAMES`] names.
    #[error("the path has more than {MAX_NAMES} names")]
    TooManyNames,
    /// The path is longer than [`MAX_PATH`].
    #[error("the path is longer than {MAX_PATH} bytes")]
    TooLong,
}

impl FilePath {
    /// Puts names of folders and a file together.
    ///
    /// # Errors
    /// The first thing that breaks a rule of [`FilePath`].
    pub fn from_components<N: AsRef<[u8]>>(
        names: impl IntoIterator<Item = N>,
    ) -> Result<Self, FilePathError> {
        let mut joined = String::new();
        for (count, name) in names.into_iter().enumerate() {
            let name = check_name(name.as_ref())?;
            if count == MAX_NAMES {
                return Err(FilePathError::TooManyNames);
            }
            if count > 0 {
                joined.push('/');
            }
            joined.push_str(name);
            if joined.len() > MAX_PATH {
                return Err(FilePathError::TooLong);
            }
        }
        if joined.is_empty() {
            return Err(FilePathError::Empty);
        }
        Ok(Self { joined: joined.into_boxed_str() })
    }

    /// Takes a relative path. As everywhere, `a//b`, `a/./b` and `a/b/` are `a/b`.
    ///
    /// # Errors
    /// The first thing that breaks a rule of [`FilePath`].
    pub fn from_path(path: &Path) -> Result<Self, FilePathError> {
        // A root directory comes out of this as the name "/", which is none.
        Self::from_components(path.iter().map(OsStr::as_encoded_bytes))
    }

    /// The names of the folders, then of the file.
    pub fn components(&self) -> impl DoubleEndedIterator<Item = &str> {
        self.joined.split('/')
    }

    /// The name of the file itself.
    pub fn file_name(&self) -> &str {
        self.joined.rsplit('/').next().unwrap_or_default()
    }

    /// The path with `/` between the names.
    pub fn as_str(&self) -> &str {
        &self.joined
    }
}

fn check_name(name: &[u8]) -> Result<&str, FilePathError> {
    if name.len() > MAX_NAME {
        let mut shown = shown(&name[..MAX_NAME / 4]);
        shown.push('…');
        return Err(FilePathError::NameTooLong(shown));
    }
    let Ok(text) = str::from_utf8(name) else { return Err(FilePathError::NotUtf8(shown(name))) };
    if matches!(text, "" | "." | "..") || text.contains(['/', '\0']) {
        return Err(FilePathError::NotAName(shown(name)));
    }
    Ok(text)
}

fn shown(name: &[u8]) -> String {
    String::from_utf8_lossy(name).into_owned()
}

/// For opening the file below its torrent's folder.
impl AsRef<Path> for FilePath {
    fn as_ref(&self) -> &Path {
        Path::new(&*self.joined)
    }
}

impl Ord for FilePath {
    fn cmp(&self, other: &Self) -> Ordering {
        self.components().cmp(other.components())
    }
}

impl PartialOrd for FilePath {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl fmt::Display for FilePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.joined)
    }
}

impl fmt::Debug for FilePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.joined, f)
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::ffi::OsStrExt;

    use super::*;

    /// The path that the names make, or the error as people see it.
    #[track_caller]
    fn check<N: AsRef<[u8]>>(names: &[N], want: &str) {
        let got =
            FilePath::from_components(names).map_or_else(|error| error.to_string(), |path| path.to_string());
        assert_eq!(got, want);
    }

    #[test]
    fn normal_names() {
        check(&["a"], "a");
        check(&["a", "b c", "ü", "...", "..a", "a.", "a\\b", "C:"], "a/b c/ü/.../..a/a./a\\b/C:");
        check(&["x".repeat(MAX_NAME)], &"x".repeat(MAX_NAME));
    }

    #[test]
    fn what_is_no_name() {
        check::<&str>(&[], "the path is empty");
        check(&[""], r#""" can't be the name of a file"#);
        check(&["a", ""], r#""" can't be the name of a file"#);
        check(&["a", "."], r#""." can't be the name of a file"#);
        check(&["..", "a"], r#"".." can't be the name of a file"#);
        check(&["a/b"], r#""a/b" can't be the name of a file"#);
        check(&["a\0"], r#""a\0" can't be the name of a file"#);
        check(&["/"], r#""/" can't be the name of a file"#);
        check(&[&b"caf\xe9 \x1b[2J"[..]], "the name \"caf\u{fffd} \\u{1b}[2J\" is not UTF-8");
    }

    #[test]
    fn what_is_too_much() {
        let shown = "ü".repeat(31) + "\u{fffd}…";
        check(&["ü".repeat(128)], &format!("the name {shown:?} is longer than 255 bytes"));
        check(&[vec![b'a'; 1 << 20]], &format!("the name \"{}…\" is longer than 255 bytes", "a".repeat(63)));
        check(&["a"; MAX_NAMES], &["a"; MAX_NAMES].join("/"));
        check(&["a"; MAX_NAMES + 1], "the path has more than 64 names");
        let long = "a".repeat(255);
        check(&[&*long; 12], &[&*long; 12].join("/"));
        check(&[&*long; 13], "the path is longer than 3072 bytes");
        // It ends there, however much follows.
        assert_eq!(FilePath::from_components(std::iter::repeat("a")), Err(FilePathError::TooManyNames));
    }

    #[track_caller]
    fn check_path(path: &[u8], want: &str) {
        let path = Path::new(OsStr::from_bytes(path));
        let got = FilePath::from_path(path).map_or_else(|error| error.to_string(), |path| path.to_string());
        assert_eq!(got, want);
    }

    #[test]
    fn relative_paths() {
        check_path(b"a", "a");
        check_path("a/ü/c".as_bytes(), "a/ü/c");
        check_path(b"a//b/./c/", "a/b/c");
        check_path(b"", "the path is empty");
        check_path(b"/a", r#""/" can't be the name of a file"#);
        check_path(b"./a", r#""." can't be the name of a file"#);
        check_path(b"a/../b", r#"".." can't be the name of a file"#);
        check_path(b"a/\xff/c", "the name \"\u{fffd}\" is not UTF-8");
    }

    #[test]
    fn order_is_that_of_a_sorted_walk() {
        let sorted = ["A", "a/b/c", "a/b-c", "a/b.c", "a/bc", "a b", "a-b", "a.b", "ab", "b", "z", "ä"];
        let mut paths: Vec<_> =
            sorted.iter().rev().map(|path| FilePath::from_path(Path::new(path)).unwrap()).collect();
        paths.sort();
        assert_eq!(paths.iter().map(FilePath::as_str).collect::<Vec<_>>(), sorted);
    }

    #[test]
    fn parts_of_a_path() {
        let path = FilePath::from_components(["a", "b", "c.txt"]).unwrap();
        assert_eq!(path.components().collect::<Vec<_>>(), ["a", "b", "c.txt"]);
        assert_eq!(path.file_name(), "c.txt");
        assert_eq!(Path::new("/x").join(&path), Path::new("/x/a/b/c.txt"));
        assert_eq!(format!("{path:?}"), r#""a/b/c.txt""#);
    }
}
