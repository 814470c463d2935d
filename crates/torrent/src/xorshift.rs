//! Repeatable chance for tests.

/// Marsaglia's xorshift64.
pub(crate) struct Xorshift(u64);

impl Xorshift {
    /// The same seed gives the same numbers; it must not be 0.
    pub(crate) fn new(seed: u64) -> Self {
        assert_ne!(seed, 0, "0 stays 0 for ever");
        Self(seed)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    /// A number below `end`, which must not be 0.
    pub(crate) fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.next() % end as u64).expect("invariant: it is below a usize")
    }

    /// Changes an input in one to four places: another byte, one less, one more, a piece twice, or cut.
    pub(crate) fn mutate(&mut self, input: &mut Vec<u8>) {
        for _ in 0..=self.below(4) {
            if input.is_empty() {
                return;
            }
            let at = self.below(input.len());
            match self.below(6) {
                0 => input[at] = self.next().to_le_bytes()[0],
                // What means something in bencode is met more often so.
                1 => input[at] = b"ilde-:0123456789"[self.below(16)],
                2 => drop(input.remove(at)),
                3 => input.insert(at, b"ilde-:0123456789"[self.below(16)]),
                4 => input.extend_from_within(at..),
                _ => input.truncate(at),
            }
        }
    }
}
