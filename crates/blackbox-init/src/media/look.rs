//! The child that finds out what is in a drive and mounts it: `blackbox-init media NAME`.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use appliance::message::Medium;
use appliance::paths::DAEMON_ID;

use super::file_system::FileSystem;
use super::finding::Finding;
use super::optical::{Verdict, judge};
use super::{is_mounted, mount_point, volume};
use crate::blkid::Signatures;
use crate::block::{self, BlockDevice};
use crate::update::holds_update;
use crate::{confine, sys, tools};

/// How long the whole look may take; a scratched disc keeps a drive busy for about a minute.
pub const LIMIT: Duration = Duration::from_secs(150);

/// How long a drive may need to read a disc in.
const READY_LIMIT: Duration = Duration::from_mins(1);

/// How often a drive that is not ready is asked again.
const READY_INTERVAL: Duration = Duration::from_millis(500);

/// Where the first volume descriptor of ISO 9660 and UDF is, so that a disc with files can be read that far.
const DESCRIPTOR_AT: u64 = 32 * 1024;

/// Looks into a drive and writes what it found as one line. With `briefly` only the drive itself is asked, which
/// disturbs nobody who reads its disc.
///
/// # Errors
/// When the line can't be written.
pub fn tell(drive: &str, briefly: bool) -> io::Result<()> {
    confine::mounter();
    println!("{}", serde_json::to_string(&look(drive, briefly))?);
    Ok(())
}

fn look(drive: &str, briefly: bool) -> Finding {
    let Some(device) = block::read(Path::new("/sys"), drive) else { return Finding::Nothing };
    let optical = device.is_optical();
    if optical {
        match wait_for_disc(drive) {
            Verdict::Empty => return Finding::Nothing,
            _ if briefly => return Finding::Unchanged,
            Verdict::Unusable(reason) => return Finding::Unusable(reason),
            Verdict::Wait => return unreadable(drive, "the drive does not get it ready"),
            Verdict::Try => {}
        }
    } else if device.size_bytes == 0 {
        return Finding::Nothing;
    }
    if let Err(error) = read_descriptor(&device.node()) {
        return unreadable(drive, &error.to_string());
    }
    let signatures = match probe(&device.node()) {
        Ok(signatures) => signatures,
        Err(error) => return unreadable(drive, &error.to_string()),
    };
    if !optical && !is_medium(&device, &signatures) {
        return Finding::Nothing;
    }
    match mounted(drive, &signatures, optical) {
        Ok(medium) if holds_update(Path::new(&medium.mount)) => Finding::Update,
        Ok(medium) => Finding::Found(medium),
        Err(reason) => Finding::Unusable(reason),
    }
}

/// Partitions of firmware, swap or vendors are no media, nor is a disk whose partitions are; and the data of a box is not taken
/// for what it publishes.
fn is_medium(device: &BlockDevice, signatures: &Signatures) -> bool {
    let is_partition = device.number.is_some();
    // The boot sectors of FAT and exFAT look like partition tables, so what the kernel made of them counts.
    let is_divided = || block::scan(Path::new("/sys")).iter().any(|part| part.is_part_of(device));
    !signatures.efi_system
        && !signatures.is_data()
        && (signatures.file_system || !is_partition && !signatures.partition_table)
        && (is_partition || !is_divided())
}

fn unreadable(drive: &str, why: &str) -> Finding {
    Finding::Unusable(format!(
        "The medium in {drive} can't be read ({why}): it may be blank, dirty or damaged; clean it, or try another \
         one."
    ))
}

/// Waits until the drive knows its disc.
fn wait_for_disc(drive: &str) -> Verdict {
    let end = Instant::now() + READY_LIMIT;
    loop {
        // Without O_NONBLOCK opening would wait for the disc, and lock the door.
        let options = OpenOptions::new().read(true).custom_flags(sys::NONBLOCK).clone();
        let Ok(file) = options.open(format!("/dev/{drive}")) else { return Verdict::Empty };
        let status = sys::drive_status(&file).unwrap_or(sys::DriveStatus::Unknown);
        let disc = (status == sys::DriveStatus::DiscOk).then(|| sys::disc_status(&file).ok()).flatten();
        match judge(drive, status, disc) {
            Verdict::Wait if Instant::now() < end => thread::sleep(READY_INTERVAL),
            verdict => return verdict,
        }
    }
}

/// Reads as far as the first descriptor, which tells a medium that can't be read from one without a file system.
fn read_descriptor(node: &str) -> io::Result<()> {
    let mut buffer = Vec::new();
    let read = File::open(node)?.take(DESCRIPTOR_AT + 2048).read_to_end(&mut buffer)?;
    if read == 0 { Err(io::Error::other("it is empty")) } else { Ok(()) }
}

/// Asks `blkid` for signatures; none at all is an answer too.
fn probe(node: &str) -> io::Result<Signatures> {
    let output = tools::confined(tools::BLKID, &["-p", "-o", "udev", node]).output()?;
    match output.status.code() {
        Some(0 | crate::blkid::NOTHING_FOUND) => {
            Ok(Signatures::parse(&String::from_utf8_lossy(&output.stdout)))
        }
        Some(8) => Err(io::Error::other("it carries signatures of several file systems")),
        _ => Err(io::Error::other(String::from_utf8_lossy(&output.stderr).trim().to_owned())),
    }
}

/// Mounts the medium, unless one is mounted there already, and describes it.
fn mounted(drive: &str, signatures: &Signatures, optical: bool) -> Result<Medium, String> {
    let unusable = |what: &str| format!("The medium in {drive} {what}; try another one.");
    let kind = signatures.kind.as_deref();
    let kind =
        kind.ok_or_else(|| unusable("holds no file system that is known: it may be blank or damaged"))?;
    let file_system = FileSystem::named(kind)
        .ok_or_else(|| unusable(&format!("holds {kind}; known are {}", FileSystem::KNOWN)))?;
    let node = format!("/dev/{drive}");
    let point = mount_point(drive);
    if !is_mounted(&point) {
        fs::create_dir_all(&point)
            .and_then(|()| sys::share_with_group(Path::new(&node), DAEMON_ID))
            .and_then(|()| file_system.mount(&node, &point))
            .map_err(|error| unusable(&format!("({kind}) can't be mounted ({error}): it may be damaged")))?;
    }
    let size_bytes = size(kind, optical, &node, &point);
    Ok(Medium {
        drive: drive.to_owned(),
        mount: point.to_string_lossy().into_owned(),
        label: signatures.label.clone(),
        uuid: signatures.uuid.clone(),
        size_bytes: size_bytes.map_err(|error| unusable(&format!("has no size ({error})")))?,
        device: node,
        ejectable: optical,
    })
}

/// Size of the volume in bytes. Behind its end discs have sectors that can't be read, which the drive counts.
fn size(kind: &str, optical: bool, node: &str, point: &Path) -> io::Result<u64> {
    if kind == "iso9660" {
        // Of the last session, as it is mounted.
        return sys::file_system_bytes(point);
    }
    let device = File::open(node)?;
    let device_bytes = sys::device_bytes(&device)?;
    let recorded = (kind == "udf" && optical).then(|| volume::recorded_bytes(&device)).flatten();
    Ok(recorded.map_or(device_bytes, |bytes| bytes.min(device_bytes)))
}
