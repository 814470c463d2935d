//! What time does: pieces that were given in vain are given to others, windows follow the members' pace.

use std::time::{Duration, Instant};

use torrent::PieceIndex;

use super::member::{Open, Peer};
use super::pieces::State;
use super::{Swarm, record};

/// How often this is done while something is sent, and while nothing is.
pub(super) const PACE: Duration = Duration::from_millis(100);
pub(super) const IDLE_PACE: Duration = Duration::from_millis(20);

/// After this time in which no member did anything there is nothing to be done.
pub(super) const DORMANT: Duration = Duration::from_secs(10);

/// Time for a member to ask for a piece that it was given.
const ASK_LIMIT: Duration = Duration::from_secs(1);

/// Time for it to go on with a piece that it has begun, and for its socket to take something.
const GO_ON_LIMIT: Duration = Duration::from_secs(3);

/// More than this is waiting to be sent: the uplink is busy for so long (s) at least.
const AHEAD: f64 = 0.25;

/// A debt in pieces that anybody may have.
pub(super) const TOLERANCE: f64 = 1.5;

impl Swarm {
    /// Does what is due by the clock.
    pub fn handle_timeout(&mut self, now: Instant) {
        let elapsed = now.saturating_duration_since(self.last_sweep);
        if elapsed < IDLE_PACE {
            return;
        }
        self.last_sweep = now;
        if self.idle(now).is_some() {
            self.widening.grow(now);
        } else if self.queued as f64 + self.backlog(now) > AHEAD * self.uplink {
            self.widening.shrink();
        }
        self.take_back_unused(now);
        self.judge_members(elapsed);
        self.dirty = true;
    }

    /// Pieces that a member was told of and does not ask for.
    fn take_back_unused(&mut self, now: Instant) {
        for (member, peer) in &mut self.members {
            let is_blocked = peer.blocked_since.is_some_and(|since| now >= since + GO_ON_LIMIT);
            let is_trusted = peer.debt() <= self.trusted_debt;
            let is_unused = |piece: &PieceIndex, open: &Open, pieces: &super::Pieces| {
                let limit = if open.sent == 0 { ASK_LIMIT } else { GO_ON_LIMIT };
                let is_given = pieces.state(*piece) == State::Given(*member);
                let is_over = peer.queued == 0 || !is_given && !open.asked;
                now >= open.since.max(peer.reached) + limit && is_over
                    || is_blocked && now >= open.since + GO_ON_LIMIT
            };
            let unused: Vec<_> =
                peer.open.extract_if(.., |piece, open| is_unused(piece, open, &self.pieces)).collect();
            for (piece, _) in unused {
                if self.pieces.state(piece) == State::Given(*member) {
                    self.pieces.take_back(piece);
                    peer.bad += 1.0;
                    peer.has_finished_one = false;
                }
            }
            for (piece, open) in &peer.open {
                if !is_trusted && open.sent == 0 && self.pieces.state(*piece) == State::Given(*member) {
                    self.pieces.take_back(*piece);
                }
            }
        }
    }

    fn judge_members(&mut self, elapsed: Duration) {
        let mut debts = Vec::with_capacity(self.members.len());
        for peer in self.members.values_mut() {
            peer.bad = record::fade(peer.bad, elapsed);
            if peer.is_incomplete() {
                debts.push(peer.debt());
            }
        }
        self.incomplete = debts.len().max(1) as f64;
        let middle = debts.len() / 2;
        let has_median = !debts.is_empty();
        let median = has_median.then(|| *debts.select_nth_unstable_by(middle, f64::total_cmp).1);
        self.trusted_debt = TOLERANCE + 2.0 * median.unwrap_or_default();
    }
}
