//! The info dictionary (BEP 3, BEP 52): what is published, apart from where it is announced.

mod file_tree;

use std::slice;

use self::file_tree::Leaf;
use crate::bencode::{self, Dictionary, ListWriter, Value};
use crate::file_path::{FilePath, FilePathError};
use crate::ids::{InfoHash, InfoHashV2, InfoHashes};
use crate::lengths::{Lengths, PieceIndex};
use crate::merkle::{NodeHash, is_piece_length};
use crate::metainfo::LIMITS;
use crate::piece_hasher::PieceHash;

/// The `meta version` of version 2; version 1 has none.
const META_VERSION: i64 = 2;

/// What is published. Nothing of the machine or the time is in it: equal content has the equal info hash.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Info {
    /// Name of the file or folder: one normal name, as [`FilePath`] has them.
    pub name: String,
    /// Bytes of each piece but the last, in version 2 of each file; not 0, in version 2 a power of two of at
    /// least 16 KiB.
    pub piece_length: u32,
    /// A file or a folder.
    pub mode: Mode,
    /// What the content must hash to; they make the version of the torrent.
    pub hashes: Hashes,
    /// Clients find peers through the trackers of the metainfo only (BEP 27).
    pub private: bool,
}

/// The hashes of one version or both.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Hashes {
    /// Version 1 (BEP 3).
    V1 {
        /// The [`PieceHash`] of each piece, one after the other.
        pieces: Vec<u8>,
    },
    /// Version 2 (BEP 52). Its files are sorted by their paths, since they are in a tree of dictionaries.
    ///
    /// A folder that holds one file and nothing else is written as other makers do; clients may take it for that
    /// file, and if both have the same name they are the same torrent.
    V2 {
        /// The root of each file, `None` if it is empty.
        roots: Vec<Option<NodeHash>>,
    },
    /// Both, for a single file. (For a folder, files would have to be padded to whole pieces for version 1.)
    Hybrid {
        /// As in version 1.
        pieces: Vec<u8>,
        /// As in version 2.
        root: Option<NodeHash>,
    },
}

/// One file, or a folder of files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Mode {
    /// The torrent is a file.
    Single {
        /// Bytes.
        length: u64,
    },
    /// The torrent is a folder.
    Multiple {
        /// At least one, in the order in which their bytes follow each other.
        files: Vec<File>,
    },
}

/// A file in a folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct File {
    /// Below the folder.
    pub path: FilePath,
    /// Bytes.
    pub length: u64,
}

