//! Puts counters, time and events together, and says what is to be written. In memory alone: nobody who looks waits for a disk.
//!
//! The catalog's owner is the only one that writes: it tells what is counted, once a minute, and writes the [`Change`] in the same
//! transaction as the counters. What is not written yet is in the counters themselves, so a power cut loses what they lose.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;

use super::events::{Event, Events, Kind};
use super::series::{Figures, OF_ONE, OF_THE_BOX, Period, Series};
use super::timeline::{DOUBTFUL, Reading, Set, Timeline};
use crate::catalog::Sums;
use crate::members::Account;

/// An item's or member's series gets what was counted when an hour is over.
const HOUR: i64 = 3600;

/// What was on disk at start.
#[derive(Debug, Default)]
pub struct Loaded {
    /// Of the box.
    pub periods: Vec<(Period, Figures)>,
    /// By their numbers.
    pub events: BTreeMap<u64, Event>,
    /// Of members, by their names.
    pub members: BTreeMap<String, Member>,
}

/// What is kept of a member: a series, and which sums are in it.
#[derive(Debug, Clone)]
pub struct Member {
    /// Sums that the series comes to, since the member was one.
    pub gathered: Figures,
    /// When how much.
    pub series: Series,
}

/// An addition to the series of an item or member.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Whose.
    pub name: String,
    /// When, in seconds since 1970.
    pub at: i64,
    /// What was counted.
    pub figures: Figures,
    /// All that was counted.
    pub gathered: Figures,
}

/// What is to be written.
#[derive(Debug, Default)]
pub struct Change {
    /// Of the box; `None` is to be deleted.
    pub periods: Vec<(Period, Option<Figures>)>,
    /// Of items.
    pub entries: Vec<Entry>,
    /// `None` is to be deleted.
    pub events: Vec<(u64, Option<Event>)>,
}

impl Change {
    /// Whether it is more than what is too old: a disk that nobody downloads from may sleep.
    pub fn is_news(&self) -> bool {
        !self.entries.is_empty()
            || self.periods.iter().any(|(_, figures)| figures.is_some())
            || self.events.iter().any(|(_, event)| event.is_some())
    }
}

/// The history of the box, which everybody may look at and add events to.
#[derive(Debug)]
pub struct History {
    recorder: Mutex<Recorder>,
    read_clocks: fn() -> Reading,
}

/// What is counted of an item, and where.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Tally {
    /// In the series of the box.
    sampled: Figures,
    /// In its own.
    gathered: Figures,
}

#[derive(Debug)]
struct Recorder {
    timeline: Timeline,
    of_box: Series,
    /// What was added to it since the start, as long as the clock may still be set.
    doubtful: Vec<(i64, Figures)>,
    started: i64,
    /// When the sample began that is taken next.
    sample_since: i64,
    /// When items got what is in their series, and when members' were written.
    hour_since: i64,
    members_since: i64,
    /// Of items that anything was given away of.
    tallies: HashMap<String, Tally>,
    members: BTreeMap<String, Member>,
    events: Events,
}

fn difference(now: Figures, before: Figures) -> Figures {
    [0, 1, 2].map(|at| now[at].saturating_sub(before[at]))
}

fn larger(a: Figures, b: Figures) -> Figures {
    [0, 1, 2].map(|at| a[at].max(b[at]))
}

fn sum(a: Figures, b: Figures) -> Figures {
    [0, 1, 2].map(|at| a[at].saturating_add(b[at]))
}

impl From<Sums> for Figures {
    fn from(sums: Sums) -> Self {
        [sums.uploaded.saturating_sub(sums.over_http), sums.over_http, sums.completed]
    }
}

impl From<Account> for Figures {
    fn from(account: Account) -> Self {
        [account.sent, account.claimed_downloaded, account.claimed_uploaded]
    }
}

impl History {
    /// Goes on from what was on disk, at the time that `read_clocks` tells.
    pub fn new(loaded: Loaded, read_clocks: fn() -> Reading) -> Self {
        let of_box = Series::read(&OF_THE_BOX, loaded.periods);
        let events = Events::read(loaded.events);
        let last_event = events.newest_first().map(|event| event.time).max();
        let mut timeline = Timeline::new(read_clocks(), of_box.latest().max(last_event));
        let (now, _) = timeline.look(read_clocks());
        let recorder = Recorder {
            timeline,
            of_box,
            doubtful: Vec::new(),
            started: now,
            sample_since: now,
            hour_since: now,
            members_since: now,
            tallies: HashMap::new(),
            members: loaded.members,
            events,
        };
        Self { recorder: Mutex::new(recorder), read_clocks }
    }

