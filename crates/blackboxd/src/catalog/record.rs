//! What the catalog remembers of an item, as JSON.

use std::sync::Arc;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use torrent::{InfoHash, InfoHashes};

use super::content::Sums;
use super::{Content, Item, Torrent};
use crate::listing::Listing;

/// Earlier torrents of an item of the same name that are remembered.
const MAX_PAST: usize = 8;

/// A published item. (Its name is what it is found by.)
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Record {
    added: Timestamp,
    listing: Listing,
    torrents: Vec<TorrentRecord>,
    similar: Vec<String>,
    warnings: Vec<String>,
    #[serde(default)]
    is_private: bool,
}

#[derive(Debug, Serialize, Deserialize)]
struct TorrentRecord {
    v1: Option<String>,
    v2: Option<String>,
    piece_length: u32,
    info_size: usize,
    layers_size: Option<usize>,
}

/// Something that was published under a name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Past {
    info_hash: String,
    /// Its other names on the wire.
    #[serde(default)]
    also: Vec<String>,
    pub(super) added: Timestamp,
    pub(super) sums: Sums,
    #[serde(default)]
    pub(super) is_private: bool,
}

impl Record {
    pub(super) fn of(added: Timestamp, content: &Content) -> Self {
        Self {
            added,
            listing: content.listing.clone(),
            torrents: content.torrents.iter().map(TorrentRecord::of).collect(),
            similar: content.similar().iter().map(InfoHash::to_string).collect(),
            warnings: content.warnings.clone(),
            is_private: content.is_private,
        }
    }

    /// Reads what was written.
    ///
    /// # Errors
    /// A sentence for the log.
    pub(super) fn read(json: &[u8]) -> Result<Self, String> {
        serde_json::from_slice(json).map_err(|error| format!("its record can't be read: {error}"))
    }

    /// The item that this is the record of.
    pub(super) fn item(self, name: &str) -> Result<Item, String> {
        let torrents = self.torrents.iter().map(|torrent| torrent.torrent(&self.listing));
        let torrents: Option<Vec<_>> = torrents.collect();
        let torrents = torrents.filter(|torrents| !torrents.is_empty()).ok_or("its record makes no sense")?;
        let mut content = Content::new(name.to_owned(), self.listing, torrents);
        content.warnings = self.warnings;
        content.is_private = self.is_private;
        content.set_similar(self.similar.iter().filter_map(|hash| hash.parse().ok()).collect());
        Ok(Item::published(name, self.added, Arc::new(content)))
    }
}

impl TorrentRecord {
    fn of(torrent: &Torrent) -> Self {
        Self {
            v1: torrent.info_hashes.v1().map(|hash| hash.to_string()),
            v2: torrent.info_hashes.v2().map(|hash| hash.to_string()),
            piece_length: torrent.lengths.piece_length(),
            info_size: torrent.info_size,
            layers_size: torrent.layers_size,
        }
    }

    fn torrent(&self, listing: &Listing) -> Option<Torrent> {
        let info_hashes = match (&self.v1, &self.v2) {
            (Some(v1), None) => InfoHashes::V1(v1.parse().ok()?),
            (None, Some(v2)) => InfoHashes::V2(v2.parse().ok()?),
            // Such a torrent is never made.
            _ => return None,
        };
        Some(Torrent {
            info_hashes,
            lengths: Torrent::lengths(info_hashes, listing, self.piece_length)?,
            info_size: self.info_size,
            layers_size: self.layers_size,
        })
    }
}

impl Past {
    /// `history` (newest first) with what is published now before it.
    pub(super) fn with(history: Vec<Self>, added: Timestamp, content: &Content) -> Vec<Self> {
        let mut names = content.names_on_the_wire().map(|name| name.to_string());
        let info_hash = names.next().expect("invariant: every torrent has a name");
        let also = names.collect();
        let (sums, is_private) = (content.counters.sums(), content.is_private);
        let now = Self { info_hash, also, added, sums, is_private };
        let others = history.into_iter().filter(|past| past.info_hash != now.info_hash);
        [now.clone()].into_iter().chain(others).take(MAX_PAST).collect()
    }

    /// All its names on the wire.
    pub(super) fn names_on_the_wire(&self) -> impl Iterator<Item = InfoHash> {
        [&self.info_hash].into_iter().chain(&self.also).filter_map(|name| name.parse().ok())
    }

    /// The torrents in `history` that clients of `content` may have files of: others than its own, and none that is for
    /// members where it is for everybody.
    pub(super) fn similar(history: &[Self], content: &Content) -> Vec<InfoHash> {
        let others = history.iter().filter(|past| past.is_private == content.is_private);
        others.filter_map(Self::info_hash).filter(|past| *past != content.info_hash()).collect()
    }

    /// Its torrent.
    pub(super) fn info_hash(&self) -> Option<InfoHash> {
        self.info_hash.parse().ok()
    }
}
