//! Reads again what is published, little by little, and compares it with what was hashed: disks forget.
//!
//! All of the box is read once in the time that `blackbox.toml` says. What is found damaged is not given to anybody, and
//! read again each day, since some disks come round.

mod verify;

use std::fs;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::{Duration, Instant};

use torrent::{Lengths, PieceIndex};

use crate::app::{App, SharedApp};
use crate::catalog::{Content, Item, State};
use crate::priority;
use crate::words;
use verify::{Verdict, Verifier};

/// How often it is looked whether there is something to do.
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
    let Some(period) = app.config.scrub.period() else { return };
    let mut scrub = Scrub::new(app, period);
    while !app.is_ending() {
        let rest = scrub.step();
        let until = Instant::now() + rest;
        while !app.is_ending()
            && let Some(left) = until.checked_duration_since(Instant::now()).filter(|left| !left.is_zero())
        {
            thread::park_timeout(left);
        }
    }
    scrub.save();
}

struct Scrub<'a> {
    app: &'a App,
    /// In which all is read once.
    period: Duration,
    cursor: Cursor,
    saved: Instant,
    /// What the item at the cursor must hash to.
    verifier: Option<Verifier>,
    /// When what is damaged is to be read again.
    again: Instant,
}

impl<'a> Scrub<'a> {
    fn new(app: &'a App, period: Duration) -> Self {
        let text = fs::read_to_string(app.state.join(FILE)).unwrap_or_default();
        let now = Instant::now();
        Self { app, period, cursor: Cursor::read(&text), saved: now, verifier: None, again: now }
    }

    /// Does the next bit of work, and says how long to rest after it.
    fn step(&mut self) -> Duration {
        if self.saved.elapsed() >= SAVE {
            self.save();
        }
        let catalog = self.app.catalog.snapshot();
        let seeding: Vec<_> = catalog.by_name().filter(|item| item.state == State::Seeding).collect();
        if Instant::now() >= self.again {
            self.again += AGAIN;
            for item in &seeding {
                self.look_at_damage(item);
            }
        }
        let Some(item) = self.cursor.find(&seeding) else { return LOOK };
        let Some(read) = self.verify_next(item) else {
            self.cursor = Cursor { name: format!("{}\0", item.name), piece: 0 };
            self.verifier = None;
            return Duration::ZERO;
        };
        let all: u64 = seeding.iter().map(|item| item.size_bytes).sum();
        // Everything takes the whole period, a part of it that part.
        self.period.mul_f64((read as f64 / all.max(1) as f64).min(1.0))
    }

    /// Verifies the piece at the cursor; `None` after the last, or if nothing can be said of the item now. Otherwise how
    /// many bytes were read.
    fn verify_next(&mut self, item: &Item) -> Option<u64> {
        let content = item.content.as_ref()?;
        if self.verifier.as_ref().is_none_or(|verifier| !verifier.is_of(content)) {
            self.verifier = Verifier::new(self.app, content);
        }
        let lengths = &content.torrent().lengths;
        let range = bytes_of(lengths, lengths.piece(self.cursor.piece)?);
        self.cursor = Cursor { name: item.name.clone(), piece: self.cursor.piece + 1 };
        let verdict = self.verifier.as_ref()?.verify(self.app, range.clone());
        self.app.scrubbed_bytes.fetch_add(range.end - range.start, Ordering::Relaxed);
        conclude(self.app, content, &range, verdict).then_some(range.end - range.start)
    }

    /// Verifies the pieces that are damaged.
    fn look_at_damage(&self, item: &Item) {
        let Some(content) = item.content.as_ref() else { return };
        let lengths = &content.torrent().lengths;
        let damaged = content.damage.pieces(lengths);
        if damaged.is_empty() {
            return;
        }
        let Some(verifier) = Verifier::new(self.app, content) else { return };
        for range in damaged.into_iter().map(|piece| bytes_of(lengths, piece)) {
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

fn bytes_of(lengths: &Lengths, piece: PieceIndex) -> Range<u64> {
    let start = lengths.piece_offset(piece);
    start..start + u64::from(lengths.piece_size(piece))
}

/// Remembers what was found of these bytes; whether the item can be read on.
fn conclude(app: &App, content: &Arc<Content>, range: &Range<u64>, verdict: Verdict) -> bool {
    let verified = |range: Range<u64>, is_damaged| {
        if let Err(error) = app.catalog.verified(&content.name, content, range, is_damaged) {
            tracing::error!("damage of {:?} can't be remembered: {error}", content.name);
        }
    };
    match verdict {
        Verdict::Good => verified(range.clone(), false),
        Verdict::Damaged(ranges) => {
            // First what is damaged, so that nobody is given it for a moment.
            verified(range.clone(), true);
            let bytes: u64 = ranges.iter().map(|range| range.end - range.start).sum();
            tracing::error!("{:?} is damaged on the disk: {}", content.name, words::bytes(bytes));
            for range in &ranges {
                verified(range.clone(), true);
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
