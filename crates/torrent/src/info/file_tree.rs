//! The `file tree` of version 2 (BEP 52): a dictionary for each folder and for each file; in that of a file,
//! under the empty key, is what the file is.

use super::{File, InfoError, parse_length};
use crate::bencode::{Dictionary, DictionaryWriter, Value};
use crate::file_path::{FilePath, FilePathError, MAX_NAMES};
use crate::merkle::NodeHash;

/// A file that is to be written.
#[derive(Clone, Copy)]
pub(super) struct Leaf<'a> {
    pub path: &'a str,
    pub length: u64,
    pub root: Option<NodeHash>,
}

impl<'a> Leaf<'a> {
    /// The name that begins after `skip` bytes of the path.
    fn name(&self, skip: usize) -> &'a str {
        self.path[skip..].split('/').next().unwrap_or_default()
    }
}

/// Writes files that are sorted by path as [`FilePath`] has it, which is the order of the tree.
///
/// # Panics
/// If a file is in another one. (In debug builds also if they are not sorted.)
pub(super) fn write(tree: &mut DictionaryWriter<'_>, leaves: &[Leaf<'_>]) {
    write_folder(tree, leaves, 0);
}

/// Writes the files of a folder; its own path and a slash are the first `skip` bytes of all their paths.
fn write_folder(folder: &mut DictionaryWriter<'_>, leaves: &[Leaf<'_>], skip: usize) {
    for leaves in leaves.chunk_by(|a, b| a.name(skip) == b.name(skip)) {
        let first = leaves[0];
        let name = first.name(skip).as_bytes();
        let end = skip + name.len();
        folder.dictionary(name, |entry| {
            if end < first.path.len() {
                write_folder(entry, leaves, end + 1);
            } else {
                assert_eq!(leaves.len(), 1, "{:?} is a file", first.path);
                entry.dictionary(b"", |file| write_file(file, first));
            }
        });
    }
}

fn write_file(file: &mut DictionaryWriter<'_>, leaf: Leaf<'_>) {
    file.integer(b"length", leaf.length);
    if let Some(root) = leaf.root {
        file.bytes(b"pieces root", root);
    }
}

/// Reads a tree: its files in order, and the root of each that is not empty.
///
/// A folder's name is there once for all its files, so that little metainfo could stand for very long paths:
/// they may have `max_paths` bytes together.
pub(super) fn parse(
    tree: Dictionary<'_>,
    max_paths: usize,
) -> Result<(Vec<File>, Vec<Option<NodeHash>>), InfoError> {
    let mut reader = Reader { names: Vec::new(), files: Vec::new(), roots: Vec::new(), room: max_paths };
    reader.folder(tree)?;
    Ok((reader.files, reader.roots))
}

struct Reader<'a> {
    /// Where in the tree it is.
    names: Vec<&'a [u8]>,
    files: Vec<File>,
    roots: Vec<Option<NodeHash>>,
    /// Bytes that further paths may have.
    room: usize,
}

impl<'a> Reader<'a> {
    fn folder(&mut self, folder: Dictionary<'a>) -> Result<(), InfoError> {
        // Each level is scanned once more than the one above it: this limits the work as well.
        if self.names.len() == MAX_NAMES {
            return Err(FilePathError::TooManyNames.into());
        }
        let before = self.files.len();
        for (name, entry) in folder.iter() {
            let entry = entry.as_dictionary().ok_or(WRONG)?;
            self.names.push(name);
            match entry.get(b"") {
                Some(_) if entry.iter().nth(1).is_some() => return Err(WRONG), // a file and a folder
                Some(file) => self.file(file.as_dictionary().ok_or(WRONG)?)?,
                None => self.folder(entry)?,
            }
            self.names.pop();
        }
        if self.files.len() == before { Err(WRONG) } else { Ok(()) }
    }

    fn file(&mut self, file: Dictionary<'_>) -> Result<(), InfoError> {
        let path = FilePath::from_components(&self.names)?;
        self.room = self.room.checked_sub(path.as_str().len()).ok_or(InfoError::PathsTooLong)?;
        let length = parse_length(file)?;
        self.files.push(File { path, length });
        let root = file.get(b"pieces root").and_then(Value::as_bytes).and_then(|root| root.try_into().ok());
        match (length, root) {
            (0, _) => self.roots.push(None),
            (_, Some(root)) => self.roots.push(Some(root)),
            (_, None) => return Err(InfoError::Key("pieces root")),
        }
        Ok(())
    }
}

const WRONG: InfoError = InfoError::Key("file tree");

#[cfg(test)]
mod tests {
    use super::super::{Hashes, Info, Mode};
    use super::*;
    use crate::bencode::{self, Limits};

    const ROOT: &str = "11:pieces root32:rrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrr";

    /// The tree of files of a length each; those that are not empty have the same root.
    fn tree(files: &[(&str, u64)]) -> String {
        let root = |length| (length > 0).then_some([b'r'; 32]);
        let leaves: Vec<_> =
            files.iter().map(|&(path, length)| Leaf { path, length, root: root(length) }).collect();
        String::from_utf8(bencode::dictionary(|d| write(d, &leaves))).unwrap()
    }

