//! Answers what only those ask for who begin to download: info dictionaries (BEP 9) and hashes (BEP 52). They are not held
//! in memory, and hashes cost some work: both come from threads that may take their time.

use std::sync::Arc;
use std::time::Instant;

use seeder::{HashRequest, MetadataPiece, PeerSession};
use tokio::task::spawn_blocking;
use torrent::{NodeHash, piece_layers};

use crate::app::SharedApp;
use crate::catalog::{Handle, Metadata, Torrent};

/// What a peer has asked for, and what it is to be answered; `None` if that can't be had.
#[derive(Debug)]
pub(super) enum Found {
    Metadata(MetadataPiece, Option<Arc<Metadata>>),
    Hashes(HashRequest, Option<Vec<NodeHash>>),
}

impl Found {
    /// Gets a piece of the info dictionary.
    pub(super) async fn metadata(app: &SharedApp, torrent: &Torrent, piece: MetadataPiece) -> Self {
        let (catalog, info_hash) = (app.catalog.clone(), torrent.info_hash());
        // When the daemon ends nobody is answered any more.
        let found = spawn_blocking(move || logged(catalog.metadata(&info_hash))).await;
        Self::Metadata(piece, found.ok().flatten())
    }

    /// Gets hashes.
    pub(super) async fn hashes(app: &SharedApp, torrent: &Torrent, request: HashRequest) -> Self {
        let (catalog, torrent) = (app.catalog.clone(), torrent.clone());
        let found = spawn_blocking(move || hashes(&catalog, &torrent, &request)).await;
        Self::Hashes(request, found.ok().flatten())
    }

    /// The message that answers, unless the session has one itself.
    pub(super) fn message(self, session: &mut PeerSession, now: Instant) -> Option<Vec<u8>> {
        match self {
            Self::Metadata(piece, found) => {
                let (start, length) = (piece.offset as usize, piece.length as usize);
                let bytes = found.as_ref().and_then(|found| found.info_bytes.get(start..start + length));
                let Some(bytes) = bytes else {
                    session.metadata_unavailable(piece);
                    return None;
                };
                session.metadata_message(now, piece, bytes)
            }
            Self::Hashes(request, Some(hashes)) => session.hashes_message(now, request, &hashes),
            Self::Hashes(request, None) => {
                session.reject_hashes(request);
                None
            }
        }
    }
}

fn hashes(catalog: &Handle, torrent: &Torrent, request: &HashRequest) -> Option<Vec<NodeHash>> {
    let metadata = logged(catalog.metadata(&torrent.info_hash()))?;
    let layer = piece_layers::layer_of(metadata.piece_layers.as_ref()?, &request.pieces_root)?;
    request.answer(&layer, torrent.lengths.piece_length())
}

fn logged<T>(found: Result<Option<T>, crate::catalog::StoreError>) -> Option<T> {
    found.inspect_err(|error| tracing::warn!("a peer can't be given metadata: {error}")).ok().flatten()
}