    fn recorder(&self) -> (MutexGuard<'_, Recorder>, i64) {
        let mut recorder = self.recorder.lock().unwrap_or_else(PoisonError::into_inner);
        let now = recorder.look((self.read_clocks)());
        (recorder, now)
    }

    /// The time, in seconds since 1970.
    pub fn now(&self) -> i64 {
        self.recorder().1
    }

    /// Something happened.
    pub fn note(&self, kind: Kind, what: &str) {
        let (mut recorder, now) = self.recorder();
        recorder.events.note(now, kind, what);
    }

    /// The last events, newest first.
    pub fn events(&self) -> Vec<Event> {
        self.recorder().0.events.newest_first().cloned().collect()
    }

    /// An item becomes public whose counters begin with `sums`.
    pub(crate) fn published(&self, name: &str, sums: Sums) {
        self.loaded(name, sums, sums.into());
    }

    /// An item was published before the start whose counters go on from `sums`, of which `gathered` are in its series.
    pub(crate) fn loaded(&self, name: &str, sums: Sums, gathered: Figures) {
        let (mut recorder, _) = self.recorder();
        let tally = Tally { sampled: sums.into(), gathered };
        if tally == Tally::default() {
            recorder.tallies.remove(name);
        } else {
            recorder.tallies.insert(name.to_owned(), tally);
        }
    }

    /// What the series of an item on disk is to get, if it ends now with these sums.
    pub(crate) fn rest(&self, name: &str, sums: Sums) -> Option<Entry> {
        let (recorder, _) = self.recorder();
        recorder.entry(name, sums.into(), recorder.tally(name).gathered)
    }

    /// An item is no longer published whose counters end with `sums`.
    pub(crate) fn ended(&self, name: &str, sums: Sums) {
        let (mut recorder, _) = self.recorder();
        let tally = recorder.tallies.remove(name).unwrap_or_default();
        let at = recorder.sample_since;
        recorder.sample(at, difference(sums.into(), tally.sampled));
    }

    /// The daemon of this version has started.
    pub fn started(&self, version: &str) {
        let last = self.events().first().map(|event| event.kind);
        let kind = if matches!(last, None | Some(Kind::Ended)) { Kind::Started } else { Kind::Recovered };
        self.note(kind, version);
    }

