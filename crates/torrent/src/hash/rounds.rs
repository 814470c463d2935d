//! SHA-1 and SHA-256 on vectors: each lane holds a word of another message (FIPS 180-4, 6.1 and 6.2).
//!
//! `kernels!` is written out by each file of vector instructions. There it finds `is_available`, `LANES`,
//! `Vector`, `message_words` (the words of one block of each message), `load` and `store` (one word of the state
//! of each message), `splat` (one word for all), `add`, `xor`, `rotate_left`, `shift_right`, and the functions
//! `choose` (Ch), `parity` and `majority` (Maj).
//!
//! These are macros since functions with a target feature can't be generic over the vectors and yet be sure of
//! being inlined, and since only rounds that are written out keep the words in registers.
//!
//! What takes the time is waiting for the round before, the more as each vector instruction takes two cycles on
//! some processors. So sums are formed in an order in which what the round before gave is added last.

use super::lanes::MessageBlock;

/// How many bytes ahead of their use messages are fetched.
///
/// Sixteen streams are more than the processor fetches by itself: without this, messages that are in memory only
/// are hashed at up to a quarter less.
pub const PREFETCH: usize = 256;

/// The constants of SHA-256 (FIPS 180-4, 4.2.2).
#[rustfmt::skip]
pub const SHA256_K: [u32; 64] = [
    0x428a_2f98, 0x7137_4491, 0xb5c0_fbcf, 0xe9b5_dba5, 0x3956_c25b, 0x59f1_11f1, 0x923f_82a4, 0xab1c_5ed5,
    0xd807_aa98, 0x1283_5b01, 0x2431_85be, 0x550c_7dc3, 0x72be_5d74, 0x80de_b1fe, 0x9bdc_06a7, 0xc19b_f174,
    0xe49b_69c1, 0xefbe_4786, 0x0fc1_9dc6, 0x240c_a1cc, 0x2de9_2c6f, 0x4a74_84aa, 0x5cb0_a9dc, 0x76f9_88da,
    0x983e_5152, 0xa831_c66d, 0xb003_27c8, 0xbf59_7fc7, 0xc6e0_0bf3, 0xd5a7_9147, 0x06ca_6351, 0x1429_2967,
    0x27b7_0a85, 0x2e1b_2138, 0x4d2c_6dfc, 0x5338_0d13, 0x650a_7354, 0x766a_0abb, 0x81c2_c92e, 0x9272_2c85,
    0xa2bf_e8a1, 0xa81a_664b, 0xc24b_8b70, 0xc76c_51a3, 0xd192_e819, 0xd699_0624, 0xf40e_3585, 0x106a_a070,
    0x19a4_c116, 0x1e37_6c08, 0x2748_774c, 0x34b0_bcb5, 0x391c_0cb3, 0x4ed8_aa4a, 0x5b9c_ca4f, 0x682e_6ff3,
    0x748f_82ee, 0x78a5_636f, 0x84c8_7814, 0x8cc7_0208, 0x90be_fffa, 0xa450_6ceb, 0xbef9_a3f7, 0xc671_78f2,
];

/// Block `at` of each message.
#[expect(clippy::inline_always, reason = "a call costs a tenth of the speed")]
#[inline(always)]
pub fn side_by_side<'a, const LANES: usize>(
    blocks: &[&'a [MessageBlock]; LANES],
    at: usize,
) -> [&'a MessageBlock; LANES] {
    let mut side_by_side = [&blocks[0][at]; LANES];
    for (block, blocks) in side_by_side.iter_mut().zip(blocks) {
        *block = &blocks[at];
    }
    side_by_side
}

/// Five rounds of SHA-1 from round `$t`, after which the variables have their old meaning.
macro_rules! sha1_rounds {
    ($w:ident, $f:ident, $k:literal, $t:expr, [$a:ident $b:ident $c:ident $d:ident $e:ident]) => {
        sha1_round!($w, $f, $k, $t, [$a $b $c $d $e]);
        sha1_round!($w, $f, $k, $t + 1, [$e $a $b $c $d]);
        sha1_round!($w, $f, $k, $t + 2, [$d $e $a $b $c]);
        sha1_round!($w, $f, $k, $t + 3, [$c $d $e $a $b]);
        sha1_round!($w, $f, $k, $t + 4, [$b $c $d $e $a]);
    };
}

