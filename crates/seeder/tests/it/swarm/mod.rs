//! Whole swarms around the seed, in virtual time, against the bound.

mod leecher;
mod world;

use leecher::{Kind, Leecher, SECOND, Time};
use world::World;

use crate::support::figure;

const MIB: u64 = 1 << 20;
const PIECE: u32 = 256 << 10;
const UPLINK: u64 = 8 * MIB;

/// What a leecher sends at most, in bytes a second: as good as unlimited, or by a slow line.
const FAST: f64 = 100.0 * MIB as f64;
const SLOW: f64 = 2.0 * MIB as f64;

/// A swarm of which the box is the only seed.
#[derive(Clone, Copy)]
struct Case {
    total: u64,
    uplink: u64,
    stock: usize,
    /// Bytes a second that each of them sends.
    up: f64,
    slots: usize,
    others: usize,
    kind: Kind,
    /// How many come back five seconds after they have left.
    leavers: usize,
    seed_delay: Time,
    /// Blocks that wait in each socket, if the network is what limits.
    sockets: Option<usize>,
    /// Whom the seed unchokes at once, if not everybody.
    seed_slots: Option<usize>,
}

impl Default for Case {
    fn default() -> Self {
        Self {
            total: 128 * MIB,
            uplink: UPLINK,
            stock: 20,
            up: FAST,
            slots: usize::MAX,
            others: 0,
            kind: Kind::Stock,
            leavers: 0,
            seed_delay: world::DELAY,
            sockets: None,
            seed_slots: None,
        }
    }
}

impl Case {
    fn leechers(&self) -> Vec<(Leecher, Time)> {
        let pieces = u32::try_from(self.total / u64::from(PIECE)).unwrap();
        let count = self.stock + self.others;
        let leecher = |at: usize| {
            let kind = if at < self.stock { Kind::Stock } else { self.kind };
            let up = if kind.shares() { self.up } else { 1.0 };
            let leecher = Leecher::new(kind, up, self.slots, count, pieces, PIECE / leecher::BLOCK);
            (leecher, 30_000 * at as Time)
        };
        (0..count).map(leecher).collect()
    }

    /// Time in which all have everything at best, in seconds. Who takes nothing does not count.
    fn bound(&self) -> f64 {
        let taking = self.stock + if self.kind == Kind::Mute { 0 } else { self.others };
        let sharing = self.stock + if self.kind.shares() { self.others } else { 0 };
        let count = taking as f64;
        let (total, uplink) = (self.total as f64, self.uplink as f64);
        (total / uplink).max(count * total / (uplink + sharing as f64 * self.up))
    }

    /// In how much of the bound those who share have everything, and how often everything left the seed.
    fn run(&self) -> (f64, f64) {
        let mut world = World::new(self.uplink as f64, self.seed_delay, self.sockets);
        world.slots = self.seed_slots;
        let item = world.add(self.total, PIECE, self.leechers());
        for leaver in 0..self.leavers {
            let at = (2 + leaver as Time) * SECOND;
            world.leave_at(at, item, leaver * 3, at + 5 * SECOND);
        }
        let nobody_shares = self.stock == 0;
        let finished = world.run(400 * SECOND, |world| {
            let mut awaited =
                world.items[item].leechers.iter().filter(|of| nobody_shares || of.kind.shares());
            awaited.all(|leecher| leecher.finished.is_some())
        });
        assert!(finished, "somebody never finished");
        let ratio = world.now as f64 / SECOND as f64 / self.bound();
        (ratio, world.items[item].sent as f64 / self.total as f64)
    }

    /// Expects at most this multiple of the bound and this number of copies.
    #[track_caller]
    fn check(&self, most: f64, most_copies: f64) {
        let (name, (ratio, copies)) = (self.name(), self.run());
        figure(
            &format!("simulated swarm of {name}"),
            &format!("{ratio:.3} of the bound, {copies:.2} copies"),
        );
        assert!(ratio <= most, "{name}: {ratio:.3} of the bound");
        assert!(copies <= most_copies, "{name}: {copies:.3} copies");
    }

    /// Who takes part, and what is not as usual.
    fn name(&self) -> String {
        let parts = [
            Some(self.stock.to_string()),
            (self.others > 0).then(|| format!(" and {} {:?}", self.others, self.kind).to_lowercase()),
            (self.up < FAST).then(|| format!(" at {} MiB/s", self.up / MIB as f64)),
            (self.slots < usize::MAX).then(|| format!(" with {} slots", self.slots)),
            (self.leavers > 0).then(|| format!(", {} leave and come back", self.leavers)),
            (self.seed_delay != world::DELAY)
                .then(|| format!(", {} ms from the seed", 2 * self.seed_delay / 1000)),
            (self.uplink != UPLINK).then(|| format!(", uplink {} MiB/s", self.uplink / MIB)),
            self.sockets.map(|blocks| format!(", no limit set, {blocks} blocks in a socket")),
            self.seed_slots.map(|slots| format!(", {slots} slots at the seed")),
        ];
        parts.into_iter().flatten().collect()
    }
}

/// Where the leechers' uplinks count, further copies are of use.
const ANY: f64 = f64::MAX;

#[test]
fn every_byte_leaves_once_where_leechers_are_fast() {
    Case::default().check(1.03, 1.01);
    Case { slots: 8, ..Case::default() }.check(1.04, 1.03);
    Case { stock: 5, ..Case::default() }.check(1.03, 1.01);
    Case { stock: 2, ..Case::default() }.check(1.03, 1.01);
    Case { seed_delay: 100_000, ..Case::default() }.check(1.08, 1.06);
    Case { stock: 15, others: 5, kind: Kind::Sluggish, ..Case::default() }.check(1.05, 1.02);
}

