//! What a machine gave by its speaker, as QEMU records it: 44,100 samples a second of two channels with 16 bits each.

use std::fs;
use std::path::Path;

/// Bytes before the samples.
const HEADER: usize = 44;

/// Samples per second.
const RATE: usize = 44_100;

/// Samples that are looked at together: a twentieth of a second.
const SPAN: usize = RATE / 20;

/// The frequencies (hertz) of the tones, one after the other, as well as they can be told in a twentieth of a second.
///
/// # Panics
/// When nothing was recorded.
pub fn tones(wave: &Path) -> Vec<usize> {
    let bytes = fs::read(wave).expect("a recording");
    let samples = bytes.get(HEADER..).unwrap_or_default().chunks_exact(4);
    let left: Vec<i16> = samples.map(|sample| i16::from_le_bytes([sample[0], sample[1]])).collect();
    let mut tones: Vec<usize> = Vec::new();
    for span in left.chunks_exact(SPAN) {
        let low = span.iter().min().copied().unwrap_or_default();
        let high = span.iter().max().copied().unwrap_or_default();
        let middle = low.midpoint(high);
        let rises = span.windows(2).filter(|pair| pair[0] <= middle && pair[1] > middle).count();
        let frequency = rises * RATE / SPAN;
        if high.saturating_sub(low) > 1000
            && tones.last().is_none_or(|last| last.abs_diff(frequency) > last / 8)
        {
            tones.push(frequency);
        }
    }
    tones
}
