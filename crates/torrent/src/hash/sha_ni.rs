//! A few messages in turn by the SHA instructions of x86.
//!
//! Each of these instructions waits for the one before. While it does, those of other messages run.

#![expect(unsafe_code, reason = "SHA instructions")]

#[allow(clippy::wildcard_imports, reason = "the instructions, which have a name space of their own")]
use std::arch::x86_64::*;
use std::array;

use super::lanes::MessageBlock;
use super::rounds::SHA256_K;

/// Whether the processor has the instructions.
pub fn is_available() -> bool {
    is_x86_feature_detected!("sha") && is_x86_feature_detected!("ssse3") && is_x86_feature_detected!("sse4.1")
}

/// Compresses blocks of `LANES` messages.
pub fn sha1<const LANES: usize>(state: &mut [[u32; LANES]; 5], blocks: &[&[MessageBlock]; LANES]) {
    assert!(is_available(), "the processor has no SHA instructions");
    // SAFETY: the processor has the features, for which `is_available` asks.
    unsafe { sha1_compress(state, blocks) }
}

/// Compresses blocks of `LANES` messages.
pub fn sha256<const LANES: usize>(state: &mut [[u32; LANES]; 8], blocks: &[&[MessageBlock]; LANES]) {
    assert!(is_available(), "the processor has no SHA instructions");
    // SAFETY: the processor has the features, for which `is_available` asks.
    unsafe { sha256_compress(state, blocks) }
}

/// The sixteen words of a block, four by four.
type Words = [__m128i; 4];

/// The state of SHA-1: a, b, c, d from the top down, and e on top.
#[derive(Clone, Copy)]
struct Sha1 {
    abcd: __m128i,
    e: __m128i,
}

/// The state of SHA-256, each four from the top down.
#[derive(Clone, Copy)]
struct Sha256 {
    abef: __m128i,
    cdgh: __m128i,
}

/// Four rounds of SHA-1 for each `$four`, with function and constant number `$f`.
macro_rules! sha1_rounds {
    ($states:ident, $words:ident, $($f:literal: $($four:literal)*;)*) => {
        $($(sha1_four_rounds::<$f, LANES>(&mut $states, &mut $words, $four);)*)*
    };
}

#[target_feature(enable = "sha,ssse3,sse4.1")]
fn sha1_compress<const LANES: usize>(state: &mut [[u32; LANES]; 5], blocks: &[&[MessageBlock]; LANES]) {
    let word = |word: usize, lane: usize| state[word][lane].cast_signed();
    let mut now: [Sha1; LANES] = array::from_fn(|lane| Sha1 {
        abcd: _mm_set_epi32(word(0, lane), word(1, lane), word(2, lane), word(3, lane)),
        e: _mm_set_epi32(word(4, lane), 0, 0, 0),
    });
    // The first word of a message is on top too.
    let order = _mm_set_epi32(0x0001_0203, 0x0405_0607, 0x0809_0a0b, 0x0c0d_0e0f);
    for at in 0..blocks[0].len() {
        let before = now;
        let mut words = message_words(blocks, at, order);
        sha1_rounds!(now, words, 0: 0 1 2 3 4; 1: 5 6 7 8 9; 2: 10 11 12 13 14; 3: 15 16 17 18 19;);
        for (now, before) in now.iter_mut().zip(before) {
            now.e = _mm_sha1nexte_epu32(now.e, before.e);
            now.abcd = _mm_add_epi32(now.abcd, before.abcd);
        }
    }
    for (lane, Sha1 { abcd, e }) in now.into_iter().enumerate() {
        state[0][lane] = _mm_extract_epi32::<3>(abcd).cast_unsigned();
        state[1][lane] = _mm_extract_epi32::<2>(abcd).cast_unsigned();
        state[2][lane] = _mm_extract_epi32::<1>(abcd).cast_unsigned();
        state[3][lane] = _mm_extract_epi32::<0>(abcd).cast_unsigned();
        state[4][lane] = _mm_extract_epi32::<3>(e).cast_unsigned();
    }
}

/// Rounds `4 * four` to `4 * four + 3` of each message.
///
/// Between them `e` is the `abcd` of four rounds before; rotated, its top word is e.
#[inline]
#[target_feature(enable = "sha,ssse3,sse4.1")]
fn sha1_four_rounds<const F: i32, const LANES: usize>(
    states: &mut [Sha1; LANES],
    words: &mut [Words; LANES],
    four: usize,
) {
    for (state, w) in states.iter_mut().zip(words) {
        if four >= 4 {
            let x = _mm_sha1msg1_epu32(w[four % 4], w[(four + 1) % 4]);
            let x = _mm_xor_si128(x, w[(four + 2) % 4]);
            w[four % 4] = _mm_sha1msg2_epu32(x, w[(four + 3) % 4]);
        }
        let w = w[four % 4];
        let e_and_w = if four == 0 { _mm_add_epi32(state.e, w) } else { _mm_sha1nexte_epu32(state.e, w) };
        *state = Sha1 { abcd: _mm_sha1rnds4_epu32::<F>(state.abcd, e_and_w), e: state.abcd };
    }
}

