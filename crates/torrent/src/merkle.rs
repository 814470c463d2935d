//! Merkle trees of files (BEP 52).
//!
//! In version 2 each file is hashed by itself. The leaves of its tree are the SHA-256 of its blocks; leaves that
//! are missing for a balanced tree are zeros. Of the tree two things go into metainfo: the root, and, if the
//! file is longer than a piece, the layer of which each node is over one piece.
//!
//! Of both builders, [`MerkleHasher`] takes the bytes of a file in order, and [`MerkleTree`] takes leaves that
//! were made elsewhere, in any order. Neither keeps more than the piece layer and the leaves of unfinished
//! pieces.

use std::collections::BTreeMap;

use sha2::{Digest, Sha256};

use crate::piece_length::MIN_PIECE_LENGTH;

/// SHA-256 of a block, or of the two nodes below.
pub type NodeHash = [u8; 32];

/// Bytes of content under a leaf; the last block of a file may be shorter.
pub const BLOCK_LENGTH: u32 = MIN_PIECE_LENGTH;

/// What metainfo says of the content of a file that is not empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileRoot {
    /// The root of the file's tree; goes into the info dictionary.
    pub pieces_root: NodeHash,
    /// The node over each piece of a file that is longer than a piece, otherwise nothing; goes beside the info
    /// dictionary, into [`PieceLayers`].
    pub piece_layer: Vec<NodeHash>,
}

/// The piece layers of all files of a torrent that are longer than a piece, by their roots.
///
/// Equal files have the equal root, hence one entry.
pub type PieceLayers = BTreeMap<NodeHash, Vec<NodeHash>>;

/// The leaf over one block of 1 to [`BLOCK_LENGTH`] bytes.
pub fn hash_block(block: &[u8]) -> NodeHash {
    debug_assert!((1..=BLOCK_LENGTH as usize).contains(&block.len()), "a block has {} bytes", block.len());
    Sha256::digest(block).into()
}

/// The root of a file from its piece layer, which must not be empty.
pub(crate) fn layer_root(piece_layer: &[NodeHash], piece_length: u32) -> NodeHash {
    let blocks_per_piece = blocks_per_piece(piece_length);
    let beyond = (0..blocks_per_piece.ilog2()).fold(ZERO, |node, _| parent(&node, &node));
    balanced_root(piece_layer, piece_layer.len(), beyond)
}

/// The leaf that stands where a file has no block.
const ZERO: NodeHash = [0; 32];

/// # Panics
/// If `piece_length` is not one of version 2.
fn blocks_per_piece(piece_length: u32) -> usize {
    assert!(is_piece_length(piece_length), "{piece_length} is no power of two of at least 16 KiB");
    (piece_length / BLOCK_LENGTH) as usize
}

/// A power of two of at least 16 KiB.
pub(crate) fn is_piece_length(piece_length: u32) -> bool {
    piece_length.is_power_of_two() && piece_length >= BLOCK_LENGTH
}

fn parent(left: &NodeHash, right: &NodeHash) -> NodeHash {
    Sha256::new().chain_update(left).chain_update(right).finalize().into()
}

/// The root of the smallest balanced tree that has at least `width` nodes at the bottom. They begin with
/// `nodes`, of which there is at least one, and go on with `beyond`.
fn balanced_root(nodes: &[NodeHash], width: usize, mut beyond: NodeHash) -> NodeHash {
    let mut level = nodes.to_vec();
    for _ in 0..width.next_power_of_two().ilog2() {
        level = level.chunks(2).map(|pair| parent(&pair[0], pair.get(1).unwrap_or(&beyond))).collect();
        beyond = parent(&beyond, &beyond);
    }
    level[0]
}

impl FileRoot {
    /// From the nodes over each piece of a file; of a file of one piece that is the root.
    fn of(pieces: Vec<NodeHash>, piece_length: u32) -> Option<Self> {
        match pieces[..] {
            [] => None,
            [pieces_root] => Some(Self { pieces_root, piece_layer: Vec::new() }),
            _ => Some(Self { pieces_root: layer_root(&pieces, piece_length), piece_layer: pieces }),
        }
    }
}

/// Hashes a file that comes in chunks of any size, one block after the other.
#[derive(Debug, Clone)]
pub struct MerkleHasher {
    piece_length: u32,
    blocks_per_piece: usize,
    block: Sha256,
    /// Bytes of the current block still to come; never 0.
    missing: usize,
    /// The leaves of the current piece; never all of them.
    leaves: Vec<NodeHash>,
    pieces: Vec<NodeHash>,
}

