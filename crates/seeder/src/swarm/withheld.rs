//! Pieces that can't be given, as the disk does not give them back.

use std::time::Instant;

use torrent::PieceIndex;

use super::Swarm;
use super::pieces::State;

impl Swarm {
    /// Which pieces can't be given at present, in order. Nobody is told of them, and who was told before is not blamed;
    /// those that were among them and are not any more are given again.
    pub fn set_withheld(&mut self, now: Instant, withheld: &[PieceIndex]) {
        if self.withheld == withheld {
            return;
        }
        let before = std::mem::replace(&mut self.withheld, withheld.to_vec());
        for piece in withheld.iter().filter(|piece| before.binary_search(piece).is_err()) {
            self.withhold(*piece);
        }
        for piece in before.iter().filter(|piece| withheld.binary_search(piece).is_err()) {
            self.pieces.release(*piece);
        }
        self.touch(now);
    }

    fn withhold(&mut self, piece: PieceIndex) {
        if let State::Unproven(giver) = self.pieces.withhold(piece)
            && let Some(giver) = self.members.get_mut(&giver)
        {
            giver.unproven -= 1;
        }
        for peer in self.members.values_mut() {
            peer.open.remove(&piece);
        }
    }
}
