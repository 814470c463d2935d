//! Waiting for what should become true, with a deadline.

use std::time::{Duration, Instant};

/// How often is looked.
const POLL: Duration = Duration::from_millis(20);

/// Looks until there is a value, for at most `limit`; `None` when there is none in time.
pub fn try_until<T>(limit: Duration, mut look: impl FnMut() -> Option<T>) -> Option<T> {
    let deadline = Instant::now() + limit;
    loop {
        if let Some(value) = look() {
            return Some(value);
        }
        if Instant::now() >= deadline {
            return None;
        }
        std::thread::sleep(POLL);
    }
}

/// Looks until there is a value, for at most `limit`.
///
/// # Panics
/// When there is none in time; `what` says what was waited for.
#[track_caller]
pub fn until<T>(what: &str, limit: Duration, look: impl FnMut() -> Option<T>) -> T {
    try_until(limit, look).unwrap_or_else(|| panic!("{what}: not within {limit:?}"))
}

/// Looks until it holds, for at most `limit`.
///
/// # Panics
/// When it does not hold in time.
#[track_caller]
pub fn until_holds(what: &str, limit: Duration, mut holds: impl FnMut() -> bool) {
    until(what, limit, || holds().then_some(()));
}

/// Looks again and again whether it goes on to hold.
///
/// # Panics
/// When it ceases to hold within `time`.
#[track_caller]
pub fn holds_for(what: &str, time: Duration, mut holds: impl FnMut() -> bool) {
    let end = Instant::now() + time;
    while Instant::now() < end {
        assert!(holds(), "{what}: no longer");
        std::thread::sleep(POLL);
    }
}
