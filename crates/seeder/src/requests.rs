//! The blocks a peer has asked for and not been given yet.

use std::collections::VecDeque;

use torrent::{Block, Lengths, PieceIndex};

/// Requests of one peer that are kept; peers are told (`reqq` in the extended handshake). At 16 KiB each they
/// cover 1 Gbit/s with a round trip of 60 ms, and take 6 KiB of memory.
pub const MAX_REQUESTS: usize = 500;

/// The queue, and what may enter it while the peer is choked.
#[derive(Debug)]
pub(crate) struct Requests {
    queue: VecDeque<Block>,
    /// The allowed fast set (BEP 6): small, so that a list will do.
    allowed_fast: Vec<PieceIndex>,
    /// Bytes that a choked peer may still have of that set, or it could ask for the same pieces for ever.
    allowance: u64,
}

impl Requests {
    pub(crate) fn new(allowed_fast: Vec<PieceIndex>, lengths: &Lengths) -> Self {
        let allowance = allowed_fast.iter().map(|piece| u64::from(lengths.piece_size(*piece))).sum();
        Self { queue: VecDeque::new(), allowed_fast, allowance }
    }

    /// Queues a request; `false` when the peer may not make it or has made too many.
    pub(crate) fn push(&mut self, block: Block, choked: bool) -> bool {
        let accept = self.queue.len() < MAX_REQUESTS && (!choked || self.use_allowance(block));
        if accept {
            self.queue.push_back(block);
        }
        accept
    }

    /// The request that has waited longest, which goes on waiting.
    pub(crate) fn peek(&self) -> Option<Block> {
        self.queue.front().copied()
    }

    /// The request that has waited longest.
    pub(crate) fn pop(&mut self) -> Option<Block> {
        self.queue.pop_front()
    }

    /// Forgets a request; `false` when it is not in the queue (any more).
    pub(crate) fn cancel(&mut self, block: Block) -> bool {
        let found = self.queue.iter().position(|queued| *queued == block);
        found.and_then(|at| self.queue.remove(at)).is_some()
    }

    /// Forgets all requests that a choked peer may not make, and returns them in order.
    pub(crate) fn choke(&mut self) -> Vec<Block> {
        let (kept, forgotten) =
            std::mem::take(&mut self.queue).into_iter().partition(|block| self.use_allowance(*block));
        self.queue = kept;
        Vec::from(forgotten)
    }

    /// Forgets all requests for a piece, and returns them in order.
    pub(crate) fn withdraw(&mut self, piece: PieceIndex) -> Vec<Block> {
        let (forgotten, kept) =
            std::mem::take(&mut self.queue).into_iter().partition(|block| block.piece == piece);
        self.queue = kept;
        Vec::from(forgotten)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// Gives memory back that is not used at present.
    pub(crate) fn shrink(&mut self) {
        self.queue.shrink_to_fit();
    }

    fn use_allowance(&mut self, block: Block) -> bool {
        let left = self.allowance.checked_sub(block.length.into());
        match left {
            Some(left) if self.allowed_fast.contains(&block.piece) => {
                self.allowance = left;
                true
            }
            _ => false,
        }
    }
}
