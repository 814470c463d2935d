//! When a service that ended is started again. Pure: time is an argument.

use std::time::{Duration, Instant};

/// The first wait after an end.
const FIRST_WAIT: Duration = Duration::from_secs(1);

/// The longest wait: short enough that a box whose trouble has passed is back before anyone looks.
const LONGEST_WAIT: Duration = Duration::from_secs(30);

/// A service that ran this long was healthy; its next end starts again with the first wait.
const HEALTHY: Duration = Duration::from_mins(1);

/// The restart policy of one service: always, with waits that double.
#[derive(Debug)]
pub struct Supervisor {
    wait: Duration,
    state: State,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Waiting { until: Instant },
    Running { since: Instant },
}

impl Supervisor {
    /// A service that is to be started at once.
    pub fn new(now: Instant) -> Self {
        Self { wait: FIRST_WAIT, state: State::Waiting { until: now } }
    }

    /// When it has to be started, while it does not run.
    pub fn deadline(&self) -> Option<Instant> {
        match self.state {
            State::Waiting { until } => Some(until),
            State::Running { .. } => None,
        }
    }

    /// Whether it has to be started now.
    pub fn is_due(&self, now: Instant) -> bool {
        self.deadline().is_some_and(|until| now >= until)
    }

    /// It runs.
    pub fn started(&mut self, now: Instant) {
        self.state = State::Running { since: now };
    }

    /// It ended, or could not be started. Returns how long it waits.
    pub fn ended(&mut self, now: Instant) -> Duration {
        if let State::Running { since } = self.state
            && now.duration_since(since) >= HEALTHY
        {
            self.wait = FIRST_WAIT;
        }
        let wait = self.wait;
        self.wait = (wait * 2).min(LONGEST_WAIT);
        self.state = State::Waiting { until: now + wait };
        wait
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Runs a service for each of `lifetimes` (seconds); returns the waits that follow (seconds).
    fn waits(lifetimes: &[u64]) -> Vec<u64> {
        let mut now = Instant::now();
        let mut supervisor = Supervisor::new(now);
        lifetimes
            .iter()
            .map(|lifetime| {
                assert!(supervisor.is_due(now), "it is started when its wait is over");
                supervisor.started(now);
                assert!(!supervisor.is_due(now + HEALTHY * 100), "it is not started twice");
                now += Duration::from_secs(*lifetime);
                let wait = supervisor.ended(now);
                assert!(!supervisor.is_due(now));
                now += wait;
                wait.as_secs()
            })
            .collect()
    }

    #[test]
    fn waits_double_up_to_a_limit_and_start_again_after_health() {
        assert_eq!(waits(&[0; 8]), [1, 2, 4, 8, 16, 30, 30, 30]);
        assert_eq!(waits(&[0, 0, 59, 60, 0, 3600]), [1, 2, 4, 1, 2, 1]);
    }

    #[test]
    fn a_service_that_cannot_be_started_waits_too() {
        let now = Instant::now();
        let mut supervisor = Supervisor::new(now);
        assert_eq!([supervisor.ended(now), supervisor.ended(now)].map(|wait| wait.as_secs()), [1, 2]);
        assert_eq!(supervisor.deadline(), Some(now + Duration::from_secs(2)));
    }
}
