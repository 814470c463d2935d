//! A part of the content in memory, and what is hashed of it.

use std::ops::Range;
use std::sync::Arc;

use torrent::hash::{hash_pieces, lanes, sha256_blocks};
use torrent::{BLOCK_LENGTH, NodeHash, PieceHash};

use super::done::{Done, Layout};

/// Blocks that are hashed in one go: work enough for a core, little enough for several cores to share a chunk.
const BLOCKS: usize = 256;

/// One or more whole pieces (the last of the content may be short). Before them are the bytes of a block (BEP 52) that
/// begins before the first piece: pieces and blocks begin at the same places only in a single file.
pub(super) struct Chunk {
    /// No other chunk of the content has it.
    number: u64,
    bytes: Vec<u8>,
    /// Bytes before the first piece.
    carried: usize,
    piece_length: usize,
    /// Where in `bytes` the blocks are that end here.
    blocks: Vec<Range<usize>>,
    /// Where the block begins that does not end here.
    rest: usize,
}

impl Chunk {
    /// The bytes of the content from `at` on, of which `carried` are before the first piece.
    pub(super) fn new(layout: &Layout, at: u64, carried: usize, bytes: Vec<u8>) -> Self {
        let mut blocks = Vec::new();
        // Without trees nothing is left for the next chunk.
        let mut rest = if layout.v2 { 0 } else { bytes.len() };
        for (span, ends) in layout.tree_spans(at, bytes.len() as u64) {
            // No more than there are bytes in memory.
            let length = usize::try_from(span.length).unwrap_or(usize::MAX);
            let end = rest + if ends { length } else { length - length % BLOCK_LENGTH as usize };
            while rest < end {
                let next = end.min(rest + BLOCK_LENGTH as usize);
                blocks.push(rest..next);
                rest = next;
            }
        }
        Self { number: at, bytes, carried, piece_length: layout.piece_length as usize, blocks, rest }
    }

    /// The bytes of the block that does not end here.
    pub(super) fn rest(&self) -> &[u8] {
        &self.bytes[self.rest..]
    }

    fn pieces(&self) -> impl ExactSizeIterator<Item = &[u8]> {
        self.bytes[self.carried..].chunks(self.piece_length)
    }
}

/// Some pieces or some blocks of a chunk, by their numbers in it.
#[derive(Debug)]
enum Part {
    Pieces(Range<usize>),
    Blocks(Range<usize>),
}

/// A part that is to be hashed.
pub(super) struct Task {
    chunk: Arc<Chunk>,
    part: Part,
}

/// The hashes of a part.
pub(super) struct Found {
    chunk: u64,
    first: usize,
    hashes: PartHashes,
}

enum PartHashes {
    Pieces(Vec<PieceHash>),
    Blocks(Vec<NodeHash>),
}

impl Task {
    pub(super) fn run(self) -> Found {
        let Self { chunk, part } = self;
        let (first, hashes) = match part {
            Part::Pieces(range) => {
                let pieces: Vec<_> = chunk.pieces().skip(range.start).take(range.len()).collect();
                (range.start, PartHashes::Pieces(hash_pieces(&pieces)))
            }
            Part::Blocks(range) => {
                let bytes = |range: &Range<usize>| &chunk.bytes[range.clone()];
                let blocks: Vec<_> = chunk.blocks[range.clone()].iter().map(bytes).collect();
                (range.start, PartHashes::Blocks(sha256_blocks(&blocks)))
            }
        };
        // The chunk is let go of before anyone hears of it: its memory is wanted.
        Found { chunk: chunk.number, first, hashes }
    }
}

/// A chunk that is being hashed, and what was found of it.
pub(super) struct Pending {
    chunk: Arc<Chunk>,
    missing: usize,
    pieces: Vec<PieceHash>,
    blocks: Vec<NodeHash>,
}

impl Pending {
    /// The chunk, and its parts.
    pub(super) fn new(chunk: Chunk) -> (Self, Vec<Task>) {
        let chunk = Arc::new(chunk);
        let (pieces, blocks) = (chunk.pieces().len(), chunk.blocks.len());
        let parts = ranges(pieces, lanes()).map(Part::Pieces).chain(ranges(blocks, BLOCKS).map(Part::Blocks));
        let tasks: Vec<_> = parts.map(|part| Task { chunk: Arc::clone(&chunk), part }).collect();
        let missing = tasks.len();
        (Self { chunk, missing, pieces: vec![[0; 20]; pieces], blocks: vec![[0; 32]; blocks] }, tasks)
    }

    pub(super) fn is_of(&self, found: &Found) -> bool {
        self.chunk.number == found.chunk
    }

    pub(super) fn put(&mut self, Found { first, hashes, .. }: Found) {
        self.missing -= 1;
        match hashes {
            PartHashes::Pieces(hashes) => self.pieces[first..first + hashes.len()].copy_from_slice(&hashes),
            PartHashes::Blocks(hashes) => self.blocks[first..first + hashes.len()].copy_from_slice(&hashes),
        }
    }

    pub(super) fn is_complete(&self) -> bool {
        self.missing == 0
    }

    /// Adds what was found to what is done before this chunk, and gives its memory back.
    pub(super) fn finish(self, done: &mut Done) -> Option<Vec<u8>> {
        done.add(&self.pieces, &self.blocks);
        Arc::into_inner(self.chunk).map(|chunk| chunk.bytes)
    }
}

/// `0..count` in ranges of `step`, the last of which may be shorter.
fn ranges(count: usize, step: usize) -> impl Iterator<Item = Range<usize>> {
    (0..count).step_by(step).map(move |start| start..count.min(start + step))
}
