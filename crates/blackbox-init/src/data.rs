//! The data partition: found, or made in the free space behind the system; checked and mounted.
//!
//! A partition is formatted only while it has the name of one that is being made, and only if it carries no
//! signature. Under its final name it is never formatted, not even when it is damaged beyond recognition.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::Path;
use std::time::Duration;

use appliance::partitions::{DATA_NAME, NEW_DATA_NAME};
use appliance::paths;

use crate::blkid::Contents;
use crate::block::{self, BlockDevice};
use crate::boot::Facts;
use crate::children::Stream;
use crate::confine;
use crate::data_disk;
use crate::layout::{Disk, Region};
use crate::log;
use crate::machine::{Machine, SYS, make_journal_folder};
use crate::problems::Source;
use crate::sys::{self, Access, Exit};
use crate::system;
use crate::tools::{self, Tool};

/// Looking at a partition table, or for signatures.
const LOOK_LIMIT: Duration = Duration::from_mins(1);

/// Making the file system; its tables are written later, by the kernel.
const MAKE_LIMIT: Duration = Duration::from_mins(10);

/// Checking it. A journal is replayed within seconds; a full check of a large disk takes many minutes.
const CHECK_LIMIT: Duration = Duration::from_hours(1);

/// The kernel shows a new partition at once.
const APPEAR_LIMIT: Duration = Duration::from_secs(10);

/// Before a data partition is made, no device may have come for this long: the old one may be on a slow disk.
const QUIET: Duration = Duration::from_secs(2);

/// But no longer than this: something may always come and go.
const QUIET_LIMIT: Duration = Duration::from_secs(15);

/// Partitions and disks that are looked into for a data partition; the rest is ignored.
const MAX_LOOKED_AT: usize = 64;

/// Options of the file system: one inode for 32 KiB, as items are large files; no reserve for root, who
/// stores nothing there; no discard of a whole disk while someone waits.
const MKFS_OPTIONS: [&str; 9] = [
    "-q",
    "-i",
    "32768",
    "-m",
    "0",
    "-e",
    "remount-ro",
    "-E",
    "lazy_itable_init=1,lazy_journal_init=1,nodiscard",
];

/// What became of the data partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Data {
    /// There is none.
    #[default]
    Missing,
    /// It can only be read.
    ReadOnly,
    /// As it should be.
    Writable,
}

/// Finds or makes the data partition and mounts it.
///
/// # Errors
/// A sentence that says why there is none.
pub fn prepare(machine: &mut Machine, facts: &mut Facts) -> Result<(), String> {
    let system_disk = facts.system_disk.as_deref();
    let found = find(machine, system_disk)?;
    facts.waits_for_disk = facts.data_disk.is_some();
    // A data partition on the system disk would be a rival.
    let found = found.filter(|found| facts.data_disk.is_none() || Some(found.disk.as_str()) != system_disk);
    let partition = match (found, &facts.data_disk) {
        (Some(partition), _) => partition,
        (None, Some(uuid)) => return Err(data_disk::missing(uuid)),
        (None, None) => make(machine, facts.system_disk.as_deref())
            .map_err(|why| format!("There is no data partition and none can be made: {why}"))?,
    };
    facts.waits_for_disk = false;
    machine.keep_disk(&partition.disk);
    log!("data partition {}, {} MB", partition.name, partition.size_bytes / 1_000_000);
    facts.data = mount(machine, &partition)?;
    remember(machine, facts, &partition);
    let access = if facts.data == Data::Writable { "" } else { ", only read" };
    machine.set_fact("Data", format!("{}, {} MB{access}", partition.name, partition.size_bytes / 1_000_000));
    if facts.data == Data::Writable {
        make_folders(Path::new(paths::DATA))
            .map_err(|error| format!("The data partition can't be written ({error})."))?;
    }
    Ok(())
}

/// Notes on the system partition that the data is on this disk, if that is another one. Without the note it is found all the same.
fn remember(machine: &mut Machine, facts: &mut Facts, partition: &BlockDevice) {
    let Some(node) = &facts.system_node else { return };
    if facts.system_disk.as_ref() == Some(&partition.disk) {
        return;
    }
    let Ok(Contents::Data { uuid: Some(uuid), .. }) = contents(machine, &partition.node(), None) else {
        return;
    };
    if facts.data_disk.as_ref() == Some(&uuid) || !data_disk::is_uuid(&uuid) {
        return;
    }
    let noted = system::create(node, data_disk::NAME, data_disk::note(&uuid).as_bytes());
    log!("the data is on {}, which is noted on the system partition: {noted:?}", partition.disk);
    facts.data_disk = Some(uuid);
}

/// The partitions of this name that there are now.
fn present(name: &str) -> Vec<BlockDevice> {
    let devices = block::scan(Path::new(SYS));
    block::named(&devices, name).into_iter().cloned().collect()
}

