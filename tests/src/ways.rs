//! The ways in which programs copy files and folders: in one go, under another name first, with gaps, in pieces.
//!
//! A way ends when the copy is complete. No way leaves a file alone for as long as settling takes before that, unless it
//! holds the file open for writing.

use std::fs::{self, File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::{Duration, SystemTime};

use nix::fcntl::{FallocateFlags, fallocate};

use crate::api::SETTLE;
use crate::content::Chance;

/// Copies the first path to the second, which is not there.
pub type Way = fn(&mut Chance, &Path, &Path);

/// Ways to copy a file.
pub const OF_FILES: [Way; 12] = [
    plainly,
    plainly,
    like_rsync,
    as_part,
    as_crdownload,
    as_tmp,
    like_explorer,
    preallocated,
    sparsely,
    in_two_goes,
    with_gaps,
    as_hard_link,
];

/// Ways to copy a folder.
pub const OF_FOLDERS: [Way; 4] = [top_down, bottom_up, each_file_its_own_way, all_hard_links];

/// Files are written in portions of this size, in bytes.
const PORTION: usize = 1 << 20;

/// A break that no program sees as an end: well below the settle time, also on a busy machine.
fn short_break(chance: &mut Chance, most: Duration) {
    sleep(most.mul_f64(chance.below(1000) as f64 / 1000.0));
}

/// Longer than settling takes.
fn long_break(chance: &mut Chance) {
    sleep(SETTLE + Duration::from_millis(1500 + chance.below(1500)));
}

/// Writes the part of `source` from `from` to `to` into the same place of `file`.
fn write_part(source: &Path, file: &mut File, from: u64, to: u64) {
    let mut source = File::open(source).expect("a source");
    source.seek(SeekFrom::Start(from)).expect("a file");
    file.seek(SeekFrom::Start(from)).expect("a file");
    let mut part = source.take(to - from);
    let mut portion = vec![0; PORTION];
    loop {
        match part.read(&mut portion).expect("a source") {
            0 => return,
            count => file.write_all(&portion[..count]).expect("room on the disk"),
        }
    }
}

/// Length of a file, and some place in it.
fn length_and_middle(chance: &mut Chance, source: &Path) -> (u64, u64) {
    let length = fs::metadata(source).expect("a source").len();
    (length, chance.below(length + 1))
}

/// As `cp` does.
pub fn plainly(_: &mut Chance, source: &Path, target: &Path) {
    write_part(source, &mut File::create(target).expect("new file"), 0, u64::MAX);
}

/// Under another name first; `name` makes it of the target's.
fn under_name(source: &Path, target: &Path, name: impl FnOnce(&str) -> String) {
    let own = target.file_name().and_then(|name| name.to_str()).expect("our names are text");
    let other = target.with_file_name(name(own));
    write_part(source, &mut File::create(&other).expect("new file"), 0, u64::MAX);
    fs::rename(other, target).expect("a file of ours");
}

/// `.name.x7f3a1` first; also how a file is replaced that is there already.
pub fn like_rsync(chance: &mut Chance, source: &Path, target: &Path) {
    under_name(source, target, |name| format!(".{name}.{:06x}", chance.below(1 << 24)));
}

fn as_part(_: &mut Chance, source: &Path, target: &Path) {
    under_name(source, target, |name| format!("{name}.part"));
}

fn as_crdownload(_: &mut Chance, source: &Path, target: &Path) {
    under_name(source, target, |name| format!("{name}.crdownload"));
}

fn as_tmp(_: &mut Chance, source: &Path, target: &Path) {
    under_name(source, target, |name| format!("{name}.tmp"));
}

/// The full size first, then the content with breaks, at last the time of the source.
fn like_explorer(chance: &mut Chance, source: &Path, target: &Path) {
    let (length, middle) = length_and_middle(chance, source);
    let mut file = File::create(target).expect("new file");
    file.set_len(length).expect("room on the disk");
    short_break(chance, Duration::from_secs(1));
    write_part(source, &mut file, 0, middle);
    short_break(chance, Duration::from_secs(3));
    write_part(source, &mut file, middle, length);
    drop(file);
    short_break(chance, Duration::from_secs(1));
    let old = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000_000 + chance.below(500_000_000));
    File::options().write(true).open(target).and_then(|file| file.set_modified(old)).expect("a file of ours");
}

