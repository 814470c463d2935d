//! How many peers are unchoked.
//!
//! Everybody, as long as the uplink carries it: a peer that waits for a slot is of no use to anybody. Slots are cut
//! only when the uplink is full and each would get too little to be of use to others soon.

use std::time::Duration;

/// What an unchoked peer should get at least, in bytes a second.
const RATE_PER_SLOT: f64 = 32.0 * 1024.0;

/// Fewer slots than this there never are, so that some slow peers don't leave the uplink unused.
const MIN_SLOTS: usize = 4;

/// From this part of its rate on the uplink is full.
const FULL: f64 = 0.9;

/// What is left in a round (ten seconds or so) of what is believed of the uplink, unless it is seen again.
const MEMORY: f64 = 0.98;

/// The number of slots, for [`rank`](crate::rank).
#[derive(Debug)]
pub struct Slots {
    limit: Option<f64>,
    /// What the uplink was seen to carry, in bytes a second.
    uplink: f64,
    count: usize,
}

/// What happened between two calls of the choker.
#[derive(Debug, Clone, Copy)]
pub struct Round {
    /// How long it was.
    pub elapsed: Duration,
    /// Bytes that were sent.
    pub uploaded: u64,
    /// Peers that were unchoked and interested.
    pub unchoked: usize,
    /// Those of them who have asked for more than they have got, up to now.
    pub backlogged: usize,
}

impl Round {
    /// Bytes a second that were sent.
    pub fn bytes_per_second(&self) -> u64 {
        let millis = self.elapsed.as_millis().max(1);
        u64::try_from(u128::from(self.uploaded) * 1000 / millis).unwrap_or(u64::MAX)
    }
}

impl Slots {
    /// Slots for an upload limit in bytes a second; for everybody at first, if there is none.
    pub fn new(limit: Option<u64>) -> Self {
        let limit = limit.map(|limit| limit as f64);
        Self { limit, uplink: limit.unwrap_or(0.0), count: limit.map_or(usize::MAX, carried) }
    }

    /// How many there are.
    pub fn get(&self) -> usize {
        self.count
    }

    /// Counts a round. Slots become fewer slowly: if less is sent then, it was not the uplink that was full but the
    /// peers that were slow. Whoever does not use its slot takes none from others.
    pub fn follow(&mut self, round: Round) {
        let rate = round.bytes_per_second() as f64;
        self.uplink = self.limit.unwrap_or_else(|| rate.max(self.uplink * MEMORY));
        let (carried, Round { unchoked, backlogged, .. }) = (carried(self.uplink), round);
        let is_full = rate >= FULL * self.uplink && backlogged > 0;
        if is_full && backlogged > carried {
            let unused = unchoked.saturating_sub(backlogged);
            self.count = (carried + unused).max(unchoked - unchoked / 8).min(self.count);
        } else if !is_full || backlogged < carried - carried / 8 {
            self.count = self.count.max(unchoked + unchoked / 4 + 1);
        }
    }
}

/// How many peers an uplink carries.
fn carried(bytes_per_second: f64) -> usize {
    // A float is cut to the range of the integer.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    let slots = (bytes_per_second / RATE_PER_SLOT) as usize;
    slots.max(MIN_SLOTS)
}
