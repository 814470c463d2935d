//! Eight messages in the lanes of 256-bit vectors.

#![expect(unsafe_code, reason = "vector instructions")]

#[allow(clippy::wildcard_imports, reason = "the instructions, which have a name space of their own")]
use std::arch::x86_64::*;

use super::lanes::MessageBlock;
use super::rounds::{PREFETCH, SHA256_K, kernels, side_by_side};
use super::rounds::{sha1_round, sha1_rounds, sha256_eight_rounds, sha256_round, sha256_rounds};

const LANES: usize = 8;
type Vector = __m256i;

/// Whether the processor has the instructions.
pub fn is_available() -> bool {
    is_x86_feature_detected!("avx2")
}

kernels!("avx2");

/// Word `i` of each block as vector `i`.
#[inline]
#[target_feature(enable = "avx2")]
fn message_words(blocks: &[&MessageBlock; LANES]) -> [Vector; 16] {
    let big_endian =
        _mm256_broadcastsi128_si256(_mm_set_epi32(0x0c0d_0e0f, 0x0809_0a0b, 0x0405_0607, 0x0001_0203));
    let mut left = [_mm256_setzero_si256(); LANES];
    let mut right = left;
    // Loops: closures are not inlined here, as what calls them lacks the target feature.
    for ((left, right), block) in left.iter_mut().zip(&mut right).zip(blocks) {
        _mm_prefetch::<_MM_HINT_T0>(block.as_ptr().wrapping_add(PREFETCH).cast());
        let halves = block.as_chunks::<32>().0;
        // SAFETY: each half has the 32 bytes of a vector.
        *left = _mm256_shuffle_epi8(unsafe { _mm256_loadu_si256(halves[0].as_ptr().cast()) }, big_endian);
        // SAFETY: as above.
        *right = _mm256_shuffle_epi8(unsafe { _mm256_loadu_si256(halves[1].as_ptr().cast()) }, big_endian);
    }
    let mut words = [_mm256_setzero_si256(); 16];
    words[..8].copy_from_slice(&transposed(&left));
    words[8..].copy_from_slice(&transposed(&right));
    words
}

/// Columns of 8 x 8 words.
#[inline]
#[target_feature(enable = "avx2")]
fn transposed(rows: &[Vector; 8]) -> [Vector; 8] {
    let zero = _mm256_setzero_si256();
    // `quads[4 * n + i]`: words i and i + 4 of the rows 4 * n to 4 * n + 3.
    let mut quads = [zero; 8];
    for (rows, quads) in rows.as_chunks::<4>().0.iter().zip(quads.as_chunks_mut::<4>().0) {
        let low = [_mm256_unpacklo_epi32(rows[0], rows[1]), _mm256_unpacklo_epi32(rows[2], rows[3])];
        let high = [_mm256_unpackhi_epi32(rows[0], rows[1]), _mm256_unpackhi_epi32(rows[2], rows[3])];
        quads[0] = _mm256_unpacklo_epi64(low[0], low[1]);
        quads[1] = _mm256_unpackhi_epi64(low[0], low[1]);
        quads[2] = _mm256_unpacklo_epi64(high[0], high[1]);
        quads[3] = _mm256_unpackhi_epi64(high[0], high[1]);
    }
    let mut words = [zero; 8];
    for i in 0..4 {
        words[i] = _mm256_permute2x128_si256::<0x20>(quads[i], quads[i + 4]);
        words[i + 4] = _mm256_permute2x128_si256::<0x31>(quads[i], quads[i + 4]);
    }
    words
}

#[inline]
#[target_feature(enable = "avx2")]
fn load(words: &[u32; LANES]) -> Vector {
    // SAFETY: these are the 32 bytes of a vector.
    unsafe { _mm256_loadu_si256(words.as_ptr().cast()) }
}

#[inline]
#[target_feature(enable = "avx2")]
fn store(words: &mut [u32; LANES], vector: Vector) {
    // SAFETY: these are the 32 bytes of a vector.
    unsafe { _mm256_storeu_si256(words.as_mut_ptr().cast(), vector) }
}

#[inline]
#[target_feature(enable = "avx2")]
fn splat(word: u32) -> Vector {
    _mm256_set1_epi32(word.cast_signed())
}

#[inline]
#[target_feature(enable = "avx2")]
fn add(x: Vector, y: Vector) -> Vector {
    _mm256_add_epi32(x, y)
}

#[inline]
#[target_feature(enable = "avx2")]
fn xor(x: Vector, y: Vector) -> Vector {
    _mm256_xor_si256(x, y)
}

#[inline]
#[target_feature(enable = "avx2")]
fn rotate_left(x: Vector, bits: i32) -> Vector {
    _mm256_or_si256(_mm256_sllv_epi32(x, _mm256_set1_epi32(bits)), shift_right(x, 32 - bits))
}

#[inline]
#[target_feature(enable = "avx2")]
fn shift_right(x: Vector, bits: i32) -> Vector {
    _mm256_srlv_epi32(x, _mm256_set1_epi32(bits))
}

#[inline]
#[target_feature(enable = "avx2")]
fn choose(x: Vector, y: Vector, z: Vector) -> Vector {
    xor(z, _mm256_and_si256(x, xor(y, z)))
}

#[inline]
#[target_feature(enable = "avx2")]
fn parity(x: Vector, y: Vector, z: Vector) -> Vector {
    xor(xor(x, y), z)
}

#[inline]
#[target_feature(enable = "avx2")]
fn majority(x: Vector, y: Vector, z: Vector) -> Vector {
    _mm256_or_si256(_mm256_and_si256(x, y), _mm256_and_si256(z, _mm256_or_si256(x, y)))
}