/// Room first, then the content.
fn preallocated(chance: &mut Chance, source: &Path, target: &Path) {
    let (length, middle) = length_and_middle(chance, source);
    let mut file = File::create(target).expect("new file");
    fallocate(&file, FallocateFlags::empty(), 0, length.cast_signed()).expect("a file system that can do it");
    short_break(chance, Duration::from_secs(1));
    // The end first, as downloads do that come in any order.
    write_part(source, &mut file, middle, length);
    short_break(chance, Duration::from_secs(2));
    write_part(source, &mut file, 0, middle);
}

/// Blocks of zeros are left out.
fn sparsely(_: &mut Chance, source: &Path, target: &Path) {
    const BLOCK: usize = 4096;
    let bytes = fs::read(source).expect("a source");
    let mut file = File::create(target).expect("new file");
    file.set_len(bytes.len() as u64).expect("room on the disk");
    for (number, block) in bytes.chunks(BLOCK).enumerate() {
        if block.iter().any(|byte| *byte != 0) {
            file.seek(SeekFrom::Start((number * BLOCK) as u64)).expect("a file");
            file.write_all(block).expect("room on the disk");
        }
    }
}

/// Stops in the middle and goes on; the file is held open meanwhile, one time in three for longer than settling takes.
fn in_two_goes(chance: &mut Chance, source: &Path, target: &Path) {
    let (length, middle) = length_and_middle(chance, source);
    let mut file = File::create(target).expect("new file");
    write_part(source, &mut file, 0, middle);
    if chance.below(3) == 0 {
        long_break(chance);
    } else {
        short_break(chance, Duration::from_secs(4));
    }
    write_part(source, &mut file, middle, length);
}

/// Closes the file again and again, never for as long as settling takes, but for longer in all.
pub fn with_gaps(chance: &mut Chance, source: &Path, target: &Path) {
    let length = fs::metadata(source).expect("a source").len();
    let portions = 2 + chance.below(6);
    let mut written = 0;
    for portion in 1..=portions {
        let end = length * portion / portions;
        let mut file =
            OpenOptions::new().create(true).write(true).truncate(false).open(target).expect("file");
        write_part(source, &mut file, written, end);
        drop(file);
        written = end;
        if portion < portions {
            sleep(Duration::from_millis(1000 + chance.below(3000)));
        }
    }
}

/// No copy at all: another name of the source.
fn as_hard_link(_: &mut Chance, source: &Path, target: &Path) {
    fs::hard_link(source, target).expect("a link");
}

/// Copies everything below `source` into the new folder `target`.
fn each(source: &Path, target: &Path, mut copy: impl FnMut(&Path, &Path)) {
    let mut folders = vec![PathBuf::new()];
    while let Some(folder) = folders.pop() {
        fs::create_dir(target.join(&folder)).expect("new folder");
        let mut entries: Vec<_> = fs::read_dir(source.join(&folder))
            .expect("a source")
            .map(|entry| entry.expect("entry"))
            .collect();
        entries.sort_unstable_by_key(fs::DirEntry::file_name);
        for entry in entries {
            let path = folder.join(entry.file_name());
            if entry.path().is_dir() {
                folders.push(path);
            } else {
                copy(&entry.path(), &target.join(path));
            }
        }
    }
}

/// A folder as `cp -r` does it, with breaks between files.
pub fn top_down(chance: &mut Chance, source: &Path, target: &Path) {
    // A few breaks, however many files there are.
    let mut breaks = 5;
    each(source, target, |source, target| {
        plainly(chance, source, target);
        if breaks > 0 {
            breaks -= 1;
            short_break(chance, Duration::from_secs(1));
        }
    });
}

/// Made whole under a name that is not published, then put in place.
fn bottom_up(chance: &mut Chance, source: &Path, target: &Path) {
    let hidden = target.with_file_name(format!(".{:x}", chance.number()));
    each(source, &hidden, |source, target| plainly(chance, source, target));
    fs::rename(hidden, target).expect("a folder of ours");
}

fn each_file_its_own_way(chance: &mut Chance, source: &Path, target: &Path) {
    const QUICK: [Way; 6] = [plainly, like_rsync, as_part, as_tmp, sparsely, as_hard_link];
    each(source, target, |source, target| chance.pick(&QUICK)(chance, source, target));
}

fn all_hard_links(_: &mut Chance, source: &Path, target: &Path) {
    each(source, target, |source, target| fs::hard_link(source, target).expect("a link"));
}
