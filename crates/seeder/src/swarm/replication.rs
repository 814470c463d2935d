//! How long it takes until a piece that was sent is shown by a second member.

use std::collections::VecDeque;
use std::time::Duration;

/// Samples that are kept.
const SAMPLES: usize = 64;

/// Samples without which nothing is known.
const MIN_SAMPLES: usize = 16;

/// Nobody is doubted sooner.
pub(super) const MIN_PATIENCE: Duration = Duration::from_secs(1);

/// The last durations.
#[derive(Debug, Default)]
pub(super) struct Replication {
    samples: VecDeque<Duration>,
}

impl Replication {
    pub(super) fn count(&mut self, duration: Duration) {
        if self.samples.len() == SAMPLES {
            self.samples.pop_front();
        }
        self.samples.push_back(duration);
    }

    /// That many times the median, and no less than [`MIN_PATIENCE`]. `None` as long as too few are known.
    pub(super) fn patience(&self, times: u32) -> Option<Duration> {
        let mut sorted: Vec<_> = self.samples.iter().copied().collect();
        let middle = sorted.len() / 2;
        (sorted.len() >= MIN_SAMPLES)
            .then(|| (*sorted.select_nth_unstable(middle).1 * times).max(MIN_PATIENCE))
    }
}
