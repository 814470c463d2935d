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
}

impl Layout {
    /// Files of these lengths (bytes), one after the other.
    pub fn new(files: Vec<u64>, piece_length: u32) -> Self {
        Self { piece_length, spans: FileSpans::new(files.iter().copied()), files }
    }

    /// Bytes of content.
    pub fn total(&self) -> u64 {
        self.spans.total()
    }

    pub(super) fn files(&self) -> &[u64] {
        &self.files
    }

    pub(super) fn spans(&self, offset: u64, length: u64) -> impl Iterator<Item = Span> {
        self.spans.spans(offset, length)
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
        let trees = FileTrees::new(layout.files.clone(), layout.piece_length);
        Self { layout, pieces: Vec::new(), trees }
    }

    /// What an earlier [`Done`] had; `None` if that can't have been of this content.
    pub(super) fn resume(
        layout: Layout,
        pieces: Vec<PieceHash>,
        nodes: Vec<NodeHash>,
        leaves: Vec<NodeHash>,
    ) -> Option<Self> {
        let trees = FileTrees::resume(layout.files.clone(), layout.piece_length, nodes, leaves)?;
        let done = Self { layout, pieces, trees };
        let has = (done.trees.nodes().len() as u64, done.trees.leaves().len() as u64);
        (has == done.nodes_and_leaves()).then_some(done)
    }

    /// How many nodes over pieces of files and how many leaves there are of the content before [`Done::position`].
    fn nodes_and_leaves(&self) -> (u64, u64) {
        let mut left = self.position();
        let (mut nodes, mut leaves) = (0, 0);
        let piece_length = u64::from(self.layout.piece_length);
        for length in &self.layout.files {
            let here = left.min(*length);
            left -= here;
            if here == *length {
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
        let open = position.checked_sub(1).and_then(|last| self.layout.spans(last, 1).next());
        let in_file = open.map_or(0, |span| span.offset + 1);
        let ends = open.is_some_and(|span| in_file == self.layout.files[span.file]);
        if ends { position } else { position - in_file % u64::from(BLOCK_LENGTH) }
    }

    pub(super) fn add(&mut self, pieces: &[PieceHash], blocks: &[NodeHash]) {
        self.pieces.extend_from_slice(pieces);
        self.trees.push(blocks);
    }

    pub(super) fn finish(self) -> Hashes {
        Hashes { pieces: self.pieces.into_flattened(), roots: self.trees.finish() }
    }
}