    /// Takes a sample of all counters, and says what is to be written then.
    pub(crate) fn sample<'a>(&self, items: impl Iterator<Item = (&'a str, Sums)>, is_last: bool) -> Change {
        let (mut recorder, now) = self.recorder();
        let recorder = &mut *recorder;
        let is_hour = is_last || now.div_euclid(HOUR) != recorder.hour_since.div_euclid(HOUR);
        let (mut counted, mut entries) = (Figures::default(), Vec::new());
        for (name, sums) in items {
            let sums = Figures::from(sums);
            if sums == Figures::default() {
                continue;
            }
            let tally = recorder.tallies.entry(name.to_owned()).or_default();
            counted = sum(counted, difference(sums, tally.sampled));
            // Taken one after the other while bytes go out: none may be counted twice.
            tally.sampled = larger(sums, tally.sampled);
            let gathered = tally.gathered;
            if is_hour {
                entries.extend(recorder.entry(name, sums, gathered));
            }
        }
        recorder.sample(recorder.sample_since, counted);
        recorder.sample_since = now;
        if is_hour {
            recorder.hour_since = now;
        }
        recorder.of_box.expire(now);
        Change { periods: recorder.of_box.changes(), entries, events: recorder.events.changes() }
    }

    /// That is on disk.
    pub(crate) fn written(&self, change: &Change) {
        let (mut recorder, _) = self.recorder();
        recorder.of_box.written(&change.periods);
        recorder.events.written(&change.events);
        for entry in &change.entries {
            if let Some(tally) = recorder.tallies.get_mut(&entry.name) {
                tally.gathered = entry.gathered;
            }
        }
    }

    /// Adds up what members have moved; those whose series are to be written now, which is so once an hour.
    pub(crate) fn sample_members(
        &self,
        accounts: &BTreeMap<String, Account>,
        is_last: bool,
    ) -> Vec<(String, Member)> {
        let (mut recorder, now) = self.recorder();
        let recorder = &mut *recorder;
        recorder.members.retain(|name, _| accounts.contains_key(name));
        for (name, account) in accounts {
            let sums = Figures::from(*account);
            // Of whoever has no series yet it begins now.
            let fresh = || Member { gathered: sums, series: Series::new(&OF_ONE) };
            let member = recorder.members.entry(name.clone()).or_insert_with(fresh);
            member.series.add(now, difference(sums, member.gathered));
            member.series.expire(now);
            member.gathered = sums;
        }
        if !is_last && now.div_euclid(HOUR) == recorder.members_since.div_euclid(HOUR) {
            return Vec::new();
        }
        recorder.members_since = now;
        let changed = recorder.members.iter().filter(|(_, member)| !member.series.changes().is_empty());
        changed.map(|(name, member)| (name.clone(), member.clone())).collect()
    }

    /// These are on disk.
    pub(crate) fn members_written(&self, written: &[(String, Member)]) {
        let (mut recorder, _) = self.recorder();
        for (name, as_written) in written {
            if let Some(member) = recorder.members.get_mut(name) {
                member.series.written(&as_written.series.changes());
            }
        }
    }

    /// What is kept of members.
    pub fn members(&self) -> BTreeMap<String, Member> {
        self.recorder().0.members.clone()
    }

    /// What was given away up to now, `items` being what is published now; and the time, in seconds since 1970.
    pub fn of_the_box<'a>(&self, items: impl Iterator<Item = (&'a str, Sums)>) -> (Series, i64) {
        let (recorder, now) = self.recorder();
        let counted = items.fold(Figures::default(), |counted, (name, sums)| {
            sum(counted, difference(sums.into(), recorder.tally(name).sampled))
        });
        let mut series = recorder.of_box.clone();
        series.add(recorder.sample_since, counted);
        (series, now)
    }

    /// What was given away of an item up to now, `written` being what is on disk of it.
    pub fn of_an_item(&self, name: &str, mut written: Series, sums: Sums) -> (Series, i64) {
        let (recorder, now) = self.recorder();
        written.add(recorder.hour_since, difference(sums.into(), recorder.tally(name).gathered));
        (written, now)
    }
}

impl Recorder {
    /// The time, after the history was put right if the clock was.
    fn look(&mut self, reading: Reading) -> i64 {
        let (now, set) = self.timeline.look(reading);
        let Some(set) = set else { return now };
        for (at, figures) in &mut self.doubtful {
            self.of_box.take(*at, *figures);
            *at = at.saturating_add(set.moved);
            self.of_box.add(*at, *figures);
        }
        self.events.move_by(set.moved);
        for time in [&mut self.started, &mut self.sample_since, &mut self.hour_since, &mut self.members_since]
        {
            *time = time.saturating_add(set.moved);
        }
        self.events.note(now, Kind::Clock, &sentence(set));
        now
    }

    fn tally(&self, name: &str) -> Tally {
        self.tallies.get(name).copied().unwrap_or_default()
    }

    /// So much was counted from this time on.
    fn sample(&mut self, at: i64, figures: Figures) {
        self.of_box.add(at, figures);
        if at.saturating_sub(self.started) >= DOUBTFUL {
            self.doubtful.clear();
            return;
        }
        match self.doubtful.last_mut() {
            Some((last, sums)) if *last == at => *sums = sum(*sums, figures),
            _ => self.doubtful.push((at, figures)),
        }
    }

    /// What an item's series is to get, if anything.
    fn entry(&self, name: &str, sums: Figures, gathered: Figures) -> Option<Entry> {
        let figures = difference(sums, gathered);
        let gathered = larger(sums, gathered);
        let entry = || Entry { name: name.to_owned(), at: self.hour_since, figures, gathered };
        (figures != Figures::default()).then(entry)
    }
}

