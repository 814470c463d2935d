//! Draws the [`View`] on the screen and, as plain lines, on the serial consoles.

use std::fs::File;
use std::io::Write;
use std::time::{Duration, Instant};

use crate::log;
use crate::screen::View;

/// The first virtual terminal.
const SCREEN: &str = "/dev/tty1";

/// No cursor, no blanking after ten minutes; then upper left corner, and clear.
const DRAW: &str = "\x1b[?25l\x1b[9;0]\x1b[H\x1b[2J";

/// The screen is drawn at most this often.
const SCREEN_INTERVAL: Duration = Duration::from_millis(500);

/// The serial consoles at most this often: a progress line a second would bury everything else.
const SERIAL_INTERVAL: Duration = Duration::from_secs(5);

/// What is shown where, and since when.
#[derive(Default)]
pub struct Console {
    screen: Option<File>,
    wanted: Vec<String>,
    on_screen: Drawn,
    on_serial: Drawn,
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

    /// Takes what is to be shown, and shows it as soon as it may.
    pub fn show(&mut self, view: &View, now: Instant) {
        self.wanted = view.render();
        if self.on_screen.due(&self.wanted, SCREEN_INTERVAL, now).is_some_and(|due| now >= due) {
            if let Some(screen) = &mut self.screen {
                // A screen that takes nothing is not worth stopping for.
                let _ = screen.write_all(format!("{DRAW}{}\n", self.wanted.join("\n")).as_bytes());
            }
            self.on_screen.drawn(&self.wanted, now);
        }
        if self.on_serial.due(&self.wanted, SERIAL_INTERVAL, now).is_some_and(|due| now >= due) {
            log::serial(&format!("\n{}\n", self.wanted.join("\n")));
            self.on_serial.drawn(&self.wanted, now);
        }
    }

    /// When something waits to be shown.
    pub fn deadline(&self, now: Instant) -> Option<Instant> {
        let screen = self.on_screen.due(&self.wanted, SCREEN_INTERVAL, now);
        let serial = self.on_serial.due(&self.wanted, SERIAL_INTERVAL, now);
        screen.into_iter().chain(serial).min()
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
}
