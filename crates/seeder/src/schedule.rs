//! Who sends next, where one limit holds for everything that is given away.
//!
//! First copies, on which a whole swarm waits, come before all the rest, which gets a small part all the same: the first
//! copy of a large item may take days. In each of the two classes items share
//! the uplink evenly, however many wait of each (start-time fair queueing: the item comes next that has had least
//! since it was last away). Of an item who stands best comes next, and of equals who came first.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use torrent::MAX_BLOCK;

use crate::swarm::Standing;

/// The part of the limit that other items get while first copies are sent: one byte of so many.
const PART: u64 = 8;

/// Bytes of first copies for which the others are owed something at a time. More is not saved up.
const OWED: Range<u64> = (PART - 1) * MAX_BLOCK as u64..(PART - 1) << 20;

/// Those who wait to send something, each of some item. `I` names items, `W` those who wait.
#[derive(Debug)]
pub struct Schedule<I, W> {
    waiting: BTreeMap<W, Place<I>>,
    first_copies: Queue<I, W>,
    repeats: Queue<I, W>,
    /// Bytes of first copies for which the others have not had their part.
    ahead: u64,
    arrivals: u64,
}

/// Whose turn it is; to be paid for by [`Schedule::charge`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Turn<I, W> {
    /// Who may send.
    pub waiter: W,
    /// Of which item.
    pub item: I,
    /// With which standing it waited.
    pub standing: Standing,
}

#[derive(Debug, Clone, Copy)]
struct Place<I> {
    item: I,
    standing: Standing,
    arrival: u64,
}

/// The items of one class.
#[derive(Debug)]
struct Queue<I, W> {
    items: BTreeMap<I, Item<W>>,
    /// Those of which somebody waits, by what they have had.
    waiting: BTreeSet<(u64, I)>,
    /// Those of which nobody does, but that have had more than their share.
    ahead: BTreeSet<(u64, I)>,
    /// What the item has had whose turn it was last.
    level: u64,
}

#[derive(Debug)]
struct Item<W> {
    /// Bytes it has had, if it had always had its share.
    had: u64,
    waiters: BTreeSet<(Standing, u64, W)>,
}

impl<I, W> Default for Schedule<I, W> {
    fn default() -> Self {
        let (first_copies, repeats) = (Queue::default(), Queue::default());
        Self { waiting: BTreeMap::new(), first_copies, repeats, ahead: 0, arrivals: 0 }
    }
}

impl<I: Ord + Copy, W: Ord + Copy> Schedule<I, W> {
    /// Has somebody wait to send something of an item. If it waits already it does so with this item and
    /// standing from now on.
    pub fn push(&mut self, waiter: W, item: I, standing: Standing) {
        let arrival = self.leave(waiter).map_or(self.arrivals, |place| place.arrival);
        self.arrivals += 1;
        self.waiting.insert(waiter, Place { item, standing, arrival });
        self.queue(standing).insert(item, (standing, arrival, waiter));
    }

    /// Has somebody wait no longer.
    pub fn remove(&mut self, waiter: W) {
        self.leave(waiter);
    }

    /// Whose turn it is; it does not wait any more.
    pub fn pop(&mut self) -> Option<Turn<I, W>> {
        let first = self.first_copies.next();
        let owed =
            first.filter(|_| self.ahead >= OWED.start).and_then(|(item, _)| self.repeats.next_but(item));
        let (item, waiter) = owed.or(first).or_else(|| self.repeats.next())?;
        let Place { standing, .. } = self.leave(waiter)?;
        Some(Turn { waiter, item, standing })
    }

    /// Pays for a turn with what was sent in it.
    pub fn charge(&mut self, turn: Turn<I, W>, bytes: u64) {
        self.ahead = if turn.standing.is_first_copy() {
            self.ahead.saturating_add(bytes).min(OWED.end)
        } else {
            self.ahead.saturating_sub(bytes.saturating_mul(PART - 1))
        };
        self.queue(turn.standing).charge(turn.item, bytes);
    }

    /// Whether nobody waits.
    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    fn leave(&mut self, waiter: W) -> Option<Place<I>> {
        let place = self.waiting.remove(&waiter)?;
        self.queue(place.standing).remove(place.item, (place.standing, place.arrival, waiter));
        Some(place)
    }

