//! Whether the daemon still gives signs of life, and what is to be done when it does not. Pure: time is an argument.
//!
//! Silence is counted in looks of init's own and not in time: when the whole machine has stood still, as a virtual one may
//! at any time, the daemon gets as long as ever to say something.

use std::time::{Duration, Instant};

use appliance::message::PULSE;

/// Time without a sign after which the daemon is ended. It says something every [`PULSE`], and from its first moment on.
const PATIENCE: Duration = Duration::from_mins(1);

/// A daemon that was ended is gone within this time, unless a disk holds it up for good.
const GONE: Duration = Duration::from_mins(5);

/// A daemon that has given signs for this long is well; what was before does not count any more.
const WELL: Duration = Duration::from_mins(10);

/// So often in a row a daemon that falls silent is started anew, before the box is.
const MAX_SILENCES: u32 = 3;

/// But the box is restarted at most this often: what does not help is not done again and again.
const BOX_RESTART: Duration = Duration::from_hours(1);

/// What is to be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Nothing.
    Wait,
    /// The daemon is to be ended: it has been silent for too long.
    End,
    /// The box is to be started anew, for this reason.
    GiveUp(&'static str),
}

/// The daemon's signs of life.
#[derive(Debug)]
pub struct Pulse {
    /// Looks without a sign after which the daemon is ended.
    patience: u32,
    next_look: Instant,
    silent: u32,
    /// Signs since it was started.
    signs: u32,
    /// Looks since it was ended.
    ended: Option<u32>,
    /// How often in a row it had to be.
    silences: u32,
}

/// How many signs fit into a time.
fn pulses(time: Duration) -> u32 {
    u32::try_from(time.as_secs().div_ceil(PULSE.as_secs())).unwrap_or(u32::MAX).max(1)
}

impl Pulse {
    /// A daemon that is started now.
    pub fn new(now: Instant) -> Self {
        let next_look = now + PULSE;
        Self { patience: pulses(PATIENCE), next_look, silent: 0, signs: 0, ended: None, silences: 0 }
    }

    /// Changes the time without a sign after which the daemon is ended.
    pub fn set_patience(&mut self, patience: Duration) {
        self.patience = pulses(patience);
    }

    /// It was started, perhaps again.
    pub fn started(&mut self, now: Instant) {
        (self.silent, self.signs, self.ended) = (0, 0, None);
        self.next_look = now + PULSE;
    }

    /// It has given a sign.
    pub fn sign(&mut self) {
        self.silent = 0;
        self.signs = self.signs.saturating_add(1);
        if self.signs >= pulses(WELL) {
            self.silences = 0;
        }
    }

    /// When it is to be looked at.
    pub fn deadline(&self) -> Instant {
        self.next_look
    }

    /// Looks at a daemon that runs, if it is time. `uptime` is since power-on.
    pub fn look(&mut self, now: Instant, uptime: Duration) -> Verdict {
        if now < self.next_look {
            return Verdict::Wait;
        }
        self.next_look = now + PULSE;
        if let Some(looks) = &mut self.ended {
            *looks += 1;
            let is_stuck = *looks >= pulses(GONE);
            return if is_stuck {
                Verdict::GiveUp("the publishing service can't be ended")
            } else {
                Verdict::Wait
            };
        }
        self.silent += 1;
        if self.silent < self.patience {
            return Verdict::Wait;
        }
        self.ended = Some(0);
        self.silences += 1;
        if self.silences >= MAX_SILENCES && uptime >= BOX_RESTART {
            return Verdict::GiveUp("the publishing service stops answering again and again");
        }
        Verdict::End
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A daemon, and the time.
    struct Story {
        pulse: Pulse,
        now: Instant,
        uptime: Duration,
    }

    impl Story {
        fn new(uptime: Duration) -> Self {
            let now = Instant::now();
            Self { pulse: Pulse::new(now), now, uptime }
        }

        fn look_after(&mut self, time: Duration) -> Verdict {
            self.now += time;
            self.pulse.look(self.now, self.uptime)
        }

        /// Looks so many times, one pulse after the other, and says what is found last; before that it has to be nothing.
        fn silence(&mut self, looks: u32) -> Verdict {
            for _ in 1..looks {
                assert_eq!(self.look_after(PULSE), Verdict::Wait);
            }
            self.look_after(PULSE)
        }
    }

    const NEW: Duration = Duration::from_mins(1);

    #[test]
    fn a_daemon_that_says_something_now_and_then_is_left_alone() {
        let mut story = Story::new(BOX_RESTART);
        for _ in 0..1000 {
            assert_eq!(story.silence(pulses(PATIENCE) - 1), Verdict::Wait);
            story.pulse.sign();
        }
    }

    #[test]
    fn a_silent_one_is_ended_once() {
        let mut story = Story::new(NEW);
        assert_eq!(story.silence(pulses(PATIENCE)), Verdict::End);
        assert_eq!(story.silence(pulses(GONE) - 1), Verdict::Wait);
        story.pulse.started(story.now);
        assert_eq!(story.silence(pulses(PATIENCE)), Verdict::End, "and so is the next");
    }

    #[test]
    fn a_machine_that_stood_still_ends_nobody() {
        let mut story = Story::new(NEW);
        assert_eq!(story.silence(pulses(PATIENCE) - 2), Verdict::Wait);
        assert_eq!(story.look_after(Duration::from_hours(1000)), Verdict::Wait);
        assert_eq!(story.look_after(Duration::from_millis(1)), Verdict::Wait, "that was a moment ago");
        story.pulse.sign();
        assert_eq!(story.silence(pulses(PATIENCE)), Verdict::End);
    }

    #[test]
    fn one_that_cannot_be_ended_takes_the_box_with_it() {
        let mut story = Story::new(NEW);
        assert_eq!(story.silence(pulses(PATIENCE)), Verdict::End);
        assert!(matches!(story.silence(pulses(GONE)), Verdict::GiveUp(_)));
    }

    #[test]
    fn one_that_is_silent_again_and_again_has_the_box_started_anew_once_an_hour() {
        let mut story = Story::new(NEW);
        for _ in 0..MAX_SILENCES * 2 {
            assert_eq!(story.silence(pulses(PATIENCE)), Verdict::End);
            story.pulse.started(story.now);
        }
        story.uptime = BOX_RESTART;
        assert!(matches!(story.silence(pulses(PATIENCE)), Verdict::GiveUp(_)));

        story.pulse.started(story.now);
        for _ in 0..pulses(WELL) {
            story.pulse.sign();
        }
        assert_eq!(story.silence(pulses(PATIENCE)), Verdict::End, "it was well in between");
    }

    #[test]
    fn the_patience_can_be_set_and_is_never_none() {
        for (seconds, looks) in [(0, 1), (5, 1), (6, 2), (20, 4), (u64::MAX, u32::MAX)] {
            let mut story = Story::new(NEW);
            story.pulse.set_patience(Duration::from_secs(seconds));
            assert_eq!(story.pulse.patience, looks);
        }
    }
}
