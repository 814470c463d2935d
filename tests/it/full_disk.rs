//! A full disk costs the box nothing that it knows, and nothing that it can still do.

use std::fs::{self, File};
use std::io::Write;
use std::path::Path;
use std::time::Duration;

use system_tests::daemon::Site;
use system_tests::volume::Volume;
use system_tests::wait;

/// Room for the catalog, for what the box keeps for such a day, and for as much again, without which it keeps nothing.
const MEGABYTES: u32 = 96;

/// Time for the box to notice that a file is gone.
const NOTICED: Duration = Duration::from_secs(30);

/// Writes until nothing more fits.
fn fill(path: &Path) {
    let mut file = File::create_new(path).unwrap();
    for part in [1 << 20, 4096, 1] {
        while file.write_all(&vec![1; part]).is_ok() {}
    }
}

#[test]
fn items_are_published_and_taken_back_when_the_disk_of_the_catalog_is_full() {
    let site = Site::new();
    fs::create_dir(site.state()).unwrap();
    let Some(_volume) = Volume::mount(&site.state(), MEGABYTES) else {
        return system_tests::left_out("a full disk", "no mounts");
    };
    let put = |name: &str| fs::write(site.publish().join(name), name).unwrap();
    put("first");
    let daemon = site.start();
    let first = daemon.api.seeding("first").info_hash;
    fill(&site.state().join("fills the disk"));

    put("second");
    let second = daemon.api.seeding("second").info_hash;
    fs::remove_file(site.publish().join("first")).unwrap();
    wait::until_holds("first is taken back", NOTICED, || daemon.api.item("first").is_none());
    assert!(!site.state().join("reserved-space").exists(), "there was no other space");
    // No time to do anything.
    daemon.kill();
    let daemon = site.start();
    assert_eq!(daemon.api.seeding("second").info_hash, second);
    assert!(daemon.api.item("first").is_none(), "what was taken back stays so: {first}");
    daemon.end();
}
