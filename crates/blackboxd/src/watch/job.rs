//! Hashing items beside the publisher's thread.

use std::ffi::{OsStr, OsString};
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::inbox::Inbox;
use super::name::shown;
use super::settle::Fingerprint;
use crate::catalog::{Progress, Publication};
use crate::hash::Turn;
use crate::priority;
use crate::publish::{Job, PublishError};

/// Items up to this size (bytes) have a lane of their own: they never wait for one that takes hours; it waits for them.
const SMALL: u64 = 1 << 30;

/// How hashing ended.
#[derive(Debug)]
pub(super) struct Outcome {
    pub job: u64,
    pub name: OsString,
    pub read_bytes: u64,
    pub result: Result<Publication, PublishError>,
}

/// An item that is being hashed. Whoever drops it is not interested any more: the job ends soon.
#[derive(Debug)]
pub(super) struct Ticket {
    pub job: u64,
    cancel: Arc<AtomicBool>,
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.cancel.store(true, Ordering::Relaxed);
    }
}

/// What may be under way at the same time: one small and one large item, which is read while there is no small one.
#[derive(Debug)]
pub(super) struct Lanes {
    small: Option<u64>,
    large: Option<u64>,
    started: u64,
    turn: Arc<Turn>,
    /// Where what was hashed of large items is kept.
    state: Arc<Path>,
    /// Whether torrents are for members alone.
    is_private: bool,
}

impl Lanes {
    /// Lanes that are free; work is kept in the folder `state`.
    pub(super) fn new(state: &Path, is_private: bool) -> Self {
        Self { small: None, large: None, started: 0, turn: Arc::default(), state: state.into(), is_private }
    }

    /// Whether an item of that size can be started.
    pub(super) fn is_free_for(&self, size_bytes: u64) -> bool {
        if size_bytes <= SMALL { self.small.is_none() } else { self.large.is_none() }
    }

    /// Whether nothing is being hashed.
    pub(super) fn is_idle(&self) -> bool {
        self.small.is_none() && self.large.is_none()
    }

    /// Takes a lane for an item of that size, until [`Lanes::ended`].
    fn enter(&mut self, size_bytes: u64) -> Ticket {
        self.started += 1;
        let lane = if size_bytes <= SMALL { &mut self.small } else { &mut self.large };
        *lane = Some(self.started);
        Ticket { job: self.started, cancel: Arc::default() }
    }

    /// Starts to hash the item at `path`, which must be in the state of `fingerprint`; the outcome arrives in the inbox,
    /// whatever happens.
    pub(super) fn start(
        &mut self,
        path: PathBuf,
        name: &OsStr,
        fingerprint: Fingerprint,
        progress: Arc<Progress>,
        inbox: &Arc<Inbox>,
    ) -> io::Result<Ticket> {
        let ticket = self.enter(progress.total());
        let (number, cancel) = (ticket.job, Arc::clone(&ticket.cancel));
        let (name, inbox) = (name.to_owned(), Arc::clone(inbox));
        let state = (progress.total() > SMALL).then(|| Arc::clone(&self.state));
        let (turn, is_private) = (Arc::clone(&self.turn), self.is_private);
        let started = std::thread::Builder::new().name("hash".into()).spawn(move || {
            priority::lower();
            let job = Job {
                name: &shown(&name),
                item: &path,
                fingerprint: Some(fingerprint),
                v1_only: false,
                is_private,
                progress: &progress,
                cancel: &cancel,
                state: state.as_deref(),
                turn: &turn,
            };
            let result = caught(|| job.run());
            inbox.finished(Outcome { job: number, name, read_bytes: progress.read(), result });
        });
        if let Err(error) = started {
            self.ended(number);
            return Err(error);
        }
        Ok(ticket)
    }

    /// The outcome of that job has arrived.
    pub(super) fn ended(&mut self, job: u64) {
        for lane in [&mut self.small, &mut self.large] {
            lane.take_if(|running| *running == job);
        }
    }
}

/// A panic is an outcome like others: without one, the lane would be taken for ever.
fn caught<T>(hash: impl FnOnce() -> Result<T, PublishError>) -> Result<T, PublishError> {
    // Nothing that `hash` works with is used after a panic.
    catch_unwind(AssertUnwindSafe(hash)).unwrap_or(Err(PublishError::Panicked))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::listing::Listing;
    use std::time::{Duration, Instant};

    impl Ticket {
        /// A ticket of no thread, and a way to see whether it was cancelled.
        pub(in crate::watch) fn of_nothing(job: u64) -> (Self, Arc<AtomicBool>) {
            let cancel = Arc::default();
            (Self { job, cancel: Arc::clone(&cancel) }, cancel)
        }
    }

    #[test]
    fn a_small_item_does_not_wait_for_a_large_one() {
        let mut lanes = Lanes::new(Path::new("/nonexistent"), false);
        let large = lanes.enter(SMALL + 1);
        assert!(lanes.is_free_for(SMALL) && !lanes.is_free_for(1 << 50));
        let small = lanes.enter(SMALL);
        assert!(!lanes.is_free_for(0) && !lanes.is_free_for(1 << 50));
        lanes.ended(large.job);
        assert!(!lanes.is_free_for(0) && lanes.is_free_for(1 << 50) && !lanes.is_idle());
        lanes.ended(small.job);
        lanes.ended(small.job);
        assert!(lanes.is_idle());
    }

    #[test]
    fn a_panic_is_an_outcome() {
        let result = caught::<Publication>(|| panic!("on purpose"));
        assert!(matches!(result, Err(PublishError::Panicked)));
    }

    /// Hashes what `make` makes and returns how it ended.
    fn outcome(make: impl FnOnce(&Path), cancel: bool) -> Outcome {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("item");
        make(&path);
        let fingerprint =
            Listing::of(&path, &AtomicBool::new(false)).map_or(0, |listing| listing.fingerprint());
        let inbox = Arc::new(Inbox::default());
        let mut lanes = Lanes::new(&folder.path().join("state"), false);
        let ticket =
            lanes.start(path, OsStr::new("item"), fingerprint, Progress::of(1), &inbox).expect("a thread");
        let kept = (!cancel).then_some(ticket);
        let until = Instant::now() + Duration::from_mins(1);
        let outcome = loop {
            assert!(Instant::now() < until, "no outcome");
            if let Some(outcome) = inbox.wait(until).finished.pop() {
                break outcome;
            }
        };
        drop(kept);
        outcome
    }

    #[test]
    fn every_job_has_an_outcome() {
        let published = outcome(|path| std::fs::write(path, "content").unwrap(), false);
        assert_eq!((published.read_bytes, published.name.as_os_str()), (7, OsStr::new("item")));
        assert_eq!(published.result.unwrap().content.size_bytes(), 7);
        let gone = outcome(|_| {}, false);
        assert!(matches!(gone.result, Err(PublishError::Changed)), "{gone:?}");
        // 1 TiB of nothing.
        let sparse = |path: &Path| std::fs::File::create(path).unwrap().set_len(1 << 40).unwrap();
        let cancelled = outcome(sparse, true);
        assert!(matches!(cancelled.result, Err(PublishError::Cancelled)), "{cancelled:?}");
    }
}
