//! The life of one disk, from flashing on, with a power cut at the end of each of its machine's days.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Mutex;
use std::thread::sleep;
use std::time::Duration;

use system_tests::api::{Hashes, SOON};
use system_tests::content::{Chance, size, write_file, write_tree};
use system_tests::foreign::Foreign;
use system_tests::image::Disk;
use system_tests::vm::{DISC, Hardware, Quality, READY, Vm};
use system_tests::volatile_disk::VolatileDisk;
use system_tests::{disc, wait};
use tempfile::TempDir;

use super::Phase;
use super::ledger::Ledger;
use crate::boot_update::{self, BEGINS};

/// Time after the ready line in which everything is as it was, without hardware acceleration.
const AGAIN: Duration = Duration::from_secs(5);

/// What a first boot may take: until one was seen, a guess.
const BOOT: Duration = Duration::from_secs(10);

/// Bytes a second from a disc whose copying the power cut is to interrupt.
const COPY_SPEED: u64 = 4 << 20;

/// Time from insertion in which a small disc is published, more or less.
const PUBLISH: Duration = Duration::from_secs(6);

/// A disk, and what it has published so far.
pub(super) struct Life<'a> {
    folder: TempDir,
    disk: Disk,
    chance: Chance,
    ledger: &'a Mutex<Ledger>,
    /// What discs were burnt from, by label.
    folders: BTreeMap<String, PathBuf>,
    published: BTreeMap<String, Hashes>,
    /// How long the last boot took.
    boot: Duration,
    /// When the power was cut last.
    last: Option<Phase>,
    updates: u32,
}

impl<'a> Life<'a> {
    pub fn new(chance: Chance, ledger: &'a Mutex<Ledger>) -> Self {
        let folder = system_tests::temporary_folder_on_disk();
        Self {
            disk: Disk::flash(folder.path(), 8192),
            folder,
            chance,
            ledger,
            folders: BTreeMap::new(),
            published: BTreeMap::new(),
            boot: BOOT,
            last: None,
            updates: 0,
        }
    }

    /// Lives through these cuts, and demands that all is well at the end.
    pub fn live(mut self, cuts: &[Phase]) {
        for phase in cuts {
            self.cut(*phase);
        }
        let (mut vm, _) = self.start();
        // What was in place and not yet in the catalog is published like anything else in the folder.
        wait::until_holds("all that is there is seeding", SOON, || {
            vm.api.items().iter().all(|item| item["state"] == "seeding")
        });
        self.look(&vm);
        self.updates += 1;
        boot_update::update_from_disc(&mut vm, self.folder.path(), self.updates);
        vm.power_off();
        assert!(self.disk.data_is_clean());
        // What the cuts have left there was mended before the update was written.
        self.disk.assert_system_is_clean();
        let foreign = Foreign::of(self.folders.values().cloned());
        for (label, hashes) in &self.published {
            assert!(foreign.agrees(&self.folders[label], hashes), "{label} was published as {hashes:?}");
        }
    }

    /// Switches the machine on, has it do something, and cuts the power at any instant of that.
    fn cut(&mut self, phase: Phase) {
        let (mut vm, volatile) = match phase {
            Phase::FirstBoot | Phase::Boot => self.switch_on(),
            Phase::Copy | Phase::Publish | Phase::Update => self.start(),
        };
        let most = match phase {
            Phase::FirstBoot | Phase::Boot => self.boot,
            Phase::Copy => self.copy(&mut vm),
            Phase::Publish => self.publish(&mut vm),
            Phase::Update => self.update(&mut vm),
        };
        sleep(most.mul_f64(self.chance.below(1000) as f64 / 1000.0));
        if matches!(phase, Phase::Copy | Phase::Publish) {
            self.look(&vm);
        }
        drop(vm);
        let (lost, unflushed) = volatile.power_is_cut(&mut self.chance);
        let mut ledger = self.ledger.lock().expect("nobody panics with it");
        let costs = ledger.of(phase);
        costs.cuts += 1;
        costs.lost += lost;
        costs.unflushed += unflushed;
        self.last = Some(phase);
    }

    /// Burns another disc, of a few megabytes in one large file and some small ones.
    fn burn(&mut self) -> (String, PathBuf) {
        let label = format!("DISC{}", self.folders.len());
        let folder = self.folder.path().join(&label);
        let film = (4 << 20) + self.chance.below(28 << 20);
        write_file(&mut self.chance, &folder.join("film.bin"), film);
        write_tree(&mut self.chance, &folder.join("tree"));
        let disc = disc::burn(&folder, &label, &self.folder.path().join(format!("{label}.iso")));
        self.folders.insert(label.clone(), folder);
        (label, disc)
    }

