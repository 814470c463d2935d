//! Which peers are unchoked.
//!
//! A seed gets nothing back from its peers, so there is no tit for tat. Slots go round instead: who got one
//! keeps it for a turn, long enough to become useful to others, then whoever has waited longest gets it. As
//! long as there are slots for all, all are unchoked.

use std::cmp::Reverse;
use std::time::{Duration, Instant};

use crate::peer_stats::PeerStats;

/// What a peer is given in a turn, in pieces: it can pass on only whole pieces.
const QUOTA_PIECES: u64 = 20;

/// A turn is at least this long, so that a fast peer's connection gets up to speed and fills the link.
const MIN_TURN: Duration = Duration::from_mins(1);

/// A turn ends after this time however little was sent, so that slow peers can't keep their slots for ever.
const MAX_TURN: Duration = Duration::from_mins(3);

/// A turn in which nothing at all was sent ends after this time.
const UNUSED_TURN: Duration = Duration::from_secs(20);

/// In this order slots are given.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Claim {
    /// In the middle of its turn; the fastest first, should slots get fewer.
    Turn(Reverse<u64>),
    /// Choked; who has waited longest first.
    Waiting(Instant),
    /// Had its turn, but keeps the slot if nobody waits for it; the fastest first.
    Done(Reverse<u64>),
}

/// The keys of the peers to unchoke, at most `slots`: all other peers are to be choked.
///
/// Peers that are not interested get no slot. Ask again when a peer becomes interested or leaves, and every ten
/// seconds or so for turns to end.
pub fn rank<K: Copy>(peers: &[(K, PeerStats)], slots: usize, now: Instant) -> Vec<K> {
    let mut claims: Vec<(Claim, K)> = peers
        .iter()
        .filter(|(_, stats)| stats.interested)
        .map(|(key, stats)| (claim(stats, now), *key))
        .collect();
    if slots < claims.len() {
        claims.sort_by_key(|(claim, _)| *claim);
        claims.truncate(slots);
    }
    claims.into_iter().map(|(_, key)| key).collect()
}

fn claim(stats: &PeerStats, now: Instant) -> Claim {
    let Some(since) = stats.last_unchoked.filter(|_| !stats.choked) else {
        return Claim::Waiting(stats.waiting_since);
    };
    let held = now.saturating_duration_since(since);
    let sent = stats.sent_since_unchoked;
    let quota = QUOTA_PIECES * u64::from(stats.piece_length);
    let done = held >= MAX_TURN || (held >= MIN_TURN && sent >= quota) || (held >= UNUSED_TURN && sent == 0);
    // Milliseconds, not seconds: of two peers unchoked just now one may already be the faster.
    let held = u64::try_from(held.as_millis()).unwrap_or(u64::MAX).max(1);
    let rate = Reverse(sent.saturating_mul(1000) / held);
    if done { Claim::Done(rate) } else { Claim::Turn(rate) }
}
