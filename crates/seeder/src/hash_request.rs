//! Requests for hashes of a file's merkle tree, and what answers them (BEP 52, "Peer messages").
//!
//! Magnet links of version 2 need them: the info dictionary has only the root of each file's tree, and the hashes
//! of the pieces, the piece layer, have to be asked for.

use torrent::hash::sha256_blocks;
use torrent::{BLOCK_LENGTH, Lengths, NodeHash};

use crate::bounded_queue::BoundedQueue;

/// Most hashes of the base layer that can be asked for at a time: more than BEP 52 says there should be are
/// refused, so that an answer takes no longer to send than a block.
pub const MAX_HASHES: u32 = 512;

/// Hash requests of one peer that may wait. libtorrent has no more than two under way.
const MAX_WAITING: usize = 64;

/// How often one connection may ask for everything, as with metadata.
const MAX_COPIES: usize = 4;

/// Bytes of a request on the wire.
pub(crate) const HASH_REQUEST: usize = 48;

/// Bytes of a hash.
pub(crate) const HASH: usize = size_of::<NodeHash>();

/// A part of the merkle tree of a file; as the peer says it, nothing is checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HashRequest {
    /// The root of the file's tree, which names the file.
    pub pieces_root: NodeHash,
    /// The layer whose hashes are wanted, 0 for that of the leaves.
    pub base_layer: u32,
    /// Place of the first of them in that layer, a multiple of `length`.
    pub index: u32,
    /// How many, a power of two.
    pub length: u32,
    /// Layers above the base layer from which, too, is wanted what it takes to check the hashes.
    pub proof_layers: u32,
}

impl HashRequest {
    /// The hashes that answer the request, if it is for the piece layer of the file, given here with the length
    /// (bytes) of a piece: first those asked for, then those needed to check them, from below to above. Where
    /// the file has no piece, hashes are those over zeros.
    ///
    /// `None` if the request is to be rejected: for another layer than the pieces', for what is beyond the tree,
    /// or against the rules. That is always so for a file of one piece, which has no piece layer. A single hash,
    /// although BEP 52 wants at least two, can be asked for: libtorrent does so for the last of 513 pieces.
    ///
    /// Hashes the whole layer, unless no proof is wanted.
    pub fn answer(&self, piece_layer: &[NodeHash], piece_length: u32) -> Option<Vec<NodeHash>> {
        let layer_of_pieces = (piece_length / BLOCK_LENGTH).checked_ilog2()?;
        let height = piece_layer.len().checked_next_power_of_two()?.ilog2();
        let inside = u64::from(self.index) + u64::from(self.length) <= 1 << height;
        // The root is known: it proves, and is not proved.
        let provable = self.proof_layers < height;
        if self.base_layer != layer_of_pieces || !self.is_sound() || !inside || !provable {
            return None;
        }
        let mut beyond = (0..layer_of_pieces).fold([0; HASH], |below, _| above(below));
        let mut layer = piece_layer.to_vec();
        let node = |layer: &[NodeHash], at: usize, beyond| layer.get(at).copied().unwrap_or(beyond);
        let (mut at, length) = (self.index as usize, self.length as usize);
        let mut answer: Vec<_> = (at..at + length).map(|at| node(&layer, at, beyond)).collect();
        for level in 0..=self.proof_layers {
            // Below, whatever is needed can be computed from the hashes asked for.
            if level >= length.ilog2() {
                answer.push(node(&layer, at ^ 1, beyond));
            }
            layer = parents(layer, beyond);
            (at, beyond) = (at / 2, above(beyond));
        }
        Some(answer)
    }

    /// Whether there may be a file that has these hashes.
    pub(crate) fn is_sound(&self) -> bool {
        let length = self.length;
        length.is_power_of_two() && length <= MAX_HASHES && self.index.is_multiple_of(length)
    }

