//! Which member is given which new piece.

use std::time::Instant;

use torrent::PieceIndex;

use super::{Member, Peer, Swarm};

/// What is open at all members together, in seconds of uplink.
const AHEAD: f64 = 0.5;

/// Pieces that may be open at a member, however slow the uplink and how many the members.
const MIN_WINDOW: f64 = 2.0;

impl Swarm {
    /// Gives a new piece to the member that owes least, of those who have room for one.
    pub(super) fn first_copy(&mut self, now: Instant) -> Option<(Member, PieceIndex)> {
        while self.pieces.new_count() > 0 {
            let member = self.next_receiver(now)?;
            let peer = self.members.get_mut(&member)?;
            let found = self.pieces.next_new(|byte| peer.untold(byte));
            if let Some(piece) = found.and_then(|index| self.lengths.piece(index)) {
                self.pieces.give(member, piece);
                return Some((member, piece));
            }
            peer.exhausted = Some(self.pieces.returned());
        }
        None
    }

    fn next_receiver(&self, now: Instant) -> Option<Member> {
        let returned = self.pieces.returned();
        let is_idle = self.idle(now).is_some();
        let candidates = self.members.iter().filter(|(_, peer)| {
            peer.takes_reveals()
                && peer.exhausted != Some(returned)
                && self.has_room(peer)
                && (peer.debt() <= self.trusted_debt || is_idle)
        });
        let best = candidates
            .min_by(|(_, a), (_, b)| a.debt().total_cmp(&b.debt()).then_with(|| a.sent.cmp(&b.sent)));
        best.map(|(member, _)| *member)
    }

    /// Whether one more piece may be open at the member.
    pub(super) fn has_room(&self, peer: &Peer) -> bool {
        let window = self.window() * self.widening.factor();
        // Whoever has not taken a whole piece may be one who never will.
        let room = if peer.has_finished_one { window } else { 1.0 + window / 3.0 };
        (peer.open.len() as f64) < room.floor()
    }

    /// Pieces that are to be open at a member, unless the uplink is idle.
    pub(super) fn window(&self) -> f64 {
        (AHEAD * self.uplink / f64::from(self.lengths.piece_length()) / self.incomplete).max(MIN_WINDOW)
    }
}
