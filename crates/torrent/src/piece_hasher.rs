//! Piece hashes (BEP 3): the SHA-1 of each piece of the content.
//!
//! `sha1` picks the processor's SHA instructions at run time.

use sha1::{Digest, Sha1};

/// SHA-1 of one piece.
pub type PieceHash = [u8; 20];

/// The hash of one whole piece.
pub fn hash_piece(piece: &[u8]) -> PieceHash {
    Sha1::digest(piece).into()
}

/// Hashes the pieces of content that comes in chunks of any size.
#[derive(Debug, Clone)]
pub struct PieceHasher {
    piece_length: usize,
    /// Bytes of the current piece still to come; never 0.
    missing: usize,
    current: Sha1,
    hashes: Vec<PieceHash>,
}

impl PieceHasher {
    /// Begins with the first byte of the content.
    ///
    /// # Panics
    /// If `piece_length` is 0.
    pub fn new(piece_length: u32) -> Self {
        assert_ne!(piece_length, 0, "pieces have a length");
        let piece_length = piece_length as usize;
        Self { piece_length, missing: piece_length, current: Sha1::new(), hashes: Vec::new() }
    }

    /// The next bytes of the content, across the boundaries of files.
    pub fn update(&mut self, mut bytes: &[u8]) {
        while let Some((rest_of_piece, after)) = bytes.split_at_checked(self.missing) {
            self.current.update(rest_of_piece);
            self.hashes.push(self.current.finalize_reset().into());
            self.missing = self.piece_length;
            bytes = after;
        }
        self.current.update(bytes);
        self.missing -= bytes.len();
    }

    /// The hashes of all pieces; the last piece may be shorter, and without content there is none.
    ///
    /// `finish().into_flattened()` is [`Info::pieces`](crate::Info::pieces).
    pub fn finish(mut self) -> Vec<PieceHash> {
        if self.missing < self.piece_length {
            self.hashes.push(self.current.finalize().into());
        }
        self.hashes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const P: usize = 64;

    /// `total` bytes in chunks of every size up to three pieces give the hash of each piece.
    #[track_caller]
    fn check(total: usize, pieces: usize) {
        let content: Vec<u8> = (0..total).map(|at| u8::try_from(at % 251).unwrap()).collect();
        let want: Vec<_> = content.chunks(P).map(hash_piece).collect();
        assert_eq!(want.len(), pieces);
        for chunk in 1..=3 * P {
            let mut hasher = PieceHasher::new(u32::try_from(P).unwrap());
            content.chunks(chunk).for_each(|bytes| hasher.update(bytes));
            hasher.update(&[]);
            assert_eq!(hasher.finish(), want, "{total} bytes in chunks of {chunk}");
        }
    }

    #[test]
    fn pieces_are_counted_right_at_the_edges() {
        check(0, 0);
        check(1, 1);
        check(P - 1, 1);
        check(P, 1);
        check(P + 1, 2);
        check(2 * P, 2);
        check(2 * P + 1, 3);
    }

    #[test]
    fn known_hashes() {
        let mut hasher = PieceHasher::new(3);
        hasher.update(b"abcabcabc");
        let abc = *b"\xa9\x99\x3e\x36\x47\x06\x81\x6a\xba\x3e\x25\x71\x78\x50\xc2\x6c\x9c\xd0\xd8\x9d";
        assert_eq!(hasher.finish(), [abc; 3]);
        assert_eq!(hash_piece(b"abc"), abc);
    }
}
