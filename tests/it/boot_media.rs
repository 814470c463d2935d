//! Discs and sticks in the drives of a machine: all file systems, slow, scratched and pulled out ones, and power cuts.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use system_tests::content::{Chance, files, write_file};
use system_tests::image::Disk;
use system_tests::stick::{self, Kind};
use system_tests::vm::{DISC, Hardware, Quality, Vm};
use system_tests::{disc, figure, thorough, wait};

use super::boot::{bench, import};

/// What a DVD drive reads in a second at 16 times the speed of a film, in bytes.
const DVD_SPEED: u64 = 16 * 1_385_000;

/// MiB of the disc by which the time of an import is taken, and those for which there is time before a release.
const MEASURED: u64 = 256;
const THOROUGHLY_MEASURED: u64 = 4096;

/// So slow (bytes a second) that there is time to do something while a few megabytes are read.
const SLOW: Quality = Quality { scratch: None, speed: Some(1 << 20) };

/// Two files, with no folders: not every file system can be filled with them from outside.
fn write_files(folder: &Path) {
    write_file(&mut Chance::fresh(), &folder.join("film.bin"), 3 << 20);
    write_file(&mut Chance::fresh(), &folder.join("Größe.txt"), 20_000);
}

/// Demands that the box serves the files of `folder` as the item `label`.
#[track_caller]
fn assert_served(vm: &Vm, label: &str, folder: &Path) {
    let item = vm.api.item(label).unwrap();
    assert_eq!(item["file_count"].as_u64(), Some(files(folder).len() as u64), "{item}");
    for (name, path) in files(folder) {
        let name = name.to_str().unwrap().replace("ö", "%C3%B6").replace("ß", "%C3%9F");
        let body = vm.api.get(&format!("/files/{label}/{name}")).body;
        assert!(body == fs::read(path).unwrap(), "other bytes in {label}/{name}");
    }
}

#[test]
fn every_file_system_is_read_several_at_once_and_at_the_speed_of_the_drive() {
    let Some(bench) = bench() else { return };
    let bench = bench.path();
    let sticks = stick::ALL.map(|kind| {
        let label = format!("{kind:?}").to_uppercase();
        let folder = bench.join(&label);
        write_files(&folder);
        let stick = stick::make(kind, &folder, &label, &bench.join(format!("{label}.stick")));
        (label, folder, stick)
    });
    let burnt = bench.join("BURNT");
    write_files(&burnt);
    let iso = disc::burn(&burnt, "ISO", &bench.join("iso.iso"));
    let udf = disc::burn_udf(&burnt, "UDF", &bench.join("udf.iso"));
    let disk = Disk::flash(bench, 8192);
    let mut vm = Vm::start(&disk, &Hardware::default());
    vm.wait_until_ready();

    for (_, _, stick) in &sticks {
        vm.plug(stick, Quality::default());
    }
    import(&mut vm, &iso, "ISO", DISC);
    assert_served(&vm, "ISO", &burnt);
    for (label, folder, _) in &sticks {
        vm.api.seeding_within(label, DISC);
        assert_served(&vm, label, folder);
    }
    import(&mut vm, &udf, "UDF", DISC);
    assert_served(&vm, "UDF", &burnt);
    assert_eq!(vm.api.items().len(), sticks.len() + 2, "{:?}", vm.api.items());
    measure(&mut vm, bench);
    vm.power_off();
    assert!(disk.data_is_clean());
}

/// Takes the time of an import from a drive that is as fast as a real one.
fn measure(vm: &mut Vm, bench: &Path) {
    let folder = bench.join("MEASURED");
    let megabytes = if thorough() { THOROUGHLY_MEASURED } else { MEASURED };
    for half in ["1.bin", "2.bin"] {
        write_file(&mut Chance::fresh(), &folder.join(half), megabytes << 19);
    }
    let disc = disc::burn(&folder, "MEASURED", &bench.join("measured.iso"));
    let reading = Duration::from_secs_f64(disc.metadata().unwrap().len() as f64 / DVD_SPEED as f64);
    let (inserted, before) = (Instant::now(), vm.disc_bytes_read());
    vm.insert_of(&disc, Quality { scratch: None, speed: Some(DVD_SPEED) });
    vm.api.wait_for("MEASURED", "copying", DISC);
    let found = inserted.elapsed();
    vm.api.seeding_within("MEASURED", DISC + 4 * reading);
    let took = inserted.elapsed();
    let what = format!("disc of {megabytes} MiB in a DVD drive");
    figure(&format!("{what}: time to read it"), reading);
    figure(&format!("{what}: time until it is found"), found);
    let rest = ratio(took.saturating_sub(found), reading);
    figure(&format!("{what}: from there to seeding, in hundredths of reading"), (rest * 100.0).round());
    figure(
        &format!("{what}: from insertion to seeding, in hundredths of reading"),
        (ratio(took, reading) * 100.0).round(),
    );
    // Read once: a second time would show, however busy this machine is.
    vm.wait_for_open_tray(DISC);
    let read = vm.disc_bytes_read() - before;
    assert!(read < (megabytes << 19) * 3, "{read} bytes were read from the drive");
}

