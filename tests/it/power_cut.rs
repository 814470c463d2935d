//! Power cuts of the whole machine, in every phase of its life: it comes up again by itself, what was published still is, what
//! was not is there whole or not at all, and no file system needs a human. The disk has a write cache, whose content is lost too.

mod ledger;
mod life;

use std::sync::Mutex;
use std::thread;
use std::time::Instant;

use system_tests::content::{Chance, fresh_seed};
use system_tests::{figure, network, thorough};

use ledger::Ledger;
use life::Life;

/// What a machine is doing when its power is cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Phase {
    /// It starts from a disk that was just flashed, and makes the data partition.
    FirstBoot,
    /// It starts, and mends what the cut before has left.
    Boot,
    /// It copies a disc.
    Copy,
    /// It publishes what it has copied.
    Publish,
    /// It installs an update, starts it, has it prove itself, and keeps it.
    Update,
}

/// The cuts in one life of a disk, from flashing on; and those for which there is time with every change.
const LIFE: [Phase; 10] = {
    use Phase::{Boot, Copy, FirstBoot, Publish, Update};
    [FirstBoot, FirstBoot, Copy, Publish, Update, Boot, Copy, Update, Publish, Boot]
};
const SHORT_LIFE: [Phase; 6] = {
    use Phase::{Boot, Copy, FirstBoot, Publish, Update};
    [FirstBoot, Boot, Copy, Publish, Update, Update]
};

/// Cuts before a release, unless the environment sets `BLACKBOX_POWER_CUTS`.
const THOROUGHLY: usize = 200;

/// Machines at the same time, before a release.
const MACHINES: usize = 2;

#[test]
fn power_cuts_in_every_phase_leave_a_box_that_keeps_its_promises() {
    if !network::make_lan() {
        return system_tests::left_out("power cuts", "no network of its own");
    }
    let seed = fresh_seed();
    let mut chance = Chance::new(seed);
    let ledger = Mutex::new(Ledger::default());
    let started = Instant::now();
    let cuts = std::env::var("BLACKBOX_POWER_CUTS").ok().map(|text| text.parse().expect("a number of cuts"));
    if let Some(cuts) = cuts.or_else(|| thorough().then_some(THOROUGHLY)) {
        let lives = Mutex::new((0..cuts.div_ceil(LIFE.len())).map(|_| chance.fork()).enumerate());
        thread::scope(|scope| {
            for _ in 0..MACHINES {
                scope.spawn(|| {
                    assert!(network::make_lan(), "it could be made before");
                    // Not held while a life goes on.
                    let next = || lives.lock().expect("no life panics in here").next();
                    while let Some((number, chance)) = next() {
                        let rest = cuts - number * LIFE.len();
                        Life::new(chance, &ledger).live(&LIFE[..rest.min(LIFE.len())]);
                        eprintln!(
                            "seed {seed}, {:.0?}:\n{}",
                            started.elapsed(),
                            ledger.lock().expect("as above")
                        );
                    }
                });
            }
        });
    } else {
        Life::new(chance, &ledger).live(&SHORT_LIFE);
    }
    let ledger = ledger.into_inner().expect("no life panics with it");
    eprintln!("power cuts, seed {seed}:\n{ledger}");
    for line in ledger.to_string().lines() {
        figure(&format!("power cuts, seed {seed}: {line}"), started.elapsed());
    }
    ledger.assert_promises_are_kept();
}
