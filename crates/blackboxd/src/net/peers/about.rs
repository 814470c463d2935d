//! The peers as people see them: who they are, how far they have come, and how fast they are served.

use std::net::SocketAddr;
use std::sync::Arc;

use seeder::PeerStats;

use super::stream::{Reader, Writer};
use crate::catalog::Content;

/// What stays as it is of a connected peer.
#[derive(Debug)]
pub(super) struct About {
    address: SocketAddr,
    content: Arc<Content>,
    is_utp: bool,
    encryption: Encryption,
}

/// How a connection is encrypted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encryption {
    /// Not at all.
    None,
    /// The handshakes alone.
    Handshake,
    /// All of it, by RC4.
    Rc4,
}

/// A connected peer, as it is shown.
#[derive(Debug, Clone)]
pub struct Seen {
    /// Where it is.
    pub address: SocketAddr,
    /// Name and version of its program, safe to show.
    pub client: String,
    /// Name of the item that it is connected for.
    pub item: String,
    /// Whether it is connected by uTP, and not by TCP.
    pub is_utp: bool,
    /// How it is encrypted.
    pub encryption: Encryption,
    /// How much of the item it has, 0 to 1.
    pub progress: f64,
    /// Bytes of blocks that it was sent.
    pub sent: u64,
    /// Bytes a second of these, of late.
    pub rate: u64,
}

impl About {
    /// A peer that has greeted over this connection.
    pub(super) fn new(address: SocketAddr, content: &Arc<Content>, reader: &Reader, writer: &Writer) -> Self {
        let encryption = match (writer.is_encrypted(), reader.was_encrypted()) {
            (true, _) => Encryption::Rc4,
            (false, true) => Encryption::Handshake,
            (false, false) => Encryption::None,
        };
        Self { address, content: Arc::clone(content), is_utp: writer.is_utp(), encryption }
    }

    pub(super) fn seen(&self, client: String, stats: &PeerStats, rate: u64) -> Seen {
        Seen {
            address: SocketAddr::new(self.address.ip().to_canonical(), self.address.port()),
            client,
            item: self.content.name.clone(),
            is_utp: self.is_utp,
            encryption: self.encryption,
            progress: stats.progress,
            sent: stats.bytes_sent,
            rate,
        }
    }
}
