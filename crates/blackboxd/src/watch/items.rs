//! What becomes of each item: one phase for each name that is not simply published. Pure: what was seen and the time go
//! in, what to do comes out.

use std::collections::HashMap;
use std::ffi::{OsStr, OsString};
use std::time::{Duration, Instant};

use super::job::Ticket;
use super::settle::{Fingerprint, SETTLE, Settling, Verdict, pause};
use super::sight::{Sight, Size};
use crate::catalog::{Publication, State};
use crate::publish::PublishError;

/// How long to wait before the catalog is asked again to take in what was hashed; the last for all further times.
const BACK_OFF: [Duration; 3] = [Duration::from_secs(10), Duration::from_mins(1), Duration::from_mins(5)];

/// How long an item may change before it says so: longer than most copies stand still, soon enough for who waits for it.
const LONG: Duration = Duration::from_mins(2);

const CHANGING: &str = "It changes all the time, and is published when nothing has changed for 10 seconds. If a program keeps \
                        writing to it, put a finished copy here instead.";

const EMPTY: &str = "It is empty, and is published when there is something in it.";

const WAITING: &str = "It waits for its turn to be hashed.";

/// Where an item stands that is not published in the state in which it is in the folder. Whatever leaves
/// [`Phase::Hashing`] ends the job.
#[derive(Debug)]
enum Phase {
    /// Watched until nothing changes any more.
    Settling(Settling),
    /// Settled in this state; the smallest is hashed first, among equals the one that came first.
    Waiting { fingerprint: Fingerprint, arrival: u64 },
    /// Being hashed in this state.
    Hashing { fingerprint: Fingerprint, ticket: Ticket },
    /// Hashed in this state; the catalog could not take it in (yet).
    Committing { fingerprint: Fingerprint, publication: Publication, failures: usize, next: Instant },
    /// Can't be published in this state (`None`: one that can't even be listed).
    Refused(Option<Fingerprint>),
    /// Could not be read in this state: worth another try when something happens to it, and now and then.
    TryAgain(Option<Fingerprint>),
}

impl Phase {
    /// The state that the item is known to be in since it settled.
    fn settled_in(&self) -> Option<Fingerprint> {
        match self {
            Self::Settling(_) => None,
            Self::Waiting { fingerprint, .. }
            | Self::Hashing { fingerprint, .. }
            | Self::Committing { fingerprint, .. } => Some(*fingerprint),
            Self::Refused(fingerprint) | Self::TryAgain(fingerprint) => *fingerprint,
        }
    }
}

#[derive(Debug)]
struct Entry {
    phase: Phase,
    size: Size,
    /// When the last event came, if it was not looked at since.
    touched: Option<Instant>,
    /// How long the last look took.
    cost: Duration,
    /// Since when it has been changing, while it has not settled.
    changing_since: Instant,
    /// What went wrong last; on show while it is tried again.
    error: Option<String>,
}

impl Entry {
    fn event(&mut self, now: Instant) {
        match &mut self.phase {
            Phase::Settling(settling) => settling.event(now),
            Phase::Waiting { fingerprint, .. } => {
                let mut settling = Settling::found(now, *fingerprint);
                settling.event(now);
                self.phase = Phase::Settling(settling);
            }
            // Looked at, once it is quiet for a moment; most events change nothing that matters.
            _ => self.touched = Some(now),
        }
    }

    fn next_look(&self) -> Option<Instant> {
        let touched = self.touched.map(|touched| touched + pause(self.cost));
        match &self.phase {
            Phase::Settling(settling) => Some(settling.next_look(self.cost)),
            Phase::Committing { next, .. } => Some(touched.map_or(*next, |touched| touched.min(*next))),
            _ => touched,
        }
    }

    fn show(&self, state: State) -> Action {
        Action::Show { state, error: self.error.clone(), size: self.size }
    }

    /// Goes on in a phase in which nothing is done, with a sentence that says why.
    fn fail(&mut self, phase: Phase, error: String) -> Action {
        self.phase = phase;
        self.error = Some(error);
        self.show(State::Failed)
    }

    /// Waits (again) until nothing changes any more.
    fn settle(&mut self, now: Instant, settling: Settling, error: Option<String>) -> Action {
        if self.phase.settled_in().is_some() {
            self.changing_since = now;
        }
        self.phase = Phase::Settling(settling);
        self.error = error;
        self.show(State::Settling)
    }

    fn wait_for_turn(&mut self, fingerprint: Fingerprint, arrival: u64) -> Action {
        self.phase = Phase::Waiting { fingerprint, arrival };
        self.error.take_if(|error| error == CHANGING);
        let error = self.error.clone().or_else(|| Some(WAITING.into()));
        Action::Show { state: State::Hashing, error, size: self.size }
    }

