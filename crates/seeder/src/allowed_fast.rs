//! The pieces that a peer may download while choked (BEP 6).

use std::net::IpAddr;

use sha1::{Digest, Sha1};
use torrent::{InfoHash, Lengths, PieceIndex};

/// Rounds after which the search for pieces ends. Each finds up to five, so that this is beyond what a set of
/// sensible size needs, even in a torrent with hardly more pieces than that.
const MAX_ROUNDS: usize = 1000;

/// The allowed fast set of `count` pieces for the peer at `address`, by the canonical algorithm: a peer that
/// reconnects, or that is offered pieces by several seeds, gets the same pieces again.
///
/// Peers of one network get the same set: for IPv4 a /24 as in BEP 6; IPv6, for which it has no rule, a /64.
pub fn allowed_fast(
    address: IpAddr,
    info_hash: &InfoHash,
    lengths: &Lengths,
    count: usize,
) -> Vec<PieceIndex> {
    let count = count.min(lengths.piece_count() as usize);
    let mut state = match address.to_canonical() {
        IpAddr::V4(address) => {
            let [a, b, c, _] = address.octets();
            vec![a, b, c, 0]
        }
        IpAddr::V6(address) => address.octets()[..8].to_vec(),
    };
    state.extend_from_slice(info_hash.as_bytes());
    let mut pieces = Vec::with_capacity(count);
    for _ in 0..MAX_ROUNDS {
        if pieces.len() == count {
            break;
        }
        state = Sha1::digest(&state).to_vec();
        for word in state.as_chunks::<4>().0 {
            let piece = lengths.piece(u32::from_be_bytes(*word) % lengths.piece_count());
            pieces.extend(piece.filter(|piece| !pieces.contains(piece)));
        }
        pieces.truncate(count);
    }
    pieces
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(address: &str, piece_count: u64, count: usize, want: &[u32]) {
        let lengths = Lengths::new(piece_count, 1).unwrap();
        let pieces = allowed_fast(address.parse().unwrap(), &InfoHash([0xaa; 20]), &lengths, count);
        assert_eq!(pieces.into_iter().map(PieceIndex::get).collect::<Vec<_>>(), want);
    }

    #[test]
    fn sets_are_those_of_the_specification() {
        let nine = [1059, 431, 808, 1217, 287, 376, 1188, 353, 508];
        check("80.4.4.200", 1313, 7, &nine[..7]);
        check("80.4.4.200", 1313, 9, &nine);
        check("80.4.4.1", 1313, 9, &nine);
        check("::ffff:80.4.4.200", 1313, 9, &nine);
    }

    #[test]
    fn small_torrents_are_allowed_whole() {
        check("80.4.4.200", 0, 10, &[]);
        check("80.4.4.200", 1, 10, &[0]);
        check("80.4.4.200", 10, 0, &[]);
        let lengths = Lengths::new(10, 1).unwrap();
        let mut all = allowed_fast("2001:db8::1".parse().unwrap(), &InfoHash([7; 20]), &lengths, 10);
        all.sort();
        assert!(all.into_iter().eq(lengths.pieces()));
    }
}
