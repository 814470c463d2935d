//! What one side of one exchange needs of chance.

use super::MAX_PADDING;
use super::dh::PRIVATE_KEY;

/// Random bytes that one side of one exchange needs.
pub const CHANCE: usize = PRIVATE_KEY + 2 + 2 + MAX_PADDING as usize;

/// The same, for what it is used.
#[derive(Debug)]
pub(super) struct Chance {
    pub(super) private_key: [u8; PRIVATE_KEY],
    /// What goes behind our public key.
    pub(super) padding: Vec<u8>,
    /// How many zeros go behind our offer or choice. They are encrypted.
    pub(super) zeros: u16,
}

impl Chance {
    pub(super) fn new(bytes: &[u8; CHANCE]) -> Self {
        let (private_key, rest) = bytes.split_first_chunk().expect("invariant: it begins with a key");
        let ([a, b, c, d], padding) = rest.split_first_chunk().expect("invariant: two lengths follow");
        let length = |bytes| u16::from_be_bytes(bytes) % (MAX_PADDING + 1);
        let padding = padding[..length([*a, *b]).into()].to_vec();
        Self { private_key: *private_key, padding, zeros: length([*c, *d]) }
    }
}