fn ratio(took: Duration, reading: Duration) -> f64 {
    (took.as_secs_f64() / reading.as_secs_f64() * 1000.0).round() / 1000.0
}

#[test]
fn what_is_interrupted_starts_clean_the_next_time() {
    let Some(bench) = bench() else { return };
    let bench = bench.path();
    let disk = Disk::flash(bench, 1024);
    let folder = bench.join("CONTENT");
    write_file(&mut Chance::fresh(), &folder.join("film.bin"), 24 << 20);
    let stick = stick::make(Kind::Fat, &folder, "PULLED", &bench.join("stick"));
    let disc = disc::burn(&folder, "CUT", &bench.join("cut.iso"));
    let mut vm = Vm::start(&disk, &Hardware::default());
    vm.wait_until_ready();

    let plugged = vm.plug(&stick, SLOW);
    wait_until_copying(&vm, "PULLED");
    vm.pull(&plugged);
    let item = vm.api.wait_for("PULLED", "failed", DISC);
    assert!(item["error"].as_str().unwrap().contains("taken out"), "{item}");
    assert_eq!(vm.api.get("/files/PULLED/film.bin").status, 404);
    vm.plug(&stick, Quality::default());
    vm.api.seeding_within("PULLED", DISC);
    assert_served(&vm, "PULLED", &folder);

    vm.insert_of(&disc, SLOW);
    wait_until_copying(&vm, "CUT");
    // A power cut.
    drop(vm);
    let mut vm = Vm::start(&disk, &Hardware::default());
    vm.wait_until_ready();
    vm.api.seeding_within("PULLED", Duration::from_secs(2));
    assert_eq!(vm.api.item("CUT"), None);
    import(&mut vm, &disc, "CUT", DISC);
    assert_served(&vm, "CUT", &folder);
    vm.power_off();
    assert!(disk.data_is_clean());
}

/// Waits until some, but not all, of a medium is copied.
#[track_caller]
fn wait_until_copying(vm: &Vm, label: &str) {
    wait::until_holds("it is copied", DISC, || {
        vm.api.item(label).is_some_and(|item| item["progress"].as_f64().is_some_and(|part| part > 0.0))
    });
    assert_eq!(vm.api.item(label).unwrap()["state"], "copying");
}

#[test]
fn an_image_is_what_was_recorded_and_a_scratch_costs_time_or_is_named() {
    let Some(bench) = bench() else { return };
    let bench = bench.path();
    let disk = Disk::flash(bench, 1024);
    disk.write_settings("[import]\nmode = \"image\"\n");
    let folder = bench.join("CONTENT");
    write_files(&folder);
    let burnt: Vec<(&str, PathBuf, Vec<u8>)> = [
        ("ISO", disc::burn(&folder, "ISO", &bench.join("iso.iso"))),
        ("BRIDGE", disc::burn_udf(&folder, "BRIDGE", &bench.join("bridge.iso"))),
        ("UDF", disc::format_udf("UDF", &bench.join("udf.iso"))),
    ]
    .into_iter()
    .map(|(label, disc)| {
        let recorded = fs::read(&disc).unwrap();
        disc::append_run_out(&disc);
        (label, disc, recorded)
    })
    .collect();
    let mut vm = Vm::start(&disk, &Hardware::default());
    vm.wait_until_ready();
    for (label, disc, recorded) in &burnt {
        let name = format!("{label}.iso");
        import(&mut vm, disc, &name, DISC);
        let image = vm.api.get(&format!("/files/{name}")).body;
        assert!(recorded.starts_with(&image), "{name} holds other bytes");
        // What is behind the last thing that is recorded may be left out, as nothing leads there.
        assert!(recorded.len() - image.len() <= 300 * 2048, "{name}: {} of {}", image.len(), recorded.len());
        // The same one again: known, and given back.
        vm.insert(disc);
        vm.wait_for_open_tray(DISC);
    }
    assert_eq!(vm.api.items().len(), burnt.len(), "{:?}", vm.api.items());

    // In the middle of the film. The drive is asked again by the kernel, and then by us.
    let scratch = |times| Quality { scratch: Some((4000, times)), speed: None };
    let other = bench.join("OTHER");
    write_files(&other);
    let disc = disc::burn(&other, "OTHER", &bench.join("other.iso"));
    vm.insert_of(&disc, scratch(None));
    let item = vm.api.wait_for("OTHER", "failed", DISC);
    let error = item["error"].as_str().unwrap();
    assert!(error.contains("\"/dev/sr0\" can't be read at byte 2048000 (sector 1000"), "{error}");
    vm.wait_for_open_tray(DISC);
    assert_eq!(vm.api.get("/files/OTHER.iso").status, 404);
    vm.insert_of(&disc, scratch(Some(4)));
    vm.api.seeding_within("OTHER.iso", DISC);
    assert!(vm.api.get("/files/OTHER.iso").body == fs::read(&disc).unwrap());
    vm.power_off();
    assert!(disk.data_is_clean());
}