    /// What is read from a tree, or the error as people see it.
    fn read(tree: &str, max_paths: usize) -> String {
        let tree = bencode::scan(tree.as_bytes(), Limits { bytes: 1 << 20, depth: 100 }).unwrap();
        match parse(tree.as_dictionary().unwrap(), max_paths) {
            Ok((files, roots)) => {
                assert!(files.iter().zip(&roots).all(|(file, root)| root.is_some() == (file.length > 0)));
                let files = files.iter().map(|file| format!("{} {}", file.path, file.length));
                files.collect::<Vec<_>>().join(", ")
            }
            Err(error) => error.to_string(),
        }
    }

    #[track_caller]
    fn check(files: &[(&str, u64)], want: &str) {
        assert_eq!(tree(files), want);
        let files: Vec<_> = files.iter().map(|(path, length)| format!("{path} {length}")).collect();
        assert_eq!(read(want, 1000), files.join(", "));
    }

    #[test]
    fn files_and_folders() {
        check(&[("a", 0)], "d1:ad0:d6:lengthi0eeee");
        check(&[("a", 5)], &format!("d1:ad0:d6:lengthi5e{ROOT}eee"));
        check(
            &[("a/b", 0), ("a/c", 0), ("b", 0)],
            "d1:ad1:bd0:d6:lengthi0eee1:cd0:d6:lengthi0eeee1:bd0:d6:lengthi0eeee",
        );
        check(
            &[("a/b/c", 0), ("a/b/d", 0), ("ab/b/c", 0)],
            "d1:ad1:bd1:cd0:d6:lengthi0eee1:dd0:d6:lengthi0eeeee2:abd1:bd1:cd0:d6:lengthi0eeeeee",
        );
        // In the order of a sorted walk, though whole paths would sort otherwise.
        check(&[("a/b", 0), ("a b", 0)], "d1:ad1:bd0:d6:lengthi0eeee3:a bd0:d6:lengthi0eeee");
        check(&[("été", 0)], "d5:étéd0:d6:lengthi0eeee");
    }

    #[test]
    fn the_deepest_path() {
        let path = ["a"; MAX_NAMES].join("/");
        let deepest = tree(&[(&path, 1)]);
        assert_eq!(read(&deepest, 1000), format!("{path} 1"));
        assert_eq!(read(&format!("d1:a{deepest}e"), 1000), "bad file name: the path has more than 64 names");
        let info = Info {
            name: "x".into(),
            piece_length: 16384,
            mode: Mode::Multiple {
                files: vec![File { path: FilePath::from_path(path.as_ref()).unwrap(), length: 1 }],
            },
            hashes: Hashes::V2 { roots: vec![Some([1; 32])] },
            private: false,
        };
        assert_eq!(Info::parse(&info.to_bytes()), Ok(info));
    }

    #[test]
    fn trees_that_cannot_be() {
        let check = |tree: &str, want: &str| assert_eq!(read(tree, 1000), want);
        let wrong = "`file tree` is missing or wrong";
        check("de", wrong);
        check("d1:adee", wrong);
        check("d1:ai1ee", wrong);
        check("d1:ad0:i1eee", wrong);
        check("d1:ad0:d6:lengthi0eee1:bdee", wrong);
        check("d1:ad0:d6:lengthi0ee1:bd0:d6:lengthi0eeeee", wrong);
        check("d0:d6:lengthi0eee", wrong);
        check("d0:d0:d6:lengthi0eeee", r#"bad file name: "" can't be the name of a file"#);
        check("d2:..d0:d6:lengthi0eeee", r#"bad file name: ".." can't be the name of a file"#);
        check("d2:..d1:ad0:d6:lengthi0eeeee", r#"bad file name: ".." can't be the name of a file"#);
        check("d3:a/bd0:d6:lengthi0eeee", r#"bad file name: "a/b" can't be the name of a file"#);
        check("d1:ad0:deee", "`length` is missing or wrong");
        check("d1:ad0:d6:lengthi-1eeee", "`length` is missing or wrong");
        check("d1:ad0:d6:lengthi1eeee", "`pieces root` is missing or wrong");
        check("d1:ad0:d6:lengthi1e11:pieces root3:rrreee", "`pieces root` is missing or wrong");
    }

    #[test]
    fn long_paths_of_many_files_are_limited_together() {
        let tree = tree(&[("long folder/a", 0), ("long folder/b", 0)]);
        assert_eq!(read(&tree, 26), "long folder/a 0, long folder/b 0");
        assert_eq!(read(&tree, 25), "the paths of the files are too long together");
    }

    #[test]
    #[should_panic(expected = "\"a\" is a file")]
    fn a_file_in_a_file_is_noticed() {
        tree(&[("a", 0), ("a/b", 0)]);
    }
}
