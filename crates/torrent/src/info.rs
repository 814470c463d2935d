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