/// One round of SHA-1; `$e` becomes the new `a`.
macro_rules! sha1_round {
    ($w:ident, $f:ident, $k:literal, $t:expr, [$a:ident $b:ident $c:ident $d:ident $e:ident]) => {
        let known_before = add(add($e, splat($k)), sha1_word(&mut $w, $t));
        $e = add(add(known_before, $f($b, $c, $d)), rotate_left($a, 5));
        $b = rotate_left($b, 30);
    };
}

/// Sixteen rounds of SHA-256 with the constants from `$k` on; `$word` gives the words.
macro_rules! sha256_rounds {
    ($w:ident, $word:ident, $k:expr, [$a:ident $b:ident $c:ident $d:ident $e:ident $f:ident $g:ident $h:ident]) => {
        sha256_eight_rounds!($w, $word, $k, 0, [$a $b $c $d $e $f $g $h]);
        sha256_eight_rounds!($w, $word, $k, 8, [$a $b $c $d $e $f $g $h]);
    };
}

/// Eight rounds of SHA-256, after which the variables have their old meaning.
macro_rules! sha256_eight_rounds {
    (
        $w:ident, $word:ident, $k:expr, $t:literal,
        [$a:ident $b:ident $c:ident $d:ident $e:ident $f:ident $g:ident $h:ident]
    ) => {
        sha256_round!($w, $word, $k, $t, [$a $b $c $d $e $f $g $h]);
        sha256_round!($w, $word, $k, $t + 1, [$h $a $b $c $d $e $f $g]);
        sha256_round!($w, $word, $k, $t + 2, [$g $h $a $b $c $d $e $f]);
        sha256_round!($w, $word, $k, $t + 3, [$f $g $h $a $b $c $d $e]);
        sha256_round!($w, $word, $k, $t + 4, [$e $f $g $h $a $b $c $d]);
        sha256_round!($w, $word, $k, $t + 5, [$d $e $f $g $h $a $b $c]);
        sha256_round!($w, $word, $k, $t + 6, [$c $d $e $f $g $h $a $b]);
        sha256_round!($w, $word, $k, $t + 7, [$b $c $d $e $f $g $h $a]);
    };
}

/// One round of SHA-256; `$d` becomes the new `e` and `$h` the new `a`.
macro_rules! sha256_round {
    (
        $w:ident, $word:ident, $k:expr, $t:expr,
        [$a:ident $b:ident $c:ident $d:ident $e:ident $f:ident $g:ident $h:ident]
    ) => {
        let known_before = add(add($h, splat($k[$t])), $word(&mut $w, $t));
        let chosen = choose($e, $f, $g);
        let sigma_1 = parity(rotate_right($e, 6), rotate_right($e, 11), rotate_right($e, 25));
        let sigma_0 = parity(rotate_right($a, 2), rotate_right($a, 13), rotate_right($a, 22));
        // T1 is formed twice, as then `d` needn't wait for it: a fifth faster.
        $d = add(add(add($d, known_before), chosen), sigma_1);
        let t1 = add(add(known_before, chosen), sigma_1);
        $h = add(add(t1, majority($a, $b, $c)), sigma_0);
    };
}

