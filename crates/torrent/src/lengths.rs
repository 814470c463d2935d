//! Arithmetic of pieces, blocks and files.
//!
//! The content of a torrent is the bytes of its files one after the other. Pieces divide it evenly (BEP 3), or
//! each file by itself (BEP 52); blocks are what peers ask for, spans are where the bytes are in the files.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

/// Longest block (bytes) a peer may ask for.
///
/// BEP 3: all implementations use 16 KiB and close connections that ask for more. libtorrent as a seed
/// refuses longer requests too, so no client in use depends on them.
pub const MAX_BLOCK: u32 = 16 << 10;

/// Length of the content and of its pieces.
///
/// Cheap to clone. Those that divide the same content into the same pieces are equal, however they were made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lengths {
    total: u64,
    piece_length: u32,
    piece_count: u32,
    /// Where pieces begin anew after one that is shorter, in order; `None` if they never do.
    breaks: Option<Arc<[Start]>>,
}

/// A piece that begins where a file does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Start {
    /// Its number.
    piece: u32,
    /// Its offset in the content, in bytes.
    offset: u64,
}

/// The number of a piece that exists; only [`Lengths::piece`] makes one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PieceIndex(u32);

/// A part of a piece that exists; only [`Lengths::block`] makes one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub struct Block {
    /// The piece it is in.
    pub piece: PieceIndex,
    /// Offset in the piece, in bytes.
    pub begin: u32,
    /// 1 to [`MAX_BLOCK`] bytes.
    pub length: u32,
}

impl Lengths {
    /// Pieces that divide the content evenly (BEP 3), whatever its files are. Lengths in bytes. `None` if
    /// `piece_length` is 0 or there were more pieces than `u32` can number.
    pub fn new(total: u64, piece_length: u32) -> Option<Self> {
        if piece_length == 0 {
            return None;
        }
        let piece_count = u32::try_from(total.div_ceil(piece_length.into())).ok()?;
        Some(Self { total, piece_length, piece_count, breaks: None })
    }

    /// Pieces that begin anew with each file (BEP 52), the last one of each as long as what is left of the file.
    /// Empty files have none. Lengths in bytes, in the order of the torrent.
    ///
    /// The content has nothing between the files: a piece is where [`FileSpans`] of the same files looks for it.
    ///
    /// `None` if `piece_length` is 0, or there were more pieces than `u32` or bytes than `u64` can number.
    pub fn aligned(file_lengths: impl IntoIterator<Item = u64>, piece_length: u32) -> Option<Self> {
        let mut all = Self::new(0, piece_length)?;
        let mut breaks = Vec::new();
        let mut last_is_short = false;
        for length in file_lengths.into_iter().filter(|length| *length > 0) {
            if last_is_short {
                breaks.push(Start { piece: all.piece_count, offset: all.total });
            }
            let file = Self::new(length, piece_length)?;
            all.piece_count = all.piece_count.checked_add(file.piece_count)?;
            all.total = all.total.checked_add(length)?;
            last_is_short = !length.is_multiple_of(piece_length.into());
        }
        all.breaks = (!breaks.is_empty()).then(|| breaks.into());
        Some(all)
    }

    /// Bytes of content.
    pub fn total(&self) -> u64 {
        self.total
    }

    /// Bytes of each piece, unless it is the last one of the content or of its file.
    pub fn piece_length(&self) -> u32 {
        self.piece_length
    }

    /// Number of pieces; 0 if there is no content.
    pub fn piece_count(&self) -> u32 {
        self.piece_count
    }

    /// Piece number `index`, if there is one.
    pub fn piece(&self, index: u32) -> Option<PieceIndex> {
        (index < self.piece_count).then_some(PieceIndex(index))
    }

    /// All pieces in order.
    pub fn pieces(&self) -> impl Iterator<Item = PieceIndex> + use<> {
        (0..self.piece_count).map(PieceIndex)
    }

    /// Bytes of a piece; 1 to [`piece_length`](Self::piece_length).
    pub fn piece_size(&self, piece: PieceIndex) -> u32 {
        let (start, end) = self.around(piece);
        let rest = end.saturating_sub(self.offset_from(start, piece));
        u32::try_from(rest).map_or(self.piece_length, |rest| rest.min(self.piece_length))
    }

    /// Where a piece begins in the content.
    pub fn piece_offset(&self, piece: PieceIndex) -> u64 {
        self.offset_from(self.around(piece).0, piece)
    }

    /// The bytes of the content that a piece has.
    pub fn piece_range(&self, piece: PieceIndex) -> Range<u64> {
        let start = self.piece_offset(piece);
        start..start + u64::from(self.piece_size(piece))
    }

