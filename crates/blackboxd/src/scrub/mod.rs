//! Reads again what is published, little by little, and compares it with what was hashed: disks forget.
//!
//! All of the box is read once in the time that `blackbox.toml` says; what could not be read for a peer comes first. What is
//! found damaged is not given to anybody, and read again each day, since some disks come round.

mod suspects;
mod verify;

use std::fs;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::{Duration, Instant};

use torrent::PieceIndex;

use crate::app::{App, SharedApp};
use crate::catalog::{Content, Item, State};
use crate::priority;
use crate::words;
pub use suspects::Suspects;
use verify::{Verdict, Verifier};

/// How often it is looked whether there is something to do, and how long it rests after what could not be read.
const LOOK: Duration = Duration::from_secs(1);

/// How often what is damaged is read again.
const AGAIN: Duration = Duration::from_hours(24);

/// Name of the file in the state folder that says how far reading has come: number of a piece, name of the item.
const FILE: &str = "scrub";

/// How often it is written.
const SAVE: Duration = Duration::from_mins(10);

/// Where reading is: at this piece of the first item whose name is not before this one.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
struct Cursor {
    name: String,
    piece: u32,
}

/// Scrubs until the daemon ends. Runs on a thread of its own, which is unparked then.
pub fn run(app: &SharedApp) {
    priority::lower();
    let mut scrub = Scrub::new(app, app.config.scrub.period());
    while !app.is_ending() {
        let rest = scrub.step();
        // Woken early by chance it does no harm: what is not due is not done.
        thread::park_timeout(rest);
    }
    scrub.save();
}

struct Scrub<'a> {
    app: &'a App,
    /// In which all is read once; `None`: only what is suspected is read.
    period: Option<Duration>,
    cursor: Cursor,
    saved: Instant,
    /// What the item at the cursor must hash to.
    verifier: Option<Verifier>,
    /// When bytes were read last, and how many.
    last: (Instant, u64),
    /// When what is damaged is to be read again.
    again: Instant,
}

impl<'a> Scrub<'a> {
    fn new(app: &'a App, period: Option<Duration>) -> Self {
        let text = fs::read_to_string(app.state.join(FILE)).unwrap_or_default();
        let now = Instant::now();
        Self {
            app,
            period,
            cursor: Cursor::read(&text),
            saved: now,
            verifier: None,
            last: (now, 0),
            again: now,
        }
    }

    /// Does what is due, and says how long to rest after it.
    fn step(&mut self) -> Duration {
        if self.saved.elapsed() >= SAVE {
            self.save();
        }
        while let Some((content, offset)) = self.app.suspects.next() {
            let lengths = &content.torrent().lengths;
            let piece = offset / u64::from(lengths.piece_length());
            let piece = u32::try_from(piece).ok().and_then(|piece| lengths.piece(piece));
            self.verify_all(&content, &Vec::from_iter(piece));
        }
        let catalog = self.app.catalog.snapshot();
        let seeding: Vec<_> = catalog.by_name().filter(|item| item.state == State::Seeding).collect();
        if Instant::now() >= self.again {
            self.again += AGAIN;
            for content in seeding.iter().filter_map(|item| item.content.as_ref()) {
                self.verify_all(content, &content.damage.pieces(&content.torrent().lengths));
            }
        }
        let (Some(period), Some(item)) = (self.period, self.cursor.find(&seeding)) else { return LOOK };
        let all: u64 = seeding.iter().map(|item| item.size_bytes).sum();
        // Everything takes the whole period, a part of it that part.
        let part = self.last.1 as f64 / all.max(1) as f64;
        let rest = period.mul_f64(part.min(1.0)).saturating_sub(self.last.0.elapsed());
        if rest.is_zero() { self.verify_next(item) } else { rest.min(LOOK) }
    }

