//! What was found of the content so far.

use torrent::{BLOCK_LENGTH, FileSpans, FileTrees, NodeHash, PieceHash, Span};

use super::Hashes;

/// Where files and pieces are in the content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layout {
    /// Bytes of each piece but the last; a power of two of at least 16 KiB.
    pub piece_length: u32,
    files: Vec<u64>,
    spans: FileSpans,
    /// Whether the trees of version 2 are wanted.
    pub(super) v2: bool,
}

impl Layout {
    /// Files of these lengths (bytes), one after the other.
    pub fn new(files: Vec<u64>, piece_length: u32) -> Self {
        Self { piece_length, spans: FileSpans::new(files.iter().copied()), files, v2: true }
    }

    /// The same, but only version 1 is wanted of it.
    pub fn v1_only(self) -> Self {
        Self { v2: false, ..self }
    }

    /// Bytes of content.
    pub fn total(&self) -> u64 {
        self.spans.total()
    }

    /// The parts of files that have trees, in these bytes of the content, and whether a file ends with its part.
    pub(super) fn tree_spans(&self, offset: u64, length: u64) -> impl Iterator<Item = (Span, bool)> {
        let length = if self.v2 { length } else { 0 };
        self.spans
            .spans(offset, length)
            .map(|span| (span, span.offset + span.length == self.files[span.file]))
    }

    fn trees(&self) -> Vec<u64> {
        if self.v2 { self.files.clone() } else { Vec::new() }
    }
}

/// All that was found of the content up to some place, which is where a piece begins (or the end).
#[derive(Debug, Clone)]
pub struct Done {
    pub(super) layout: Layout,
    pub(super) pieces: Vec<PieceHash>,
    pub(super) trees: FileTrees,
}

impl Done {
    /// Nothing.
    pub fn nothing(layout: Layout) -> Self {
        let trees = FileTrees::new(layout.trees(), layout.piece_length);
        Self { layout, pieces: Vec::new(), trees }
    }

    /// What an earlier [`Done`] had; `None` if that can't have been of this content.
    pub(super) fn resume(
        layout: Layout,
        pieces: Vec<PieceHash>,
        nodes: Vec<NodeHash>,
        leaves: Vec<NodeHash>,
    ) -> Option<Self> {
        let trees = FileTrees::resume(layout.trees(), layout.piece_length, nodes, leaves)?;
        let done = Self { layout, pieces, trees };
        let has = (done.trees.nodes().len() as u64, done.trees.leaves().len() as u64);
        (has == done.nodes_and_leaves()).then_some(done)
    }

    /// How many nodes over pieces of files and how many leaves there are of the content before [`Done::position`].
    fn nodes_and_leaves(&self) -> (u64, u64) {
        let mut left = self.position();
        let (mut nodes, mut leaves) = (0, 0);
        let piece_length = u64::from(self.layout.piece_length);
        for length in self.layout.trees() {
            let here = left.min(length);
            left -= here;
            if here == length {
                nodes += here.div_ceil(piece_length);
            } else {
                nodes += here / piece_length;
                leaves += here % piece_length / u64::from(BLOCK_LENGTH);
            }
        }
        (nodes, leaves)
    }

    /// Up to where all is hashed, in bytes.
    pub fn position(&self) -> u64 {
        (self.pieces.len() as u64 * u64::from(self.layout.piece_length)).min(self.layout.total())
    }

    /// From where on content has to be read: at or before [`Done::position`], where a block begins of which not all
    /// was there.
    pub fn read_from(&self) -> u64 {
        let position = self.position();
        match position.checked_sub(1).and_then(|last| self.layout.tree_spans(last, 1).next()) {
            Some((last, false)) => position - (last.offset + 1) % u64::from(BLOCK_LENGTH),
            _ => position,
        }
    }

    pub(super) fn add(&mut self, pieces: &[PieceHash], blocks: &[NodeHash]) {
        self.pieces.extend_from_slice(pieces);
        self.trees.push(blocks);
    }

    pub(super) fn finish(self) -> Hashes {
        let roots = self.layout.v2.then(|| self.trees.finish());
        Hashes { pieces: self.pieces.into_flattened(), roots }
    }
}