#[test]
fn the_uplink_helps_to_the_end_where_leechers_are_slow() {
    Case { up: SLOW, ..Case::default() }.check(1.05, ANY);
    Case { up: SLOW, slots: 8, ..Case::default() }.check(1.05, ANY);
    Case { up: SLOW, stock: 50, ..Case::default() }.check(1.05, ANY);
    Case { up: SLOW, stock: 15, others: 5, kind: Kind::Sluggish, ..Case::default() }.check(1.06, ANY);
}

#[test]
fn who_passes_on_nothing_holds_up_nobody() {
    for kind in [Kind::Silent, Kind::Taker, Kind::Trickler, Kind::Mute] {
        Case { stock: 15, others: 5, kind, ..Case::default() }.check(1.06, 1.05);
    }
    for kind in [Kind::Silent, Kind::Taker] {
        Case { stock: 15, others: 5, kind, up: SLOW, ..Case::default() }.check(1.05, ANY);
    }
    // Then the uplink is all there is.
    Case { total: 32 * MIB, stock: 0, others: 8, kind: Kind::Silent, ..Case::default() }.check(1.03, 8.0);
}

#[test]
fn a_crowd_that_only_listens_holds_up_nobody() {
    Case { total: 32 * MIB, stock: 2, others: 100, kind: Kind::Mute, ..Case::default() }.check(1.15, 1.10);
    Case { stock: 20, others: 200, kind: Kind::Mute, ..Case::default() }.check(1.05, 1.02);
}

#[test]
fn a_lone_leecher_has_the_whole_uplink() {
    Case { stock: 1, ..Case::default() }.check(1.02, 1.0);
    Case { stock: 1, seed_delay: 100_000, ..Case::default() }.check(1.06, 1.0);
    Case { stock: 1, sockets: Some(8), ..Case::default() }.check(1.03, 1.0);
}

#[test]
fn who_leaves_and_comes_back_loses_nothing() {
    Case { leavers: 6, ..Case::default() }.check(1.05, 1.04);
    // The bound counts on what they could have sent meanwhile.
    Case { leavers: 6, up: SLOW, ..Case::default() }.check(1.07, ANY);
}

#[test]
fn the_seed_needs_no_slot_for_everybody() {
    let few = Case { seed_slots: Some(4), ..Case::default() };
    few.check(1.05, 1.03);
    Case { stock: 15, others: 5, kind: Kind::Taker, ..few }.check(1.05, 1.03);
    Case { total: 32 * MIB, stock: 0, others: 8, kind: Kind::Taker, ..few }.check(1.03, 8.1);
}

#[test]
fn no_limit_needs_to_be_configured() {
    // Sockets swallow what is asked for, and nobody is told what the uplink carries.
    let no_limit = Case { sockets: Some(8), ..Case::default() };
    no_limit.check(1.04, 1.02);
    Case { sockets: Some(64), ..no_limit }.check(1.04, 1.02);
    Case { up: SLOW, ..no_limit }.check(1.05, ANY);
    Case { stock: 15, others: 5, kind: Kind::Taker, ..no_limit }.check(1.15, 1.10);
    Case { total: 16 * MIB, uplink: MIB, ..no_limit }.check(1.10, 1.20);
}

/// How even shares are, 1 at best.
fn jain(shares: &[f64]) -> f64 {
    let sum: f64 = shares.iter().sum();
    sum * sum / (shares.len() as f64 * shares.iter().map(|share| share * share).sum::<f64>())
}

#[test]
fn items_share_the_uplink_and_first_copies_come_first() {
    let mut world = World::new(UPLINK as f64, world::DELAY, None);
    // Of three items, with many, some and one who take, there are other seeds; of the fourth, later, there are none.
    let takers = |others| Case { total: 512 * MIB, stock: 0, others, kind: Kind::Silent, ..Case::default() };
    let shared: Vec<_> = [40, 5, 1].map(|count| world.add(512 * MIB, PIECE, takers(count).leechers())).into();
    for item in &shared {
        world.others_seed(*item);
    }
    let sent = |world: &World| shared.iter().map(|item| world.items[*item].sent as f64).collect::<Vec<_>>();
    world.run(10 * SECOND, |_| false);
    let first = sent(&world);
    figure(
        "simulated items, wanted by 40, 5 and 1: Jain's index of what each gets",
        &format!("{:.3}", jain(&first)),
    );
    assert!(jain(&first) >= 0.98);

    let fresh = Case { total: 64 * MIB, stock: 10, ..Case::default() };
    let leechers = fresh.leechers().into_iter().map(|(leecher, at)| (leecher, at + 10 * SECOND)).collect();
    let item = world.add(fresh.total, PIECE, leechers);
    assert!(world.run(100 * SECOND, |world| {
        world.items[item].leechers.iter().all(|leecher| leecher.finished.is_some())
    }));
    let ratio = (world.now - 10 * SECOND) as f64 / SECOND as f64 / fresh.bound();
    figure("simulated new item among others", &format!("{ratio:.3} of the bound"));
    // An eighth goes to the others all the while.
    assert!(ratio <= 1.08 * 8.0 / 7.0);

    let (before, start) = (sent(&world), world.now);
    world.run(start + 10 * SECOND, |_| false);
    let last: Vec<_> = sent(&world).iter().zip(before).map(|(after, before)| after - before).collect();
    figure("simulated items, after a new one was handed out: Jain's index", &format!("{:.3}", jain(&last)));
    assert!(jain(&last) >= 0.98);
}