impl MerkleHasher {
    /// Begins with the first byte of a file.
    ///
    /// # Panics
    /// If `piece_length` is not a power of two of at least 16 KiB.
    pub fn new(piece_length: u32) -> Self {
        Self {
            piece_length,
            blocks_per_piece: blocks_per_piece(piece_length),
            block: Sha256::new(),
            missing: BLOCK_LENGTH as usize,
            leaves: Vec::new(),
            pieces: Vec::new(),
        }
    }

    /// The next bytes of the file.
    pub fn update(&mut self, mut bytes: &[u8]) {
        while let Some((rest_of_block, after)) = bytes.split_at_checked(self.missing) {
            self.block.update(rest_of_block);
            self.end_block();
            bytes = after;
        }
        self.block.update(bytes);
        self.missing -= bytes.len();
    }

    fn end_block(&mut self) {
        self.leaves.push(self.block.finalize_reset().into());
        self.missing = BLOCK_LENGTH as usize;
        if self.leaves.len() == self.blocks_per_piece {
            self.end_piece(self.blocks_per_piece);
        }
    }

    fn end_piece(&mut self, width: usize) {
        self.pieces.push(balanced_root(&self.leaves, width, ZERO));
        self.leaves.clear();
    }

    /// What the metainfo says of the file; `None` if it is empty.
    pub fn finish(mut self) -> Option<FileRoot> {
        if self.missing < BLOCK_LENGTH as usize {
            self.end_block();
        }
        if !self.leaves.is_empty() {
            // A file shorter than a piece has a tree that is only as high as need be.
            let only = self.pieces.is_empty();
            self.end_piece(if only { self.leaves.len() } else { self.blocks_per_piece });
        }
        FileRoot::of(self.pieces, self.piece_length)
    }
}

/// The tree of a file whose leaves come in any order.
#[derive(Debug, Clone)]
pub struct MerkleTree {
    piece_length: u32,
    blocks_per_piece: usize,
    /// Number of blocks of the file.
    blocks: usize,
    /// The node over each piece that is complete; none for pieces after the last that is.
    pieces: Vec<Option<NodeHash>>,
    /// The leaves of pieces of which some are there.
    unfinished: BTreeMap<usize, Leaves>,
}

#[derive(Debug, Clone)]
struct Leaves {
    leaves: Vec<Option<NodeHash>>,
    missing: usize,
}

impl MerkleTree {
    /// The tree of a file of `length` bytes.
    ///
    /// # Panics
    /// If `piece_length` is not a power of two of at least 16 KiB.
    pub fn new(length: u64, piece_length: u32) -> Self {
        Self::resume(length, piece_length, &[])
    }

    /// Goes on with a tree of which the nodes over the first pieces were kept (see [`MerkleTree::done`]).
    ///
    /// # Panics
    /// If `piece_length` is not a power of two of at least 16 KiB, or the file has fewer pieces.
    pub fn resume(length: u64, piece_length: u32, done: &[NodeHash]) -> Self {
        let blocks = usize::try_from(length.div_ceil(BLOCK_LENGTH.into())).unwrap_or(usize::MAX);
        let blocks_per_piece = blocks_per_piece(piece_length);
        let all = blocks.div_ceil(blocks_per_piece);
        assert!(done.len() <= all, "{} pieces are done, but there are {all}", done.len());
        let pieces = done.iter().copied().map(Some).collect();
        Self { piece_length, blocks_per_piece, blocks, pieces, unfinished: BTreeMap::new() }
    }

    /// Puts in the leaves of blocks that follow each other, the first of them block `first` of the file.
    ///
    /// # Panics
    /// If the file has no such blocks, or a leaf is there already.
    pub fn put(&mut self, first: usize, leaves: &[NodeHash]) {
        let (count, blocks) = (leaves.len(), self.blocks);
        let inside = first.checked_add(count).is_some_and(|end| end <= blocks);
        assert!(inside, "{count} blocks from block {first} on, but there are {blocks}");
        let (mut block, mut rest) = (first, leaves);
        while !rest.is_empty() {
            let (piece, at) = (block / self.blocks_per_piece, block % self.blocks_per_piece);
            let (now, after) = rest.split_at(rest.len().min(self.blocks_of(piece) - at));
            self.put_in_piece(piece, at, now);
            (block, rest) = (block + now.len(), after);
        }
    }