    /// Verifies the piece at the cursor and goes on to the next one, and says how long to rest in any case.
    fn verify_next(&mut self, item: &Item) -> Duration {
        let content = item.content.as_ref().expect("invariant: what is seeding has content");
        let lengths = &content.torrent().lengths;
        let Some(piece) = lengths.piece(self.cursor.piece) else {
            self.cursor = Cursor::after(&item.name);
            self.verifier = None;
            return Duration::ZERO;
        };
        if self.verifier.as_ref().is_none_or(|verifier| !verifier.is_of(content)) {
            self.verifier = Verifier::new(self.app, content);
        }
        let range = lengths.piece_range(piece);
        let length = range.end - range.start;
        let is_known = self.verifier.as_ref().is_some_and(|verifier| {
            let verdict = verifier.verify(self.app, range.clone());
            conclude(self.app, content, &range, verdict)
        });
        if !is_known {
            // Nothing can be said of it now.
            self.cursor = Cursor::after(&item.name);
            return LOOK;
        }
        self.cursor = Cursor { name: item.name.clone(), piece: self.cursor.piece + 1 };
        self.last = (Instant::now(), length);
        self.app.scrubbed_bytes.fetch_add(length, Ordering::Relaxed);
        Duration::ZERO
    }

    /// Verifies pieces, whatever time it takes.
    fn verify_all(&self, content: &Arc<Content>, pieces: &[PieceIndex]) {
        if pieces.is_empty() {
            return;
        }
        let Some(verifier) = Verifier::new(self.app, content) else { return };
        for range in pieces.iter().map(|piece| content.torrent().lengths.piece_range(*piece)) {
            let verdict = verifier.verify(self.app, range.clone());
            conclude(self.app, content, &range, verdict);
        }
    }

    fn save(&mut self) {
        self.saved = Instant::now();
        if let Err(error) = fs::write(self.app.state.join(FILE), self.cursor.to_string()) {
            tracing::debug!("how far scrubbing has come can't be kept: {error}");
        }
    }
}

/// Remembers what was found of these bytes; whether the item can be read on.
fn conclude(app: &App, content: &Arc<Content>, range: &Range<u64>, verdict: Verdict) -> bool {
    let verified = |range: Range<u64>, is_damaged| {
        if let Err(error) = app.catalog.verified(&content.name, content, range, is_damaged) {
            tracing::error!("damage of {:?} can't be remembered: {error}", content.name);
        }
    };
    match verdict {
        Verdict::Good if content.damage.touches(range) => verified(range.clone(), false),
        Verdict::Good => {}
        Verdict::Damaged(ranges) => {
            let bytes: u64 = ranges.iter().map(|range| range.end - range.start).sum();
            tracing::error!("{:?} is damaged on the disk: {}", content.name, words::bytes(bytes));
            // First these, so that nobody is given them for a moment.
            for damaged in &ranges {
                verified(damaged.clone(), true);
            }
            let mut good = range.start;
            for damaged in &ranges {
                verified(good..damaged.start.max(good), false);
                good = good.max(damaged.end);
            }
            verified(good..range.end.max(good), false);
        }
        Verdict::Changed(error) => {
            app.look_again(content, &error);
            return false;
        }
        Verdict::Unknown => return false,
    }
    true
}

impl Cursor {
    /// Behind the item of that name.
    fn after(name: &str) -> Self {
        Self { name: format!("{name}\0"), piece: 0 }
    }

    fn read(text: &str) -> Self {
        let (piece, name) = text.split_once(' ').unwrap_or_default();
        Self { name: name.to_owned(), piece: piece.parse().unwrap_or(0) }
    }

    /// The item at the cursor, of items sorted by name; after the last comes the first. The cursor is at its first piece
    /// then, and also where it was at an item that is gone.
    fn find<'i>(&mut self, items: &[&'i Arc<Item>]) -> Option<&'i Arc<Item>> {
        let found = items.iter().find(|item| item.name >= self.name).or(items.first())?;
        if found.name != self.name {
            *self = Self { name: found.name.clone(), piece: 0 };
        }
        Some(found)
    }
}

impl std::fmt::Display for Cursor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.piece, self.name)
    }
}

#[cfg(test)]
mod tests;
