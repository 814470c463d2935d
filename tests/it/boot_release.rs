//! What is given to people: whole, signed, and the same bytes whoever builds it.

use std::fs;
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use system_tests::image::{Disk, image, is_of_packages};
use system_tests::left_out;
use system_tests::process::{Process, run};

/// Time for an image of programs and packages that are there already, on a busy machine.
const BUILD: Duration = Duration::from_mins(8);

/// What a build leaves: what is in the second one follows from the first one, and from whose key it is signed with.
const RESULTS: [&str; 4] = ["SHA256SUMS", "SHA256SUMS.minisig", "bzImage", "rootfs.cpio.zst"];

fn release() -> PathBuf {
    image().with_file_name("")
}

/// What every file of the system partition holds, in a folder.
fn system_files(disk: &Path, folder: &Path) -> PathBuf {
    fs::create_dir(folder).unwrap();
    let partition = format!("{}@@2M", disk.display());
    run("mcopy", ["-s", "-n", "-i", &partition, "::*", &folder.display().to_string()]);
    folder.to_owned()
}

#[test]
fn everything_that_is_released_is_signed() {
    let folder = system_tests::temporary_folder();
    let public = folder.path().join("update.pub");
    let mut command = Command::new("minisign");
    command.args(["-R", "-s", "target/keys/update.key", "-p"]).arg(&public).current_dir(system_tests::root());
    Process::start(command).succeed(Duration::from_mins(1));
    let mut command = Command::new("minisign");
    command.args(["-V", "-m", "SHA256SUMS", "-x", "SHA256SUMS.minisig", "-p"]);
    command.arg(&public).current_dir(release());
    Process::start(command).succeed(Duration::from_mins(1));
    let mut command = Command::new("sha256sum");
    command.args(["--check", "--strict", "SHA256SUMS"]).current_dir(release());
    let checked = Process::start(command).succeed(Duration::from_mins(1)).join("\n");
    for kind in ["img", "img.zst", "img.bmap", "update"] {
        assert!(checked.contains(&format!("blackbox-x86_64.{kind}: OK")), "{kind}: {checked}");
    }
    assert!(checked.contains("crates.cdx.json: OK"), "{checked}");
}

/// A tool that writes only what the block map names leaves the rest of the disk as it was.
#[test]
fn a_disk_with_something_else_on_it_is_flashed_whole_by_the_block_map() {
    let folder = system_tests::temporary_folder_on_disk();
    let (image, folder) = (image(), folder.path());
    let map = format!("{}.bmap", image.display());
    let compressed = format!("{}.zst", image.display());
    let flashed = folder.join("flashed.img").display().to_string();
    run("bmaptool", ["-q", "copy", "--bmap", &map, &compressed, &flashed]);
    run("cmp", [&flashed, &image.display().to_string()]);

    let mut disk = fs::OpenOptions::new().read(true).write(true).open(&flashed).unwrap();
    let mut whole = Vec::new();
    disk.read_to_end(&mut whole).unwrap();
    let mut written = vec![0xa5; whole.len()];
    let map = fs::read_to_string(map).unwrap();
    let map = roxmltree::Document::parse(&map).unwrap();
    let blocks = map.descendants().find(|node| node.has_tag_name("BlockSize")).unwrap();
    let block: usize = blocks.text().unwrap().trim().parse().unwrap();
    for range in map.descendants().filter(|node| node.has_tag_name("Range")) {
        let text = range.text().unwrap().trim();
        let (first, last) = text.split_once('-').unwrap_or((text, text));
        let [first, last]: [usize; 2] = [first, last].map(|number| number.parse().unwrap());
        let bytes = first * block..whole.len().min((last + 1) * block);
        written[bytes.clone()].copy_from_slice(&whole[bytes]);
    }
    assert!(written != whole, "the map leaves nothing out");
    disk.seek(SeekFrom::Start(0)).and_then(|_| disk.write_all(&written)).unwrap();

    let flashed = Disk::at(flashed.into());
    assert!(!flashed.has_data_partition());
    flashed.assert_system_is_clean();
    let files = [
        system_files(&image, &folder.join("in the image")),
        system_files(flashed.path(), &folder.join("on the disk")),
    ];
    run("diff", [&["-r".as_ref()], &files.each_ref().map(|files| files.as_os_str())[..]].concat());
}

#[test]
fn the_same_inputs_make_the_same_bytes() {
    let release = release();
    if !is_of_packages(&image()) {
        left_out("an image that is built twice", "this one is not made of packages");
        return;
    }
    let folder = system_tests::temporary_folder_on_disk();
    let again = folder.path().join("a folder with another name");
    let update = fs::read(release.join("blackbox-x86_64.update")).unwrap();
    let header = String::from_utf8_lossy(&update[..2048]);
    let built = header.split("\nbuilt=").nth(1).and_then(|rest| rest.lines().next()).unwrap();
    let mut command = Command::new(system_tests::root().join("scripts/build-image"));
    command.args(["--same-packages", "--into"]).arg(&again).env("SOURCE_DATE_EPOCH", built);
    Process::start(command).succeed(BUILD);
    for name in RESULTS {
        assert!(
            fs::read(again.join(name)).unwrap() == fs::read(release.join(name)).unwrap(),
            "{name} differs"
        );
    }
}