/// Why bytes are not an info dictionary, or not one of a torrent that can be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InfoError {
    /// They are not bencode within the limits.
    #[error(transparent)]
    Bencode(#[from] bencode::Error),
    /// There is no dictionary.
    #[error("the info dictionary is missing")]
    NotADictionary,
    /// A key is missing, or its value is of a wrong kind or out of range.
    #[error("`{0}` is missing or wrong")]
    Key(&'static str),
    /// The name or the path of a file is none.
    #[error("bad file name: {0}")]
    FilePath(#[from] FilePathError),
    /// The length of `pieces` does not fit the length of the files, or there are more than `u32` can number.
    #[error("the number of piece hashes does not fit the length of the content")]
    PieceCount,
    /// `meta version` is not 2, the only value that has a meaning (BEP 52).
    #[error("metainfo of version {0} is not known")]
    MetaVersion(i64),
    /// The dictionary has keys of both versions, but not for one and the same file.
    #[error("versions 1 and 2 do not describe the same single file")]
    Hybrid,
    /// The files in the tree have longer paths than could be written one by one.
    #[error("the paths of the files are too long together")]
    PathsTooLong,
}

impl Info {
    /// The dictionary in canonical form. What is hashed is what comes out here, so it must never change for
    /// equal content.
    ///
    /// # Panics
    /// In version 2, if there is not one root for each file, or the files are not sorted by path, or one is in
    /// another, or a folder is hybrid.
    pub fn to_bytes(&self) -> Vec<u8> {
        bencode::dictionary(|d| {
            if let Some(roots) = self.roots() {
                d.dictionary(b"file tree", |d| file_tree::write(d, &self.leaves(roots)));
            }
            if self.pieces().is_some() {
                match &self.mode {
                    Mode::Multiple { files } => {
                        d.list(b"files", |l| files.iter().for_each(|file| write_file(l, file)));
                    }
                    Mode::Single { length } => d.integer(b"length", *length),
                }
            }
            if self.roots().is_some() {
                d.integer(b"meta version", META_VERSION);
            }
            d.bytes(b"name", &self.name);
            d.integer(b"piece length", self.piece_length);
            if let Some(pieces) = self.pieces() {
                d.bytes(b"pieces", pieces);
            }
            if self.private {
                d.integer(b"private", 1);
            }
        })
    }

    fn leaves(&self, roots: &[Option<NodeHash>]) -> Vec<Leaf<'_>> {
        if let Mode::Multiple { files } = &self.mode {
            assert!(self.pieces().is_none(), "a folder is not hybrid");
            assert!(files.is_sorted_by(|a, b| a.path < b.path), "files are sorted by path");
        }
        let files: Vec<_> = self.files().collect();
        assert_eq!(files.len(), roots.len(), "each file has a root");
        files.iter().zip(roots).map(|(&(path, length), &root)| Leaf { path, length, root }).collect()
    }

    /// Reads an info dictionary. Keys that are not known here are passed over, so writing it again may give
    /// other bytes: keep the bytes that were read.
    ///
    /// # Errors
    /// The bytes are not bencode within [`LIMITS`], a key of BEP 3 or BEP 52 is missing or wrong, a name is not
    /// normal, there are too few or too many pieces, or it is a hybrid folder.
    pub fn parse(bytes: &[u8]) -> Result<Self, InfoError> {
        let value = bencode::scan(bytes, LIMITS)?;
        Self::from_dictionary(value.as_dictionary().ok_or(InfoError::NotADictionary)?)
    }

    pub(crate) fn from_dictionary(info: Dictionary<'_>) -> Result<Self, InfoError> {
        let v2 = match info.get(b"meta version").map(Value::as_integer) {
            None => false,
            Some(Some(META_VERSION)) => true,
            Some(Some(other)) => return Err(InfoError::MetaVersion(other)),
            Some(None) => return Err(InfoError::Key("meta version")),
        };
        let name = info.get(b"name").and_then(Value::as_bytes).ok_or(InfoError::Key("name"))?;
        let name = FilePath::from_components([name])?.to_string();
        let piece_length = info.get(b"piece length").and_then(Value::as_integer);
        let piece_length = piece_length
            .and_then(|length| length.try_into().ok())
            .filter(|&length| if v2 { is_piece_length(length) } else { length > 0 })
            .ok_or(InfoError::Key("piece length"))?;
        let (mode, hashes) = if v2 {
            parse_v2(info, &name)?
        } else {
            (parse_mode(info)?, Hashes::V1 { pieces: parse_pieces(info)? })
        };
        let private = info.get(b"private").and_then(Value::as_integer) == Some(1);
        let info = Self { name, piece_length, mode, hashes, private };
        info.check_piece_count()?;
        Ok(info)
    }

    fn check_piece_count(&self) -> Result<(), InfoError> {
        if let Some(pieces) = self.pieces() {
            let lengths =
                Lengths::new(self.total_length(), self.piece_length).ok_or(InfoError::PieceCount)?;
            if pieces.len() as u64 != u64::from(lengths.piece_count()) * 20 {
                return Err(InfoError::PieceCount);
            }
        }
        if self.roots().is_some() {
            // Each file begins with a new piece.
            let pieces = self.files().map(|(_, length)| length.div_ceil(self.piece_length.into()));
            let pieces = pieces.fold(0, u64::saturating_add);
            u32::try_from(pieces).map_err(|_| InfoError::PieceCount)?;
        }
        Ok(())
    }

    /// Path below the torrent's folder and length in bytes of each file, in order; a single file's path is its
    /// name.
    pub fn files(&self) -> impl Iterator<Item = (&str, u64)> {
        let (single, multiple) = match &self.mode {
            Mode::Single { length } => (Some((&*self.name, *length)), &[][..]),
            Mode::Multiple { files } => (None, &files[..]),
        };
        single.into_iter().chain(multiple.iter().map(|file| (file.path.as_str(), file.length)))
    }

    /// The names of the torrent whose info dictionary these bytes are.
    pub fn info_hashes(&self, info_bytes: &[u8]) -> InfoHashes {
        match self.hashes {
            Hashes::V1 { .. } => InfoHashes::V1(InfoHash::of(info_bytes)),
            Hashes::V2 { .. } => InfoHashes::V2(InfoHashV2::of(info_bytes)),
            Hashes::Hybrid { .. } => InfoHashes::Hybrid(InfoHash::of(info_bytes), InfoHashV2::of(info_bytes)),
        }
    }

    /// Version 1: the [`PieceHash`] of each piece, one after the other.
    pub fn pieces(&self) -> Option<&[u8]> {
        match &self.hashes {
            Hashes::V1 { pieces } | Hashes::Hybrid { pieces, .. } => Some(pieces),
            Hashes::V2 { .. } => None,
        }
    }

    /// Version 2: the root of each file, `None` if it is empty.
    pub fn roots(&self) -> Option<&[Option<NodeHash>]> {
        match &self.hashes {
            Hashes::V1 { .. } => None,
            Hashes::V2 { roots } => Some(roots),
            Hashes::Hybrid { root, .. } => Some(slice::from_ref(root)),
        }
    }

    /// Bytes of all files together (`u64::MAX` if they are more).
    pub fn total_length(&self) -> u64 {
        match &self.mode {
            Mode::Single { length } => *length,
            Mode::Multiple { files } => {
                files.iter().fold(0, |total: u64, file| total.saturating_add(file.length))
            }
        }
    }

    /// Version 1: what the bytes of a piece must hash to; `None` if this torrent has no such piece.
    pub fn piece_hash(&self, piece: PieceIndex) -> Option<&PieceHash> {
        self.pieces()?.as_chunks().0.get(piece.get() as usize)
    }
}

fn write_file(files: &mut ListWriter<'_>, file: &File) {
    files.dictionary(|d| {
        d.integer(b"length", file.length);
        d.list(b"path", |l| file.path.components().for_each(|name| l.bytes(name)));
    });
}

fn parse_mode(info: Dictionary<'_>) -> Result<Mode, InfoError> {
    match info.get(b"files") {
        Some(files) => Ok(Mode::Multiple { files: parse_files(files)? }),
        None => Ok(Mode::Single { length: parse_length(info)? }),
    }
}

fn parse_pieces(info: Dictionary<'_>) -> Result<Vec<u8>, InfoError> {
    info.get(b"pieces").and_then(Value::as_bytes).map(<[u8]>::to_vec).ok_or(InfoError::Key("pieces"))
}

/// Reads what an info dictionary of version 2 has that one of version 1 has not; it may be hybrid.
fn parse_v2(info: Dictionary<'_>, name: &str) -> Result<(Mode, Hashes), InfoError> {
    let tree = info.get(b"file tree").and_then(Value::as_dictionary).ok_or(InfoError::Key("file tree"))?;
    let (files, roots) = file_tree::parse(tree, LIMITS.bytes)?;
    let mode = match &files[..] {
        [File { path, length }] if path.as_str() == name => Mode::Single { length: *length },
        _ => Mode::Multiple { files },
    };
    if ["files", "length", "pieces"].iter().all(|key| info.get(key.as_bytes()).is_none()) {
        return Ok((mode, Hashes::V2 { roots }));
    }
    match (&mode, &roots[..]) {
        (Mode::Single { .. }, &[root]) if parse_mode(info)? == mode => {
            Ok((mode, Hashes::Hybrid { pieces: parse_pieces(info)?, root }))
        }
        _ => Err(InfoError::Hybrid),
    }
}

fn parse_length(dictionary: Dictionary<'_>) -> Result<u64, InfoError> {
    let length = dictionary.get(b"length").and_then(Value::as_integer);
    length.and_then(|length| length.try_into().ok()).ok_or(InfoError::Key("length"))
}

fn parse_files(files: Value<'_>) -> Result<Vec<File>, InfoError> {
    let files: Vec<_> =
        files.as_list().ok_or(InfoError::Key("files"))?.iter().map(parse_file).collect::<Result<_, _>>()?;
    if files.is_empty() { Err(InfoError::Key("files")) } else { Ok(files) }
}

fn parse_file(file: Value<'_>) -> Result<File, InfoError> {
    let file = file.as_dictionary().ok_or(InfoError::Key("files"))?;
    let names = file.get(b"path").and_then(Value::as_list).ok_or(InfoError::Key("path"))?;
    // What is no byte string comes out as the empty name, which is none.
    let path = FilePath::from_components(names.iter().map(|name| name.as_bytes().unwrap_or_default()))?;
    Ok(File { path, length: parse_length(file)? })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn single() -> Info {
        Info {
            name: "a.bin".into(),
            piece_length: 4,
            mode: Mode::Single { length: 5 },
            hashes: Hashes::V1 { pieces: vec![b'h'; 40] },
            private: false,
        }
    }

    #[test]
    fn a_single_file() {
        let bytes = b"d6:lengthi5e4:name5:a.bin12:piece lengthi4e6:pieces40:hhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhe";
        assert_eq!(single().to_bytes(), bytes);
        assert_eq!(Info::parse(bytes), Ok(single()));
    }

    #[test]
    fn a_private_folder() {
        let file = |names: &[&str], length| File { path: FilePath::from_components(names).unwrap(), length };
        let files = vec![file(&["a", "b"], 4), file(&["c"], 0)];
        let info = Info {
            name: "x".into(),
            mode: Mode::Multiple { files },
            hashes: Hashes::V1 { pieces: vec![b'h'; 20] },
            private: true,
            ..single()
        };
        let bytes =
            b"d5:filesld6:lengthi4e4:pathl1:a1:beed6:lengthi0e4:pathl1:ceee4:name1:x12:piece lengthi4e\
            6:pieces20:hhhhhhhhhhhhhhhhhhhh7:privatei1ee";
        assert_eq!(info.to_bytes(), bytes);
        assert_eq!(Info::parse(bytes), Ok(info));
    }

    #[test]
    fn piece_hashes_are_found() {
        let info = Info { hashes: Hashes::V1 { pieces: [[1; 20], [2; 20]].concat() }, ..single() };
        let lengths = Lengths::new(info.total_length(), info.piece_length).unwrap();
        assert_eq!(
            lengths.pieces().map(|piece| info.piece_hash(piece)).collect::<Vec<_>>(),
            [Some(&[1; 20]), Some(&[2; 20])]
        );
        let longer = Lengths::new(9, 4).unwrap();
        assert_eq!(info.piece_hash(longer.piece(2).unwrap()), None);
    }

    /// What becomes of the dictionary of [`single`] with a few of its bytes replaced.
    #[track_caller]
    fn check(replace: &str, by: &str, want: &str) {
        let valid = String::from_utf8(single().to_bytes()).unwrap();
        assert!(valid.contains(replace));
        let got = Info::parse(valid.replace(replace, by).as_bytes());
        assert_eq!(got.map_or_else(|error| error.to_string(), |info| format!("{:?}", info.mode)), want);
    }

    #[test]
    fn what_cannot_be_is_refused() {
        check("4:name5:a.bin", "", "`name` is missing or wrong");
        check("4:name5:a.bin", "4:namei5e", "`name` is missing or wrong");
        check("5:a.bin", "3:a/b", r#"bad file name: "a/b" can't be the name of a file"#);
        check("5:a.bin", "2:..", r#"bad file name: ".." can't be the name of a file"#);
        check("5:a.bin", "0:", r#"bad file name: "" can't be the name of a file"#);
        check("6:lengthi5e", "", "`length` is missing or wrong");
        check("6:lengthi5e", "6:lengthi-1e", "`length` is missing or wrong");
        check("lengthi4e", "lengthi0e", "`piece length` is missing or wrong");
        check("lengthi4e", "lengthi-4e", "`piece length` is missing or wrong");
        check("lengthi4e", "lengthi4294967296e", "`piece length` is missing or wrong");
        check("6:pieces40", "6:piecez40", "`pieces` is missing or wrong");
        let wrong_count = "the number of piece hashes does not fit the length of the content";
        check("lengthi5e", "lengthi9e", wrong_count);
        check("lengthi5e", "lengthi4e", wrong_count);
        check("lengthi5e", "lengthi0e", wrong_count);
        check("lengthi5e", "lengthi9223372036854775807e", wrong_count);
        check("40:h", "39:", wrong_count);
        check("lengthi5e", "lengthi05e", "bad bencode at byte 11: number is not in canonical form");
    }

    const ROOT: &str = "11:pieces root32:rrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrr";

    /// A file of a byte in version 2 or hybrid.
    fn single_v2(hashes: Hashes) -> Info {
        Info {
            name: "a".into(),
            piece_length: 16384,
            mode: Mode::Single { length: 1 },
            hashes,
            private: false,
        }
    }

    #[test]
    fn a_single_file_of_version_2() {
        let info = single_v2(Hashes::V2 { roots: vec![Some([b'r'; 32])] });
        let bytes = format!(
            "d9:file treed1:ad0:d6:lengthi1e{ROOT}eee12:meta versioni2e4:name1:a12:piece lengthi16384ee"
        );
        assert_eq!(info.to_bytes(), bytes.as_bytes());
        assert_eq!(Info::parse(bytes.as_bytes()), Ok(info));
    }

    #[test]
    fn a_hybrid_file() {
        let pieces = vec![b'h'; 20];
        let info = Info { private: true, ..single_v2(Hashes::Hybrid { pieces, root: Some([b'r'; 32]) }) };
        let bytes = format!(
            "d9:file treed1:ad0:d6:lengthi1e{ROOT}eee6:lengthi1e12:meta versioni2e4:name1:a\
            12:piece lengthi16384e6:pieces20:hhhhhhhhhhhhhhhhhhhh7:privatei1ee"
        );
        assert_eq!(info.to_bytes(), bytes.as_bytes());
        assert_eq!(Info::parse(bytes.as_bytes()), Ok(info));
    }

    #[test]
    fn an_empty_file_in_either_form_of_version_2() {
        for hashes in [Hashes::V2 { roots: vec![None] }, Hashes::Hybrid { pieces: Vec::new(), root: None }] {
            let info = Info { mode: Mode::Single { length: 0 }, ..single_v2(hashes) };
            assert_eq!(Info::parse(&info.to_bytes()), Ok(info));
        }
    }

    #[test]
    fn what_cannot_be_in_version_2_is_refused() {
        let hybrid = single_v2(Hashes::Hybrid { pieces: vec![b'h'; 20], root: Some([b'r'; 32]) });
        let valid = String::from_utf8(hybrid.to_bytes()).unwrap();
        let check = |replace: &str, by: &str, want: &str| {
            assert!(valid.contains(replace));
            let got = Info::parse(valid.replace(replace, by).as_bytes());
            assert_eq!(got.map_or_else(|error| error.to_string(), |info| format!("{:?}", info.mode)), want);
        };
        check("i2e", "i3e", "metainfo of version 3 is not known");
        check("i2e", "i1e", "metainfo of version 1 is not known");
        check("i2e", "1:2", "`meta version` is missing or wrong");
        check("9:file tree", "9:file free", "`file tree` is missing or wrong");
        check("lengthi16384e", "lengthi8192e", "`piece length` is missing or wrong");
        check("lengthi16384e", "lengthi49152e", "`piece length` is missing or wrong");
        check("6:pieces20", "6:piecez20", "`pieces` is missing or wrong");
        check("6:lengthi1e12:", "12:", "`length` is missing or wrong");
        let count = "the number of piece hashes does not fit the length of the content";
        check("6:pieces20:hhhhhhhhhhhhhhhhhhhh", "6:pieces0:", count);
        let differ = "versions 1 and 2 do not describe the same single file";
        check("6:lengthi1e12:", "6:lengthi2e12:", differ);
        check("4:name1:a", "4:name1:b", differ);
        check("6:lengthi1e12:", "5:filesld6:lengthi1e4:pathl1:aeee12:", differ);
    }

    #[test]
    fn more_pieces_than_can_be_numbered_are_refused_in_version_2() {
        let check = |lengths: &[u64], want| {
            let file = |(number, &length): (usize, &u64)| File {
                path: FilePath::from_components([number.to_string()]).unwrap(),
                length,
            };
            let info = Info {
                mode: Mode::Multiple { files: lengths.iter().enumerate().map(file).collect() },
                ..single_v2(Hashes::V2 { roots: vec![Some([1; 32]); lengths.len()] })
            };
            assert_eq!(Info::parse(&info.to_bytes()).map(|_| ()), want);
        };
        let most = u64::from(u32::MAX) * 16384;
        check(&[most], Ok(()));
        check(&[most + 1], Err(InfoError::PieceCount));
        // Each file begins with a new piece.
        check(&[most - 16384, 1], Ok(()));
        check(&[most - 16384, 1, 1], Err(InfoError::PieceCount));
        check(&[u64::MAX / 2; 4], Err(InfoError::PieceCount));
    }

    #[test]
    #[should_panic(expected = "a folder is not hybrid")]
    fn a_hybrid_folder_is_not_written() {
        let info = single_v2(Hashes::Hybrid { pieces: vec![b'h'; 20], root: Some([1; 32]) });
        let files = vec![File { path: FilePath::from_components(["a"]).unwrap(), length: 1 }];
        Info { mode: Mode::Multiple { files }, ..info }.to_bytes();
    }

    #[test]
    #[should_panic(expected = "files are sorted by path")]
    fn a_tree_of_unsorted_files_is_not_written() {
        let file = |name| File { path: FilePath::from_components([name]).unwrap(), length: 0 };
        let files = vec![file("b"), file("a")];
        let info = single_v2(Hashes::V2 { roots: vec![None, None] });
        Info { mode: Mode::Multiple { files }, ..info }.to_bytes();
    }

    #[test]
    fn file_lists_that_cannot_be_are_refused() {
        let check = |files: &str, want: &str| check("6:lengthi5e", &format!("5:files{files}"), want);
        check("le", "`files` is missing or wrong");
        check("de", "`files` is missing or wrong");
        check("li1ee", "`files` is missing or wrong");
        check("ld4:pathl1:aeee", "`length` is missing or wrong");
        check("ld6:lengthi5eee", "`path` is missing or wrong");
        check("ld6:lengthi5e4:path1:aee", "`path` is missing or wrong");
        check("ld6:lengthi5e4:pathleee", "bad file name: the path is empty");
        check("ld6:lengthi5e4:pathli1eeee", r#"bad file name: "" can't be the name of a file"#);
        check("ld6:lengthi5e4:pathl2:..1:aeee", r#"bad file name: ".." can't be the name of a file"#);
        let most = "d6:lengthi9223372036854775807e4:pathl1:aee";
        let too_many = "the number of piece hashes does not fit the length of the content";
        check(&format!("l{}e", most.repeat(3)), too_many);
    }

    #[test]
    fn what_is_not_an_info_dictionary() {
        assert_eq!(Info::parse(b"le"), Err(InfoError::NotADictionary));
        assert!(matches!(Info::parse(b""), Err(InfoError::Bencode(_))));
    }
}