    fn put_in_piece(&mut self, piece: usize, at: usize, leaves: &[NodeHash]) {
        assert!(self.pieces.get(piece).is_none_or(Option::is_none), "piece {piece} is complete already");
        let count = self.blocks_of(piece);
        let entry = self.unfinished.entry(piece);
        let unfinished = entry.or_insert_with(|| Leaves { leaves: vec![None; count], missing: count });
        for (place, leaf) in unfinished.leaves[at..].iter_mut().zip(leaves) {
            let before = place.replace(*leaf);
            assert_eq!(before, None, "a leaf of piece {piece} is there already");
        }
        unfinished.missing -= leaves.len();
        if unfinished.missing == 0 {
            let leaves: Vec<_> = unfinished.leaves.iter().copied().flatten().collect();
            self.unfinished.remove(&piece);
            if self.pieces.len() <= piece {
                self.pieces.resize(piece + 1, None);
            }
            // The tree of a file shorter than a piece is only as high as need be.
            self.pieces[piece] = Some(balanced_root(&leaves, self.blocks.min(self.blocks_per_piece), ZERO));
        }
    }

    /// The nodes over the pieces that are complete, up to the first that is not: to be kept, so that no
    /// more than the rest need be hashed after an interruption.
    pub fn done(&self) -> Vec<NodeHash> {
        self.pieces.iter().map_while(|piece| *piece).collect()
    }

    /// What the metainfo says of the file; `None` if it is empty.
    ///
    /// # Panics
    /// If a leaf is missing.
    pub fn finish(self) -> Option<FileRoot> {
        let pieces = self.done();
        let all = self.blocks.div_ceil(self.blocks_per_piece);
        assert_eq!(pieces.len(), all, "leaves are missing");
        FileRoot::of(pieces, self.piece_length)
    }

