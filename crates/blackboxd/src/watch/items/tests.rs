use std::fmt::Write as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::*;
use crate::catalog::testing::published;

/// What happens to the items of a test.
enum Step {
    /// An item is looked at; this is found.
    Look(&'static str, Sight),
    /// As `Look`, of an item that is published.
    LookPublished(&'static str, Sight),
    /// A file event; whether the item is to be looked at now.
    Event(&'static str, bool),
    /// The item that is to be hashed next is hashed; that should be this.
    Start(&'static str),
    /// The last job ends like that.
    Finish(Result<(), PublishError>),
    NotCommitted,
    Committed,
    /// Which items are due.
    Due(&'static [&'static str]),
}
use Step::{Committed, Due, Event, Finish, Look, LookPublished, NotCommitted, Start};

const ITEM: &str = "item";

fn files(fingerprint: Fingerprint) -> Sight {
    Sight::Files(fingerprint, Size { bytes: 5, files: 1 })
}

fn sized(fingerprint: Fingerprint, bytes: u64) -> Sight {
    Sight::Files(fingerprint, Size { bytes, files: 1 })
}

fn refused() -> Sight {
    Sight::Refused("REFUSED".into())
}

fn unreadable() -> Sight {
    Sight::Unreadable("UNREADABLE".into())
}

fn io_error() -> PublishError {
    let source = std::io::Error::from_raw_os_error(nix::libc::EIO);
    PublishError::Unreadable { path: PathBuf::from("FILE"), source }
}

/// The actions in short: `show settling` with what else is on show.
fn short(actions: impl IntoIterator<Item = Action>) -> String {
    let mut short = String::new();
    for action in actions {
        let _ = match action {
            Action::Retire => write!(short, "retire "),
            Action::Hide => write!(short, "hide "),
            Action::Commit(_) => write!(short, "commit "),
            Action::Show { state, error, .. } => {
                let note = match error.as_deref() {
                    None => String::new(),
                    Some(EMPTY) => "empty".into(),
                    Some(WAITING) => "waiting".into(),
                    Some(CHANGING) => "changing".into(),
                    Some(error) => error.split([' ', ':']).next().unwrap_or_default().replace('"', ""),
                };
                write!(short, "{state:?} {note}")
            }
        };
    }
    short.trim().to_owned()
}

/// Runs the steps, each at a number of seconds since the start, and compares what is to be done after each.
#[track_caller]
fn check(steps: Vec<(f64, Step, &str)>) -> Items {
    let start = Instant::now();
    let mut items = Items::default();
    let mut jobs = Vec::new();
    for (number, (seconds, step, expected)) in steps.into_iter().enumerate() {
        let now = start + Duration::from_secs_f64(seconds);
        let item = OsStr::new(ITEM);
        let cost = Duration::from_millis(1);
        let got = match step {
            Look(name, sight) => short(items.look(now, cost, name.as_ref(), sight, false)),
            LookPublished(name, sight) => short(items.look(now, cost, name.as_ref(), sight, true)),
            Event(name, at_once) => {
                assert_eq!(items.event(now, name.as_ref()), at_once, "step {number}");
                String::new()
            }
            Start(name) => {
                let next = items.next_job(|_| true).map(|(name, ..)| name);
                assert_eq!(next.as_deref(), Some(OsStr::new(name)), "step {number}");
                let (ticket, cancel) = Ticket::of_nothing(jobs.len() as u64);
                jobs.push(cancel);
                short(items.started(name.as_ref(), ticket))
            }
            Finish(result) => {
                let job = jobs.len() as u64 - 1;
                short(items.finished(now, item, job, result.map(|()| published(ITEM, &[]))))
            }
            NotCommitted => short(items.not_committed(now, item, "FULL")),
            Committed => {
                items.committed(item);
                String::new()
            }
            Due(names) => {
                let mut due: Vec<_> = items.due(now).filter_map(|name| name.to_str()).collect();
                due.sort_unstable();
                due.dedup();
                assert_eq!(due, names, "step {number}");
                String::new()
            }
        };
        assert_eq!(got, expected, "step {number}, after {seconds} s");
    }
    assert_cancelled(&items, &jobs);
    items
}

/// Exactly the jobs that nobody waits for are cancelled.
#[track_caller]
fn assert_cancelled(items: &Items, jobs: &[Arc<AtomicBool>]) {
    let waited_for: Vec<u64> = items
        .entries
        .values()
        .filter_map(|entry| match &entry.phase {
            Phase::Hashing { ticket, .. } => Some(ticket.job),
            _ => None,
        })
        .collect();
    for (number, cancel) in jobs.iter().enumerate() {
        assert_eq!(!cancel.load(Ordering::Relaxed), waited_for.contains(&(number as u64)), "job {number}");
    }
}

/// Looks at which `ITEM` settles, from second 0 to 10, and is being hashed then.
fn hashing() -> Vec<(f64, Step, &'static str)> {
    vec![
        (0.0, Look(ITEM, files(1)), "Settling"),
        (10.0, Due(&[ITEM]), ""),
        (10.0, Look(ITEM, files(1)), "Hashing waiting"),
        (10.0, Start(ITEM), "Hashing"),
    ]
}

fn after_hashing(more: Vec<(f64, Step, &'static str)>) -> Items {
    let mut steps = hashing();
    steps.extend(more);
    check(steps)
}

#[test]
fn from_a_file_to_a_published_item() {
    let items = after_hashing(vec![
        (11.0, Finish(Ok(())), "commit"),
        (11.0, Committed, ""),
        (11.0, Event(ITEM, true), ""),
        (11.0, LookPublished(ITEM, Sight::AsPublished), ""),
        (21.0, LookPublished(ITEM, Sight::AsPublished), ""),
        (100.0, Due(&[]), ""),
    ]);
    assert_eq!(items.names().count(), 0);
}

#[test]
fn what_is_published_is_taken_back_when_it_differs_and_never_by_an_error() {
    check(vec![(0.0, LookPublished(ITEM, files(2)), "retire Settling")]);
    check(vec![(0.0, LookPublished(ITEM, sized(2, 0)), "retire Settling empty")]);
    check(vec![(0.0, LookPublished(ITEM, Sight::Gone), "retire")]);
    check(vec![(0.0, LookPublished(ITEM, refused()), "retire Failed REFUSED")]);
    check(vec![(0.0, LookPublished(ITEM, unreadable()), ""), (100.0, Due(&[]), "")]);
    check(vec![
        (0.0, LookPublished(ITEM, Sight::Changing), ""),
        (0.4, Due(&[]), ""),
        (0.5, Due(&[ITEM]), ""),
        (0.5, LookPublished(ITEM, Sight::AsPublished), ""),
        (100.0, Due(&[]), ""),
    ]);
}

#[test]
fn an_item_that_vanishes_is_hidden_in_every_phase() {
    check(vec![(0.0, Look(ITEM, files(1)), "Settling"), (1.0, Look(ITEM, Sight::Gone), "hide")]);
    check(vec![(0.0, Look(ITEM, refused()), "Failed REFUSED"), (1.0, Look(ITEM, Sight::Gone), "hide")]);
    let items = after_hashing(vec![
        (11.0, Look(ITEM, Sight::Gone), "hide"),
        (11.1, Finish(Ok(())), ""),
        (100.0, Due(&[]), ""),
    ]);
    assert_eq!(items.names().count(), 0);
}

#[test]
fn a_change_while_it_is_hashed_ends_the_job_and_nothing_else_does() {
    after_hashing(vec![
        (12.0, Event(ITEM, false), ""),
        (12.4, Due(&[]), ""),
        (12.5, Due(&[ITEM]), ""),
        // Its mode, for instance.
        (12.5, Look(ITEM, files(1)), ""),
        (22.0, Look(ITEM, files(1)), ""),
        (100.0, Due(&[]), ""),
    ]);
    after_hashing(vec![
        (12.0, Event(ITEM, false), ""),
        (12.5, Look(ITEM, unreadable()), ""),
        (22.0, Look(ITEM, unreadable()), ""),
        (100.0, Due(&[]), ""),
        (101.0, Finish(Err(io_error())), "Failed FILE"),
    ]);
    after_hashing(vec![
        (12.0, Event(ITEM, false), ""),
        (12.5, Look(ITEM, files(2)), "Settling"),
        // The job that was cancelled has its outcome all the same.
        (12.6, Finish(Err(PublishError::Cancelled)), ""),
        // Ten seconds from the event.
        (22.0, Due(&[ITEM]), ""),
        (22.0, Look(ITEM, files(2)), "Hashing waiting"),
    ]);
    after_hashing(vec![
        (12.0, Finish(Err(PublishError::Changed)), "Settling"),
        (12.5, Look(ITEM, files(2)), "Settling"),
        (22.0, Look(ITEM, files(2)), "Hashing waiting"),
    ]);
    // Seen in the middle of a change: looked at again, but not all the time.
    after_hashing(vec![
        (12.0, Look(ITEM, Sight::Changing), "Settling"),
        (12.4, Due(&[]), ""),
        (12.5, Look(ITEM, Sight::Changing), "Settling"),
        (12.9, Due(&[]), ""),
    ]);
}

#[test]
fn an_item_that_waits_for_its_turn_settles_again_after_an_event() {
    check(vec![
        (0.0, Look(ITEM, files(1)), "Settling"),
        (10.0, Look(ITEM, files(1)), "Hashing waiting"),
        (10.0, Due(&[]), ""),
        (15.0, Event(ITEM, false), ""),
        (15.5, Due(&[ITEM]), ""),
        (15.5, Look(ITEM, files(1)), "Settling"),
        (24.9, Due(&[]), ""),
        (25.0, Look(ITEM, files(1)), "Hashing waiting"),
        (25.0, Start(ITEM), "Hashing"),
    ]);
}

#[test]
fn the_smallest_is_hashed_first_and_among_equals_the_first() {
    let mut steps = Vec::new();
    for (name, bytes) in [("giant", 1 << 40), ("b", 7), ("a", 7), ("tiny", 1)] {
        steps.push((0.0, Look(name, sized(1, bytes)), "Settling"));
        steps.push((10.0, Look(name, sized(1, bytes)), "Hashing waiting"));
    }
    for name in ["tiny", "b", "a", "giant"] {
        steps.push((11.0, Start(name), "Hashing"));
    }
    let items = check(steps);
    assert!(items.next_job(|_| true).is_none());
}

#[test]
fn a_lane_that_is_taken_is_not_offered() {
    let items = check(vec![
        (0.0, Look("giant", sized(1, 1 << 40)), "Settling"),
        (0.0, Look(ITEM, files(1)), "Settling"),
        (10.0, Look("giant", sized(1, 1 << 40)), "Hashing waiting"),
        (10.0, Look(ITEM, files(1)), "Hashing waiting"),
    ]);
    let next = items.next_job(|bytes| bytes > 1000).map(|(name, ..)| name);
    assert_eq!(next.as_deref(), Some(OsStr::new("giant")));
    assert!(items.next_job(|_| false).is_none());
}

#[test]
fn an_error_of_reading_is_on_show_until_another_try_goes_well() {
    after_hashing(vec![
        (11.0, Finish(Err(io_error())), "Failed FILE"),
        (100.0, Due(&[]), ""),
        // A rescan: nothing has changed, and it is settled.
        (300.0, Look(ITEM, files(1)), "Hashing FILE"),
        (300.0, Start(ITEM), "Hashing FILE"),
        (301.0, Finish(Err(io_error())), "Failed FILE"),
        // Somebody may have mended it.
        (310.0, Event(ITEM, false), ""),
        (310.5, Look(ITEM, files(1)), "Hashing FILE"),
        (310.5, Start(ITEM), "Hashing FILE"),
        (311.0, Finish(Ok(())), "commit"),
    ]);
    after_hashing(vec![
        (11.0, Finish(Err(PublishError::Panicked)), "Failed it"),
        (300.0, Look(ITEM, files(1)), "Hashing it"),
    ]);
    after_hashing(vec![
        (11.0, Finish(Err(io_error())), "Failed FILE"),
        (20.0, Look(ITEM, files(2)), "Settling"),
        (30.0, Look(ITEM, files(2)), "Hashing waiting"),
    ]);
    check(vec![
        (0.0, Look(ITEM, unreadable()), "Failed UNREADABLE"),
        (1.0, Event(ITEM, false), ""),
        (1.5, Due(&[ITEM]), ""),
        (1.5, Look(ITEM, files(1)), "Settling"),
        (11.0, Look(ITEM, files(1)), "Hashing waiting"),
    ]);
}

#[test]
fn what_is_refused_is_hashed_again_only_when_it_differs() {
    after_hashing(vec![
        (11.0, Finish(Err(PublishError::Refused("REFUSED".into()))), "Failed REFUSED"),
        (12.0, Event(ITEM, false), ""),
        (12.5, Look(ITEM, files(1)), ""),
        (300.0, Look(ITEM, files(1)), ""),
        (300.0, Due(&[]), ""),
        (310.0, Event(ITEM, false), ""),
        (310.5, Look(ITEM, files(2)), "Settling"),
        (320.0, Look(ITEM, files(2)), "Hashing waiting"),
    ]);
    // A folder that can't even be listed is not listed at each event of a copy that goes on.
    check(vec![
        (0.0, Look(ITEM, refused()), "Failed REFUSED"),
        (1.0, Event(ITEM, false), ""),
        (1.4, Event(ITEM, false), ""),
        (1.8, Due(&[]), ""),
        (1.9, Look(ITEM, refused()), "Failed REFUSED"),
        (2.0, Due(&[]), ""),
        (5.0, Event(ITEM, false), ""),
        (5.5, Look(ITEM, files(1)), "Settling"),
        (15.0, Look(ITEM, files(1)), "Hashing waiting"),
    ]);
}

#[test]
fn an_empty_item_waits_for_content() {
    check(vec![
        (0.0, Look(ITEM, sized(1, 0)), "Settling empty"),
        (300.0, Look(ITEM, sized(1, 0)), ""),
        (300.0, Due(&[]), ""),
        (301.0, Event(ITEM, false), ""),
        (301.5, Look(ITEM, files(2)), "Settling"),
        (311.0, Look(ITEM, files(2)), "Hashing waiting"),
    ]);
}

#[test]
fn a_file_that_is_open_for_writing_settles_on() {
    let in_use = || PublishError::InUse("OPEN".into());
    after_hashing(vec![
        (10.1, Finish(Err(in_use())), "Settling OPEN"),
        (10.6, Look(ITEM, files(1)), "Settling OPEN"),
        (20.0, Due(&[]), ""),
        (20.1, Look(ITEM, files(1)), "Hashing OPEN"),
        (20.1, Start(ITEM), "Hashing OPEN"),
        (20.2, Finish(Err(in_use())), "Settling OPEN"),
        // It is closed.
        (25.0, Event(ITEM, false), ""),
        (25.5, Look(ITEM, files(1)), "Settling OPEN"),
        (35.0, Look(ITEM, files(1)), "Hashing OPEN"),
    ]);
}

#[test]
fn what_was_hashed_is_kept_when_the_catalog_is_full() {
    after_hashing(vec![
        (11.0, Finish(Ok(())), "commit"),
        (11.0, NotCommitted, "Failed It"),
        (20.9, Due(&[]), ""),
        (21.0, Due(&[ITEM]), ""),
        (21.0, Look(ITEM, files(1)), "commit"),
        (21.0, NotCommitted, "Failed It"),
        // Not before its time, whatever happens.
        (30.0, Event(ITEM, false), ""),
        (30.5, Look(ITEM, files(1)), ""),
        (40.0, Look(ITEM, files(1)), ""),
        (80.9, Due(&[]), ""),
        (81.0, Look(ITEM, files(1)), "commit"),
        (81.0, NotCommitted, "Failed It"),
        (381.0, Look(ITEM, files(1)), "commit"),
        (381.0, NotCommitted, "Failed It"),
        (681.0, Look(ITEM, files(1)), "commit"),
        (681.0, Committed, ""),
        (2000.0, Due(&[]), ""),
    ]);
    // What changed meanwhile is not published.
    after_hashing(vec![
        (11.0, Finish(Ok(())), "commit"),
        (11.0, NotCommitted, "Failed It"),
        (21.0, Look(ITEM, files(2)), "Settling"),
    ]);
}

#[test]
fn without_a_thread_it_is_tried_again() {
    let mut items =
        check(vec![(0.0, Look(ITEM, files(1)), "Settling"), (10.0, Look(ITEM, files(1)), "Hashing waiting")]);
    assert_eq!(short(items.not_started(OsStr::new(ITEM), "THREAD".into())), "Failed THREAD");
    assert!(items.next_job(|_| true).is_none());
    let again = items.look(Instant::now(), Duration::ZERO, OsStr::new(ITEM), files(1), false);
    assert_eq!(short(again), "Hashing THREAD");
}

#[test]
fn an_item_that_never_settles_says_so_until_it_does() {
    let mut steps = vec![(0.0, Look(ITEM, files(0)), "Settling")];
    for number in 1..20_u32 {
        let seconds = f64::from(number) * 9.0;
        let says = if seconds < 120.0 { "Settling" } else { "Settling changing" };
        steps.push((seconds, Look(ITEM, files(number.into())), says));
    }
    steps.push((181.0, Look(ITEM, files(19)), "Hashing waiting"));
    check(steps);
}

#[test]
fn what_comes_into_a_folder_that_is_not_watched_yet_is_seen_a_while_later() {
    let empty = || Sight::Files(0, Size::default());
    check(vec![
        (0.0, Event(ITEM, true), ""),
        (0.0, Look(ITEM, empty()), "Settling empty"),
        (9.9, Due(&[]), ""),
        (10.0, Due(&[ITEM]), ""),
        (10.0, Look(ITEM, files(1)), "Settling"),
        (20.0, Due(&[ITEM]), ""),
        (20.0, Look(ITEM, files(1)), "Hashing waiting"),
        (20.0, Due(&[]), ""),
    ]);
    check(vec![
        (0.0, Event(ITEM, true), ""),
        (0.0, LookPublished(ITEM, Sight::AsPublished), ""),
        (5.0, Event(ITEM, true), ""),
        (10.0, Due(&[]), ""),
        (15.0, Due(&[ITEM]), ""),
        (15.0, LookPublished(ITEM, Sight::AsPublished), ""),
        (30.0, Due(&[]), ""),
    ]);
}

#[test]
fn a_published_item_is_not_looked_at_for_each_of_many_events() {
    check(vec![
        (0.0, Event(ITEM, true), ""),
        (0.0, LookPublished(ITEM, Sight::AsPublished), ""),
        (0.1, Event(ITEM, false), ""),
        (0.2, Event(ITEM, false), ""),
        (0.4, Due(&[]), ""),
        (0.5, Due(&[ITEM]), ""),
        (0.5, LookPublished(ITEM, Sight::AsPublished), ""),
        (10.1, Due(&[]), ""),
        (10.2, Due(&[ITEM]), ""),
        (10.2, LookPublished(ITEM, Sight::AsPublished), ""),
        (99.0, Due(&[]), ""),
    ]);
}
