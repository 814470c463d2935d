//! Whose turn it is to be announced, when not all can be at once.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use torrent::InfoHash;

/// When what was announced last.
#[derive(Debug)]
pub struct Turns {
    period: Duration,
    last: BTreeMap<InfoHash, Instant>,
}

impl Turns {
    /// Each has a turn once in a `period`, or less often if there are too many.
    pub fn new(period: Duration) -> Self {
        Self { period, last: BTreeMap::new() }
    }

    /// The next ones of `all`, `count` at most, and takes it that they are announced now: first those that never were,
    /// in the given order; then those that wait longest.
    pub fn take(&mut self, now: Instant, all: &[InfoHash], count: usize) -> Vec<InfoHash> {
        let mut before = std::mem::take(&mut self.last);
        // What is not among all any more is forgotten.
        self.last = all.iter().filter_map(|hash| Some((*hash, before.remove(hash)?))).collect();
        let mut due: Vec<(Option<Instant>, InfoHash)> = all
            .iter()
            .map(|hash| (self.last.get(hash).copied(), *hash))
            .filter(|(last, _)| last.is_none_or(|last| now >= last + self.period))
            .collect();
        due.sort_by_key(|(last, _)| *last);
        let taken: Vec<InfoHash> = due.into_iter().take(count).map(|(_, hash)| hash).collect();
        self.last.extend(taken.iter().map(|hash| (*hash, now)));
        taken
    }

    /// It could not be announced: its turn comes again soon.
    pub fn again(&mut self, info_hash: &InfoHash) {
        self.last.remove(info_hash);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::start;

    const PERIOD: Duration = Duration::from_mins(5);
    const MINUTE: Duration = Duration::from_mins(1);

    fn hashes(numbers: impl IntoIterator<Item = u8>) -> Vec<InfoHash> {
        numbers.into_iter().map(|n| InfoHash([n; 20])).collect()
    }

    #[test]
    fn each_has_its_turn_once_in_a_period() {
        let (start, mut turns) = (start(), Turns::new(PERIOD));
        let all = hashes([5, 4, 3]);
        assert_eq!(turns.take(start, &all, 2), hashes([5, 4]), "newest first");
        assert_eq!(turns.take(start + MINUTE, &all, 2), hashes([3]));
        assert_eq!(turns.take(start + 2 * MINUTE, &all, 2), []);
        turns.again(&all[1]);
        assert_eq!(turns.take(start + 3 * MINUTE, &all, 2), hashes([4]));
        // A new one comes first; what is gone is forgotten, and new when it is back.
        assert_eq!(turns.take(start + PERIOD, &hashes([6, 5, 3]), 2), hashes([6, 5]));
        assert_eq!(turns.take(start + PERIOD + MINUTE, &all, 2), hashes([4, 3]));
    }

    #[test]
    fn too_many_take_turns() {
        let (start, mut turns) = (start(), Turns::new(PERIOD));
        let all = hashes(0..100);
        let minutes = (0..20).map(|minute| turns.take(start + minute * MINUTE, &all, 10));
        assert_eq!(minutes.flatten().collect::<Vec<_>>(), [&all[..], &all[..]].concat());
    }
}
