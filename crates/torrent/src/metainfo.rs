//! Metainfo: what is in a `.torrent` file (BEP 3, BEP 52).

pub mod piece_layers;

use crate::bencode::{self, Dictionary, Limits, List, Value};
use crate::ids::{InfoHash, InfoHashV2};
use crate::info::{Info, InfoError};
use crate::merkle::PieceLayers;

/// What is read as metainfo.
///
/// 256 MiB hold a torrent of a million files whose paths have some 200 bytes. Reading takes up to some five
/// times that memory, so this is no limit for what strangers send; this program reads only what it wrote
/// itself. The depth is libtorrent's.
pub const LIMITS: Limits = Limits { bytes: 256 << 20, depth: 100 };

/// A torrent with the places where peers are found.
///
/// Everything but `info_bytes` may differ between two copies of the metainfo of one torrent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Metainfo {
    /// The info dictionary, byte for byte: the info hash is made from it.
    pub info_bytes: Vec<u8>,
    /// Version 2 (BEP 52): the piece layer of each file that is longer than a piece, so it may be empty; `None`
    /// in version 1.
    pub piece_layers: Option<PieceLayers>,
    /// Announce URLs in tiers: all of a tier are tried before those of the next (BEP 12). May be empty.
    pub announce: Vec<Vec<String>>,
    /// Web seeds (`url-list`, BEP 19). To one that ends in `/` clients append the name of the torrent and, if
    /// the torrent is a folder, `/` and the path of the file. For a folder it must end so.
    pub web_seeds: Vec<String>,
    /// Names of collections; torrents of the same one may have files in common, which a client then needn't
    /// download again (BEP 38).
    pub collections: Vec<String>,
    /// Torrents that may have files in common with this one (BEP 38); those of version 2 truncated.
    pub similar: Vec<InfoHash>,
    /// Free text.
    pub comment: Option<String>,
    /// The program that made it.
    pub created_by: Option<String>,
    /// When it was made (seconds since 1970).
    pub creation_date: Option<u64>,
}

