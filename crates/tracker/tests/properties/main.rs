//! What holds whatever peers do, in whatever order, and whatever bytes they send.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking, its helpers too")]

mod codecs;
mod store;

use std::time::Instant;

/// Some instant; tests count from it.
#[expect(
    clippy::disallowed_methods,
    reason = "there is no other way to an Instant; nothing depends on which it is"
)]
fn start() -> Instant {
    Instant::now()
}

/// Dice that fall the same way for the same seed (xorshift64*).
struct Dice(u64);

impl Dice {
    fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    /// A number below `sides`.
    fn roll(&mut self, sides: usize) -> usize {
        usize::try_from(self.next() >> 32).unwrap() % sides
    }

    fn byte(&mut self) -> u8 {
        self.next().to_be_bytes()[0]
    }

    fn bytes<const N: usize>(&mut self) -> [u8; N] {
        std::array::from_fn(|_| self.byte())
    }

    fn choose<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.roll(from.len())]
    }
}
