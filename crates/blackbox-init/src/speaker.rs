//! Which tones the PC speaker gives, one after the other. Pure: time is an argument.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// Tunes that wait: who puts in twenty sticks at once need not hear of each.
const MAX_WAITING: usize = 8;

/// Quiet after a tune.
const REST: Duration = Duration::from_millis(400);

/// What people are told of a medium that they put in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tune {
    /// It can be downloaded: two tones, upwards.
    Published,
    /// It can't be published: a low one.
    Failed,
}

/// A tone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tone {
    /// Hertz; 0 for a rest.
    pub frequency: u32,
    /// How long.
    pub length: Duration,
}

impl Tune {
    fn tones(self) -> Vec<Tone> {
        let tone = |frequency, milliseconds| Tone { frequency, length: Duration::from_millis(milliseconds) };
        let mut tones = match self {
            Self::Published => vec![tone(880, 150), tone(1319, 300)],
            Self::Failed => vec![tone(196, 700)],
        };
        tones.push(Tone { frequency: 0, length: REST });
        tones
    }
}

/// What is still to be heard.
#[derive(Debug, Default)]
pub struct Speaker {
    waiting: VecDeque<Tone>,
    /// The end of the tone that is heard.
    busy_until: Option<Instant>,
}

impl Speaker {
    /// Plays a tune after those that were asked for before.
    pub fn play(&mut self, tune: Tune) {
        let rests = self.waiting.iter().filter(|tone| tone.frequency == 0).count();
        if rests < MAX_WAITING {
            self.waiting.extend(tune.tones());
        }
    }

    /// When [`Self::next`] has something.
    pub fn deadline(&self, now: Instant) -> Option<Instant> {
        self.waiting.front().map(|_| self.busy_until.unwrap_or(now))
    }

    /// The tone that begins now, if one does.
    pub fn next(&mut self, now: Instant) -> Option<Tone> {
        if self.busy_until.is_some_and(|end| now < end) {
            return None;
        }
        let tone = self.waiting.pop_front();
        self.busy_until = tone.map(|tone| now + tone.length);
        tone
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tones_follow_each_other() {
        let mut speaker = Speaker::default();
        let start = Instant::now();
        assert_eq!((speaker.deadline(start), speaker.next(start)), (None, None));
        speaker.play(Tune::Published);
        speaker.play(Tune::Failed);
        let mut heard = Vec::new();
        let mut now = start;
        while let Some(due) = speaker.deadline(now) {
            assert!(due == start || speaker.next(now).is_none());
            now = due;
            heard.extend(speaker.next(now).map(|tone| (tone.frequency, (now - start).as_millis())));
        }
        assert_eq!(heard, [(880, 0), (1319, 150), (0, 450), (196, 850), (0, 1550)]);
        for _ in 0..1000 {
            speaker.play(Tune::Failed);
        }
        assert_eq!(speaker.waiting.len(), 2 * MAX_WAITING);
    }
}