/// Why bytes are not metainfo.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MetainfoError {
    /// They are not bencode within [`LIMITS`].
    #[error(transparent)]
    Bencode(#[from] bencode::Error),
    /// They are no dictionary.
    #[error("it is no dictionary")]
    NotADictionary,
    /// The value of a key is of a wrong kind or out of range.
    #[error("`{0}` is wrong")]
    Key(&'static str),
    /// The piece layers are not those of the files (BEP 52).
    #[error("the piece layers do not fit the roots of the files")]
    PieceLayers,
    /// The info dictionary is missing or wrong.
    #[error(transparent)]
    Info(#[from] InfoError),
}

impl Metainfo {
    /// Metainfo with nothing but the info dictionary.
    pub fn new(info_bytes: Vec<u8>) -> Self {
        Self {
            info_bytes,
            piece_layers: None,
            announce: Vec::new(),
            web_seeds: Vec::new(),
            collections: Vec::new(),
            similar: Vec::new(),
            comment: None,
            created_by: None,
            creation_date: None,
        }
    }

    /// The name of the torrent, if it is of version 1 or hybrid (see [`Info::info_hashes`]).
    pub fn info_hash(&self) -> InfoHash {
        InfoHash::of(&self.info_bytes)
    }

    /// The name of the torrent, if it is of version 2 or hybrid.
    pub fn info_hash_v2(&self) -> InfoHashV2 {
        InfoHashV2::of(&self.info_bytes)
    }

    /// The content of the `.torrent` file, in canonical form.
    ///
    /// The first announce URL is also written as `announce` for clients without BEP 12, and there is no
    /// `announce-list` if it is the only one.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut trackers = self.announce.iter().flatten();
        bencode::dictionary(|d| {
            if let Some(first) = trackers.next() {
                d.bytes(b"announce", first);
            }
            if trackers.next().is_some() {
                d.list(b"announce-list", |l| {
                    for tier in self.announce.iter().filter(|tier| !tier.is_empty()) {
                        l.list(|l| tier.iter().for_each(|url| l.bytes(url)));
                    }
                });
            }
            // Outside the info dictionary: what else is published must not change the info hash.
            if !self.collections.is_empty() {
                d.list(b"collections", |l| self.collections.iter().for_each(|name| l.bytes(name)));
            }
            if let Some(comment) = &self.comment {
                d.bytes(b"comment", comment);
            }
            if let Some(created_by) = &self.created_by {
                d.bytes(b"created by", created_by);
            }
            if let Some(creation_date) = self.creation_date {
                d.integer(b"creation date", creation_date);
            }
            d.raw(b"info", &self.info_bytes);
            if let Some(layers) = &self.piece_layers {
                d.dictionary(b"piece layers", |d| piece_layers::write(d, layers));
            }
            if !self.similar.is_empty() {
                d.list(b"similar", |l| self.similar.iter().for_each(|hash| l.bytes(hash.as_bytes())));
            }
            if !self.web_seeds.is_empty() {
                d.list(b"url-list", |l| self.web_seeds.iter().for_each(|url| l.bytes(url)));
            }
        })
    }

    /// Reads metainfo and the info dictionary in it. Keys that are not known here are passed over.
    ///
    /// # Errors
    /// The bytes are not canonical bencode within [`LIMITS`], a value is of a wrong kind, the info dictionary
    /// is refused by [`Info::parse`], or in version 2 a piece layer is missing, wrong or of no file.
    pub fn parse(bytes: &[u8]) -> Result<(Self, Info), MetainfoError> {
        let root = bencode::scan(bytes, LIMITS)?.as_dictionary().ok_or(MetainfoError::NotADictionary)?;
        let info = root.get(b"info").and_then(Value::as_dictionary).ok_or(InfoError::NotADictionary)?;
        let mut metainfo = Self {
            info_bytes: info.raw().to_vec(),
            piece_layers: None,
            announce: parse_announce(root)?,
            web_seeds: parse_web_seeds(root)?,
            collections: optional(root, "collections", |names| texts(names.as_list()?))?.unwrap_or_default(),
            similar: optional(root, "similar", info_hashes)?.unwrap_or_default(),
            comment: optional(root, "comment", text)?,
            created_by: optional(root, "created by", text)?,
            creation_date: optional(root, "creation date", |date| date.as_integer()?.try_into().ok())?,
        };
        let info = Info::from_dictionary(info)?;
        metainfo.piece_layers =
            info.roots().map(|roots| piece_layers::parse(root, &info, roots)).transpose()?;
        Ok((metainfo, info))
    }
}

/// `announce-list` replaces `announce` (BEP 12), unless there is nothing in it.
fn parse_announce(root: Dictionary<'_>) -> Result<Vec<Vec<String>>, MetainfoError> {
    let tiers = |list: Value<'_>| list.as_list()?.iter().map(|tier| texts(tier.as_list()?)).collect();
    let mut tiers: Vec<Vec<String>> = optional(root, "announce-list", tiers)?.unwrap_or_default();
    tiers.retain(|tier| !tier.is_empty());
    if tiers.is_empty() {
        tiers.extend(optional(root, "announce", text)?.map(|url| vec![url]));
    }
    Ok(tiers)
}

/// A list, or the only URL itself (BEP 19); some makers write an empty one if there is none.
fn parse_web_seeds(root: Dictionary<'_>) -> Result<Vec<String>, MetainfoError> {
    let urls = |value: Value<'_>| match value {
        Value::List(list) => texts(list),
        Value::Bytes(b"") => Some(Vec::new()),
        _ => text(value).map(|url| vec![url]),
    };
    Ok(optional(root, "url-list", urls)?.unwrap_or_default())
}

/// The value of a key that needn't be there, but must be right if it is.
fn optional<'a, T>(
    root: Dictionary<'a>,
    key: &'static str,
    read: impl FnOnce(Value<'a>) -> Option<T>,
) -> Result<Option<T>, MetainfoError> {
    root.get(key.as_bytes()).map(|value| read(value).ok_or(MetainfoError::Key(key))).transpose()
}

fn text(value: Value<'_>) -> Option<String> {
    value.as_str().map(str::to_owned)
}

fn texts(list: List<'_>) -> Option<Vec<String>> {
    list.iter().map(text).collect()
}

fn info_hashes(value: Value<'_>) -> Option<Vec<InfoHash>> {
    value.as_list()?.iter().map(|info_hash| info_hash.as_bytes()?.try_into().ok()).collect()
}

#[cfg(test)]
mod tests;
