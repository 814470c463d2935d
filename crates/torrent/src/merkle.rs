//! Merkle trees of files (BEP 52).
//!
//! In version 2 each file is hashed by itself. The leaves of its tree are the SHA-256 of its blocks; leaves that
//! are missing for a balanced tree are zeros. Of the tree two things go into metainfo: the root, and, if the
//! file is longer than a piece, the layer of which each node is over one piece.
//!
//! Of both builders, [`MerkleHasher`] takes the bytes of one file, and [`FileTrees`] takes leaves that were made elsewhere,
//! of all files of a torrent. Neither keeps more than the nodes over pieces and the leaves of an unfinished piece.

use std::collections::BTreeMap;

use sha2::{Digest, Sha256};

use crate::hash::sha256_blocks;
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
        if level.len() % 2 == 1 {
            level.push(beyond);
        }
        level = sha256_blocks(level.as_flattened().as_chunks::<{ 2 * size_of::<NodeHash>() }>().0);
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

/// The trees of all files of a torrent, whose leaves come in order, file after file.
///
/// Of what has come it keeps a node for each piece and the leaves of the piece that is not complete: enough to go on
/// after an interruption ([`FileTrees::resume`]).
#[derive(Debug, Clone)]
pub struct FileTrees {
    piece_length: u32,
    blocks_per_piece: usize,
    /// Length in bytes of each file.
    files: Vec<u64>,
    /// The node over each piece that is complete, file after file.
    nodes: Vec<NodeHash>,
    /// The leaves of the piece that comes next; never all of them.
    leaves: Vec<NodeHash>,
    /// The file that the next leaf belongs to, and how many blocks of it are in pieces that are not complete.
    file: usize,
    blocks_left: usize,
}

impl FileTrees {
    /// The trees of files of these lengths (bytes); empty files have none.
    ///
    /// # Panics
    /// If `piece_length` is not a power of two of at least 16 KiB.
    pub fn new(files: Vec<u64>, piece_length: u32) -> Self {
        let mut trees = Self {
            piece_length,
            blocks_per_piece: blocks_per_piece(piece_length),
            files,
            nodes: Vec::new(),
            leaves: Vec::new(),
            file: 0,
            blocks_left: 0,
        };
        trees.blocks_left = trees.files.first().copied().map_or(0, blocks);
        trees.skip_finished();
        trees
    }

    /// Goes on with what [`FileTrees::nodes`] and [`FileTrees::leaves`] said earlier; `None` if these files can't have
    /// so many.
    ///
    /// # Panics
    /// If `piece_length` is not a power of two of at least 16 KiB.
    pub fn resume(
        files: Vec<u64>,
        piece_length: u32,
        nodes: Vec<NodeHash>,
        leaves: Vec<NodeHash>,
    ) -> Option<Self> {
        let mut trees = Self::new(files, piece_length);
        for _ in &nodes {
            trees.piece_width()?;
            trees.advance();
        }
        trees.nodes = nodes;
        let fits = leaves.is_empty() || trees.piece_width().is_some_and(|(blocks, _)| leaves.len() < blocks);
        trees.leaves = leaves;
        fits.then_some(trees)
    }

    /// Takes the leaves of the next blocks.
    ///
    /// # Panics
    /// If the files have no such blocks.
    pub fn push(&mut self, mut leaves: &[NodeHash]) {
        while !leaves.is_empty() {
            let (blocks, width) = self.piece_width().expect("there are no more leaves than blocks");
            let (now, later) = leaves.split_at(leaves.len().min(blocks - self.leaves.len()));
            self.leaves.extend_from_slice(now);
            leaves = later;
            if self.leaves.len() == blocks {
                self.nodes.push(balanced_root(&self.leaves, width, ZERO));
                self.leaves.clear();
                self.advance();
            }
        }
    }

    /// The node over each piece that is complete, file after file.
    pub fn nodes(&self) -> &[NodeHash] {
        &self.nodes
    }

    /// The leaves of the piece that is not complete.
    pub fn leaves(&self) -> &[NodeHash] {
        &self.leaves
    }

    /// What the metainfo says of each file; `None` if it is empty.
    ///
    /// # Panics
    /// If a leaf is missing.
    pub fn finish(self) -> Vec<Option<FileRoot>> {
        assert_eq!(self.file, self.files.len(), "leaves are missing");
        let mut nodes = self.nodes.as_slice();
        let root = |length: &u64| {
            let (own, others) = nodes.split_at(blocks(*length).div_ceil(self.blocks_per_piece));
            nodes = others;
            FileRoot::of(own.to_vec(), self.piece_length)
        };
        self.files.iter().map(root).collect()
    }

