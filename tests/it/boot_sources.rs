//! Two images of one appliance: one made of packages, one of sources. A box takes either's updates.

use std::time::{Duration, Instant};

use system_tests::image::{Disk, image, is_of_packages, other_image};
use system_tests::update::{NEWER, Update};
use system_tests::vm::{DISC, Hardware, READY, Vm};
use system_tests::{disc, figure, left_out};

use super::boot::{bench, burn, import};
use super::boot_update::{KEPT, UPDATE};

/// Later than [`NEWER`].
const NEWEST: &str = "100.0.0";

/// What init says of a kernel that was built without modules.
const NO_MODULES: &str = "this kernel has no /proc/sys/kernel/modprobe";

#[test]
fn a_box_is_updated_to_the_image_from_the_other_source_and_back() {
    let Some(other) = other_image() else {
        return left_out(
            "updates between images from packages and from sources",
            "BLACKBOX_OTHER_IMAGE names none",
        );
    };
    let Some(bench) = bench() else { return };
    let bench = bench.path();
    assert_ne!(is_of_packages(&image()), is_of_packages(&other), "one is of packages, one of sources");
    let disk = Disk::flash(bench, 2048);
    let (content, _) = burn(bench, "CONTENT");
    let mut vm = Vm::start(&disk, &Hardware::default());
    vm.wait_until_ready();
    let (item, _) = import(&mut vm, &content, "CONTENT", DISC);

    let started = Instant::now();
    let mut began = 0;
    for (version, slot, from) in [(NEWER, "b", &other), (NEWEST, "a", &image())] {
        let update = Update { version: version.into(), image: Some(from.clone()), ..Update::default() };
        let folder = bench.join(version);
        update.make(&folder, "new.update");
        vm.insert(&disc::burn(&folder, "NEW", &bench.join(format!("{version}.iso"))));
        let starts = format!("P2P Black Box {version}, slot {slot}");
        vm.wait_for_story(&[&starts, KEPT], UPDATE + READY);
        assert_eq!(vm.api.seeding_within("CONTENT", Duration::from_secs(10)), item);
        // The disc with what runs by now is still in the drive.
        vm.wait_for_open_tray(DISC);
        let console = vm.console();
        let since = console.rfind(&starts).expect("as above");
        assert_eq!(console[since..].contains(NO_MODULES), !is_of_packages(from), "{}", &console[began..]);
        began = since;
    }
    figure("a box has taken the other source's update, and one back", started.elapsed());
    vm.power_off();
    assert!(disk.data_is_clean());
}