    /// Inserts a disc that is read slowly; returns how long that takes once it has begun.
    fn copy(&mut self, vm: &mut Vm) -> Duration {
        let (label, disc) = self.burn();
        vm.insert_of(&disc, Quality { scratch: None, speed: Some(COPY_SPEED) });
        wait::until_holds("the disc is read", DISC, || vm.api.item(&label).is_some());
        Duration::from_secs_f64(size(&self.folders[&label]) as f64 / COPY_SPEED as f64)
    }

    /// Inserts a disc; returns how long it takes from there until it is published and a moment more.
    fn publish(&mut self, vm: &mut Vm) -> Duration {
        let (label, disc) = self.burn();
        vm.insert(&disc);
        if self.chance.below(2) == 0 {
            return PUBLISH;
        }
        vm.api.seeding_within(&label, DISC);
        Duration::from_millis(500)
    }

    /// Inserts an update; returns how long the step of it takes, more or less, that is going on then.
    fn update(&mut self, vm: &mut Vm) -> Duration {
        self.updates += 1;
        vm.insert(&boot_update::burn_version(self.folder.path(), self.updates));
        let steps: [(&[&str], Duration); 3] = [
            (&[BEGINS], self.boot / 4),
            (&["the box restarts"], self.boot),
            (&["the box restarts", "is on trial"], self.boot / 2),
        ];
        let (story, most) = self.chance.pick(&steps);
        vm.wait_for_story(story, boot_update::UPDATE);
        most
    }

    fn switch_on(&self) -> (Vm, VolatileDisk) {
        let volatile = VolatileDisk::serve(self.disk.path());
        let socket = Some(volatile.socket().to_owned());
        (Vm::start(&self.disk, &Hardware { volatile: socket, ..Hardware::default() }), volatile)
    }

    /// Switches a machine that does not come up off and on; if that does not help either, it goes on with a new disk.
    fn try_again(&mut self) {
        let last = self.last.expect("an image that does not start at all");
        let (mut vm, _) = self.switch_on();
        let is_brick = vm.ready_within(READY).is_none();
        let mut ledger = self.ledger.lock().expect("nobody panics with it");
        let costs = ledger.of(last);
        costs.bricks += usize::from(is_brick);
        costs.stuck += usize::from(!is_brick);
        if is_brick {
            eprintln!("not then either: {}", vm.describe());
            self.disk = Disk::flash(self.folder.path(), 8192);
            self.published.clear();
            self.last = None;
        }
    }

    /// Switches the machine on, and takes note of what it does not keep of its promises.
    fn start(&mut self) -> (Vm, VolatileDisk) {
        let (mut vm, volatile) = self.switch_on();
        let Some(took) = vm.ready_within(READY) else {
            eprintln!("a box that does not come up after {:?}: {}", self.last, vm.describe());
            drop(vm);
            volatile.power_is_cut(&mut self.chance);
            self.try_again();
            return self.start();
        };
        self.boot = took;
        let kept = |published: &BTreeMap<String, Hashes>| {
            let items = vm.api.items();
            let is_kept = |(label, hashes): (&String, &Hashes)| {
                let item = items.iter().find(|item| item["name"] == label.as_str());
                item.is_some_and(|item| item["state"] == "seeding" && Hashes::of(item) == Some(*hashes))
            };
            published
                .iter()
                .filter(|entry| is_kept(*entry))
                .map(|(label, _)| label.clone())
                .collect::<Vec<_>>()
        };
        let all =
            wait::try_until(AGAIN, || (kept(&self.published).len() == self.published.len()).then_some(()));
        let mut lost = 0;
        if all.is_none() {
            let kept = kept(&self.published);
            lost = self.published.len() - kept.len();
            eprintln!("after {:?} {:?} is left of {:?}", self.last, vm.api.items(), self.published);
            self.published.retain(|label, _| kept.contains(label));
        }
        let damage: Vec<_> =
            vm.api.problems().into_iter().filter(|problem| problem.contains("data partition")).collect();
        if let Some(last) = self.last {
            let mut ledger = self.ledger.lock().expect("nobody panics with it");
            let costs = ledger.of(last);
            costs.items += lost;
            costs.damaged += usize::from(!damage.is_empty());
        }
        assert_eq!(vm.api.metric("blackbox_hashed_bytes_total"), 0, "something was hashed again");
        (vm, volatile)
    }

    /// Takes note of what is seeding, and demands that nothing was hashed that was published before.
    fn look(&mut self, vm: &Vm) {
        let unpublished = self.folders.iter().filter(|(label, _)| !self.published.contains_key(*label));
        let to_hash: u64 = unpublished.map(|(_, folder)| size(folder)).sum();
        assert!(vm.api.metric("blackbox_hashed_bytes_total") <= to_hash, "something was hashed again");
        for item in vm.api.items().iter().filter(|item| item["state"] == "seeding") {
            let label = item["name"].as_str().expect("a name").to_owned();
            let hashes = Hashes::of(item).expect("info hashes");
            let before = self.published.insert(label, hashes);
            assert!(before.is_none_or(|before| before == hashes), "{item} had other info hashes before");
        }
    }
}
