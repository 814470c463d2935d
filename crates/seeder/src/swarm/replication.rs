//! How long it takes until a piece that was sent is shown by a second member.

use std::collections::VecDeque;
use std::time::Duration;

/// Samples that are kept.
const SAMPLES: usize = 64;

/// Samples without which nothing is known.
const MIN_SAMPLES: usize = 16;

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

    /// After this time a piece won't be passed on any more. `None` as long as too few were.
    pub(super) fn patience(&self) -> Option<Duration> {
        let mut sorted: Vec<_> = self.samples.iter().copied().collect();
        let middle = sorted.len() / 2;
        (sorted.len() >= MIN_SAMPLES)
            .then(|| (*sorted.select_nth_unstable(middle).1 * 8).max(Duration::from_secs(1)))
    }
}