    /// The block that a peer asks for, if it has 1 to [`MAX_BLOCK`] bytes that are all in one existing piece.
    pub fn block(&self, index: u32, begin: u32, length: u32) -> Option<Block> {
        let piece = self.piece(index)?;
        let inside = begin.checked_add(length)? <= self.piece_size(piece);
        (inside && (1..=MAX_BLOCK).contains(&length)).then_some(Block { piece, begin, length })
    }

    /// Where a block begins in the content.
    pub fn block_offset(&self, block: Block) -> u64 {
        self.piece_offset(block.piece) + u64::from(block.begin)
    }

    /// From where on pieces are evenly long up to this one, and where in the content that ends.
    fn around(&self, piece: PieceIndex) -> (Start, u64) {
        let breaks = self.breaks.as_deref().unwrap_or_default();
        let after = breaks.partition_point(|start| start.piece <= piece.0);
        let start = after.checked_sub(1).map_or(Start { piece: 0, offset: 0 }, |last| breaks[last]);
        (start, breaks.get(after).map_or(self.total, |next| next.offset))
    }

    fn offset_from(&self, start: Start, piece: PieceIndex) -> u64 {
        start.offset + u64::from(piece.0 - start.piece) * u64::from(self.piece_length)
    }
}

impl PieceIndex {
    /// The number, from 0.
    pub fn get(self) -> u32 {
        self.0
    }
}

impl fmt::Display for PieceIndex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

/// Where the files are in the content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileSpans {
    /// For each file the offset in the content at which it ends.
    ends: Vec<u64>,
}

/// Bytes of one file; never none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    /// Number of the file, from 0.
    pub file: usize,
    /// Offset in the file, in bytes.
    pub offset: u64,
    /// Number of bytes, at least 1.
    pub length: u64,
}

impl FileSpans {
    /// Takes the lengths of the files (bytes) in the order of the torrent. Bytes beyond `u64::MAX` in all are
    /// not there (no [`Lengths`] exist for so many either).
    pub fn new(lengths: impl IntoIterator<Item = u64>) -> Self {
        let mut end = 0_u64;
        let ends = lengths.into_iter().map(|length| {
            end = end.saturating_add(length);
            end
        });
        Self { ends: ends.collect() }
    }

    /// Bytes of content.
    pub fn total(&self) -> u64 {
        self.ends.last().copied().unwrap_or(0)
    }

    /// Where the file with this number begins in the content (at its end, if there is no such file).
    pub fn start(&self, file: usize) -> u64 {
        file.checked_sub(1).map_or(0, |before| self.ends.get(before).copied().unwrap_or(self.total()))
    }

