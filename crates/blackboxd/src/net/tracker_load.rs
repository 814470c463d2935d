//! How much the tracker has to do.

use std::sync::atomic::{AtomicU64, Ordering};

/// Counts announces, over HTTP and UDP.
#[derive(Debug, Default)]
pub struct Load {
    all: AtomicU64,
    /// All up to the last whole minute, and those of it.
    before: AtomicU64,
    last_minute: AtomicU64,
}

impl Load {
    /// Counts one.
    pub fn add(&self) {
        self.all.fetch_add(1, Ordering::Relaxed);
    }

    /// A minute is over. To be called by one alone.
    pub fn end_minute(&self) {
        let all = self.all();
        let before = self.before.swap(all, Ordering::Relaxed);
        self.last_minute.store(all.saturating_sub(before), Ordering::Relaxed);
    }

    /// Announces since the start.
    pub fn all(&self) -> u64 {
        self.all.load(Ordering::Relaxed)
    }

    /// Announces in the last whole minute.
    pub fn last_minute(&self) -> u64 {
        self.last_minute.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn minutes_are_counted_one_by_one() {
        let load = Load::default();
        for count in [3, 0, 5] {
            (0..count).for_each(|_| load.add());
            load.end_minute();
            assert_eq!(load.last_minute(), count);
        }
        load.add();
        assert_eq!((load.all(), load.last_minute()), (9, 5));
    }
}
