//! Sixteen messages in the lanes of 512-bit vectors.

#![expect(unsafe_code, reason = "vector instructions")]

#[allow(clippy::wildcard_imports, reason = "the instructions, which have a name space of their own")]
use std::arch::x86_64::*;

use super::lanes::MessageBlock;
use super::rounds::{PREFETCH, SHA256_K, kernels, side_by_side};
use super::rounds::{sha1_round, sha1_rounds, sha256_eight_rounds, sha256_round, sha256_rounds};

const LANES: usize = 16;
type Vector = __m512i;

/// Whether the processor has the instructions.
pub fn is_available() -> bool {
    is_x86_feature_detected!("avx512f") && is_x86_feature_detected!("avx512bw")
}

kernels!("avx512f,avx512bw");

/// Word `i` of each block as vector `i`: a transposition of 16 x 16 words.
#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
fn message_words(blocks: &[&MessageBlock; LANES]) -> [Vector; 16] {
    let big_endian =
        _mm512_broadcast_i32x4(_mm_set_epi32(0x0c0d_0e0f, 0x0809_0a0b, 0x0405_0607, 0x0001_0203));
    let zero = _mm512_setzero_si512();
    let mut rows = [zero; LANES];
    // Loops: closures are not inlined here, as what calls them lacks the target feature.
    for (row, block) in rows.iter_mut().zip(blocks) {
        _mm_prefetch::<_MM_HINT_T0>(block.as_ptr().wrapping_add(PREFETCH).cast());
        // SAFETY: a block has the 64 bytes of a vector.
        *row = _mm512_shuffle_epi8(unsafe { _mm512_loadu_si512(block.as_ptr().cast()) }, big_endian);
    }
    // `quads[4 * n + i]`: words i, i + 4, i + 8, i + 12 of the rows 4 * n to 4 * n + 3.
    let mut quads = [zero; 16];
    for (rows, quads) in rows.as_chunks::<4>().0.iter().zip(quads.as_chunks_mut::<4>().0) {
        let low = [_mm512_unpacklo_epi32(rows[0], rows[1]), _mm512_unpacklo_epi32(rows[2], rows[3])];
        let high = [_mm512_unpackhi_epi32(rows[0], rows[1]), _mm512_unpackhi_epi32(rows[2], rows[3])];
        quads[0] = _mm512_unpacklo_epi64(low[0], low[1]);
        quads[1] = _mm512_unpackhi_epi64(low[0], low[1]);
        quads[2] = _mm512_unpacklo_epi64(high[0], high[1]);
        quads[3] = _mm512_unpackhi_epi64(high[0], high[1]);
    }
    let mut words = [zero; 16];
    for i in 0..4 {
        let even = [
            _mm512_shuffle_i32x4::<0x88>(quads[i], quads[i + 4]),
            _mm512_shuffle_i32x4::<0x88>(quads[i + 8], quads[i + 12]),
        ];
        let odd = [
            _mm512_shuffle_i32x4::<0xdd>(quads[i], quads[i + 4]),
            _mm512_shuffle_i32x4::<0xdd>(quads[i + 8], quads[i + 12]),
        ];
        words[i] = _mm512_shuffle_i32x4::<0x88>(even[0], even[1]);
        words[i + 4] = _mm512_shuffle_i32x4::<0x88>(odd[0], odd[1]);
        words[i + 8] = _mm512_shuffle_i32x4::<0xdd>(even[0], even[1]);
        words[i + 12] = _mm512_shuffle_i32x4::<0xdd>(odd[0], odd[1]);
    }
    words
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
fn load(words: &[u32; LANES]) -> Vector {
    // SAFETY: these are the 64 bytes of a vector.
    unsafe { _mm512_loadu_si512(words.as_ptr().cast()) }
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
fn store(words: &mut [u32; LANES], vector: Vector) {
    // SAFETY: these are the 64 bytes of a vector.
    unsafe { _mm512_storeu_si512(words.as_mut_ptr().cast(), vector) }
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
fn splat(word: u32) -> Vector {
    _mm512_set1_epi32(word.cast_signed())
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
fn add(x: Vector, y: Vector) -> Vector {
    _mm512_add_epi32(x, y)
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
fn xor(x: Vector, y: Vector) -> Vector {
    _mm512_xor_si512(x, y)
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
fn rotate_left(x: Vector, bits: i32) -> Vector {
    _mm512_rolv_epi32(x, _mm512_set1_epi32(bits))
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
fn shift_right(x: Vector, bits: i32) -> Vector {
    _mm512_srlv_epi32(x, _mm512_set1_epi32(bits))
}

// The immediates are truth tables: bit `4x + 2y + z` is the result.

#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
fn choose(x: Vector, y: Vector, z: Vector) -> Vector {
    _mm512_ternarylogic_epi32::<0b1100_1010>(x, y, z)
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
fn parity(x: Vector, y: Vector, z: Vector) -> Vector {
    _mm512_ternarylogic_epi32::<0b1001_0110>(x, y, z)
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
fn majority(x: Vector, y: Vector, z: Vector) -> Vector {
    _mm512_ternarylogic_epi32::<0b1110_1000>(x, y, z)
}
