//! What happened, for people: bounded, newest last, and said once if it goes on. Pure.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::words;

/// Events that are kept: with [`MAX_BYTES`] of text each, less than 200 kB.
const MAX: usize = 300;

/// Bytes kept of what one is about.
const MAX_BYTES: usize = 500;

/// What happens again within this time (seconds) is the same event.
const SAME: i64 = 3600;

/// What many items meet within this time (seconds) of each other is one event.
const TOGETHER: i64 = 600;

/// Events among which the same is looked for.
const NEAR: usize = 16;

/// What kind of thing happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// The daemon of that version started.
    Started,
    /// It started without having ended as it should: the power was cut, or it was killed.
    Recovered,
    /// It ended.
    Ended,
    /// The clock was set, as a sentence says.
    Clock,
    /// An item of that name became public.
    Published,
    /// An item of that name was taken back: its files are gone, or others.
    Retired,
    /// Something can't be published: its name, a colon, and why.
    Failed,
    /// What became of a disc or stick that was read, as a sentence says.
    Imported,
    /// The disk does not give back an item of that name as it was hashed.
    Damaged,
    /// Something is wrong with the box, as a sentence says.
    Problem,
    /// That is no longer so.
    Solved,
    /// What became of an update, as a sentence says.
    Update,
}

/// Something that happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// When, in seconds since 1970; the last time if it happened again.
    pub time: i64,
    /// What kind of thing.
    pub kind: Kind,
    /// What it is about; see [`Kind`].
    pub what: String,
    /// How often.
    pub times: u32,
}

impl Event {
    /// For people.
    pub fn sentence(&self) -> String {
        let what = &self.what;
        let names = |verb: &str| match self.times {
            0 | 1 => format!("{verb} {what}."),
            times => format!("{verb} {times} items, {what} as the last."),
        };
        let sentence = match self.kind {
            Kind::Started => format!("Started: version {what}."),
            Kind::Recovered => format!("Started after a power cut or a fault: version {what}."),
            Kind::Ended => "Ended.".to_owned(),
            Kind::Published => return names("Published"),
            Kind::Retired => return names("Took back"),
            Kind::Damaged => return names("Found damaged on the disk:"),
            Kind::Solved => format!("No longer so: {}", words::sentence(what)),
            // It begins with a name, which is left as it is.
            Kind::Failed => words::sentence(&format!("Can't publish {what}")),
            Kind::Clock | Kind::Imported | Kind::Problem | Kind::Update => words::sentence(what),
        };
        match self.times {
            0 | 1 => sentence,
            times => format!("{sentence} ({times} times)"),
        }
    }

    /// When, for people.
    pub fn when(&self) -> String {
        match Timestamp::from_second(self.time) {
            Ok(time) => time.strftime("%Y-%m-%d %H:%M UTC").to_string(),
            Err(_) => "at an unknown time".into(),
        }
    }

    /// When, for programs (RFC 3339).
    pub fn timestamp(&self) -> String {
        Timestamp::from_second(self.time).unwrap_or_default().to_string()
    }

    /// Whether it stands for many, of which the last is named.
    fn is_of_many(kind: Kind) -> bool {
        matches!(kind, Kind::Published | Kind::Retired | Kind::Damaged)
    }

    /// Whether `kind` of `what` now is this once more.
    fn is_again(&self, kind: Kind, what: &str, now: i64) -> bool {
        let age = now.saturating_sub(self.time);
        kind == self.kind
            && if Self::is_of_many(kind) {
                age < TOGETHER
            } else {
                age < SAME && gist(what).eq(gist(&self.what))
            }
    }
}

/// The words of what is said, but for figures, which change. One with a letter in it is a name.
pub fn gist(sentence: &str) -> impl Iterator<Item = &str> {
    let words = sentence.split(|char: char| !char.is_alphanumeric());
    words.filter(|word| !word.bytes().all(|byte| byte.is_ascii_digit()))
}

/// The last events, by numbers that only grow.
#[derive(Debug, Default)]
pub struct Events {
    kept: BTreeMap<u64, Event>,
    next: u64,
    /// Those of this run start here.
    first: u64,
    /// Numbers of those that are not on disk as they are here.
    changed: BTreeSet<u64>,
}

