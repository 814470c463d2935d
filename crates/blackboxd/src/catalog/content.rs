//! What a published item is: its files, and the torrents that describe them.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;
use torrent::{FileSpans, InfoHash, InfoHashV2, InfoHashes, Lengths};

use super::damage::Damage;
use crate::identity::Identity;
use crate::listing::Listing;

/// The files of a published item and the torrents of them. Never changes; a changed file makes a new one.
#[derive(Debug)]
pub struct Content {
    /// Name in the publish folder, and of the torrents.
    pub name: String,
    /// The files as they were when they were hashed, and must still be when they are served.
    pub listing: Listing,
    /// Which bytes are in which file; the files follow each other without padding in all torrents.
    pub spans: FileSpans,
    /// One of each version, that of version 1 first.
    pub torrents: Vec<Torrent>,
    similar: OnceLock<Vec<InfoHash>>,
    /// Warnings about names that other systems can't have, as sentences for people.
    pub warnings: Vec<String>,
    /// Whether its torrents are for members alone (BEP 27).
    pub is_private: bool,
    /// What the scrub found to be other than what was hashed.
    pub damage: Damage,
    /// What has been given away.
    pub counters: Counters,
    /// Cancelled when the item is retired.
    pub retired: CancellationToken,
    /// Cancelled while the item is offline, and when it is retired; another one for each time that it is online.
    online: Mutex<CancellationToken>,
}

/// What is always at hand of a torrent. The rest is [`Metadata`], of which ten thousand would not fit into memory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Torrent {
    /// Its names.
    pub info_hashes: InfoHashes,
    /// Its pieces and blocks.
    pub lengths: Lengths,
    /// Length of [`Metadata::info_bytes`].
    pub info_size: usize,
    /// Length of [`Metadata::piece_layers`].
    pub layers_size: Option<usize>,
}

/// What only those want of a torrent who begin to download it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Metadata {
    /// The info dictionary, byte for byte as it was hashed.
    pub info_bytes: Vec<u8>,
    /// In version 2 the piece layers, as [`torrent::piece_layers`] writes them.
    pub piece_layers: Option<Vec<u8>>,
}

/// An item that is to become public.
#[derive(Debug, Clone)]
pub struct Publication {
    /// What it is.
    pub content: Arc<Content>,
    /// Of each of its torrents.
    pub metadata: Arc<Vec<Metadata>>,
}

/// Sums since the item was published; kept over restarts.
#[derive(Debug, Default)]
pub struct Counters {
    /// Bytes of content sent to peers and as web seed.
    pub uploaded: AtomicU64,
    /// Those of them that went over HTTP.
    pub over_http: AtomicU64,
    /// Downloads that peers reported as completed.
    pub completed: AtomicU64,
}

/// [`Counters`] at some moment.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sums {
    /// See [`Counters::uploaded`].
    pub uploaded: u64,
    /// See [`Counters::over_http`].
    #[serde(default)]
    pub over_http: u64,
    /// See [`Counters::completed`].
    pub completed: u64,
}

impl Counters {
    /// As they are now.
    pub fn sums(&self) -> Sums {
        Sums {
            uploaded: self.uploaded.load(Ordering::Relaxed),
            over_http: self.over_http.load(Ordering::Relaxed),
            completed: self.completed.load(Ordering::Relaxed),
        }
    }

    /// Goes on from what was counted before.
    pub(super) fn set(&self, sums: Sums) {
        self.uploaded.store(sums.uploaded, Ordering::Relaxed);
        self.over_http.store(sums.over_http, Ordering::Relaxed);
        self.completed.store(sums.completed, Ordering::Relaxed);
    }
}

impl Torrent {
    /// The pieces of a torrent with these names of these files: in version 2 they begin anew with each file. `None` if they
    /// were more than can be numbered.
    pub fn lengths(info_hashes: InfoHashes, listing: &Listing, piece_length: u32) -> Option<Lengths> {
        match info_hashes {
            InfoHashes::V2(_) => Lengths::aligned(listing.lengths(), piece_length),
            _ => Lengths::new(listing.size_bytes(), piece_length),
        }
    }

