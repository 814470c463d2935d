//! A stock leecher, as far as it matters to a seed: rarest first, pipelines by rate, tit for tat.

use std::collections::VecDeque;

use crate::support::Xorshift;

/// Microseconds.
pub(crate) type Time = u64;
pub(crate) const SECOND: Time = 1_000_000;

pub(crate) const BLOCK: u32 = 16 << 10;

/// Requests that are on their way to one peer, at least and at most.
const MIN_PIPELINE: f64 = 4.0;
const MAX_PIPELINE: f64 = 250.0;
/// A pipeline holds what comes in this time (s).
const PIPELINE_TIME: f64 = 3.0;

/// A block by its piece and its number in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct BlockId(pub(crate) u32, pub(crate) u32);

/// A set of pieces.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Bits(Vec<u64>);

impl Bits {
    pub(crate) fn new(count: u32) -> Self {
        Self(vec![0; count.div_ceil(64) as usize])
    }

    pub(crate) fn has(&self, at: u32) -> bool {
        self.0[at as usize / 64] >> (at % 64) & 1 == 1
    }

    pub(crate) fn set(&mut self, at: u32, to: bool) {
        let bit = 1 << (at % 64);
        let word = &mut self.0[at as usize / 64];
        *word = if to { *word | bit } else { *word & !bit };
    }

    /// Those that are in both.
    pub(crate) fn both<'a>(&'a self, other: &'a Self) -> impl Iterator<Item = u32> + 'a {
        (0..).zip(self.0.iter().zip(&other.0)).flat_map(|(word, (a, b))| {
            let mut bits = a & b;
            std::iter::from_fn(move || {
                let bit = (bits != 0).then(|| bits.trailing_zeros())?;
                bits &= bits - 1;
                Some(word * 64 + bit)
            })
        })
    }

    pub(crate) fn all(&self) -> impl Iterator<Item = u32> + '_ {
        self.both(self)
    }
}

/// How a leecher behaves.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Kind {
    Stock,
    /// Asks for blocks twice a second.
    Sluggish,
    /// Takes, and says nothing of what it has.
    Silent,
    /// Takes and says so, but unchokes nobody.
    Taker,
    /// Likewise, one block in half a second.
    Trickler,
    /// Is interested and asks for nothing.
    Mute,
}

impl Kind {
    /// Whether it passes on what it gets.
    pub(crate) fn shares(self) -> bool {
        matches!(self, Self::Stock | Self::Sluggish)
    }
}

/// What one side of a connection knows.
#[derive(Debug)]
pub(crate) struct Conn {
    pub(crate) has: Bits,
    /// Asked for and not come yet.
    pub(crate) outstanding: Vec<BlockId>,
    pipeline: f64,
    rate: f64,
    last: Time,
    /// Whether we may ask.
    pub(crate) open: bool,
    /// Whether they may.
    pub(crate) unchoked: bool,
    /// What they have asked for.
    pub(crate) queue: VecDeque<BlockId>,
    /// What came since the choker last looked.
    pub(crate) received: u64,
    /// When a trickler asks again.
    next_ask: Time,
}

impl Conn {
    pub(crate) fn new(count: u32) -> Self {
        Self {
            has: Bits::new(count),
            outstanding: Vec::new(),
            pipeline: MIN_PIPELINE,
            rate: 0.0,
            last: 0,
            open: false,
            unchoked: false,
            queue: VecDeque::new(),
            received: 0,
            next_ask: 0,
        }
    }

    fn came(&mut self, now: Time) {
        let gap = (now - self.last).max(1) as f64 / SECOND as f64;
        self.last = now;
        // An exponential mean over a second.
        let kept = (-gap).exp();
        self.rate = self.rate * kept + f64::from(BLOCK) * (1.0 - kept) / gap.max(1e-3);
        let wanted = self.rate * PIPELINE_TIME / f64::from(BLOCK);
        self.pipeline = wanted.min(self.pipeline + 1.0).clamp(MIN_PIPELINE, MAX_PIPELINE);
        self.received += u64::from(BLOCK);
    }
}

#[derive(Debug)]
pub(crate) struct Leecher {
    pub(crate) kind: Kind,
    /// Bytes a second.
    pub(crate) up: f64,
    pub(crate) slots: usize,
    pub(crate) connected: bool,
    /// In what the seed has told it of.
    pub(crate) interested: bool,
    pub(crate) has: Bits,
    pub(crate) count: u32,
    /// Pieces of which nothing was asked.
    fresh: Bits,
    /// Of each piece the blocks that came and those that were asked for.
    got: Vec<u64>,
    asked: Vec<u64>,
    /// Pieces that were begun and of which blocks were not asked for.
    partial: Vec<u32>,
    availability: Vec<u32>,
    /// By peer, the seed's is the last one.
    pub(crate) conns: Vec<Conn>,
    /// Whom to send to next.
    pub(crate) turns: VecDeque<usize>,
    pub(crate) sending: bool,
    pub(crate) finished: Option<Time>,
    blocks: u32,
    pub(crate) tick: Time,
}

