//! Which member is given which new piece.

use std::time::Instant;

use torrent::PieceIndex;

use super::{Member, Swarm};

impl Swarm {
    /// Gives a new piece to the member that owes least, of those who have room in their windows.
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
        let is_idle = self.idle(now).is_some_and(|idle| idle.as_secs_f64() > 2.0 * self.tail.reaction);
        let candidates = self.members.iter().filter(|(_, peer)| {
            peer.is_incomplete()
                && peer.open.len() < peer.window
                && peer.exhausted != Some(returned)
                && (peer.debt() <= self.trusted_debt || is_idle && peer.interested)
        });
        let key = |peer: &super::Peer| (peer.debt(), peer.sent);
        let best = candidates.min_by(|(_, a), (_, b)| {
            let ((debt_a, sent_a), (debt_b, sent_b)) = (key(a), key(b));
            debt_a.total_cmp(&debt_b).then(sent_a.cmp(&sent_b))
        });
        best.map(|(member, _)| *member)
    }
}