/// All data partitions: those of that name, and on other disks than the system's the file systems with that label, which is
/// what people give one that they make.
fn all(machine: &mut Machine, system_disk: Option<&str>) -> Vec<BlockDevice> {
    let mut found = present(DATA_NAME);
    let others = block::scan(Path::new(SYS)).into_iter().filter(|device| {
        let is_named = [DATA_NAME, NEW_DATA_NAME].map(Some).contains(&device.partname.as_deref());
        device.can_hold_data() && !is_named && Some(device.disk.as_str()) != system_disk
    });
    for device in others.take(MAX_LOOKED_AT) {
        if matches!(contents(machine, &device.node(), None), Ok(Contents::Data { labelled: true, .. })) {
            found.push(device);
        }
    }
    found
}

/// The data partition, wherever it is.
fn find(machine: &mut Machine, system_disk: Option<&str>) -> Result<Option<BlockDevice>, String> {
    let mut found = all(machine, system_disk);
    if found.is_empty() {
        machine.settle(QUIET, QUIET_LIMIT);
        found = all(machine, system_disk);
    }
    if found.len() > 1 {
        for partition in &found {
            machine.keep_disk(&partition.disk);
        }
        let names: Vec<_> = found.iter().map(|partition| partition.name.as_str()).collect();
        return Err(format!(
            "Several data partitions are connected ({}): take out all disks but the right one, and restart. \
             Until then nothing is published.",
            names.join(", ")
        ));
    }
    Ok(found.pop())
}

/// Makes the partition behind the system's own, or goes on with one that a power cut left half made. If there was
/// a data partition before, its contents come back.
fn make(machine: &mut Machine, disk: Option<&str>) -> Result<BlockDevice, String> {
    let partition = match present(NEW_DATA_NAME).pop() {
        Some(partition) => partition,
        None => add_partition(machine, disk.ok_or("the system disk is missing.")?)?,
    };
    machine.activity = Some("Preparing the data partition ...".into());
    let node = partition.node();
    match contents(machine, &node, None)? {
        Contents::Data { labelled: true, .. } => log!("{node} has its file system already"),
        Contents::Nothing => {
            // On what can't be read `blkid` finds no signature either.
            let finished = machine.run(&Tool::new(tools::SELF, &["readable", &node], LOOK_LIMIT))?;
            if finished.exit != Exit::Code(0) {
                return Err(format!("its place on {} can't be read; replace the disk.", partition.disk));
            }
            let arguments = [&MKFS_OPTIONS[..], &["-L", DATA_NAME, &node]].concat();
            run(machine, &Tool::new(tools::MKFS, &arguments, MAKE_LIMIT))?;
        }
        Contents::Data { labelled: false, .. } => return Err(foreign(&partition.disk, "ext4")),
        Contents::Foreign(what) => return Err(foreign(&partition.disk, &what)),
    }
    let number = partition.number.ok_or("the new partition has no number.")?.to_string();
    let disk = format!("/dev/{}", partition.disk);
    run(machine, &Tool::new(tools::SFDISK, &["--part-label", &disk, &number, DATA_NAME], LOOK_LIMIT))?;
    Ok(partition)
}

/// Adds the partition to the table of the system disk, unless something foreign is in its place.
fn add_partition(machine: &mut Machine, disk: &str) -> Result<BlockDevice, String> {
    let device = block::read(Path::new(SYS), disk).ok_or("the system disk is gone.")?;
    let node = device.node();
    let table = run(machine, &Tool::new(tools::SFDISK, &["--json", &node], LOOK_LIMIT))?;
    let region = Disk::parse(&table, device.sector_bytes, device.size_bytes)
        .and_then(|disk| disk.free_region())
        .map_err(|error| format!("{disk}: {error}."))?;
    match contents(machine, &node, Some((region, device.sector_bytes)))? {
        Contents::Nothing | Contents::Data { labelled: true, .. } => {}
        Contents::Data { labelled: false, .. } => return Err(foreign(disk, "ext4")),
        Contents::Foreign(what) => return Err(foreign(disk, &what)),
    }
    log!("making the data partition on {disk}: {region:?}");
    // The image is smaller than the disk, so its backup table is in the middle of the disk.
    run(machine, &Tool::new(tools::SFDISK, &["--relocate", "gpt-bak-std", &node], LOOK_LIMIT))?;
    let arguments = ["--append", "--wipe", "never", "--wipe-partitions", "never", &node];
    let append = Tool::new(tools::SFDISK, &arguments, LOOK_LIMIT).with_input(region.sfdisk_line());
    run(machine, &append)?;
    machine
        .wait_for(APPEAR_LIMIT, |_| present(NEW_DATA_NAME).pop())
        .map_err(|_| "the new partition does not appear; restart the box.".into())
}

fn foreign(disk: &str, what: &str) -> String {
    format!(
        "behind the system, {disk} holds something else ({what}), which stays untouched. Save what you need from \
         it, wipe the disk, and write the image again."
    )
}