#[target_feature(enable = "sha,ssse3,sse4.1")]
fn sha256_compress<const LANES: usize>(state: &mut [[u32; LANES]; 8], blocks: &[&[MessageBlock]; LANES]) {
    let word = |word: usize, lane: usize| state[word][lane].cast_signed();
    let mut now: [Sha256; LANES] = array::from_fn(|lane| Sha256 {
        abef: _mm_set_epi32(word(0, lane), word(1, lane), word(4, lane), word(5, lane)),
        cdgh: _mm_set_epi32(word(2, lane), word(3, lane), word(6, lane), word(7, lane)),
    });
    // The first word of a message is at the bottom.
    let order = _mm_set_epi32(0x0c0d_0e0f, 0x0809_0a0b, 0x0405_0607, 0x0001_0203);
    for at in 0..blocks[0].len() {
        let before = now;
        let mut words = message_words(blocks, at, order);
        for (sixteen, k) in SHA256_K.as_chunks::<16>().0.iter().enumerate() {
            // Written out, so that the words stay in registers.
            sha256_four_rounds::<0, LANES>(&mut now, &mut words, k, sixteen > 0);
            sha256_four_rounds::<1, LANES>(&mut now, &mut words, k, sixteen > 0);
            sha256_four_rounds::<2, LANES>(&mut now, &mut words, k, sixteen > 0);
            sha256_four_rounds::<3, LANES>(&mut now, &mut words, k, sixteen > 0);
        }
        for (now, before) in now.iter_mut().zip(before) {
            now.abef = _mm_add_epi32(now.abef, before.abef);
            now.cdgh = _mm_add_epi32(now.cdgh, before.cdgh);
        }
    }
    for (lane, Sha256 { abef, cdgh }) in now.into_iter().enumerate() {
        state[0][lane] = _mm_extract_epi32::<3>(abef).cast_unsigned();
        state[1][lane] = _mm_extract_epi32::<2>(abef).cast_unsigned();
        state[2][lane] = _mm_extract_epi32::<3>(cdgh).cast_unsigned();
        state[3][lane] = _mm_extract_epi32::<2>(cdgh).cast_unsigned();
        state[4][lane] = _mm_extract_epi32::<1>(abef).cast_unsigned();
        state[5][lane] = _mm_extract_epi32::<0>(abef).cast_unsigned();
        state[6][lane] = _mm_extract_epi32::<1>(cdgh).cast_unsigned();
        state[7][lane] = _mm_extract_epi32::<0>(cdgh).cast_unsigned();
    }
}

/// Rounds `4 * FOUR` to `4 * FOUR + 3` of sixteen whose constants are `k`.
///
/// `later` than the first sixteen, their words are made from those before.
#[inline]
#[target_feature(enable = "sha,ssse3,sse4.1")]
fn sha256_four_rounds<const FOUR: usize, const LANES: usize>(
    states: &mut [Sha256; LANES],
    words: &mut [Words; LANES],
    k: &[u32; 16],
    later: bool,
) {
    // SAFETY: these are the 16 bytes of a vector.
    let k = unsafe { _mm_loadu_si128(k.as_chunks::<4>().0[FOUR].as_ptr().cast()) };
    for (state, w) in states.iter_mut().zip(words) {
        if later {
            let x = _mm_sha256msg1_epu32(w[FOUR], w[(FOUR + 1) % 4]);
            let x = _mm_add_epi32(x, _mm_alignr_epi8::<4>(w[(FOUR + 3) % 4], w[(FOUR + 2) % 4]));
            w[FOUR] = _mm_sha256msg2_epu32(x, w[(FOUR + 3) % 4]);
        }
        let k_and_w = _mm_add_epi32(w[FOUR], k);
        // After two rounds the old a, b, e, f are c, d, g, h.
        state.cdgh = _mm_sha256rnds2_epu32(state.cdgh, state.abef, k_and_w);
        state.abef = _mm_sha256rnds2_epu32(state.abef, state.cdgh, _mm_shuffle_epi32::<0x0e>(k_and_w));
    }
}

/// The words of block `at` of each message; `order` says where the bytes of each four words go.
#[inline]
#[target_feature(enable = "sha,ssse3,sse4.1")]
fn message_words<const LANES: usize>(
    blocks: &[&[MessageBlock]; LANES],
    at: usize,
    order: __m128i,
) -> [Words; LANES] {
    let mut words = [[_mm_setzero_si128(); 4]; LANES];
    for (words, blocks) in words.iter_mut().zip(blocks) {
        for (words, bytes) in words.iter_mut().zip(blocks[at].as_chunks::<16>().0) {
            // SAFETY: these are the 16 bytes of a vector.
            *words = _mm_shuffle_epi8(unsafe { _mm_loadu_si128(bytes.as_ptr().cast()) }, order);
        }
    }
    words
}
