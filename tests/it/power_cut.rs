//! Power cuts of the whole machine while it imports a disc: what was published still is, what was not is there whole or not
//! at all, and the file system is fine. The disk has a write cache, whose content is lost too.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::{Duration, Instant};

use system_tests::api::{Hashes, SOON};
use system_tests::content::{Chance, size, write_file, write_tree};
use system_tests::foreign::Foreign;
use system_tests::image::Disk;
use system_tests::vm::{DISC, Hardware, Vm};
use system_tests::volatile_disk::VolatileDisk;
use system_tests::{disc, figure, network, wait};

/// Time after the ready line in which everything is as it was, without hardware acceleration.
const AGAIN: Duration = Duration::from_secs(5);

/// A machine, and what it has published so far.
struct Bench<'a> {
    folder: &'a Path,
    disk: Disk,
    chance: Chance,
    /// What discs were burnt from, by label.
    folders: BTreeMap<String, PathBuf>,
    published: BTreeMap<String, Hashes>,
    /// How long a disc takes from insertion to seeding.
    import: Duration,
    /// Writes to the disk that were lost, of those that had not been flushed.
    lost: (usize, usize),
}

#[test]
fn power_cuts_leave_items_whole_or_not_there() {
    if !network::make_lan() {
        return system_tests::left_out("power cuts", "no network of its own");
    }
    let cuts = if system_tests::thorough() { 50 } else { 4 };
    let folder = system_tests::temporary_folder_on_disk();
    let mut bench = Bench {
        folder: folder.path(),
        disk: Disk::flash(folder.path(), 8192),
        chance: Chance::fresh(),
        folders: BTreeMap::new(),
        published: BTreeMap::new(),
        import: Duration::ZERO,
        lost: (0, 0),
    };
    let started = Instant::now();
    bench.import_one();
    for _ in 0..cuts {
        bench.cut();
    }
    let (vm, _) = bench.start();
    // What was in place and not yet in the catalog is published like anything else in the folder.
    wait::until_holds("all that is there is seeding", SOON, || {
        vm.api.items().iter().all(|item| item["state"] == "seeding")
    });
    bench.look(&vm);
    vm.power_off();
    figure(&format!("{cuts} power cuts, discs that were published before"), bench.published.len() - 1);
    figure(&format!("{cuts} power cuts, writes that were lost, of so many not flushed"), bench.lost);
    figure(&format!("{cuts} power cuts"), started.elapsed());
    assert!(bench.disk.data_is_clean());
    let foreign = Foreign::of(bench.folders.values().cloned());
    for (label, hashes) in &bench.published {
        assert!(foreign.agrees(&bench.folders[label], hashes), "{label} was published as {hashes:?}");
    }
}

impl Bench<'_> {
    /// Burns another disc, of a few megabytes in one large file and some small ones.
    fn burn(&mut self) -> (String, PathBuf) {
        let label = format!("DISC{}", self.folders.len());
        let folder = self.folder.join(&label);
        let film = (4 << 20) + self.chance.below(28 << 20);
        write_file(&mut self.chance, &folder.join("film.bin"), film);
        write_tree(&mut self.chance, &folder.join("tree"));
        let disc = disc::burn(&folder, &label, &self.folder.join(format!("{label}.iso")));
        self.folders.insert(label.clone(), folder);
        (label, disc)
    }

    /// The first boot, and a disc that is left alone; says how long that takes.
    fn import_one(&mut self) {
        let (mut vm, _) = self.start();
        let (label, disc) = self.burn();
        let inserted = Instant::now();
        vm.insert(&disc);
        vm.api.seeding_within(&label, DISC);
        self.import = inserted.elapsed();
        self.look(&vm);
        vm.power_off();
    }

    /// Inserts a disc, and cuts the power at any instant until it is published, or right after.
    fn cut(&mut self) {
        let (mut vm, volatile) = self.start();
        let (label, disc) = self.burn();
        let unpublished = self.folders.iter().filter(|(label, _)| !self.published.contains_key(*label));
        let to_hash: u64 = unpublished.map(|(_, folder)| size(folder)).sum();
        vm.insert(&disc);
        let most = match self.chance.below(4) {
            0 => self.import,
            1 => {
                vm.api.seeding_within(&label, DISC);
                Duration::from_millis(500)
            }
            // Most of what is to be lost is written while it is copied.
            _ => {
                wait::until_holds("the disc is read", DISC, || vm.api.item(&label).is_some());
                self.import / 2
            }
        };
        sleep(most.mul_f64(self.chance.below(1000) as f64 / 1000.0));
        self.look(&vm);
        assert!(vm.api.metric("blackbox_hashed_bytes_total") <= to_hash, "something was hashed again");
        drop(vm);
        let (lost, unflushed) = volatile.power_is_cut(&mut self.chance);
        self.lost = (self.lost.0 + lost, self.lost.1 + unflushed);
    }

    /// Switches the machine on, which keeps what it has promised.
    fn start(&self) -> (Vm, VolatileDisk) {
        let volatile = VolatileDisk::serve(self.disk.path());
        let socket = Some(volatile.socket().to_owned());
        let mut vm =
            Vm::start(&self.disk, &Hardware { direct: true, volatile: socket, ..Hardware::default() });
        vm.wait_until_ready();
        wait::until_holds("what was published is seeding again", AGAIN, || {
            let items = vm.api.items();
            let seeding = |(label, hashes): (&String, &Hashes)| {
                let item = items.iter().find(|item| item["name"] == label.as_str());
                item.is_some_and(|item| item["state"] == "seeding" && Hashes::of(item) == Some(*hashes))
            };
            self.published.iter().all(seeding)
        });
        assert_eq!(vm.api.metric("blackbox_hashed_bytes_total"), 0, "something was hashed again");
        (vm, volatile)
    }

    /// Takes note of what is seeding.
    fn look(&mut self, vm: &Vm) {
        for item in vm.api.items().iter().filter(|item| item["state"] == "seeding") {
            let label = item["name"].as_str().expect("a name").to_owned();
            let hashes = Hashes::of(item).expect("info hashes");
            let before = self.published.insert(label, hashes);
            assert!(before.is_none_or(|before| before == hashes), "{item} had other info hashes before");
        }
    }
}