    /// The name by which the box knows it: that of version 1 if it has one.
    pub fn info_hash(&self) -> InfoHash {
        self.info_hashes.on_the_wire().next().expect("invariant: every torrent has a name")
    }
}

impl Content {
    /// Puts files and torrents together.
    pub fn new(name: String, listing: Listing, torrents: Vec<Torrent>) -> Self {
        debug_assert!(!torrents.is_empty(), "something is published");
        let retired = CancellationToken::new();
        Self {
            name,
            spans: FileSpans::new(listing.lengths()),
            listing,
            torrents,
            similar: OnceLock::new(),
            warnings: Vec::new(),
            is_private: false,
            damage: Damage::default(),
            counters: Counters::default(),
            online: Mutex::new(retired.child_token()),
            retired,
        }
    }

    /// The same files by other torrents of the same pieces, which are private or are not; counters and damage go along.
    pub(super) fn remade(old: &Self, torrents: Vec<Torrent>, is_private: bool) -> Self {
        let mut content = Self::new(old.name.clone(), old.listing.clone(), torrents);
        content.warnings.clone_from(&old.warnings);
        content.is_private = is_private;
        content.counters.set(old.counters.sums());
        content.damage.set(old.damage.ranges());
        content
    }

    /// The torrent that everybody is given who does not ask for another.
    pub fn torrent(&self) -> &Torrent {
        &self.torrents[0]
    }

    /// The torrent with this name on the wire.
    pub fn torrent_named(&self, info_hash: &InfoHash) -> Option<&Torrent> {
        self.torrents.iter().find(|torrent| torrent.info_hashes.on_the_wire().any(|name| name == *info_hash))
    }

    /// The name of [`Content::torrent`].
    pub fn info_hash(&self) -> InfoHash {
        self.torrent().info_hash()
    }

    /// All names of all torrents on the wire.
    pub fn names_on_the_wire(&self) -> impl Iterator<Item = InfoHash> {
        self.torrents.iter().flat_map(|torrent| torrent.info_hashes.on_the_wire())
    }

    /// The name in version 1.
    pub fn info_hash_v1(&self) -> Option<InfoHash> {
        self.torrents.iter().find_map(|torrent| torrent.info_hashes.v1())
    }

    /// The name in version 2.
    pub fn info_hash_v2(&self) -> Option<InfoHashV2> {
        self.torrents.iter().find_map(|torrent| torrent.info_hashes.v2())
    }

    /// Earlier torrents of an item of this name, newest first; known as soon as it is published.
    pub fn similar(&self) -> &[InfoHash] {
        self.similar.get().map_or(&[], Vec::as_slice)
    }

    pub(super) fn set_similar(&self, similar: Vec<InfoHash>) {
        // Said once, when it is published or read from the store.
        let _ = self.similar.set(similar);
    }

    /// Number of files.
    pub fn file_count(&self) -> usize {
        self.listing.file_count()
    }

    /// The file with this index: its path below the publish folder, and what it must still be.
    ///
    /// # Panics
    /// If there are fewer files.
    pub fn file(&self, index: usize) -> (PathBuf, Identity) {
        self.listing
            .file(Path::new(&self.name), index)
            .expect("invariant: only files that exist are asked for")
    }

    /// Cancelled when the item is no longer served: connections that serve it end.
    pub fn online(&self) -> CancellationToken {
        self.online.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Serves it (again), or ends all connections that serve it.
    pub(super) fn set_online(&self, is_online: bool) {
        let mut online = self.online.lock().unwrap_or_else(PoisonError::into_inner);
        if !is_online {
            online.cancel();
        } else if online.is_cancelled() {
            *online = self.retired.child_token();
        }
    }

    /// Bytes of content.
    pub fn size_bytes(&self) -> u64 {
        self.spans.total()
    }
}
