//! Bytes of published files that are no longer those that were hashed, though nobody has changed the files: the disk has.

use std::ops::Range;

use tokio::sync::watch;
use torrent::{Lengths, PieceIndex};

/// Places in the content of an item that are damaged, as byte ranges. They are not served.
#[derive(Debug, Default)]
pub struct Damage {
    /// In order, apart from each other.
    ranges: watch::Sender<Vec<Range<u64>>>,
}

impl Damage {
    /// Where it is damaged.
    pub fn ranges(&self) -> Vec<Range<u64>> {
        self.ranges.borrow().clone()
    }

    /// Wakes when it changes.
    pub fn subscribe(&self) -> watch::Receiver<Vec<Range<u64>>> {
        self.ranges.subscribe()
    }

    /// Replaces what was known before.
    pub(crate) fn set(&self, ranges: Vec<Range<u64>>) {
        self.ranges.send_replace(ranges);
    }

    /// Whether any of these bytes are damaged.
    pub fn touches(&self, bytes: &Range<u64>) -> bool {
        self.ranges.borrow().iter().any(|damaged| damaged.start < bytes.end && bytes.start < damaged.end)
    }

    /// The pieces that can't be given.
    pub fn pieces(&self, lengths: &Lengths) -> Vec<PieceIndex> {
        let ranges = self.ranges.borrow();
        if ranges.is_empty() {
            return Vec::new();
        }
        // Both in order, so that each is looked at once.
        let mut ranges = ranges.iter().peekable();
        let is_damaged = |piece: &PieceIndex| {
            let bytes = lengths.piece_range(*piece);
            while ranges.next_if(|damaged| damaged.end <= bytes.start).is_some() {}
            ranges.peek().is_some_and(|damaged| damaged.start < bytes.end)
        };
        lengths.pieces().filter(is_damaged).collect()
    }
}

/// The ranges with `verified` in another state than before: damaged, or (again) good.
pub fn after(ranges: &[Range<u64>], verified: &Range<u64>, is_damaged: bool) -> Vec<Range<u64>> {
    let mut all: Vec<_> = ranges
        .iter()
        .flat_map(|old| [old.start..old.end.min(verified.start), old.start.max(verified.end)..old.end])
        .chain(is_damaged.then(|| verified.clone()))
        .filter(|range| range.start < range.end)
        .collect();
    all.sort_unstable_by_key(|range| range.start);
    all.dedup_by(|next, before| {
        let touches = before.end >= next.start;
        if touches {
            before.end = before.end.max(next.end);
        }
        touches
    });
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_verified_replaces_what_was_known() {
        for (before, verified, is_damaged, want) in [
            (&[][..], (10, 20), true, &[(10, 20)][..]),
            (&[], (10, 20), false, &[]),
            (&[(0, 10)], (10, 20), true, &[(0, 20)]),
            (&[(0, 10), (20, 30)], (10, 20), true, &[(0, 30)]),
            (&[(0, 30)], (10, 20), false, &[(0, 10), (20, 30)]),
            (&[(5, 15)], (10, 20), false, &[(5, 10)]),
            (&[(15, 25)], (10, 20), false, &[(20, 25)]),
            (&[(10, 20)], (10, 20), false, &[]),
            (&[(40, 50)], (10, 20), true, &[(10, 20), (40, 50)]),
        ] {
            let ranges =
                |ends: &[(u64, u64)]| ends.iter().map(|(start, end)| *start..*end).collect::<Vec<_>>();
            let after = after(&ranges(before), &(verified.0..verified.1), is_damaged);
            assert_eq!(after, ranges(want), "{before:?} {verified:?} {is_damaged}");
        }
    }

    #[test]
    fn a_piece_with_one_damaged_byte_is_not_given() {
        let lengths = Lengths::new(100, 16).unwrap();
        let damage = Damage::default();
        assert!(damage.pieces(&lengths).is_empty());
        damage.set(vec![15..17, 96..97]);
        let pieces: Vec<_> = damage.pieces(&lengths).iter().map(|piece| piece.get()).collect();
        assert_eq!(pieces, [0, 1, 6]);
        assert!(damage.touches(&(16..20)) && !damage.touches(&(17..96)));
    }
}