/// `sha1` and `sha256`, which are of type [`Compress`](super::lanes::Compress), for one kind of vector.
macro_rules! kernels {
    ($features:literal) => {
        /// Compresses blocks of `LANES` messages.
        pub fn sha1(state: &mut [[u32; LANES]; 5], blocks: &[&[MessageBlock]; LANES]) {
            assert!(is_available(), "the processor has no {}", $features);
            // SAFETY: the processor has the features, for which `is_available` asks.
            unsafe { sha1_compress(state, blocks) }
        }

        /// Compresses blocks of `LANES` messages.
        pub fn sha256(state: &mut [[u32; LANES]; 8], blocks: &[&[MessageBlock]; LANES]) {
            assert!(is_available(), "the processor has no {}", $features);
            // SAFETY: the processor has the features, for which `is_available` asks.
            unsafe { sha256_compress(state, blocks) }
        }

        #[target_feature(enable = $features)]
        fn sha1_compress(state: &mut [[u32; LANES]; 5], blocks: &[&[MessageBlock]; LANES]) {
            let [mut a, mut b, mut c, mut d, mut e] = std::array::from_fn(|word| load(&state[word]));
            for at in 0..blocks[0].len() {
                let before = [a, b, c, d, e];
                let mut w = message_words(&side_by_side(blocks, at));
                sha1_rounds!(w, choose, 0x5a82_7999, 0, [a b c d e]);
                sha1_rounds!(w, choose, 0x5a82_7999, 5, [a b c d e]);
                sha1_rounds!(w, choose, 0x5a82_7999, 10, [a b c d e]);
                sha1_rounds!(w, choose, 0x5a82_7999, 15, [a b c d e]);
                sha1_rounds!(w, parity, 0x6ed9_eba1, 20, [a b c d e]);
                sha1_rounds!(w, parity, 0x6ed9_eba1, 25, [a b c d e]);
                sha1_rounds!(w, parity, 0x6ed9_eba1, 30, [a b c d e]);
                sha1_rounds!(w, parity, 0x6ed9_eba1, 35, [a b c d e]);
                sha1_rounds!(w, majority, 0x8f1b_bcdc, 40, [a b c d e]);
                sha1_rounds!(w, majority, 0x8f1b_bcdc, 45, [a b c d e]);
                sha1_rounds!(w, majority, 0x8f1b_bcdc, 50, [a b c d e]);
                sha1_rounds!(w, majority, 0x8f1b_bcdc, 55, [a b c d e]);
                sha1_rounds!(w, parity, 0xca62_c1d6, 60, [a b c d e]);
                sha1_rounds!(w, parity, 0xca62_c1d6, 65, [a b c d e]);
                sha1_rounds!(w, parity, 0xca62_c1d6, 70, [a b c d e]);
                sha1_rounds!(w, parity, 0xca62_c1d6, 75, [a b c d e]);
                [a, b, c, d, e] = sums([a, b, c, d, e], before);
            }
            for (word, vector) in state.iter_mut().zip([a, b, c, d, e]) {
                store(word, vector);
            }
        }

        #[target_feature(enable = $features)]
        fn sha256_compress(state: &mut [[u32; LANES]; 8], blocks: &[&[MessageBlock]; LANES]) {
            let [mut a, mut b, mut c, mut d, mut e, mut f, mut g, mut h] =
                std::array::from_fn(|word| load(&state[word]));
            let (first, rest) = SHA256_K.as_chunks::<16>().0.split_first().expect("invariant: 64 constants");
            for at in 0..blocks[0].len() {
                let before = [a, b, c, d, e, f, g, h];
                let mut w = message_words(&side_by_side(blocks, at));
                sha256_rounds!(w, sha256_given_word, first, [a b c d e f g h]);
                for k in rest {
                    sha256_rounds!(w, sha256_next_word, k, [a b c d e f g h]);
                }
                [a, b, c, d, e, f, g, h] = sums([a, b, c, d, e, f, g, h], before);
            }
            for (word, vector) in state.iter_mut().zip([a, b, c, d, e, f, g, h]) {
                store(word, vector);
            }
        }

        /// The word of round `t`; `w` holds the last sixteen.
        #[inline]
        #[target_feature(enable = $features)]
        fn sha1_word(w: &mut [Vector; 16], t: usize) -> Vector {
            if t >= 16 {
                let x = xor(parity(w[(t + 13) % 16], w[(t + 8) % 16], w[(t + 2) % 16]), w[t % 16]);
                w[t % 16] = rotate_left(x, 1);
            }
            w[t % 16]
        }

        /// A word of the first sixteen.
        #[inline]
        #[target_feature(enable = $features)]
        fn sha256_given_word(w: &mut [Vector; 16], t: usize) -> Vector {
            w[t]
        }

        /// A later word, which takes the place of the one sixteen rounds before.
        #[inline]
        #[target_feature(enable = $features)]
        fn sha256_next_word(w: &mut [Vector; 16], t: usize) -> Vector {
            let (x, y) = (w[(t + 1) % 16], w[(t + 14) % 16]);
            let sigma_0 = parity(rotate_right(x, 7), rotate_right(x, 18), shift_right(x, 3));
            let sigma_1 = parity(rotate_right(y, 17), rotate_right(y, 19), shift_right(y, 10));
            w[t] = add(add(add(w[t], w[(t + 9) % 16]), sigma_0), sigma_1);
            w[t]
        }

        #[inline]
        #[target_feature(enable = $features)]
        fn rotate_right(x: Vector, bits: i32) -> Vector {
            rotate_left(x, 32 - bits)
        }

        #[inline]
        #[target_feature(enable = $features)]
        fn sums<const WORDS: usize>(mut x: [Vector; WORDS], y: [Vector; WORDS]) -> [Vector; WORDS] {
            for (x, y) in x.iter_mut().zip(y) {
                *x = add(*x, y);
            }
            x
        }
    };
}

pub(super) use {kernels, sha1_round, sha1_rounds, sha256_eight_rounds, sha256_round, sha256_rounds};
