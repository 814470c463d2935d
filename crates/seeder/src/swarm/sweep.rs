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

/// Whoever got a piece is doubted after this multiple of the time in which pieces are passed on.
const PATIENCE: u32 = 8;

/// How often a piece is given to somebody else because nobody passes it on.
const MAX_RETURNS: u8 = 3;

/// What is open at all members together, in seconds of uplink.
const AHEAD: f64 = 0.5;

/// Pieces that may be open at a member, however slow and however fast.
const MIN_WINDOW: f64 = 2.0;
const MAX_WINDOW: f64 = 64.0;

/// What a member may have open: that many times what it takes while a reveal reaches it and its request us.
const WINDOW_REACTIONS: f64 = 3.0;

/// Time for messages to be acted upon, besides the reaction that was measured (s).
const SLACK: f64 = 0.05;

impl Swarm {
    /// Does what is due by the clock.
    pub fn handle_timeout(&mut self, now: Instant) {
        let elapsed = now.saturating_duration_since(self.last_sweep);
        if elapsed < IDLE_PACE {
            return;
        }
        self.last_sweep = now;
        self.tail.sweep(elapsed.as_secs_f64());
        self.tail.missing =
            self.members.values().map(|peer| u64::from(self.lengths.piece_count() - peer.has.len())).sum();
        self.take_back_unused(now);
        self.doubt_unproven(now);
        self.follow_members(elapsed);
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
                    peer.rate = 0.0;
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

    /// Pieces that nobody but the member that got them shows.
    fn doubt_unproven(&mut self, now: Instant) {
        let Some(patience) = self.replication.patience(PATIENCE) else { return };
        for peer in self.members.values_mut() {
            let doubtful: Vec<_> = peer
                .unproven
                .extract_if(.., |_, since| now >= *since + patience)
                .map(|(piece, _)| piece)
                .collect();
            for piece in doubtful {
                if self.pieces.doubt(piece, MAX_RETURNS) {
                    peer.bad += 2.0;
                }
            }
        }
    }

    fn follow_members(&mut self, elapsed: Duration) {
        let wanting = self.members.values().filter(|peer| peer.is_incomplete());
        let mut debts: Vec<_> = wanting.clone().map(Peer::debt).collect();
        let count = debts.len().max(1) as f64;
        self.tail.reaction = wanting.map(|peer| peer.reaction).sum::<f64>() / count;
        let middle = debts.len() / 2;
        let median =
            debts.get(middle).is_some().then(|| *debts.select_nth_unstable_by(middle, f64::total_cmp).1);
        self.trusted_debt = 1.5 + 2.0 * median.unwrap_or(0.0);
        let piece_length = f64::from(self.lengths.piece_length());
        let floor = (AHEAD * self.uplink / piece_length / count).max(MIN_WINDOW);
        for peer in self.members.values_mut() {
            peer.bad = record::fade(peer.bad, elapsed);
            peer.follow(elapsed.as_secs_f64(), floor, piece_length);
        }
    }
}

impl Peer {
    fn follow(&mut self, elapsed: f64, floor: f64, piece_length: f64) {
        let rate = (self.sent - self.sent_before) as f64 / elapsed;
        self.sent_before = self.sent;
        self.rate += (rate - self.rate) * (3.0 * elapsed).min(1.0);
        let least = if self.has_finished_one { floor } else { 1.0 + floor / 3.0 };
        let taken = WINDOW_REACTIONS * self.rate * (self.reaction + SLACK) / piece_length;
        // Between 1 and MAX_WINDOW.
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
        let window = taken.ceil().max(least).min(MAX_WINDOW) as usize;
        self.window = window;
    }
}
