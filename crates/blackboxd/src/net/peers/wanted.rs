//! What a peer wants.

use std::net::IpAddr;
use std::ops::Range;
use std::sync::Arc;

use seeder::allowed_fast;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use torrent::{InfoHash, Lengths, PieceIndex};
use tracker::address::Scope;
use tracker::members::MemberId;

use super::acquaintance::Acquaintance;
use super::end::End;
use crate::app::App;
use crate::catalog::{Content, Torrent};

/// Pieces that a peer may have while it is choked (BEP 6), as far as they fit into [`ALLOWED_FAST_BYTES`].
const ALLOWED_FAST: u32 = 5;

/// What a connection may cost that never got a slot.
const ALLOWED_FAST_BYTES: u32 = 1 << 20;

/// What a peer wants.
#[derive(Debug)]
pub(super) struct Wanted {
    /// Of this item.
    pub(super) content: Arc<Content>,
    /// Whose client it is, where that matters and as far as it can be known.
    pub(super) member: Option<MemberId>,
    /// This one of its torrents.
    pub(super) torrent: Torrent,
    /// Cancelled when it is no longer served.
    pub(super) online: CancellationToken,
    /// Pieces that could not be given when it was found, and what tells of changes since then.
    pub(super) withheld: Vec<PieceIndex>,
    pub(super) damage: watch::Receiver<Vec<Range<u64>>>,
}

impl Wanted {
    /// What has this name on the wire, if a peer at this address may have it.
    ///
    /// # Errors
    /// It is not seeded, or is for members and none has announced it at this address.
    pub(super) fn find(app: &App, info_hash: &InfoHash, address: IpAddr) -> Result<Self, End> {
        let content = app.catalog.snapshot().content(info_hash).cloned();
        let content = content.ok_or(End::Unknown(*info_hash))?;
        let torrent = content.torrent_named(info_hash).ok_or(End::Unknown(*info_hash))?.clone();
        let member = app.members.admitted(content.info_hash(), address);
        if content.is_private && member.is_none() {
            return Err(End::NotAdmitted(*info_hash));
        }
        // First this: damage that is found from now on is heard of.
        let damage = content.damage.subscribe();
        let withheld = content.damage.pieces(&torrent.lengths);
        Ok(Self { online: content.online(), torrent, content, member, withheld, damage })
    }

    /// Whether pieces are handed out one by one: while nobody else has everything, and the uplink is what everybody waits
    /// for. The uplink to those nearby is not, unless it is limited.
    pub(super) fn is_handed_out(&self, app: &App, address: IpAddr) -> bool {
        let is_limited = app.upload.bytes_per_second().is_some() || Scope::of(address) == Some(Scope::Global);
        let others = app.swarms.scrape(&self.torrent.info_hash()).unwrap_or_default();
        is_limited && others.complete == 0
    }

    /// What the session with a peer at this address has to know of it.
    pub(super) fn terms(&self, app: &App, address: IpAddr) -> seeder::Torrent {
        let lengths = &self.torrent.lengths;
        let info_hash = self.torrent.info_hash();
        seeder::Torrent {
            lengths: lengths.clone(),
            metadata_size: u32::try_from(self.torrent.info_size).unwrap_or(0),
            v2: self.torrent.info_hashes.v2().map(|v2| v2.truncated()),
            allowed_fast: allowed_fast(address, &info_hash, lengths, allowed_fast_count(lengths)),
            hand_out: self.is_handed_out(app, address),
            exchange: Acquaintance::is_offered(app),
            port: Some(app.listeners.peer.port()),
            dht_port: app.listeners.dht.filter(|_| app.is_public()).map(|dht| dht.port()),
            your_ip: Some(address),
            withheld: self.withheld.clone(),
        }
    }
}

/// None of pieces that are too large to be given away.
fn allowed_fast_count(lengths: &Lengths) -> usize {
    ALLOWED_FAST.min(ALLOWED_FAST_BYTES / lengths.piece_length()) as usize
}