    /// From the bytes of a message, of which there must be [`HASH_REQUEST`].
    pub(crate) fn read(body: &[u8; HASH_REQUEST]) -> Self {
        let mut pieces_root = [0; HASH];
        pieces_root.copy_from_slice(&body[..HASH]);
        let word = |number: usize| {
            let mut bytes = [0; 4];
            bytes.copy_from_slice(&body[HASH + 4 * number..][..4]);
            u32::from_be_bytes(bytes)
        };
        Self { pieces_root, base_layer: word(0), index: word(1), length: word(2), proof_layers: word(3) }
    }

    /// As it is in a message.
    pub(crate) fn to_bytes(self) -> [u8; HASH_REQUEST] {
        let words = [self.base_layer, self.index, self.length, self.proof_layers];
        let mut bytes = [0; HASH_REQUEST];
        bytes[..HASH].copy_from_slice(&self.pieces_root);
        bytes[HASH..].copy_from_slice(words.map(u32::to_be_bytes).as_flattened());
        bytes
    }
}

/// A queue for the hash requests of one peer; of a torrent of version 1, which has no hash trees, for none.
///
/// Files of one piece need no request, and none is for less than two pieces: so many take everything at most.
pub(crate) fn queue(lengths: &Lengths, is_v2: bool) -> BoundedQueue<HashRequest> {
    let copy = if is_v2 { lengths.piece_count().div_ceil(2) as usize } else { 0 };
    BoundedQueue::new(MAX_WAITING, MAX_COPIES * copy)
}

/// The layer above one that goes on with `beyond`.
fn parents(mut layer: Vec<NodeHash>, beyond: NodeHash) -> Vec<NodeHash> {
    if !layer.len().is_multiple_of(2) {
        layer.push(beyond);
    }
    sha256_blocks(layer.as_flattened().as_chunks::<{ 2 * HASH }>().0)
}

/// The node over two that are equal.
fn above(below: NodeHash) -> NodeHash {
    sha256_blocks(&[[below; 2].as_flattened()])[0]
}

#[cfg(test)]
mod tests {
    use super::*;

    const PIECE_LENGTH: u32 = 4 * BLOCK_LENGTH;
    const PIECE_LAYER: u32 = 2;

    /// The whole tree of a file from its leaves up, as BEP 52 has it; leaves that are missing are zeros.
    fn tree(blocks: usize) -> Vec<Vec<NodeHash>> {
        let mut leaves: Vec<_> = (0..blocks).map(|at| torrent::hash_block(&at.to_le_bytes())).collect();
        leaves.resize(blocks.next_power_of_two(), [0; 32]);
        let mut layers = vec![leaves];
        while layers[layers.len() - 1].len() > 1 {
            let below = &layers[layers.len() - 1];
            layers.push(below.chunks(2).map(|pair| torrent::hash_block(pair.as_flattened())).collect());
        }
        layers
    }

    /// What the peer computes from an answer: the node over all that the request covers.
    fn proved(request: &HashRequest, answer: &[NodeHash]) -> NodeHash {
        let (asked, uncles) = answer.split_at(request.length as usize);
        let mut layer = asked.to_vec();
        while layer.len() > 1 {
            layer = layer.chunks(2).map(|pair| torrent::hash_block(pair.as_flattened())).collect();
        }
        let mut at = request.index / request.length;
        let mut node = layer[0];
        for uncle in uncles {
            let pair = if at.is_multiple_of(2) { [node, *uncle] } else { [*uncle, node] };
            node = torrent::hash_block(pair.as_flattened());
            at /= 2;
        }
        node
    }