    /// Number of blocks in a piece that the file has.
    fn blocks_of(&self, piece: usize) -> usize {
        self.blocks_per_piece.min(self.blocks - piece * self.blocks_per_piece)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::xorshift::Xorshift;

    const B: usize = BLOCK_LENGTH as usize;

    fn content(length: usize) -> Vec<u8> {
        (0..length).map(|at| (at / B * 7 + at % 251).to_le_bytes()[0]).collect()
    }

    /// The whole tree at once, as BEP 52 has it: leaves up to a power of two, then layer upon layer.
    fn whole_tree(content: &[u8]) -> Vec<Vec<NodeHash>> {
        let mut leaves: Vec<_> = content.chunks(B).map(hash_block).collect();
        leaves.resize(leaves.len().next_power_of_two(), [0; 32]);
        let mut layers = vec![leaves];
        while layers[layers.len() - 1].len() > 1 {
            let above =
                layers[layers.len() - 1].chunks(2).map(|pair| Sha256::digest(pair.as_flattened()).into());
            layers.push(above.collect());
        }
        layers
    }

    /// What metainfo says of `length` bytes in pieces of `blocks` blocks.
    fn want(content: &[u8], blocks: usize) -> Option<FileRoot> {
        if content.is_empty() {
            return None;
        }
        let layers = whole_tree(content);
        let pieces = content.len().div_ceil(blocks * B);
        let piece_layer =
            if pieces > 1 { layers[blocks.ilog2() as usize][..pieces].to_vec() } else { Vec::new() };
        Some(FileRoot { pieces_root: layers[layers.len() - 1][0], piece_layer })
    }

    /// Both builders say the same of a file, however its bytes or leaves come.
    #[track_caller]
    fn check(length: usize, blocks: usize) {
        let content = content(length);
        let want = want(&content, blocks);
        let piece_length = BLOCK_LENGTH * u32::try_from(blocks).unwrap();
        for chunk in [1000, B - 1, B, B + 1, 3 * B + 5, usize::MAX] {
            let mut hasher = MerkleHasher::new(piece_length);
            content.chunks(chunk).for_each(|bytes| hasher.update(bytes));
            hasher.update(&[]);
            assert_eq!(hasher.finish(), want, "{length} bytes in chunks of {chunk}");
        }

        let leaves: Vec<_> = content.chunks(B).map(hash_block).collect();
        let mut chance = Xorshift::new(length as u64 + 1);
        for run in 1..=leaves.len() + 1 {
            let mut tree = MerkleTree::new(length as u64, piece_length);
            let mut runs: Vec<_> = leaves.chunks(run).enumerate().collect();
            while !runs.is_empty() {
                let (number, leaves) = runs.swap_remove(chance.below(runs.len()));
                tree.put(number * run, leaves);
            }
            assert_eq!(tree.finish(), want, "{length} bytes in runs of {run} leaves");
        }
    }

    #[test]
    fn trees_at_the_edges_of_blocks_and_pieces() {
        for blocks in [1, 2, 4] {
            let p = blocks * B;
            for length in [0, 1, B - 1, B, B + 1, p - 1, p, p + 1, 2 * p, 2 * p + 1, 5 * p - 1, 8 * p, 9 * p]
            {
                check(length, blocks);
            }
        }
        check(3 * B, 64);
        check(7 * B + 1, 8);
    }

    #[test]
    fn the_node_over_a_piece_layer_is_the_root() {
        for pieces in 2..10 {
            let FileRoot { pieces_root, piece_layer } = want(&content(pieces * 4 * B - 1), 4).unwrap();
            assert_eq!(layer_root(&piece_layer, 4 * BLOCK_LENGTH), pieces_root);
        }
    }

    #[test]
    fn a_tree_goes_on_where_it_was_left() {
        let content = content(9 * B + 1);
        let leaves: Vec<_> = content.chunks(B).map(hash_block).collect();
        let (length, piece_length) = (content.len() as u64, 2 * BLOCK_LENGTH);
        for stop in 0..=leaves.len() {
            let mut tree = MerkleTree::new(length, piece_length);
            tree.put(0, &leaves[..stop]);
            let done = tree.done();
            let pieces = if stop == leaves.len() { 5 } else { stop / 2 };
            assert_eq!(done.len(), pieces);
            let mut tree = MerkleTree::resume(length, piece_length, &done);
            tree.put((done.len() * 2).min(leaves.len()), leaves.get(done.len() * 2..).unwrap_or_default());
            assert_eq!(tree.finish(), want(&content, 2), "left after {stop} leaves");
        }
    }

    #[test]
    fn a_gap_holds_back_what_is_done() {
        let mut tree = MerkleTree::new(4 * u64::from(BLOCK_LENGTH), BLOCK_LENGTH);
        tree.put(2, &[[2; 32]]);
        tree.put(0, &[[0; 32]]);
        assert_eq!(tree.done(), [[0; 32]]);
        tree.put(1, &[[1; 32]]);
        assert_eq!(tree.done(), [[0; 32], [1; 32], [2; 32]]);
    }

    #[test]
    #[should_panic(expected = "a leaf of piece 1 is there already")]
    fn a_leaf_that_comes_twice_is_noticed() {
        let mut tree = MerkleTree::new(3 * u64::from(2 * BLOCK_LENGTH), 2 * BLOCK_LENGTH);
        tree.put(1, &[[1; 32]; 2]);
        tree.put(2, &[[1; 32]; 2]);
    }

    #[test]
    #[should_panic(expected = "piece 1 is complete already")]
    fn a_piece_that_comes_twice_is_noticed() {
        let mut tree = MerkleTree::new(3 * u64::from(BLOCK_LENGTH), BLOCK_LENGTH);
        tree.put(1, &[[1; 32]]);
        tree.put(1, &[[1; 32]]);
    }

    #[test]
    #[should_panic(expected = "2 blocks from block 2 on, but there are 3")]
    fn a_block_beyond_the_end_is_noticed() {
        MerkleTree::new(2 * u64::from(BLOCK_LENGTH) + 1, BLOCK_LENGTH).put(2, &[[1; 32]; 2]);
    }

    #[test]
    #[should_panic(expected = "leaves are missing")]
    fn a_missing_leaf_is_noticed() {
        let mut tree = MerkleTree::new(3 * u64::from(BLOCK_LENGTH), 2 * BLOCK_LENGTH);
        tree.put(0, &[[1; 32]; 2]);
        tree.finish();
    }

    #[test]
    #[should_panic(expected = "is no power of two of at least 16 KiB")]
    fn piece_lengths_of_version_1_are_refused() {
        MerkleHasher::new(BLOCK_LENGTH * 3);
    }
}
