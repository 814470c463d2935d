//! Whole swarms around the seed, in virtual time, against the bound.

mod leecher;
mod world;

use leecher::{Kind, Leecher, SECOND, Time};
use world::World;

const MIB: u64 = 1 << 20;
const PIECE: u32 = 256 << 10;
/// Of an uplink that is not limited: a fast network.
const FAST: f64 = 100.0 * MIB as f64;

/// A swarm and what is expected of it.
struct Case {
    name: &'static str,
    total: u64,
    uplink: u64,
    leechers: usize,
    up: f64,
    slots: usize,
    others: &'static [Kind],
    stagger: Time,
    seed_delay: Time,
    leavers: usize,
    sockets: Option<usize>,
    ratio: f64,
    copies: f64,
}

impl Default for Case {
    fn default() -> Self {
        Self {
            name: "",
            total: 128 * MIB,
            uplink: 8 * MIB,
            leechers: 20,
            up: FAST,
            slots: usize::MAX,
            others: &[],
            stagger: 30_000,
            seed_delay: world::DELAY,
            leavers: 0,
            sockets: None,
            ratio: 1.05,
            copies: 1.03,
        }
    }
}

impl Case {
    fn check(&self) {
        let pieces = u32::try_from(self.total / u64::from(PIECE)).unwrap();
        let count = self.leechers + self.others.len();
        let leecher = |kind, up| Leecher::new(kind, up, self.slots, count, pieces, PIECE / leecher::BLOCK);
        let stock = (0..self.leechers).map(|_| leecher(Kind::Stock, self.up));
        let others = self
            .others
            .iter()
            .map(|kind| leecher(*kind, if *kind == Kind::Sluggish { self.up } else { 1.0 }));
        let all: Vec<_> =
            stock.chain(others).zip(0..).map(|(leecher, at)| (leecher, at * self.stagger)).collect();
        let mut world = World::new(self.uplink as f64);
        world.sockets = self.sockets;
        world.seed_delay = self.seed_delay;
        world.completion_seeds = std::env::var("SIM_CS").is_ok();
        let item = world.add(self.total, PIECE, all);
        for leaver in 0..self.leavers {
            let at = (2 + leaver as Time) * SECOND;
            world.leave_at(at, item, leaver * 3, Some(at + 5 * SECOND));
        }
        let stock = self.leechers;
        let finished = world.run(400 * SECOND, |world| {
            world.items[item]
                .leechers
                .iter()
                .filter(|leecher| matches!(leecher.kind, Kind::Stock | Kind::Sluggish))
                .all(|leecher| leecher.finished.is_some())
        });
        let of = &world.items[item];
        let last = of
            .leechers
            .iter()
            .filter(|leecher| matches!(leecher.kind, Kind::Stock | Kind::Sluggish))
            .filter_map(|leecher| leecher.finished)
            .max()
            .unwrap_or(0);
        let f = self.total as f64;
        let bound = (f / self.uplink as f64)
            .max(count as f64 * f / (self.uplink as f64 + of.leechers.iter().map(|l| l.up).sum::<f64>()));
        let ratio = last as f64 / SECOND as f64 / bound;
        let copies = of.sent as f64 / f;
        println!(
            "{}: {:.2} s, {ratio:.3} of the bound, {copies:.3} copies, first copy {:.2} s{}",
            self.name,
            last as f64 / SECOND as f64,
            of.first_copy.unwrap_or(0) as f64 / SECOND as f64,
            if finished { "" } else { " NOT FINISHED" },
        );
        if std::env::var("SIM_T").is_ok() {
            for (at, (to, leecher)) in of.sent_to.iter().zip(&of.leechers).enumerate() {
                let secs: Vec<_> =
                    (0..20).map(|s| to.iter().filter(|(t, _)| t / SECOND == s).count()).collect();
                println!(
                    "  {at} {:?} fin {:?} {secs:?}",
                    leecher.kind,
                    leecher.finished.map(|t| t as f64 / 1e6)
                );
            }
        }
    }
}

#[test]
fn explore() {
    let five = |kind| match kind {
        Kind::Silent => &[Kind::Silent; 5][..],
        Kind::Taker => &[Kind::Taker; 5],
        Kind::Trickler => &[Kind::Trickler; 5],
        Kind::Sluggish => &[Kind::Sluggish; 5],
        _ => &[Kind::Mute; 5],
    };
    let two = 2.0 * MIB as f64;
    for case in [
        Case { name: "20 unlimited", ..Case::default() },
        Case { name: "20 at 2 MiB/s", up: two, ..Case::default() },
        Case { name: "20 unlimited, 8 slots", slots: 8, ..Case::default() },
        Case { name: "20 at 2 MiB/s, 8 slots", up: two, slots: 8, ..Case::default() },
        Case { name: "5 unlimited", leechers: 5, ..Case::default() },
        Case { name: "2 unlimited", leechers: 2, ..Case::default() },
        Case { name: "lone", leechers: 1, ..Case::default() },
        Case { name: "lone 200 ms", leechers: 1, seed_delay: 100_000, ..Case::default() },
        Case { name: "20 200 ms", seed_delay: 100_000, ..Case::default() },
        Case { name: "50 at 2 MiB/s", leechers: 50, up: two, ..Case::default() },
        Case { name: "15 + 5 silent", leechers: 15, others: five(Kind::Silent), ..Case::default() },
        Case { name: "15 + 5 takers", leechers: 15, others: five(Kind::Taker), ..Case::default() },
        Case { name: "15 + 5 tricklers", leechers: 15, others: five(Kind::Trickler), ..Case::default() },
        Case { name: "15 + 5 mute", leechers: 15, others: five(Kind::Mute), ..Case::default() },
        Case {
            name: "15 at 2 + 5 takers",
            leechers: 15,
            up: two,
            others: five(Kind::Taker),
            ..Case::default()
        },
        Case {
            name: "15 at 2 + 5 silent",
            leechers: 15,
            up: two,
            others: five(Kind::Silent),
            ..Case::default()
        },
        Case { name: "stagger 1s", stagger: SECOND, ..Case::default() },
        Case { name: "stagger 1s at 2", stagger: SECOND, up: two, ..Case::default() },
        Case { name: "15 + 5 sluggish", leechers: 15, others: five(Kind::Sluggish), ..Case::default() },
        Case {
            name: "15 at 2 + 5 sluggish",
            leechers: 15,
            up: two,
            others: five(Kind::Sluggish),
            ..Case::default()
        },
        Case { name: "net 20", sockets: Some(8), ..Case::default() },
        Case { name: "net 20 large sockets", sockets: Some(64), ..Case::default() },
        Case { name: "net 20 at 2", up: two, sockets: Some(8), ..Case::default() },
        Case { name: "net 5", leechers: 5, sockets: Some(8), ..Case::default() },
        Case {
            name: "net 15 + 5 takers",
            leechers: 15,
            others: five(Kind::Taker),
            sockets: Some(8),
            ..Case::default()
        },
        Case { name: "net slow", total: 16 * MIB, uplink: MIB, sockets: Some(8), ..Case::default() },
        Case { name: "leavers", leavers: 6, ..Case::default() },
        Case { name: "leavers at 2", leavers: 6, up: two, ..Case::default() },
    ] {
        if std::env::var("SIM").is_ok_and(|only| !case.name.contains(&only)) {
            continue;
        }
        let start = std::time::SystemTime::UNIX_EPOCH;
        let _ = start;
        case.check();
    }
}
