//! Draws the [`View`] on the screen and, as plain lines, on the serial consoles.

use std::fs::File;
use std::io::Write;
use std::time::{Duration, Instant};

use crate::log;
use crate::screen::View;
use crate::speaker::{Speaker, Tune};
use crate::sys;

/// The first virtual terminal.
const SCREEN: &str = "/dev/tty1";

/// No cursor, no blanking after ten minutes; then upper left corner.
const BEGIN: &str = "\x1b[?25l\x1b[9;0]\x1b[H";

/// Clears the rest of the line, and of the screen: what stays the same does not flicker.
const END_LINE: &str = "\x1b[K\n";
const END: &str = "\x1b[J";

/// The screen is drawn at most this often.
const SCREEN_INTERVAL: Duration = Duration::from_millis(500);

/// The serial consoles at most this often: a progress line a second would bury everything else.
const SERIAL_INTERVAL: Duration = Duration::from_secs(5);

/// And this often if nothing has changed but how much was given away.
const TRAFFIC_INTERVAL: Duration = Duration::from_mins(5);

/// What is shown where, and since when.
#[derive(Default)]
pub struct Console {
    screen: Option<File>,
    speaker: Speaker,
    wanted: Wanted,
    on_screen: Drawn,
    on_serial: Drawn,
    /// The traffic is not a part of it.
    calm_on_serial: Drawn,
    code_on_serial: Vec<String>,
}

/// What is to be shown.
#[derive(Default)]
struct Wanted {
    screen: Vec<String>,
    serial: Vec<String>,
    /// Without what changes all the time.
    calm: Vec<String>,
    code: Vec<String>,
}

#[derive(Default)]
struct Drawn {
    lines: Vec<String>,
    at: Option<Instant>,
}

impl Drawn {
    /// When `wanted` may be drawn; `None` while it is shown already.
    fn due(&self, wanted: &[String], interval: Duration, now: Instant) -> Option<Instant> {
        (self.lines != wanted).then(|| self.at.map_or(now, |at| at + interval))
    }

    fn drawn(&mut self, wanted: &[String], now: Instant) {
        *self = Self { lines: wanted.to_vec(), at: Some(now) };
    }
}

impl Console {
    /// Opens the screen, if there is one.
    pub fn open(&mut self) {
        self.screen = log::open_terminal(SCREEN);
    }

    /// Has people hear a tune, after those before it.
    pub fn play(&mut self, tune: Tune) {
        self.speaker.play(tune);
    }

    /// Takes what is to be shown, and shows it as soon as it may.
    pub fn show(&mut self, view: &View, now: Instant) {
        self.wanted = Wanted {
            screen: view.screen(),
            serial: view.render(),
            calm: View { traffic: String::new(), ..view.clone() }.render(),
            code: view.code(),
        };
        if let Some(tone) = self.speaker.next(now).filter(|tone| tone.frequency > 0)
            && let Some(screen) = &self.screen
        {
            // A machine without a speaker is quiet.
            let _ = sys::sound(screen, tone.frequency, tone.length);
        }
        let screen = &self.wanted.screen;
        if self.on_screen.due(screen, SCREEN_INTERVAL, now).is_some_and(|due| now >= due) {
            if let Some(file) = &mut self.screen {
                // A screen that takes nothing is not worth stopping for.
                let _ = file.write_all(format!("{BEGIN}{}{END_LINE}{END}", screen.join(END_LINE)).as_bytes());
            }
            self.on_screen.drawn(screen, now);
        }
        if self.serial_due(now).is_some_and(|due| now >= due) {
            log::serial(&format!("\n{}\n", self.wanted.serial.join("\n")));
            if self.wanted.code != self.code_on_serial {
                log::serial(&format!("{}\n", self.wanted.code.join("\n")));
                self.code_on_serial.clone_from(&self.wanted.code);
            }
            self.on_serial.drawn(&self.wanted.serial, now);
            self.calm_on_serial.drawn(&self.wanted.calm, now);
        }
    }

    fn serial_due(&self, now: Instant) -> Option<Instant> {
        let Wanted { serial, calm, .. } = &self.wanted;
        let due = self.calm_on_serial.due(calm, SERIAL_INTERVAL, now);
        due.or_else(|| self.on_serial.due(serial, TRAFFIC_INTERVAL, now))
    }

    /// When something waits to be shown or heard.
    pub fn deadline(&self, now: Instant) -> Option<Instant> {
        let screen = self.on_screen.due(&self.wanted.screen, SCREEN_INTERVAL, now);
        [screen, self.serial_due(now), self.speaker.deadline(now)].into_iter().flatten().min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_are_shown_at_once_and_then_not_too_often() {
        let mut console = Console::default();
        let start = Instant::now();
        let view = |seeding| View { seeding, web_port: Some(80), ..View::default() };
        console.show(&view(1), start);
        assert_eq!(console.deadline(start), None, "shown at once");
        console.show(&view(2), start);
        assert_eq!(console.deadline(start), Some(start + SCREEN_INTERVAL));
        console.show(&view(2), start + SCREEN_INTERVAL);
        assert_eq!(
            console.deadline(start),
            Some(start + SERIAL_INTERVAL),
            "the screen has it, serial is to come"
        );
        console.show(&view(3), start + SERIAL_INTERVAL);
        assert_eq!(console.deadline(start), None, "what came last is shown everywhere");
        console.show(&view(3), start + SERIAL_INTERVAL * 9);
        assert_eq!(console.deadline(start), None);
    }

    #[test]
    fn the_serial_console_is_not_flooded_by_the_traffic() {
        let mut console = Console::default();
        let start = Instant::now();
        let view =
            |bytes: u32| View { traffic: format!("{bytes} bytes"), web_port: Some(80), ..View::default() };
        console.show(&view(1), start);
        let mut now = start;
        for bytes in 2..60 {
            now += Duration::from_secs(1);
            console.show(&view(bytes), now);
            assert_eq!(console.deadline(now), Some(start + TRAFFIC_INTERVAL), "on the screen at once");
        }
        now = start + TRAFFIC_INTERVAL;
        console.show(&view(60), now);
        assert_eq!(console.deadline(now), None);
    }
}
