//! What a machine gave by its speaker, as QEMU records it: 44,100 samples a second of two channels with 16 bits each.

use std::fs;
use std::path::Path;

/// Bytes before the samples.
const HEADER: usize = 44;

/// Samples per second.
const RATE: usize = 44_100;

/// Samples that are looked at together: a fortieth of a second.
const SPAN: usize = RATE / 40;

/// Spans that sound alike are a tone. One that sounds like none of its neighbours is where a tone becomes another one.
const LASTING: usize = 2;

/// The frequencies (hertz) of the tones, one after the other, as well as they can be told in a fortieth of a second.
///
/// # Panics
/// When nothing was recorded.
pub fn tones(wave: &Path) -> Vec<usize> {
    let bytes = fs::read(wave).expect("a recording");
    let samples = bytes.get(HEADER..).unwrap_or_default().chunks_exact(4);
    let left: Vec<i16> = samples.map(|sample| i16::from_le_bytes([sample[0], sample[1]])).collect();
    let spans: Vec<Option<usize>> = left.chunks_exact(SPAN).map(frequency).collect();
    let same = |one: &Option<usize>, next: &Option<usize>| match (one, next) {
        (Some(one), Some(next)) => one.abs_diff(*next) <= one / 8,
        (None, None) => true,
        _ => false,
    };
    let lasting = spans.chunk_by(same).filter(|alike| alike.len() >= LASTING);
    lasting.filter_map(|alike| alike[alike.len() / 2]).collect()
}

/// That of a span, if there is something to hear.
fn frequency(span: &[i16]) -> Option<usize> {
    let low = span.iter().min().copied().unwrap_or_default();
    let high = span.iter().max().copied().unwrap_or_default();
    let middle = low.midpoint(high);
    let rises = span.windows(2).filter(|pair| pair[0] <= middle && pair[1] > middle).count();
    (high.saturating_sub(low) > 1000).then_some(rises * RATE / SPAN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tone_is_heard_wherever_the_one_before_ended() {
        for ended in (0..SPAN).step_by(SPAN / 20) {
            let of = |hertz: usize, samples: usize| {
                (0..samples)
                    .map(move |at| if (at * 2 * hertz / RATE).is_multiple_of(2) { 9000 } else { -9000_i16 })
            };
            let silence = std::iter::repeat_n(0, RATE / 10);
            let sound = silence.chain(of(880, RATE * 15 / 100 + ended)).chain(of(1319, RATE * 3 / 10));
            let mut bytes = vec![0; HEADER];
            bytes.extend(sound.flat_map(|sample| [sample.to_le_bytes(), sample.to_le_bytes()].concat()));
            let folder = tempfile::tempdir().expect("a folder");
            let wave = folder.path().join("sound.wav");
            fs::write(&wave, bytes).expect("the sound is written");
            let heard = tones(&wave);
            assert!(
                matches!(heard[..], [low, high] if low.abs_diff(880) < 90 && high.abs_diff(1319) < 130),
                "{heard:?} is heard of a tone that ends {ended} samples later"
            );
        }
    }
}