    /// Files were found that are not those that are published; the last event for them came at `touched`.
    fn found(
        &mut self,
        now: Instant,
        touched: Instant,
        fingerprint: Fingerprint,
        arrival: u64,
    ) -> Option<Action> {
        if self.phase.settled_in() == Some(fingerprint) {
            return match &self.phase {
                Phase::TryAgain(_) => Some(self.wait_for_turn(fingerprint, arrival)),
                Phase::Committing { publication, next, .. } if *next <= now => {
                    Some(Action::Commit(publication.clone()))
                }
                _ => None,
            };
        }
        if self.size.bytes == 0 {
            self.phase = Phase::Refused(Some(fingerprint));
            self.error = Some(EMPTY.into());
            return Some(self.show(State::Settling));
        }
        let Phase::Settling(settling) = &mut self.phase else {
            return Some(self.settle(now, Settling::found(touched, fingerprint), None));
        };
        match settling.looked(now, fingerprint) {
            Verdict::Settled => Some(self.wait_for_turn(fingerprint, arrival)),
            Verdict::Wait => {
                if now >= self.changing_since + LONG {
                    self.error.get_or_insert_with(|| CHANGING.into());
                }
                Some(self.show(State::Settling))
            }
        }
    }
}

/// What is to be done for an item.
#[derive(Debug)]
pub(super) enum Action {
    /// Take back what is published.
    Retire,
    /// Show it in that state, with a sentence for people.
    Show { state: State, error: Option<String>, size: Size },
    /// Don't show it any more.
    Hide,
    /// Publish it; [`Items::committed`] or [`Items::not_committed`] follows.
    Commit(Publication),
}

/// When to look at an item for which events came, whatever its phase. Not at each event of very many; and once more when it
/// has been quiet: a new folder is watched a moment after it is heard of, and what comes into it in between is not heard of.
#[derive(Debug)]
struct Eventful {
    last_event: Instant,
    last_look: Instant,
    cost: Duration,
    next: Instant,
}

/// All items that are on their way.
#[derive(Debug, Default)]
pub(super) struct Items {
    entries: HashMap<OsString, Entry>,
    /// Items for which events came of late.
    eventful: HashMap<OsString, Eventful>,
    arrivals: u64,
}

impl Items {
    /// A file event came for an item. Whether it is to be looked at now; otherwise [`Items::due`] tells when.
    pub(super) fn event(&mut self, now: Instant, name: &OsStr) -> bool {
        let first = Eventful { last_event: now, last_look: now, cost: Duration::ZERO, next: now };
        let is_first = !self.eventful.contains_key(name);
        let eventful = self.eventful.entry(name.to_owned()).or_insert(first);
        eventful.last_event = now;
        let allowed = eventful.last_look + pause(eventful.cost);
        let is_allowed = is_first || allowed <= now;
        eventful.next = now + SETTLE;
        match self.entries.get_mut(name) {
            Some(entry) => {
                entry.event(now);
                false
            }
            None if is_allowed => true,
            None => {
                eventful.next = allowed;
                false
            }
        }
    }

    /// The item was looked at from `now` on, which took `cost`.
    pub(super) fn look(
        &mut self,
        now: Instant,
        cost: Duration,
        name: &OsStr,
        sight: Sight,
        is_published: bool,
    ) -> Vec<Action> {
        if let Some(eventful) = self.eventful.get_mut(name) {
            (eventful.last_look, eventful.cost, eventful.next) = (now, cost, eventful.last_event + SETTLE);
            if eventful.next <= now {
                self.eventful.remove(name);
            }
        }
        let retire = is_published.then_some(Action::Retire);
        match sight {
            Sight::AsPublished => {
                self.entries.remove(name);
                return vec![];
            }
            Sight::Gone => {
                self.entries.remove(name);
                return vec![retire.unwrap_or(Action::Hide)];
            }
            // An error is not a deletion: what is published stays so until its files are seen to differ.
            Sight::Unreadable(_) if is_published => {
                self.entries.remove(name);
                return vec![];
            }
            _ => {}
        }
        self.arrivals += 1;
        let entry = self.entries.entry(name.to_owned()).or_insert_with(|| Entry {
            phase: Phase::TryAgain(None),
            size: Size::default(),
            touched: None,
            cost,
            changing_since: now,
            error: None,
        });
        entry.cost = cost;
        let touched = entry.touched.take();
        let shown = match sight {
            // The job will see for itself; hours of work are not thrown away for one error.
            Sight::Unreadable(_) if matches!(entry.phase, Phase::Hashing { .. }) => None,
            Sight::Files(fingerprint, size) => {
                entry.size = size;
                entry.found(now, touched.unwrap_or(now), fingerprint, self.arrivals)
            }
            Sight::Refused(sentence) => Some(entry.fail(Phase::Refused(None), sentence)),
            Sight::Unreadable(sentence) => Some(entry.fail(Phase::TryAgain(None), sentence)),
            // What is published is not taken back before it is known what it has become.
            _ if is_published => {
                entry.phase = Phase::Settling(Settling::restarted(now));
                return vec![];
            }
            _ => Some(entry.settle(now, Settling::restarted(now), entry.error.clone())),
        };
        retire.into_iter().chain(shown).collect()
    }