impl Events {
    /// What was written.
    pub fn read(kept: BTreeMap<u64, Event>) -> Self {
        let next = kept.last_key_value().map_or(0, |(number, _)| number.saturating_add(1));
        let mut events = Self { kept, next, first: next, changed: BTreeSet::new() };
        events.forget_old();
        events
    }

    /// Something happened now.
    pub fn note(&mut self, now: i64, kind: Kind, what: &str) {
        let what = &what[..what.floor_char_boundary(MAX_BYTES)];
        let mut times = 1;
        let again = self.kept.iter().rev().take(NEAR).find(|(_, event)| event.is_again(kind, what, now));
        if let Some(number) = again.map(|(number, _)| *number)
            && let Some(before) = self.kept.remove(&number)
        {
            times = before.times.saturating_add(1);
            self.changed.insert(number);
        }
        self.kept.insert(self.next, Event { time: now, kind, what: what.to_owned(), times });
        self.changed.insert(self.next);
        self.next = self.next.saturating_add(1);
        self.forget_old();
    }

    fn forget_old(&mut self) {
        while self.kept.len() > MAX
            && let Some((number, _)) = self.kept.pop_first()
        {
            self.changed.insert(number);
        }
    }

    /// What happened since the start was so many seconds later.
    pub fn move_by(&mut self, seconds: i64) {
        for (number, event) in self.kept.range_mut(self.first..) {
            event.time = event.time.saturating_add(seconds);
            self.changed.insert(*number);
        }
    }

    /// All of them, newest first.
    pub fn newest_first(&self) -> impl Iterator<Item = &Event> {
        self.kept.values().rev()
    }

    /// What is to be written; `None` is to be deleted.
    pub fn changes(&self) -> Vec<(u64, Option<Event>)> {
        self.changed.iter().map(|number| (*number, self.kept.get(number).cloned())).collect()
    }

    /// These are on disk.
    pub fn written(&mut self, changes: &[(u64, Option<Event>)]) {
        for (number, event) in changes {
            if self.kept.get(number) == event.as_ref() {
                self.changed.remove(number);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sentences(events: &Events) -> Vec<String> {
        events.newest_first().map(Event::sentence).collect()
    }

    #[test]
    fn many_of_a_kind_are_one_and_what_goes_on_is_said_once() {
        let mut events = Events::default();
        events.note(0, Kind::Started, "0.1.0");
        for number in 0..300 {
            events.note(number, Kind::Published, &format!("item {number}"));
            let degrees = format!("The disk has {}.{} degrees", 60 + number % 3, number % 10);
            if number >= 290 {
                events.note(number, Kind::Problem, &degrees);
                events.note(number, Kind::Solved, &degrees);
            }
        }
        events.note(400, Kind::Published, "one");
        events.note(9000, Kind::Published, "two");
        assert_eq!(
            sentences(&events),
            [
                "Published two.",
                "Published 301 items, one as the last.",
                "No longer so: The disk has 62.9 degrees. (10 times)",
                "The disk has 62.9 degrees. (10 times)",
                "Started: version 0.1.0.",
            ]
        );
    }

    #[test]
    fn old_ones_are_forgotten_and_the_rest_is_on_disk_as_it_is_here() {
        let mut on_disk = BTreeMap::new();
        let mut events = Events::default();
        for number in 0..MAX * 3 {
            let what = "\u{e4}".repeat(number);
            events.note(i64::try_from(number).unwrap() * SAME, Kind::Imported, &what);
            if number % 7 == 0 {
                let changes = events.changes();
                for (number, event) in changes.clone() {
                    match event {
                        Some(event) => drop(on_disk.insert(number, event)),
                        None => drop(on_disk.remove(&number)),
                    }
                }
                events.written(&changes);
                assert!(events.changes().is_empty() && on_disk == events.kept, "{number}");
            }
        }
        assert_eq!(events.kept.len(), MAX);
        assert!(events.newest_first().all(|event| event.what.len() <= MAX_BYTES));
        let mut read = Events::read(on_disk.clone());
        read.note(0, Kind::Ended, "");
        read.move_by(5);
        let times: Vec<_> = read.newest_first().map(|event| event.time).take(2).collect();
        assert_eq!(times[0], 5);
        assert_eq!(Some(times[1]), on_disk.last_key_value().map(|(_, event)| event.time), "only of this run");
    }
}
