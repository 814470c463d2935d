//! The info dictionary (BEP 3): what is published, apart from where it is announced.

use crate::bencode::{self, Dictionary, Value};
use crate::file_path::{FilePath, FilePathError};
use crate::lengths::Lengths;
use crate::lengths::PieceIndex;
use crate::metainfo::LIMITS;
use crate::piece_hasher::PieceHash;

/// What is published. Nothing of the machine or the time is in it: equal content has the equal info hash.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Info {
    /// Name of the file or folder: one normal name, as [`FilePath`] has them.
    pub name: String,
    /// Bytes of each piece but the last; not 0.
    pub piece_length: u32,
    /// The [`PieceHash`] of each piece, one after the other.
    pub pieces: Vec<u8>,
    /// A file or a folder.
    pub mode: Mode,
    /// Clients find peers through the trackers of the metainfo only (BEP 27).
    pub private: bool,
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
    /// The length of `pieces` does not fit the length of the files.
    #[error("the number of piece hashes does not fit the length of the content")]
    PieceCount,
}

impl Info {
    /// The dictionary in canonical form. What is hashed is what comes out here, so it must never change for
    /// equal content.
    pub fn to_bytes(&self) -> Vec<u8> {
        bencode::dictionary(|d| {
            if let Mode::Multiple { files } = &self.mode {
                d.list(b"files", |l| {
                    for file in files {
                        l.dictionary(|d| {
                            d.integer(b"length", file.length);
                            d.list(b"path", |l| file.path.components().for_each(|name| l.bytes(name)));
                        });
                    }
                });
            }
            if let Mode::Single { length } = self.mode {
                d.integer(b"length", length);
            }
            d.bytes(b"name", &self.name);
            d.integer(b"piece length", self.piece_length);
            d.bytes(b"pieces", &self.pieces);
            if self.private {
                d.integer(b"private", 1);
            }
        })
    }

    /// Reads an info dictionary. Keys that are not known here are passed over, so writing it again may give
    /// other bytes: keep the bytes that were read.
    ///
    /// # Errors
    /// The bytes are not bencode within [`LIMITS`], a key of BEP 3 is missing or wrong, a name is not normal,
    /// or there are too few or too many pieces.
    pub fn parse(bytes: &[u8]) -> Result<Self, InfoError> {
        let value = bencode::scan(bytes, LIMITS)?;
        Self::from_dictionary(value.as_dictionary().ok_or(InfoError::NotADictionary)?)
    }

    pub(crate) fn from_dictionary(info: Dictionary<'_>) -> Result<Self, InfoError> {
        let name = info.get(b"name").and_then(Value::as_bytes).ok_or(InfoError::Key("name"))?;
        let mode = match info.get(b"files") {
            Some(files) => Mode::Multiple { files: parse_files(files)? },
            None => Mode::Single { length: parse_length(info)? },
        };
        let piece_length = info.get(b"piece length").and_then(Value::as_integer);
        let info = Self {
            name: FilePath::from_components([name])?.to_string(),
            piece_length: piece_length
                .and_then(|length| length.try_into().ok())
                .filter(|&length| length > 0)
                .ok_or(InfoError::Key("piece length"))?,
            pieces: info.get(b"pieces").and_then(Value::as_bytes).ok_or(InfoError::Key("pieces"))?.to_vec(),
            mode,
            private: info.get(b"private").and_then(Value::as_integer) == Some(1),
        };
        let lengths = Lengths::new(info.total_length(), info.piece_length).ok_or(InfoError::PieceCount)?;
        let (hashes, rest) = info.pieces.as_chunks::<20>();
        if hashes.len() != lengths.piece_count() as usize || !rest.is_empty() {
            return Err(InfoError::PieceCount);
        }
        Ok(info)
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

    /// What the bytes of a piece must hash to; `None` if this torrent has no such piece.
    pub fn piece_hash(&self, piece: PieceIndex) -> Option<&PieceHash> {
        self.pieces.as_chunks().0.get(piece.get() as usize)
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
            pieces: vec![b'h'; 40],
            mode: Mode::Single { length: 5 },
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
            pieces: vec![b'h'; 20],
            mode: Mode::Multiple { files },
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
        let info = Info { pieces: [[1; 20], [2; 20]].concat(), ..single() };
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