    /// The item to hash next, of those for whose size there is a free lane, and its size.
    pub(super) fn next_job(
        &self,
        is_free_for: impl Fn(u64) -> bool,
    ) -> Option<(OsString, Fingerprint, Size)> {
        let waiting = self.entries.iter().filter_map(|(name, entry)| match entry.phase {
            Phase::Waiting { fingerprint, arrival } if is_free_for(entry.size.bytes) => {
                Some((entry.size.bytes, arrival, name, fingerprint, entry.size))
            }
            _ => None,
        });
        let (.., name, fingerprint, size) = waiting.min_by_key(|(bytes, arrival, ..)| (*bytes, *arrival))?;
        Some((name.clone(), fingerprint, size))
    }

    /// The item that was to be hashed next is being hashed.
    pub(super) fn started(&mut self, name: &OsStr, ticket: Ticket) -> Option<Action> {
        let entry = self.entries.get_mut(name)?;
        let fingerprint = entry.phase.settled_in()?;
        entry.phase = Phase::Hashing { fingerprint, ticket };
        Some(entry.show(State::Hashing))
    }

    /// The item that was to be hashed next can't be; a sentence.
    pub(super) fn not_started(&mut self, name: &OsStr, sentence: String) -> Option<Action> {
        let entry = self.entries.get_mut(name)?;
        let fingerprint = entry.phase.settled_in();
        Some(entry.fail(Phase::TryAgain(fingerprint), sentence))
    }

    /// That job for the item has ended; `None` if nobody is interested any more.
    pub(super) fn finished(
        &mut self,
        now: Instant,
        name: &OsStr,
        job: u64,
        result: Result<Publication, PublishError>,
    ) -> Option<Action> {
        let entry = self.entries.get_mut(name)?;
        let fingerprint = match &entry.phase {
            Phase::Hashing { fingerprint, ticket } if ticket.job == job => *fingerprint,
            _ => return None,
        };
        Some(match result {
            Ok(publication) => {
                let commit = Action::Commit(publication.clone());
                entry.phase = Phase::Committing { fingerprint, publication, failures: 0, next: now };
                commit
            }
            Err(PublishError::Changed | PublishError::Cancelled) => {
                entry.settle(now, Settling::restarted(now), None)
            }
            Err(error @ PublishError::InUse(_)) => {
                entry.settle(now, Settling::restarted(now), Some(error.to_string()))
            }
            Err(error @ PublishError::Refused(_)) => {
                entry.fail(Phase::Refused(Some(fingerprint)), error.to_string())
            }
            Err(error @ (PublishError::Unreadable { .. } | PublishError::Panicked)) => {
                entry.fail(Phase::TryAgain(Some(fingerprint)), error.to_string())
            }
        })
    }

    /// The catalog has taken it in.
    pub(super) fn committed(&mut self, name: &OsStr) {
        self.entries.remove(name);
    }

    /// The catalog could not take it in: what was hashed is kept, and tried again later.
    pub(super) fn not_committed(&mut self, now: Instant, name: &OsStr, error: &str) -> Option<Action> {
        let entry = self.entries.get_mut(name)?;
        let Phase::Committing { failures, next, .. } = &mut entry.phase else { return None };
        *next = now + BACK_OFF[(*failures).min(BACK_OFF.len() - 1)];
        *failures += 1;
        entry.error = Some(format!("It could not be published: {error}. It will be tried again."));
        Some(entry.show(State::Failed))
    }

    /// Items that should be looked at now.
    pub(super) fn due(&self, now: Instant) -> impl Iterator<Item = &OsString> {
        let is_due = move |entry: &Entry| entry.next_look().is_some_and(|next| next <= now);
        let eventful = self.eventful.iter().filter(move |(_, eventful)| eventful.next <= now);
        let entries = self.entries.iter().filter(move |(_, entry)| is_due(entry));
        entries.map(|(name, _)| name).chain(eventful.map(|(name, _)| name))
    }

    /// When the next item is due.
    pub(super) fn next_look(&self) -> Option<Instant> {
        let eventful = self.eventful.values().map(|eventful| eventful.next);
        self.entries.values().filter_map(Entry::next_look).chain(eventful).min()
    }

    /// All names.
    pub(super) fn names(&self) -> impl Iterator<Item = &OsString> {
        self.entries.keys()
    }
}

#[cfg(test)]
mod tests;
