//! How much is given away, in words for the screen.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use crate::catalog::Catalog;
use crate::words;

/// The time over which the speed is taken.
const WINDOW: Duration = Duration::from_secs(5);

/// What was given away up to which time, of the last few seconds.
#[derive(Debug, Default)]
pub struct Traffic {
    samples: VecDeque<(Instant, u64)>,
}

impl Traffic {
    /// One line about now.
    pub fn sentence(&mut self, now: Instant, catalog: &Catalog, peers: usize) -> String {
        let contents = catalog.items().iter().filter_map(|item| item.content.as_ref());
        let total = contents.map(|content| content.counters.sums().uploaded).sum();
        let peers = words::count(peers as u64, "peer", "peers");
        let total_words = words::bytes(total);
        match self.speed(now, total) {
            0 => format!("{peers}; {total_words} given away."),
            speed => format!("{peers}; {}/s, {total_words} given away.", words::bytes(speed)),
        }
    }

    /// Bytes in a second, when `total` were given away up to now. What is unpublished takes its bytes along; then it is 0.
    fn speed(&mut self, now: Instant, total: u64) -> u64 {
        self.samples.push_back((now, total));
        while self.samples.get(1).is_some_and(|(at, _)| now.duration_since(*at) >= WINDOW) {
            self.samples.pop_front();
        }
        let Some((since, before)) = self.samples.front() else { return 0 };
        let milliseconds = now.duration_since(*since).as_millis().max(1);
        u64::try_from(u128::from(total.saturating_sub(*before)) * 1000 / milliseconds).unwrap_or(u64::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_speed_is_that_of_the_last_seconds() {
        let (mut traffic, start) = (Traffic::default(), Instant::now());
        let mut speed = |seconds: u64, total| traffic.speed(start + Duration::from_secs(seconds), total);
        assert_eq!(speed(0, 1000), 0, "what was given away before the start does not count");
        assert_eq!(speed(1, 3000), 2000);
        for second in 2..=20 {
            assert_eq!(speed(second, 1000 + 2000 * second), 2000, "{second}");
        }
        assert_eq!(speed(25, 41_000), 0);
        assert_eq!(speed(26, 7), 0, "an item is gone");
    }
}