    fn queue(&mut self, standing: Standing) -> &mut Queue<I, W> {
        if standing.is_first_copy() { &mut self.first_copies } else { &mut self.repeats }
    }
}

impl<I, W> Default for Queue<I, W> {
    fn default() -> Self {
        Self { items: BTreeMap::new(), waiting: BTreeSet::new(), ahead: BTreeSet::new(), level: 0 }
    }
}

impl<I: Ord + Copy, W: Ord + Copy> Queue<I, W> {
    fn insert(&mut self, item: I, waiter: (Standing, u64, W)) {
        self.change(item, |of| of.waiters.insert(waiter));
    }

    fn remove(&mut self, item: I, waiter: (Standing, u64, W)) {
        self.change(item, |of| of.waiters.remove(&waiter));
    }

    fn charge(&mut self, item: I, bytes: u64) {
        self.change(item, |of| of.had += bytes);
    }

    /// Who is next. Those who were away up to now have had as much.
    fn next(&mut self) -> Option<(I, W)> {
        let next = *self.waiting.first()?;
        self.first_of(next)
    }

    /// Who is next but for one item.
    fn next_but(&mut self, other: I) -> Option<(I, W)> {
        let next = *self.waiting.iter().find(|(_, item)| *item != other)?;
        self.first_of(next)
    }

    fn first_of(&mut self, (had, item): (u64, I)) -> Option<(I, W)> {
        self.level = self.level.max(had);
        while let Some((_, behind)) = self.ahead.first().filter(|(had, _)| *had <= self.level).copied() {
            self.ahead.pop_first();
            self.items.remove(&behind);
        }
        let (.., waiter) = *self.items.get(&item)?.waiters.first()?;
        Some((item, waiter))
    }