impl Leecher {
    pub(crate) fn new(kind: Kind, up: f64, slots: usize, peers: usize, pieces: u32, blocks: u32) -> Self {
        let mut fresh = Bits::new(pieces);
        (0..pieces).for_each(|piece| fresh.set(piece, true));
        Self {
            kind,
            up,
            slots,
            connected: false,
            interested: false,
            has: Bits::new(pieces),
            count: 0,
            fresh,
            got: vec![0; pieces as usize],
            asked: vec![0; pieces as usize],
            partial: Vec::new(),
            availability: vec![0; pieces as usize],
            conns: (0..=peers).map(|_| Conn::new(pieces)).collect(),
            turns: VecDeque::new(),
            sending: false,
            finished: None,
            blocks,
            tick: 0,
        }
    }

    pub(crate) fn seed(&self) -> usize {
        self.conns.len() - 1
    }

    pub(crate) fn learn(&mut self, of: usize, piece: u32) {
        if !self.conns[of].has.has(piece) {
            self.conns[of].has.set(piece, true);
            self.availability[piece as usize] += 1;
        }
    }

    /// What is to be asked of a peer now.
    pub(crate) fn requests(&mut self, now: Time, of: usize, chance: &mut Xorshift) -> Vec<BlockId> {
        let mut requests = Vec::new();
        if self.kind == Kind::Mute || !self.conns[of].open || self.finished.is_some() {
            return requests;
        }
        let room = match self.kind {
            Kind::Trickler => usize::from(now >= self.conns[of].next_ask),
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it is clamped")]
            _ => self.conns[of].pipeline as usize,
        };
        while self.conns[of].outstanding.len() < room {
            let Some(block) = self.pick(of, chance) else { break };
            self.asked[block.0 as usize] |= 1 << block.1;
            self.conns[of].outstanding.push(block);
            requests.push(block);
            self.conns[of].next_ask = now + SECOND / 2;
        }
        requests
    }

    fn pick(&mut self, of: usize, chance: &mut Xorshift) -> Option<BlockId> {
        let theirs = &self.conns[of].has;
        if let Some(&piece) = self.partial.iter().find(|piece| theirs.has(**piece)) {
            return Some(self.block_of(piece));
        }
        let turn = u32::try_from(chance.below(self.got.len())).unwrap();
        let rarity = |piece: &u32| (self.availability[*piece as usize], piece.wrapping_sub(turn));
        if let Some(piece) = self.fresh.both(theirs).min_by_key(rarity) {
            self.fresh.set(piece, false);
            self.partial.push(piece);
            return Some(self.block_of(piece));
        }
        // The end game: what was asked of others is asked again, if there is nothing else.
        let is_end = self.partial.is_empty() && self.fresh.all().next().is_none();
        if !is_end || !self.conns[of].outstanding.is_empty() {
            return None;
        }
        let busy = |conn: &Conn| conn.outstanding.iter().copied().find(|block| theirs.has(block.0));
        self.conns.iter().find_map(busy)
    }

    fn block_of(&mut self, piece: u32) -> BlockId {
        let left = !self.asked[piece as usize];
        let block = left.trailing_zeros();
        if (left & (left - 1)).trailing_zeros() >= self.blocks {
            self.partial.retain(|of| *of != piece);
        }
        BlockId(piece, block)
    }

    /// A block has come. The piece, if it is whole now, and who else was asked for the block.
    pub(crate) fn received(&mut self, now: Time, of: usize, block: BlockId) -> (Option<u32>, Vec<usize>) {
        self.conns[of].came(now);
        self.conns[of].outstanding.retain(|other| *other != block);
        let mut others = Vec::new();
        for (peer, conn) in self.conns.iter_mut().enumerate() {
            let before = conn.outstanding.len();
            conn.outstanding.retain(|other| *other != block);
            if conn.outstanding.len() < before {
                others.push(peer);
            }
        }
        let piece = block.0 as usize;
        self.got[piece] |= 1 << block.1;
        self.asked[piece] |= 1 << block.1;
        let is_whole = self.got[piece].count_ones() == self.blocks && !self.has.has(block.0);
        if is_whole {
            self.has.set(block.0, true);
            self.count += 1;
            if self.count as usize == self.got.len() {
                self.finished = Some(now);
            }
        }
        (is_whole.then_some(block.0), others)
    }

    /// What was asked of a peer will not come.
    pub(crate) fn give_up(&mut self, of: usize, blocks: &[BlockId]) {
        self.conns[of].outstanding.retain(|block| !blocks.contains(block));
        for block in blocks {
            let is_busy = self.conns.iter().any(|conn| conn.outstanding.contains(block));
            let piece = block.0 as usize;
            if !is_busy && self.got[piece] >> block.1 & 1 == 0 {
                self.asked[piece] &= !(1 << block.1);
                if !self.partial.contains(&block.0) {
                    self.partial.push(block.0);
                }
            }
        }
    }

    /// Forgets a connection.
    pub(crate) fn disconnect(&mut self, of: usize) {
        let outstanding = self.conns[of].outstanding.clone();
        self.give_up(of, &outstanding);
        let pieces = u32::try_from(self.got.len()).unwrap();
        let conn = std::mem::replace(&mut self.conns[of], Conn::new(pieces));
        conn.has.all().for_each(|piece| self.availability[piece as usize] -= 1);
        self.turns.retain(|peer| *peer != of);
    }
}