fn sentence(set: Set) -> String {
    let shown = |time| match Timestamp::from_second(time) {
        Ok(time) => time.strftime("%Y-%m-%d %H:%M UTC").to_string(),
        Err(_) => "a time that can't be".into(),
    };
    format!("The clock was set from {} to {}", shown(set.before), shown(set.after))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;
    use std::time::Duration;

    use super::super::series::Kept;

    const NOON: i64 = 1_700_000_000;

    thread_local! {
        static CLOCKS: Cell<(u64, i64)> = const { Cell::new((100, NOON)) };
    }

    fn read_clocks() -> Reading {
        let (uptime, clock) = CLOCKS.get();
        Reading { uptime: Duration::from_secs(uptime), clock }
    }

    fn pass(seconds: u64) {
        let (uptime, clock) = CLOCKS.get();
        CLOCKS.set((uptime + seconds, clock + i64::try_from(seconds).unwrap()));
    }

    fn set_clock(clock: i64) {
        CLOCKS.set((CLOCKS.get().0, clock));
    }

    /// What the store does, without a disk.
    #[derive(Default)]
    struct Disk {
        periods: BTreeMap<Period, Figures>,
        events: BTreeMap<u64, Event>,
        series: BTreeMap<String, Vec<u8>>,
        /// Sums and what is gathered of them.
        counters: BTreeMap<String, (Sums, Figures)>,
    }

    impl Disk {
        fn add(&mut self, entry: &Entry) {
            let kept = self.series.get(&entry.name).map(|kept| Kept::read(kept));
            let mut series = kept.unwrap_or_else(|| Series::new(&OF_ONE));
            series.add(entry.at, entry.figures);
            self.series.insert(entry.name.clone(), serde_json::to_vec(&Kept::of(&series)).unwrap());
        }

        fn save(&mut self, history: &History, items: &BTreeMap<String, Sums>, is_last: bool) {
            let change = history.sample(items.iter().map(|(name, sums)| (name.as_str(), *sums)), is_last);
            for (period, figures) in &change.periods {
                match figures {
                    Some(figures) => drop(self.periods.insert(*period, *figures)),
                    None => drop(self.periods.remove(period)),
                }
            }
            for (number, event) in &change.events {
                match event {
                    Some(event) => drop(self.events.insert(*number, event.clone())),
                    None => drop(self.events.remove(number)),
                }
            }
            for (name, sums) in items {
                self.counters.get_mut(name).unwrap().0 = *sums;
            }
            for entry in &change.entries {
                self.add(entry);
                self.counters.get_mut(&entry.name).unwrap().1 = entry.gathered;
            }
            history.written(&change);
        }

        fn load(&self) -> History {
            let loaded = Loaded {
                periods: self.periods.iter().map(|(period, figures)| (*period, *figures)).collect(),
                events: self.events.clone(),
                members: BTreeMap::new(),
            };
            let history = History::new(loaded, read_clocks);
            self.counters.iter().for_each(|(name, (sums, gathered))| history.loaded(name, *sums, *gathered));
            history
        }

        fn series(&self, name: &str) -> Series {
            self.series.get(name).map_or_else(|| Series::new(&OF_ONE), |kept| Kept::read(kept))
        }
    }

    fn total(series: &Series) -> Figures {
        let coarsest = series.periods().filter(|((level, _), _)| *level == 2);
        coarsest.fold(Figures::default(), |total, (_, figures)| sum(total, figures))
    }

    fn of_the_box(history: &History, items: &BTreeMap<String, Sums>) -> (Series, i64) {
        history.of_the_box(items.iter().map(|(name, sums)| (name.as_str(), *sums)))
    }

    /// Anything that happens to a box: items come and go, the power is cut, the clock is set.
    #[test]
    fn every_byte_is_in_the_history_once() {
        for seed in 1..=30_u64 {
            let mut random = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15);
            let mut below = |limit: u64| {
                random ^= random << 13;
                random ^= random >> 7;
                random ^= random << 17;
                random % limit
            };
            CLOCKS.set((100, NOON));
            let (mut disk, mut items) = (Disk::default(), BTreeMap::<String, Sums>::new());
            let mut history = disk.load();
            // What was given away, and what of it a power cut could not take.
            let (mut given, mut safe) = (Figures::default(), Figures::default());
            for _ in 0..500 {
                let name = format!("item {}", below(4));
                match (below(12), items.get_mut(&name)) {
                    (0..5, Some(sums)) => {
                        let (to_peers, over_http, completed) = (below(1000), below(100), below(2));
                        sums.uploaded += to_peers + over_http;
                        sums.over_http += over_http;
                        sums.completed += completed;
                        given = sum(given, [to_peers, over_http, completed]);
                    }
                    (0..5, None) => {
                        // What was published before goes on from where it was.
                        let sums = Sums { uploaded: 500, over_http: 100, completed: 3 };
                        history.published(&name, sums);
                        disk.counters.insert(name.clone(), (sums, sums.into()));
                        items.insert(name, sums);
                    }
                    (5, Some(sums)) => {
                        history.rest(&name, *sums).iter().for_each(|entry| disk.add(entry));
                        history.ended(&name, *sums);
                        disk.counters.remove(&name);
                        items.remove(&name);
                        disk.save(&history, &items, false);
                        safe = given;
                    }
                    (6, _) => {
                        items = disk.counters.iter().map(|(name, (sums, _))| (name.clone(), *sums)).collect();
                        pass(below(100));
                        CLOCKS.set((below(100), CLOCKS.get().1));
                        history = disk.load();
                        given = safe;
                    }
                    (7, _) if below(4) == 0 => {
                        set_clock(CLOCKS.get().1 + 40 + i64::try_from(below(86_400)).unwrap());
                    }
                    _ => {
                        pass(below(200));
                        disk.save(&history, &items, below(50) == 0);
                        safe = given;
                    }
                }
                let (series, now) = of_the_box(&history, &items);
                assert_eq!(total(&series), given, "seed {seed}");
                assert!(series.latest().is_none_or(|latest| latest <= now));
            }
            let of_items =
                (0..4).map(|number| format!("item {number}")).fold(Figures::default(), |all, name| {
                    let written = disk.series(&name);
                    let sums = items.get(&name);
                    let series =
                        sums.map_or(written.clone(), |sums| history.of_an_item(&name, written, *sums).0);
                    sum(all, total(&series))
                });
            assert_eq!(of_items, given, "seed {seed}");
        }
    }

    #[test]
    fn what_was_given_before_the_clock_was_set_moves_with_it() {
        CLOCKS.set((5, NOON));
        let mut disk = Disk::default();
        let history = disk.load();
        let mut items = BTreeMap::from([("one".to_owned(), Sums::default())]);
        disk.counters.insert("one".into(), Default::default());
        history.published("one", Sums::default());
        history.note(Kind::Started, "0.1.0");
        let mut give = |bytes: u64| {
            items.get_mut("one").unwrap().uploaded += bytes;
            disk.save(&history, &items, false);
            pass(60);
        };
        give(0);
        give(7);
        give(9);
        // It was off for ten days, which nobody knew.
        set_clock(CLOCKS.get().1 + 10 * 86_400);
        give(20);
        let (series, now) = of_the_box(&history, &items);
        let minutes: Vec<u64> = series.last(0, 5, now).iter().map(|figures| figures[0]).collect();
        assert_eq!(minutes, [7, 9, 20, 0, 0]);
        assert_eq!(total(&series), [36, 0, 0]);
        assert_eq!(series.last(2, 11, now)[0], [0; 3], "nothing is where it was");
        let events = history.events();
        assert_eq!(events[1].time, now - 240, "the start: {events:?}");
        assert!(events[0].sentence().starts_with("The clock was set from 2023-11-14 22:1"), "{events:?}");
    }

    #[test]
    fn a_start_after_a_power_cut_is_told_from_one_after_an_end() {
        CLOCKS.set((5, NOON));
        let mut disk = Disk::default();
        let last = |history: &History| history.events()[0].kind;
        let history = disk.load();
        history.started("1");
        assert_eq!(last(&history), Kind::Started);
        history.note(Kind::Ended, "");
        disk.save(&history, &BTreeMap::new(), true);
        let history = disk.load();
        pass(2 * 3600);
        history.started("1");
        assert_eq!(last(&history), Kind::Started);
        disk.save(&history, &BTreeMap::new(), false);
        let history = disk.load();
        history.started("1");
        assert_eq!(last(&history), Kind::Recovered);
    }

    #[test]
    fn members_have_series_that_are_written_once_an_hour() {
        CLOCKS.set((5, NOON - NOON % HOUR));
        let history = Disk::default().load();
        let account = |sent| Account { sent, claimed_downloaded: 2 * sent, ..Account::default() };
        let sample = |sent, is_last| {
            let accounts = BTreeMap::from([("alice".to_owned(), account(sent))]);
            let written = history.sample_members(&accounts, is_last);
            history.members_written(&written);
            written.len()
        };
        // What it has from before is in no hour.
        assert_eq!(sample(1000, false), 0);
        pass(60);
        assert_eq!(sample(1005, false), 0);
        pass(3600);
        assert_eq!((sample(1006, false), sample(1006, true)), (1, 0));
        assert_eq!((sample(1008, false), sample(1008, true)), (0, 1));
        let series = history.members()["alice"].series.clone();
        assert_eq!(series.last(0, 2, history.now()), [[5, 10, 0], [3, 6, 0]]);
        history.sample_members(&BTreeMap::new(), false);
        assert!(history.members().is_empty());
    }
}