    /// Every request that can be answered about a file of so many blocks is, and the answer proves itself.
    #[track_caller]
    fn check(blocks: usize) {
        let tree = tree(blocks);
        let base = PIECE_LAYER as usize;
        let width = u32::try_from(tree[base].len()).unwrap();
        let pieces = blocks.div_ceil(4);
        for length in (0..=width.ilog2()).map(|log| 1 << log) {
            for index in (0..width).step_by(length as usize) {
                for proof_layers in 0..width.ilog2() {
                    let pieces_root = tree[tree.len() - 1][0];
                    let base_layer = PIECE_LAYER;
                    let request = HashRequest { pieces_root, base_layer, index, length, proof_layers };
                    let answer = request.answer(&tree[base][..pieces], PIECE_LENGTH).unwrap();
                    let asked = &tree[base][index as usize..(index + length) as usize];
                    assert_eq!(answer[..length as usize], *asked, "{request:?}");
                    // BEP 52: the first log2(length) - 1 proof layers are left out.
                    let uncles = (proof_layers + 1).saturating_sub(length.ilog2());
                    assert_eq!(answer.len(), (length + uncles) as usize, "{request:?}");
                    let level = (length.ilog2() + uncles) as usize;
                    let node = tree[base + level][index as usize >> level];
                    assert_eq!(proved(&request, &answer), node, "{request:?}");
                }
            }
        }
    }

    #[test]
    fn answers_are_the_hashes_and_prove_themselves() {
        for blocks in [5, 8, 9, 12, 13, 16, 17, 20, 21, 29, 32, 33, 63, 68, 97, 128] {
            check(blocks);
        }
    }

    #[test]
    fn a_piece_may_be_a_block() {
        let tree = tree(3);
        let request =
            HashRequest { pieces_root: tree[2][0], base_layer: 0, index: 2, length: 2, proof_layers: 1 };
        let answer = request.answer(&tree[0][..3], BLOCK_LENGTH).unwrap();
        assert_eq!(answer, [tree[0][2], [0; 32], tree[1][0]]);
    }

    #[test]
    fn the_last_of_513_pieces_can_be_asked_for() {
        let layer: Vec<_> = (0..513_u32).map(|at| torrent::hash_block(&at.to_le_bytes())).collect();
        let request = HashRequest {
            pieces_root: [0; 32],
            base_layer: PIECE_LAYER,
            index: 512,
            length: 1,
            proof_layers: 9,
        };
        let answer = request.answer(&layer, PIECE_LENGTH).unwrap();
        assert_eq!((answer.len(), answer[0]), (11, layer[512]));
        let first = HashRequest { index: 0, length: 512, ..request };
        let first_answer = first.answer(&layer, PIECE_LENGTH).unwrap();
        assert_eq!(first_answer[..512], layer[..512]);
        assert_eq!(proved(&first, &first_answer), proved(&request, &answer), "both come to the root");
    }

    #[test]
    fn what_is_not_there_is_rejected() {
        let tree = tree(4 * 1500);
        let layer = &tree[2][..1500];
        let good = HashRequest {
            pieces_root: [0; 32],
            base_layer: PIECE_LAYER,
            index: 512,
            length: 512,
            proof_layers: 10,
        };
        assert!(good.answer(layer, PIECE_LENGTH).is_some());
        for bad in [
            HashRequest { base_layer: 0, ..good },
            HashRequest { base_layer: 1, ..good },
            HashRequest { base_layer: 3, ..good },
            HashRequest { base_layer: u32::MAX, ..good },
            HashRequest { index: 1, ..good },
            HashRequest { index: 2048, ..good },
            HashRequest { index: u32::MAX - 511, ..good },
            HashRequest { index: u32::MAX, length: 1, ..good },
            HashRequest { length: 0, ..good },
            HashRequest { length: 3, index: 3, ..good },
            HashRequest { length: 1024, index: 0, ..good },
            HashRequest { length: u32::MAX, index: 0, ..good },
            HashRequest { proof_layers: 11, ..good },
            HashRequest { proof_layers: u32::MAX, ..good },
        ] {
            assert_eq!(bad.answer(layer, PIECE_LENGTH), None, "{bad:?}");
        }
        let smallest = HashRequest { index: 0, length: 1, proof_layers: 0, ..good };
        assert_eq!(smallest.answer(&layer[..2], PIECE_LENGTH).unwrap(), layer[..2]);
        assert_eq!(smallest.answer(&layer[..1], PIECE_LENGTH), None, "a file of one piece");
        assert_eq!(smallest.answer(&[], PIECE_LENGTH), None, "no file, or an empty one");
        assert_eq!(smallest.answer(layer, 1), None, "no piece length of version 2");
    }
}
