//! The peers, as a part of `/admin`: those that are served fastest, one by one.

use crate::net::peers::{Encryption, Peers, Seen};
use crate::words;

/// Peers that are shown one by one.
const MAX_SHOWN: usize = 100;

/// What the page shows of them.
#[derive(Debug)]
pub(super) struct PeerTable {
    pub(super) rows: Vec<PeerRow>,
    /// How many there are, in words.
    pub(super) summary: String,
}

#[derive(Debug)]
pub(super) struct PeerRow {
    pub(super) client: String,
    pub(super) address: String,
    pub(super) item: String,
    pub(super) percent: u8,
    pub(super) rate: String,
    pub(super) sent: String,
    pub(super) encrypted: &'static str,
    pub(super) transport: &'static str,
}

impl PeerTable {
    /// Of those who are connected now.
    pub(super) fn of(peers: &Peers) -> Self {
        Self::new(peers.busiest(MAX_SHOWN), peers.len())
    }

    fn new(busiest: Vec<Seen>, all: usize) -> Self {
        let count = words::count(all as u64, "peer is connected", "peers are connected");
        let summary = match (busiest.len(), all) {
            (_, 0) => "Nobody is connected.".to_owned(),
            (shown, all) if shown < all => format!("{count}; these {shown} are served fastest."),
            _ => format!("{count}."),
        };
        Self { rows: busiest.into_iter().map(PeerRow::new).collect(), summary }
    }
}

impl PeerRow {
    fn new(peer: Seen) -> Self {
        Self {
            client: if peer.client.is_empty() { "not known".to_owned() } else { peer.client },
            address: peer.address.to_string(),
            item: peer.item,
            percent: words::percent(peer.progress),
            rate: if peer.rate == 0 { "-".to_owned() } else { format!("{}/s", words::bytes(peer.rate)) },
            sent: words::bytes(peer.sent),
            encrypted: match peer.encryption {
                Encryption::None => "no",
                Encryption::Handshake => "handshake",
                Encryption::Rc4 => "yes",
            },
            transport: if peer.is_utp { "uTP" } else { "TCP" },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(rate: u64) -> Seen {
        Seen {
            address: "192.0.2.7:6881".parse().unwrap(),
            client: "<Transmission> 4.0".into(),
            item: "a & b.iso".into(),
            is_utp: true,
            encryption: Encryption::Handshake,
            progress: 0.999,
            sent: 5_000_000,
            rate,
        }
    }

    #[test]
    fn a_peer_is_shown_with_all_that_is_known_of_it() {
        let row = PeerRow::new(seen(2_000_000));
        assert_eq!((row.percent, row.rate.as_str(), row.sent.as_str()), (99, "2.0 MB/s", "5.0 MB"));
        assert_eq!((row.encrypted, row.transport), ("handshake", "uTP"));
        assert_eq!(PeerRow::new(seen(0)).rate, "-");
    }

    #[test]
    fn many_are_told_by_their_number() {
        for (shown, all, summary) in [
            (0, 0, "Nobody is connected."),
            (1, 1, "1 peer is connected."),
            (2, 2, "2 peers are connected."),
            (2, 1000, "1000 peers are connected; these 2 are served fastest."),
        ] {
            let busiest = (0..shown).map(|_| seen(1)).collect();
            assert_eq!(PeerTable::new(busiest, all).summary, summary);
        }
    }
}
