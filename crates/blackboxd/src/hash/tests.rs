use torrent::{MerkleHasher, PieceHasher};

use super::*;

/// Bytes in a piece of most tests.
pub const PIECE: usize = 64 << 10;

/// Files of a test, one after the other.
pub struct Content {
    lengths: Vec<usize>,
    piece_length: u32,
    bytes: Vec<u8>,
}

/// Hands content out, and ends when so many chunks were hashed.
struct Reads<'a> {
    rest: &'a [u8],
    /// Most bytes in one read.
    step: usize,
    /// Largest buffer it was asked to fill.
    asked: usize,
    chunks: usize,
    hashed: Box<dyn FnMut(&Done) + 'a>,
    rests: usize,
    wants_rest: bool,
}

#[derive(Debug, PartialEq, Eq)]
struct Interrupted;

impl Source for Reads<'_> {
    type Error = Interrupted;

    fn read(&mut self, buffer: &mut [u8]) -> Result<usize, Interrupted> {
        if self.chunks == 0 {
            return Err(Interrupted);
        }
        self.asked = self.asked.max(buffer.len());
        let count = self.rest.len().min(self.step).min(buffer.len());
        buffer[..count].copy_from_slice(&self.rest[..count]);
        self.rest = &self.rest[count..];
        Ok(count)
    }

    fn should_rest(&self) -> bool {
        self.wants_rest
    }

    fn rest(&mut self) {
        self.rests += 1;
        self.wants_rest = self.rests < 3;
    }

    fn hashed(&mut self, done: &Done) {
        self.chunks = self.chunks.saturating_sub(1);
        (self.hashed)(done);
    }
}

impl Content {
    pub fn new(lengths: &[usize]) -> Self {
        Self::in_pieces(lengths, u32::try_from(PIECE).unwrap())
    }

    fn in_pieces(lengths: &[usize], piece_length: u32) -> Self {
        let total: usize = lengths.iter().sum();
        let bytes = (0..total).map(|at| (at * 31 + at / 251).to_le_bytes()[0]).collect();
        Self { lengths: lengths.to_vec(), piece_length, bytes }
    }

    pub fn layout(&self) -> Layout {
        Layout::new(self.lengths.iter().map(|length| *length as u64).collect(), self.piece_length)
    }

    /// By the hashers that do one thing after the other.
    pub fn hashes(&self) -> Hashes {
        let mut pieces = PieceHasher::new(self.piece_length);
        pieces.update(&self.bytes);
        let mut rest = self.bytes.as_slice();
        let root = |length: &usize| {
            let (file, others) = rest.split_at(*length);
            rest = others;
            let mut hasher = MerkleHasher::new(self.piece_length);
            hasher.update(file);
            hasher.finish()
        };
        Hashes {
            roots: Some(self.lengths.iter().map(root).collect()),
            pieces: pieces.finish().into_flattened(),
        }
    }

    fn reads<'a>(&'a self, done: &Done) -> Reads<'a> {
        let from = usize::try_from(done.read_from()).unwrap();
        Reads {
            rest: &self.bytes[from..],
            step: usize::MAX,
            asked: 0,
            chunks: usize::MAX,
            hashed: Box::new(|_| {}),
            rests: 0,
            wants_rest: false,
        }
    }

    /// Hashes what is not done.
    pub fn hash_rest(&self, done: Done) -> Hashes {
        let mut reads = self.reads(&done);
        hash(done, 4 * PIECE, &mut reads).unwrap()
    }

    /// Hashes what is not done in chunks of a piece, of which it tells, and is interrupted after so many.
    pub fn hash_chunks(&self, done: Done, chunks: usize, hashed: impl FnMut(&Done)) {
        let mut reads = Reads { chunks, hashed: Box::new(hashed), ..self.reads(&done) };
        // Interrupted or not.
        let _ = hash(done, 2 * PIECE, &mut reads);
    }
}

#[track_caller]
fn check(lengths: &[usize], piece_length: u32, memory: usize, step: usize) {
    let content = Content::in_pieces(lengths, piece_length);
    let done = Done::nothing(content.layout());
    let mut reads = Reads { step, ..content.reads(&done) };
    let hashes = hash(done, memory, &mut reads);
    assert_eq!(hashes, Ok(content.hashes()), "{lengths:?}, pieces of {piece_length}, reads of {step}");
}

#[test]
fn the_same_hashes_whatever_the_edges() {
    const P: usize = 64 << 10;
    for length in [0, 1, 16_383, 16_384, 16_385, P - 1, P, P + 1, 2 * P, 5 * P + 17] {
        for memory in [0, 4 * P, MEMORY] {
            check(&[length], 64 << 10, memory, usize::MAX);
            check(&[length, length], 64 << 10, memory, usize::MAX);
            check(&[3, 0, length, 70_000, 0], 64 << 10, memory, 10_000);
        }
    }
    check(&[3 << 20, 5 << 20], 16 << 10, MEMORY, 1000);
    check(&[5 << 20], 2 << 20, MEMORY, 100_000);
    check(&[33 << 20, 1 << 20], 16 << 20, MEMORY, usize::MAX);
}

#[test]
fn blocks_go_on_from_one_chunk_to_the_next() {
    // Files that end anywhere in blocks and pieces, so that hardly any block is whole in one chunk.
    let lengths: Vec<usize> = (0..200).map(|number| number * 7919 % 50_000).collect();
    for memory in [0, 200_000, MEMORY] {
        check(&lengths, 16 << 10, memory, usize::MAX);
        check(&lengths, 32 << 10, memory, 4096);
    }
}

#[test]
fn nobody_is_asked_for_much_at_once_and_resting_changes_nothing() {
    let content = Content::in_pieces(&[40 << 20], 16 << 20);
    let done = Done::nothing(content.layout());
    let mut reads = Reads { wants_rest: true, ..content.reads(&done) };
    assert_eq!(hash(done, 0, &mut reads), Ok(content.hashes()));
    assert_eq!((reads.asked, reads.rests), (MAX_READ, 3));
}

#[test]
fn memory_is_bounded() {
    let length = |total: u64, piece: u32, memory| chunk_length(&Layout::new(vec![total], piece), memory);
    assert_eq!(length(1 << 40, 16 << 20, MEMORY), 32 << 20);
    assert_eq!(length(1 << 40, 16 << 20, MEDIUM_MEMORY), 16 << 20);
    assert_eq!(length(100, 16 << 10, MEMORY), 16 << 10, "no more than there is content");
    assert!(length(1 << 32, 2 << 20, MEMORY) <= MEMORY / CHUNKS);
}

#[test]
fn version_1_alone_has_the_same_pieces() {
    let content = Content::new(&[3 * PIECE + 5, 7, 2 * PIECE]);
    let done = Done::nothing(content.layout().v1_only());
    let mut reads = content.reads(&done);
    let hashes = hash(done, MEMORY, &mut reads).unwrap();
    assert_eq!((hashes.pieces, hashes.roots), (content.hashes().pieces, None));
}

#[test]
fn an_error_while_reading_ends_it() {
    let content = Content::new(&[20 * PIECE]);
    let done = Done::nothing(content.layout());
    let mut reads = Reads { chunks: 3, ..content.reads(&done) };
    assert_eq!(hash(done, 2 * PIECE, &mut reads), Err(Interrupted));
}