    /// The parts of files that make up `length` bytes of content from `offset` on, in order, cut at the end of
    /// the content. Empty files have none.
    pub fn spans(&self, offset: u64, length: u64) -> impl Iterator<Item = Span> {
        let end = offset.saturating_add(length).min(self.total());
        let mut at = offset;
        let mut file = self.ends.partition_point(|&file_end| file_end <= offset);
        std::iter::from_fn(move || {
            if at >= end {
                return None;
            }
            // Empty files end where the one before them does, at or before `at`.
            while self.ends[file] <= at {
                file += 1;
            }
            let file_start = file.checked_sub(1).map_or(0, |before| self.ends[before]);
            let length = self.ends[file].min(end) - at;
            let span = Span { file, offset: at - file_start, length };
            at += length;
            Some(span)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::xorshift::Xorshift;

    const P: u32 = 32 << 10;

    /// The sizes of the pieces.
    #[track_caller]
    fn check_pieces(total: u64, want: &[u32]) {
        let lengths = Lengths::new(total, P).unwrap();
        let sizes: Vec<_> = lengths.pieces().map(|piece| lengths.piece_size(piece)).collect();
        assert_eq!(sizes, want, "{total} bytes");
        assert_eq!(lengths.piece_count() as usize, want.len());
        let mut end = 0;
        for range in lengths.pieces().map(|piece| lengths.piece_range(piece)) {
            assert_eq!(range.start, end);
            end = range.end;
        }
        assert_eq!(end, total);
        assert_eq!(lengths.piece(lengths.piece_count()), None);
        assert_eq!(lengths.piece(u32::MAX), None);
    }

    #[test]
    fn pieces_cover_the_content_exactly() {
        let p = u64::from(P);
        check_pieces(0, &[]);
        check_pieces(1, &[1]);
        check_pieces(p - 1, &[P - 1]);
        check_pieces(p, &[P]);
        check_pieces(p + 1, &[P, 1]);
        check_pieces(2 * p, &[P, P]);
    }

    /// Pieces that begin anew with each file: as many, as long and where counting byte by byte says.
    #[track_caller]
    fn check_aligned(files: &[u64], piece_length: u32) {
        let lengths = Lengths::aligned(files.iter().copied(), piece_length).unwrap();
        let (mut offset, mut want) = (0, Vec::new());
        for &length in files {
            let end = offset + length;
            while offset < end {
                let size = (end - offset).min(piece_length.into());
                want.push((offset, u32::try_from(size).unwrap()));
                offset += size;
            }
        }
        let got: Vec<_> =
            lengths.pieces().map(|piece| (lengths.piece_offset(piece), lengths.piece_size(piece))).collect();
        assert_eq!(got, want, "{files:?} in pieces of {piece_length}");
        assert_eq!((lengths.total(), lengths.piece_length()), (offset, piece_length));
        assert_eq!(lengths.piece(u32::try_from(want.len()).unwrap()), None);

        let spans = FileSpans::new(files.iter().copied());
        for (index, (offset, size)) in (0..).zip(want) {
            assert_eq!(spans.spans(offset, size.into()).count(), 1, "piece {index} crosses files {files:?}");
            let last_byte = lengths.block(index, size - 1, 1).unwrap();
            assert_eq!(lengths.block_offset(last_byte), offset + u64::from(size) - 1);
            assert_eq!(lengths.block(index, size - 1, 2), None);
        }
    }

    #[test]
    fn aligned_pieces_begin_with_files() {
        for files in [
            &[][..],
            &[0],
            &[0, 0],
            &[1],
            &[10],
            &[11],
            &[5, 5],
            &[9, 10, 11],
            &[0, 15, 20],
            &[15, 0, 20],
            &[15, 20, 0],
            &[0, 0, 1, 0, 0, 1, 0, 0],
            &[20, 0, 30, 1],
            &[1, 20, 30],
        ] {
            check_aligned(files, 10);
        }
        let mut chance = Xorshift::new(52);
        for _ in 0..500 {
            let files: Vec<_> = (0..chance.below(12)).map(|_| chance.below(40) as u64).collect();
            check_aligned(&files, 1 + u32::try_from(chance.below(16)).unwrap());
        }
    }

    #[test]
    fn equal_pieces_are_equal_lengths() {
        let p = u64::from(P);
        for total in [0, 1, p - 1, p, p + 1, 7 * p, 7 * p + 5] {
            assert_eq!(Lengths::aligned([total], P), Lengths::new(total, P), "{total} bytes");
            assert_eq!(Lengths::aligned([0, total, 0], P), Lengths::new(total, P), "{total} bytes");
        }
        assert_eq!(Lengths::aligned([2 * p, 0, p, 5], P), Lengths::new(3 * p + 5, P));
        assert_eq!(Lengths::aligned([], P), Lengths::new(0, P));
        assert_ne!(Lengths::aligned([5, p - 5], P), Lengths::new(p, P));
        assert_ne!(Lengths::aligned([p, 5, p], P), Lengths::new(2 * p + 5, P));
    }

    #[test]
    fn aligned_lengths_that_cannot_be() {
        let most = u64::from(u32::MAX);
        assert_eq!(Lengths::aligned([], 0), None);
        assert_eq!(Lengths::aligned([1], 0), None);
        assert_eq!(Lengths::aligned([most, 1], 1), None);
        assert_eq!(Lengths::aligned([1, most + 1], 1), None);
        assert_eq!(Lengths::aligned([1, most * most], u32::MAX), None);
        assert_eq!(Lengths::aligned([u64::MAX, 1], u32::MAX), None);
        assert_eq!(Lengths::aligned([most - 1, 1], 1).unwrap().piece_count(), u32::MAX);
        let last = Lengths::aligned([1, most * (most - 1)], u32::MAX).unwrap();
        assert_eq!(last.piece_offset(last.piece(u32::MAX - 1).unwrap()), most * (most - 2) + 1);
    }

    #[test]
    fn lengths_that_cannot_be() {
        assert_eq!(Lengths::new(1, 0), None);
        assert_eq!(Lengths::new(0, 0), None);
        assert_eq!(Lengths::new(u64::from(u32::MAX) + 1, 1), None);
        assert_eq!(Lengths::new(u64::MAX, MAX_BLOCK), None);
        assert_eq!(Lengths::new(u64::from(u32::MAX), 1).unwrap().piece_count(), u32::MAX);
    }

    #[test]
    fn the_last_of_very_many_pieces() {
        let total = u64::from(u32::MAX) * u64::from(u32::MAX) - 1;
        let lengths = Lengths::new(total, u32::MAX).unwrap();
        let last = lengths.piece(u32::MAX - 1).unwrap();
        assert_eq!(lengths.piece_size(last), u32::MAX - 1);
        assert_eq!(lengths.piece_offset(last) + u64::from(u32::MAX - 1), total);
    }

    /// Whether a request is accepted; there is one piece of 32 KiB and one of 100 bytes.
    #[track_caller]
    fn check_request(index: u32, begin: u32, length: u32, want_offset: Option<u64>) {
        let lengths = Lengths::new(u64::from(P) + 100, P).unwrap();
        let block = lengths.block(index, begin, length);
        assert_eq!(block.map(|block| lengths.block_offset(block)), want_offset);
        if let Some(block) = block {
            assert_eq!((block.piece.get(), block.begin, block.length), (index, begin, length));
        }
    }

    #[test]
    fn requests_are_checked() {
        check_request(0, 0, MAX_BLOCK, Some(0));
        check_request(0, MAX_BLOCK, MAX_BLOCK, Some(u64::from(MAX_BLOCK)));
        check_request(0, P - 1, 1, Some(u64::from(P) - 1));
        check_request(0, 5, 7, Some(5));
        check_request(1, 0, 100, Some(u64::from(P)));
        check_request(1, 99, 1, Some(u64::from(P) + 99));

        check_request(0, 0, 0, None);
        check_request(0, 0, MAX_BLOCK + 1, None);
        check_request(0, P - 1, 2, None);
        check_request(0, P, 1, None);
        check_request(1, 0, 101, None);
        check_request(1, 100, 1, None);
        check_request(2, 0, 1, None);
        check_request(u32::MAX, 0, 1, None);
        check_request(0, u32::MAX, 1, None);
        check_request(0, u32::MAX, u32::MAX, None);
    }

    /// `want` is (file, offset, length) of each span.
    #[track_caller]
    fn check_spans(files: &[u64], offset: u64, length: u64, want: &[(usize, u64, u64)]) {
        let spans = FileSpans::new(files.iter().copied());
        let got: Vec<_> = spans.spans(offset, length).map(|s| (s.file, s.offset, s.length)).collect();
        assert_eq!(got, want, "{length} bytes from {offset} on in {files:?}");
    }

    #[test]
    fn spans() {
        check_spans(&[10], 0, 10, &[(0, 0, 10)]);
        check_spans(&[10], 3, 4, &[(0, 3, 4)]);
        check_spans(&[10, 20], 5, 10, &[(0, 5, 5), (1, 0, 5)]);
        check_spans(&[10, 20], 10, 5, &[(1, 0, 5)]);
        check_spans(&[1, 1, 1], 0, 3, &[(0, 0, 1), (1, 0, 1), (2, 0, 1)]);
        let spans = FileSpans::new([10, 0, 20]);
        assert_eq!([0, 1, 2, 3, 4].map(|file| spans.start(file)), [0, 10, 10, 30, 30]);
    }

    #[test]
    fn empty_files_have_no_spans() {
        check_spans(&[0, 10], 0, 10, &[(1, 0, 10)]);
        check_spans(&[10, 0], 0, 10, &[(0, 0, 10)]);
        check_spans(&[10, 0, 0, 10], 5, 10, &[(0, 5, 5), (3, 0, 5)]);
        check_spans(&[10, 0, 0, 10], 10, 1, &[(3, 0, 1)]);
        check_spans(&[0], 0, 1, &[]);
    }

    #[test]
    fn nothing_lies_beyond_the_end() {
        check_spans(&[], 0, 1, &[]);
        check_spans(&[10], 0, 0, &[]);
        check_spans(&[10], 10, 1, &[]);
        check_spans(&[10], 8, 5, &[(0, 8, 2)]);
        check_spans(&[10, 0], 10, u64::MAX, &[]);
        check_spans(&[10], u64::MAX, u64::MAX, &[]);
        check_spans(&[u64::MAX, 5], u64::MAX - 1, 9, &[(0, u64::MAX - 1, 1)]);
    }

    #[test]
    fn spans_agree_with_counting_byte_by_byte() {
        let mut chance = Xorshift::new(2);
        for _ in 0..2000 {
            let files: Vec<u64> = (0..chance.below(8)).map(|_| chance.below(5) as u64).collect();
            let bytes: Vec<(usize, u64)> = files
                .iter()
                .enumerate()
                .flat_map(|(file, &length)| (0..length).map(move |at| (file, at)))
                .collect();
            let (offset, length) = (chance.below(40), chance.below(40));
            let want: Vec<_> = bytes.into_iter().skip(offset).take(length).collect();
            let spans = FileSpans::new(files.iter().copied());
            let got: Vec<_> = spans
                .spans(offset as u64, length as u64)
                .flat_map(|span| (span.offset..span.offset + span.length).map(move |at| (span.file, at)))
                .collect();
            assert_eq!(got, want, "{length} bytes from {offset} on in {files:?}");
        }
    }
}
