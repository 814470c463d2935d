//! Which pieces a peer has.

use torrent::PieceIndex;

/// A set of the pieces of one torrent; a bit for each piece.
#[derive(Debug, Clone)]
pub(crate) struct PieceSet {
    /// In the order of a bitfield message. Spare bits stay 0.
    bits: Box<[u8]>,
    piece_count: u32,
    len: u32,
}

impl PieceSet {
    /// The empty set.
    pub(crate) fn new(piece_count: u32) -> Self {
        Self { bits: vec![0; crate::message::bitfield_length(piece_count)].into(), piece_count, len: 0 }
    }

    /// Adds a piece; `false` when the torrent has no such piece.
    pub(crate) fn insert(&mut self, index: u32) -> bool {
        if index >= self.piece_count {
            return false;
        }
        let (byte, bit) = (&mut self.bits[index as usize / 8], 0x80 >> (index % 8));
        self.len += u32::from(*byte & bit == 0);
        *byte |= bit;
        true
    }

    /// Whether a piece is in the set.
    pub(crate) fn contains(&self, index: u32) -> bool {
        self.bits.get(index as usize / 8).is_some_and(|byte| byte & (0x80 >> (index % 8)) != 0)
    }

    /// The first piece of the set from `from` on, or else from the start on, that is also in another set, of
    /// which `other` gives the bytes.
    pub(crate) fn next_common(&self, from: u32, other: impl Fn(usize) -> u8) -> Option<u32> {
        let (first, mask) = (from as usize / 8, 0xff >> (from % 8));
        let byte = |at: usize| self.bits[at] & other(at);
        let start = self.bits.get(first).map(|_| (first, byte(first) & mask));
        let rest = (first + 1..self.bits.len()).chain(0..self.bits.len().min(first + 1));
        let (at, bits) =
            start.into_iter().chain(rest.map(|at| (at, byte(at)))).find(|(_, bits)| *bits != 0)?;
        Some(u32::try_from(at * 8).ok()? + bits.leading_zeros())
    }

    /// Removes a piece.
    pub(crate) fn remove(&mut self, piece: PieceIndex) {
        let index = piece.get();
        if let Some(byte) = self.bits.get_mut(index as usize / 8) {
            let bit = 0x80 >> (index % 8);
            self.len -= u32::from(*byte & bit != 0);
            *byte &= !bit;
        }
    }

    /// Makes the set what a bitfield says. Spare bits, which some clients set, are ignored; an empty bitfield
    /// is the empty set.
    pub(crate) fn replace(&mut self, bitfield: &[u8]) {
        self.bits.fill(0);
        let common = self.bits.len().min(bitfield.len());
        self.bits[..common].copy_from_slice(&bitfield[..common]);
        self.clear_spare_bits();
        self.len = self.bits.iter().map(|byte| byte.count_ones()).sum();
    }

    /// Adds all pieces.
    pub(crate) fn fill(&mut self) {
        self.bits.fill(0xff);
        self.clear_spare_bits();
        self.len = self.piece_count;
    }

    /// Number of pieces in the set.
    pub(crate) fn len(&self) -> u32 {
        self.len
    }

    /// Whether no piece is missing. The set of a torrent without pieces never is: such a peer may still want
    /// the metadata.
    pub(crate) fn is_complete(&self) -> bool {
        self.len == self.piece_count && self.len > 0
    }

    /// The set as a bitfield message has it.
    pub(crate) fn bits(&self) -> &[u8] {
        &self.bits
    }

    fn clear_spare_bits(&mut self) {
        let spare = self.bits.len() * 8 - self.piece_count as usize;
        if let Some(last) = self.bits.last_mut() {
            *last &= 0xff << spare;
        }
    }
}

#[cfg(test)]
mod tests {
    use torrent::Lengths;

    use super::*;

    #[test]
    fn pieces_are_counted_once() {
        for piece_count in [1, 7, 8, 9, 64, 1001] {
            let mut set = PieceSet::new(piece_count);
            assert!(!set.is_complete());
            for index in (0..piece_count).chain([0, piece_count - 1]) {
                assert!(set.insert(index));
            }
            assert!(!set.insert(piece_count) && !set.insert(u32::MAX));
            assert_eq!(set.len(), piece_count);
            assert!(set.is_complete());
            let mut full = PieceSet::new(piece_count);
            full.fill();
            assert_eq!((full.bits(), full.len()), (set.bits(), piece_count));
            let first = Lengths::new(1, 1).unwrap().piece(0).unwrap();
            full.remove(first);
            full.remove(first);
            assert_eq!(full.len(), piece_count - 1);
            full.insert(0);
            assert_eq!((full.bits(), full.len()), (set.bits(), piece_count));
        }
    }

    #[test]
    fn bitfields_are_read_without_their_spare_bits() {
        let mut set = PieceSet::new(10);
        for (bitfield, bits, len) in [
            (&[0xff, 0xff][..], [0xff, 0xc0], 10),
            (&[0x80, 0x7f], [0x80, 0x40], 2),
            (&[0x00, 0x3f], [0x00, 0x00], 0),
            (&[], [0x00, 0x00], 0),
        ] {
            set.fill();
            set.replace(bitfield);
            assert_eq!((set.bits(), set.len()), (&bits[..], len), "{bitfield:x?}");
        }
    }

    #[test]
    fn a_torrent_without_pieces_has_an_empty_bitfield() {
        let mut set = PieceSet::new(0);
        set.fill();
        assert_eq!((set.bits(), set.len(), set.is_complete()), (&[][..], 0, false));
        assert!(!set.insert(0));
    }
}