    fn change<T>(&mut self, item: I, change: impl FnOnce(&mut Item<W>) -> T) {
        let of = self.items.entry(item).or_insert(Item { had: self.level, waiters: BTreeSet::new() });
        self.waiting.remove(&(of.had, item));
        self.ahead.remove(&(of.had, item));
        change(of);
        if of.waiters.is_empty() && of.had <= self.level {
            self.items.remove(&item);
        } else if of.waiters.is_empty() {
            self.ahead.insert((of.had, item));
        } else {
            self.waiting.insert((of.had, item));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A standing with so many bytes sent before.
    fn repeat(sent: u64) -> Standing {
        Standing::new(false, true, 0.0, sent)
    }

    fn first() -> Standing {
        Standing::new(true, true, 0.0, 0)
    }

    /// Takes that many turns, each of which sends `bytes`, and has everybody wait again. Whose they were.
    fn turns(schedule: &mut Schedule<char, u32>, count: usize, bytes: u64) -> Vec<(char, u32)> {
        let turn = |schedule: &mut Schedule<char, u32>| {
            let turn = schedule.pop().unwrap();
            schedule.charge(turn, bytes);
            schedule.push(turn.waiter, turn.item, turn.standing);
            (turn.item, turn.waiter)
        };
        (0..count).map(|_| turn(schedule)).collect()
    }

    fn share(turns: &[(char, u32)], item: char) -> usize {
        turns.iter().filter(|(of, _)| *of == item).count()
    }

    #[test]
    fn first_copies_come_first_then_who_stands_best_then_who_came_first() {
        let mut schedule = Schedule::default();
        schedule.push(1, 'a', repeat(5));
        schedule.push(2, 'a', repeat(3));
        schedule.push(3, 'a', repeat(3));
        schedule.push(4, 'a', first());
        schedule.push(5, 'a', repeat(0));
        schedule.remove(5);
        schedule.remove(6);
        let order: Vec<_> = std::iter::from_fn(|| schedule.pop()).map(|turn| turn.waiter).collect();
        assert_eq!(order, [4, 2, 3, 1]);
        assert!(schedule.is_empty());
    }

    #[test]
    fn an_item_with_many_peers_does_not_starve_one_with_one() {
        let mut schedule = Schedule::default();
        for waiter in 0..500 {
            schedule.push(waiter, 'a', repeat(0));
        }
        schedule.push(500, 'b', repeat(0));
        let turns = turns(&mut schedule, 1000, 16384);
        assert_eq!(share(&turns, 'b'), 500);
        // And within the large one everybody has a turn.
        assert!((0..500).all(|waiter| turns.contains(&('a', waiter))));
    }

    #[test]
    fn bytes_count_not_turns() {
        let mut schedule = Schedule::default();
        schedule.push(1, 'a', repeat(0));
        schedule.push(2, 'b', repeat(0));
        let mut bytes = BTreeMap::from([('a', 0), ('b', 0)]);
        for _ in 0..1700 {
            let turn = schedule.pop().unwrap();
            let size = if turn.item == 'a' { 16384 } else { 1024 };
            schedule.charge(turn, size);
            *bytes.get_mut(&turn.item).unwrap() += size;
            schedule.push(turn.waiter, turn.item, turn.standing);
        }
        assert!(bytes[&'a'].abs_diff(bytes[&'b']) <= 16384, "{bytes:?}");
    }

    #[test]
    fn who_was_away_has_no_credit_and_no_way_around_its_share() {
        let mut schedule = Schedule::default();
        schedule.push(1, 'a', repeat(0));
        turns(&mut schedule, 100, 10);
        schedule.push(2, 'b', repeat(0));
        assert_eq!(share(&turns(&mut schedule, 10, 10), 'b'), 5);
        // Leaving for a moment after a large turn does not make it forgotten.
        schedule.push(3, 'c', repeat(0));
        let mut first = schedule.pop().unwrap();
        while first.item != 'c' {
            schedule.charge(first, 10);
            schedule.push(first.waiter, first.item, first.standing);
            first = schedule.pop().unwrap();
        }
        schedule.charge(first, 1000);
        schedule.push(3, 'c', repeat(0));
        assert_eq!(share(&turns(&mut schedule, 100, 10), 'c'), 0);
    }

    #[test]
    fn first_copies_do_not_cost_an_item_its_share_of_the_rest() {
        let mut schedule = Schedule::default();
        schedule.push(1, 'a', first());
        schedule.push(2, 'b', repeat(0));
        assert_eq!(share(&turns(&mut schedule, 50, 10), 'a'), 50);
        schedule.push(1, 'a', repeat(0));
        assert_eq!(share(&turns(&mut schedule, 50, 10), 'a'), 25);
    }

    #[test]
    fn first_copies_leave_a_part_to_other_items() {
        let mut schedule = Schedule::default();
        schedule.push(1, 'a', first());
        // Alone it gets everything, and the others are not owed for that for ever.
        turns(&mut schedule, 10_000, 16384);
        schedule.push(2, 'b', repeat(0));
        turns(&mut schedule, 100, 16384);
        // Not to those who want the same item: they are given what is of use to all.
        schedule.push(3, 'a', repeat(0));
        let turns = turns(&mut schedule, 800, 16384);
        assert_eq!(share(&turns, 'b'), 100);
        assert!(!turns.contains(&('a', 3)));
    }

    #[test]
    fn who_pushes_again_keeps_its_place_among_equals() {
        let mut schedule = Schedule::default();
        schedule.push(1, 'a', repeat(0));
        schedule.push(2, 'a', repeat(0));
        schedule.push(1, 'a', repeat(0));
        assert_eq!(schedule.pop().unwrap().waiter, 1);
        schedule.push(2, 'b', first());
        let turn = schedule.pop().unwrap();
        assert_eq!((turn.waiter, turn.item), (2, 'b'));
        assert_eq!(schedule.pop(), None);
    }

    #[test]
    fn items_are_forgotten_when_the_others_have_had_as_much() {
        let mut schedule = Schedule::default();
        for item in 0..1000 {
            schedule.push(item, item, repeat(0));
            let turn = schedule.pop().unwrap();
            schedule.charge(turn, 10);
        }
        assert_eq!(schedule.repeats.items.len(), 1000);
        for _ in 0..3 {
            schedule.push(1000, 1000, repeat(0));
            let turn = schedule.pop().unwrap();
            schedule.charge(turn, 10);
        }
        assert_eq!(schedule.repeats.items.len(), 1);
    }
}
