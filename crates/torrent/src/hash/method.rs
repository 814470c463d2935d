//! The ways to hash many messages, and which of them is the fastest.

use std::fmt;

use sha1::Sha1;
use sha2::{Digest, Sha256};

#[cfg(target_arch = "x86_64")]
use super::{avx2, avx512, lanes, sha_ni};

/// A way to hash many messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    /// One message after the other, by the crates `sha1` and `sha2`: they have the SHA instructions of x86 and
    /// ARM where the processor has them, and run everywhere.
    OneByOne,
    /// Two messages in turn by the SHA instructions of x86: the second fills the time in which the first waits.
    ShaNi2,
    /// Four messages in turn by the SHA instructions of x86.
    ShaNi4,
    /// Eight messages in the lanes of 256-bit vectors.
    Avx2,
    /// Sixteen messages in the lanes of 512-bit vectors.
    Avx512,
}

impl Method {
    /// All, whether this processor has them or not.
    pub const ALL: [Self; 5] = [Self::OneByOne, Self::ShaNi2, Self::ShaNi4, Self::Avx2, Self::Avx512];

    /// How many messages are hashed side by side.
    pub fn lanes(self) -> usize {
        match self {
            Self::OneByOne => 1,
            Self::ShaNi2 => 2,
            Self::ShaNi4 => 4,
            Self::Avx2 => 8,
            Self::Avx512 => 16,
        }
    }

    /// Whether this processor has it.
    pub fn is_available(self) -> bool {
        let processor = Processor::detect();
        match self {
            Self::OneByOne => true,
            Self::ShaNi2 | Self::ShaNi4 => processor.sha_ni,
            Self::Avx2 => processor.avx2,
            Self::Avx512 => processor.avx512,
        }
    }

    /// The SHA-1 of each message.
    ///
    /// # Panics
    /// If this method is not available.
    pub fn sha1(self, messages: &[&[u8]]) -> Vec<[u8; 20]> {
        match self {
            Self::OneByOne => messages.iter().map(|message| Sha1::digest(message).into()).collect(),
            #[cfg(target_arch = "x86_64")]
            Self::ShaNi2 => lanes::hash(lanes::SHA1, sha_ni::sha1::<2>, messages),
            #[cfg(target_arch = "x86_64")]
            Self::ShaNi4 => lanes::hash(lanes::SHA1, sha_ni::sha1::<4>, messages),
            #[cfg(target_arch = "x86_64")]
            Self::Avx2 => lanes::hash(lanes::SHA1, avx2::sha1, messages),
            #[cfg(target_arch = "x86_64")]
            Self::Avx512 => lanes::hash(lanes::SHA1, avx512::sha1, messages),
            #[cfg(not(target_arch = "x86_64"))]
            _ => panic!("{self:?} is not available"),
        }
    }

    /// The SHA-256 of each message.
    ///
    /// # Panics
    /// If this method is not available.
    pub fn sha256(self, messages: &[&[u8]]) -> Vec<[u8; 32]> {
        match self {
            Self::OneByOne => messages.iter().map(|message| Sha256::digest(message).into()).collect(),
            #[cfg(target_arch = "x86_64")]
            Self::ShaNi2 => lanes::hash(lanes::SHA256, sha_ni::sha256::<2>, messages),
            #[cfg(target_arch = "x86_64")]
            Self::ShaNi4 => lanes::hash(lanes::SHA256, sha_ni::sha256::<4>, messages),
            #[cfg(target_arch = "x86_64")]
            Self::Avx2 => lanes::hash(lanes::SHA256, avx2::sha256, messages),
            #[cfg(target_arch = "x86_64")]
            Self::Avx512 => lanes::hash(lanes::SHA256, avx512::sha256, messages),
            #[cfg(not(target_arch = "x86_64"))]
            _ => panic!("{self:?} is not available"),
        }
    }
}

impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::OneByOne => "one message at a time",
            Self::ShaNi2 => "2 messages in turn (SHA-NI)",
            Self::ShaNi4 => "4 messages in turn (SHA-NI)",
            Self::Avx2 => "8 messages side by side (AVX2)",
            Self::Avx512 => "16 messages side by side (AVX-512)",
        })
    }
}

/// What the processor can do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Processor {
    pub sha_ni: bool,
    pub avx2: bool,
    pub avx512: bool,
}

impl Processor {
    /// The processor this runs on.
    #[cfg(target_arch = "x86_64")]
    pub fn detect() -> Self {
        Self { sha_ni: sha_ni::is_available(), avx2: avx2::is_available(), avx512: avx512::is_available() }
    }