/// What is on a device, or in a region of it.
fn contents(machine: &mut Machine, node: &str, region: Option<(Region, u64)>) -> Result<Contents, String> {
    let mut tool = Tool::new(tools::BLKID, &["-p", "-o", "udev"], LOOK_LIMIT);
    if let Some((region, sector_bytes)) = region {
        let (offset, size) = (region.start * sector_bytes, region.sectors * sector_bytes);
        tool.arguments.extend(["--offset".into(), offset.to_string(), "--size".into(), size.to_string()]);
    }
    tool.arguments.push(node.to_owned());
    let finished = machine.run(&tool)?;
    Ok(match finished.exit {
        Exit::Code(code) => Contents::judge(code, &finished.text(Stream::Out)),
        Exit::Signal(_) => Contents::Foreign(finished.reason()),
    })
}

/// Checks the file system and mounts it. It is never formatted, whatever is wrong with it.
fn mount(machine: &mut Machine, partition: &BlockDevice) -> Result<Data, String> {
    let (name, node) = (&partition.name, partition.node());
    let untouched = |what: &str| {
        format!(
            "The data partition {name} {what}. It stays untouched and nothing is published: repair it on another \
             computer, or wipe the whole disk and write the image again."
        )
    };
    match contents(machine, &node, None)? {
        Contents::Data { .. } => {}
        Contents::Nothing => return Err(untouched("is damaged: its file system is not recognised")),
        Contents::Foreign(what) => return Err(untouched(&format!("holds something else ({what})"))),
    }
    machine.activity = Some("Checking the data partition ...".into());
    let data = Path::new(paths::DATA);
    let checked = check(machine, &node).and_then(|()| {
        sys::mount(&node, data, "ext4", Access::Write, "errors=remount-ro").map_err(|error| error.to_string())
    });
    let Err(why) = checked else { return Ok(Data::Writable) };
    // The second try replays no journal, if that is what fails.
    sys::mount(&node, data, "ext4", Access::Read, "")
        .or_else(|_| sys::mount(&node, data, "ext4", Access::Read, "noload"))
        .map_err(|error| untouched(&format!("is damaged ({why}; {error})")))?;
    machine.problems.add(
        Source::Data,
        format!(
            "The data partition {name} is damaged ({why}) and is only read: what is on it stays published, nothing \
             new is. Save its contents, then repair or replace the disk."
        ),
    );
    Ok(Data::ReadOnly)
}

/// Replays the journal and repairs what can be repaired without losing anything.
fn check(machine: &mut Machine, node: &str) -> Result<(), String> {
    let finished = machine.run(&Tool::new(tools::E2FSCK, &["-p", node], CHECK_LIMIT))?;
    log!("e2fsck: {} {}", finished.text(Stream::Out).replace('\n', "; "), finished.exit);
    match finished.exit {
        // Errors corrected (1), and a restart needed if it had been mounted (2).
        Exit::Code(0..=3) => Ok(()),
        exit => Err(format!("e2fsck can't repair it, {exit}")),
    }
}

/// Runs a tool that has to succeed; returns what it printed.
fn run(machine: &mut Machine, tool: &Tool) -> Result<String, String> {
    let finished = machine.run(tool)?;
    match finished.exit {
        Exit::Code(0) => Ok(finished.text(Stream::Out)),
        _ => Err(format!("{}: {}.", tool.program, finished.reason())),
    }
}

/// How much of a partition must be readable before it may be called empty: file systems have their signatures there.
const READABLE_BYTES: u64 = 1 << 20;

/// The child that tells whether a partition's beginning can be read: `blackbox-init readable NODE`.
///
/// # Errors
/// When it can't.
pub fn readable(node: &str) -> io::Result<()> {
    confine::reader(node);
    let read = io::copy(&mut File::open(node)?.take(READABLE_BYTES), &mut io::sink())?;
    if read == READABLE_BYTES { Ok(()) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
}

/// Makes the folders that are missing. Once there is a state, `publish` was there too: one that is missing then was taken
/// away by someone, which is for the daemon to report. So the state is made after it.
fn make_folders(data: &Path) -> io::Result<()> {
    let below = |path: &str| data.join(Path::new(path).strip_prefix(paths::DATA).unwrap_or(Path::new(path)));
    let (publish, state, update) = (below(paths::PUBLISH), below(paths::STATE), below(paths::UPDATE));
    make_journal_folder(&below(paths::LOG))?;
    let mut wanted = vec![update];
    if !state.exists() {
        wanted.extend([publish, state]);
    }
    for folder in wanted.iter().filter(|folder| !folder.exists()) {
        fs::create_dir_all(folder)?;
        std::os::unix::fs::chown(folder, Some(paths::DAEMON_ID), Some(paths::DAEMON_ID))?;
        sys::sync_directory(data)?;
    }
    Ok(())
}
