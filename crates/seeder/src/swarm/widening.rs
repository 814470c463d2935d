//! How far ahead of the uplink pieces are revealed.

use std::time::{Duration, Instant};

/// The most that is revealed, as a multiple of what should do.
const MAX: f64 = 32.0;

/// How soon it is doubled again: reveals take some time to become requests.
const PACE: Duration = Duration::from_millis(20);

/// What is revealed, as a multiple of what should do. Grows while the uplink is idle, because members are slow to
/// ask, far away, or the uplink is faster than was believed.
#[derive(Debug)]
pub(super) struct Widening {
    factor: f64,
    grown: Option<Instant>,
}

impl Default for Widening {
    fn default() -> Self {
        Self { factor: 1.0, grown: None }
    }
}

impl Widening {
    pub(super) fn factor(&self) -> f64 {
        self.factor
    }

    pub(super) fn grow(&mut self, now: Instant) {
        if self.grown.is_none_or(|at| now >= at + PACE) {
            self.factor = (self.factor * 2.0).min(MAX);
            self.grown = Some(now);
        }
    }

    pub(super) fn shrink(&mut self) {
        self.factor = (self.factor * 0.95).max(1.0);
    }
}
