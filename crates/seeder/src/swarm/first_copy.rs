//! Which member is given which new piece.

use std::time::Instant;

use torrent::PieceIndex;

use super::{Member, Peer, Swarm};

/// What is open at all members together, in seconds of uplink.
const AHEAD: f64 = 0.5;

/// Pieces that may be open at a member, however slow the uplink and how many the members.
const MIN_WINDOW: f64 = 2.0;

impl Swarm {
    /// Gives new pieces to the members that owe least, as many as each has room for.
    pub(super) fn first_copies(&mut self, now: Instant) {
        if self.pieces.new_count() == 0 {
            return;
        }
        for member in self.receivers(now) {
            while let Some(piece) = self.new_piece_for(member) {
                self.pieces.give(member, piece);
                self.tell(now, member, piece);
            }
        }
    }

    /// Who may be given something new, in order.
    fn receivers(&self, now: Instant) -> Vec<Member> {
        let returned = self.pieces.returned();
        let is_idle = self.idle(now).is_some();
        let candidates = self.members.iter().filter(|(_, peer)| {
            peer.takes_reveals()
                && peer.exhausted != Some(returned)
                && self.has_room(peer)
                && (peer.debt() <= self.trusted_debt || is_idle)
        });
        let mut receivers: Vec<_> =
            candidates.map(|(member, peer)| (peer.debt(), peer.sent, *member)).collect();
        receivers.sort_unstable_by(|(a, a_sent, _), (b, b_sent, _)| a.total_cmp(b).then(a_sent.cmp(b_sent)));
        receivers.into_iter().map(|(.., member)| member).collect()
    }

    fn new_piece_for(&mut self, member: Member) -> Option<PieceIndex> {
        let peer = self.members.get(&member).filter(|peer| self.has_room(peer))?;
        let found = self.pieces.next_new(|byte| peer.untold(byte));
        if found.is_none() {
            self.members.get_mut(&member)?.exhausted = Some(self.pieces.returned());
        }
        self.lengths.piece(found?)
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