    /// The processor this runs on.
    #[cfg(not(target_arch = "x86_64"))]
    pub fn detect() -> Self {
        Self { sha_ni: false, avx2: false, avx512: false }
    }

    /// The fastest method for so many messages of one length.
    ///
    /// Vectors cost the same however many of their lanes are filled, so few messages are better off without.
    /// From how many on they pay was measured on a Zen 5 core by `examples/hash_speed.rs` (GB/s, lanes filled):
    ///
    /// |         | `OneByOne` | `ShaNi2` | `ShaNi4` | `Avx2` | `Avx512` |
    /// |---------|------------|----------|----------|--------|----------|
    /// | SHA-1   | 2.1        | 3.7      | 5.8      | 3.8    | 10.0     |
    /// | SHA-256 | 2.0        | 3.1      | 3.1      | 1.9    | 5.6      |
    ///
    /// Without SHA instructions `OneByOne` is at 1.1 and 0.5: then vectors are faster from three messages on.
    pub fn method(self, count: usize) -> Method {
        let Self { sha_ni, avx2, avx512 } = self;
        match count {
            9.. if avx512 => Method::Avx512,
            3.. if sha_ni => Method::ShaNi4,
            2 if sha_ni => Method::ShaNi2,
            3.. if avx512 => Method::Avx512,
            3.. if avx2 => Method::Avx2,
            _ => Method::OneByOne,
        }
    }

    /// From how many messages on more of them gain little, by the table above: SHA instructions need but four.
    pub fn enough(self) -> usize {
        if self.sha_ni { Method::ShaNi4.lanes() } else { self.method(usize::MAX).lanes() }
    }

    /// The method to go on with when so many messages are left, and how many of them are hashed with it.
    ///
    /// Those that would leave lanes empty are left to another method if that is faster.
    pub fn share(self, left: usize) -> (Method, usize) {
        let method = self.method(left);
        let odd = left % method.lanes();
        let count = if self.method(odd) == method { left } else { left - odd };
        (method, count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Method::{Avx2, Avx512, OneByOne, ShaNi2, ShaNi4};

    /// So many messages are hashed in these shares.
    #[track_caller]
    fn check(processor: Processor, count: usize, want: &[(Method, usize)]) {
        let mut left = count;
        let mut shares = Vec::new();
        while left > 0 {
            let (method, count) = processor.share(left);
            shares.push((method, count));
            left -= count;
        }
        assert_eq!(shares, want, "{count} messages, {processor:?}");
    }

    #[test]
    fn what_does_not_fill_the_lanes_goes_to_narrower_ones() {
        let all = Processor { sha_ni: true, avx2: true, avx512: true };
        check(all, 0, &[]);
        check(all, 1, &[(OneByOne, 1)]);
        check(all, 2, &[(ShaNi2, 2)]);
        check(all, 3, &[(ShaNi4, 3)]);
        check(all, 5, &[(ShaNi4, 4), (OneByOne, 1)]);
        check(all, 8, &[(ShaNi4, 8)]);
        check(all, 9, &[(Avx512, 9)]);
        check(all, 16, &[(Avx512, 16)]);
        check(all, 23, &[(Avx512, 16), (ShaNi4, 7)]);
        check(all, 25, &[(Avx512, 25)]);
    }

    #[test]
    fn each_processor_has_its_methods() {
        let sha_ni = Processor { sha_ni: true, avx2: true, avx512: false };
        check(sha_ni, 16, &[(ShaNi4, 16)]);
        check(sha_ni, 18, &[(ShaNi4, 16), (ShaNi2, 2)]);

        let avx2 = Processor { sha_ni: false, avx2: true, avx512: false };
        check(avx2, 2, &[(OneByOne, 2)]);
        check(avx2, 3, &[(Avx2, 3)]);
        check(avx2, 18, &[(Avx2, 16), (OneByOne, 2)]);

        let avx512 = Processor { sha_ni: false, avx2: true, avx512: true };
        check(avx512, 18, &[(Avx512, 16), (OneByOne, 2)]);
        check(avx512, 19, &[(Avx512, 19)]);

        let plain = Processor { sha_ni: false, avx2: false, avx512: false };
        check(plain, 40, &[(OneByOne, 40)]);
    }

    #[test]
    fn what_is_chosen_is_available() {
        let processor = Processor::detect();
        for count in 0..=40 {
            assert!(processor.method(count).is_available(), "{count} messages");
        }
    }
}