    /// Of the piece that comes next the number of its blocks, and the number of leaves that its tree has at the bottom:
    /// the tree of a file shorter than a piece is only as high as need be. `None` after the last.
    fn piece_width(&self) -> Option<(usize, usize)> {
        let all = blocks(*self.files.get(self.file)?);
        let here = self.blocks_left.min(self.blocks_per_piece);
        Some((here, all.min(self.blocks_per_piece)))
    }

    /// Goes on to the piece after the one that has become complete.
    fn advance(&mut self) {
        self.blocks_left -= self.blocks_left.min(self.blocks_per_piece);
        self.skip_finished();
    }

    fn skip_finished(&mut self) {
        while self.blocks_left == 0 && self.file < self.files.len() {
            self.file += 1;
            self.blocks_left = self.files.get(self.file).copied().map_or(0, blocks);
        }
    }
}

/// Number of blocks of a file of `length` bytes.
fn blocks(length: u64) -> usize {
    usize::try_from(length.div_ceil(BLOCK_LENGTH.into())).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
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
        for run in 1..=leaves.len() + 1 {
            let mut trees = FileTrees::new(vec![length as u64], piece_length);
            leaves.chunks(run).for_each(|leaves| trees.push(leaves));
            assert_eq!(trees.finish(), std::slice::from_ref(&want), "{length} bytes in runs of {run} leaves");
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

    /// Files of these lengths, and what metainfo says of them.
    fn several(lengths: &[usize], blocks: usize) -> (Vec<u64>, Vec<NodeHash>, Vec<Option<FileRoot>>) {
        let contents: Vec<_> = lengths.iter().map(|length| content(*length)).collect();
        (
            lengths.iter().map(|length| *length as u64).collect(),
            contents.iter().flat_map(|content| content.chunks(B).map(hash_block)).collect(),
            contents.iter().map(|content| want(content, blocks)).collect(),
        )
    }

    #[test]
    fn the_trees_of_many_files_go_on_where_they_were_left() {
        let lengths = [0, 9 * B + 1, 1, 0, 0, 2 * B, 4 * B, 3 * B - 1, 0];
        for blocks in [1, 2, 4, 16] {
            let piece_length = BLOCK_LENGTH * u32::try_from(blocks).unwrap();
            let (files, leaves, want) = several(&lengths, blocks);
            for stop in 0..=leaves.len() {
                let mut trees = FileTrees::new(files.clone(), piece_length);
                trees.push(&leaves[..stop]);
                let (nodes, unfinished) = (trees.nodes().to_vec(), trees.leaves().to_vec());
                let mut trees = FileTrees::resume(files.clone(), piece_length, nodes, unfinished).unwrap();
                trees.push(&leaves[stop..]);
                assert_eq!(trees.finish(), want, "left after {stop} leaves, {blocks} blocks in a piece");
            }
        }
    }

    #[test]
    fn more_than_the_files_have_is_not_gone_on_with() {
        let resume = |nodes: usize, leaves: usize| {
            let files = vec![0, 3 * B as u64, 1];
            FileTrees::resume(files, 2 * BLOCK_LENGTH, vec![ZERO; nodes], vec![ZERO; leaves]).is_some()
        };
        for (nodes, leaves, fits) in
            [(0, 0, true), (0, 1, true), (0, 2, false), (1, 0, true), (1, 1, false), (2, 1, false)]
        {
            assert_eq!(resume(nodes, leaves), fits, "{nodes} nodes and {leaves} leaves");
        }
        assert!(resume(3, 0) && !resume(3, 1) && !resume(4, 0));
        assert!(FileTrees::new(vec![], BLOCK_LENGTH).finish().is_empty());
    }

    #[test]
    #[should_panic(expected = "there are no more leaves than blocks")]
    fn a_block_beyond_the_end_is_noticed() {
        FileTrees::new(vec![2 * u64::from(BLOCK_LENGTH) + 1], BLOCK_LENGTH).push(&[[1; 32]; 4]);
    }

    #[test]
    #[should_panic(expected = "leaves are missing")]
    fn a_missing_leaf_is_noticed() {
        let mut trees = FileTrees::new(vec![3 * u64::from(BLOCK_LENGTH)], 2 * BLOCK_LENGTH);
        trees.push(&[[1; 32]; 2]);
        trees.finish();
    }

    #[test]
    #[should_panic(expected = "is no power of two of at least 16 KiB")]
    fn piece_lengths_of_version_1_are_refused() {
        MerkleHasher::new(BLOCK_LENGTH * 3);
    }
}
