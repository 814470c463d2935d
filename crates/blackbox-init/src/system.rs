//! The system disk: found by its partition's name, read once for `blackbox.toml`, and left alone.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::Duration;

use appliance::Config;
use appliance::config::MAX_BYTES;
use appliance::partitions::SYSTEM_NAME;
use appliance::paths;

use crate::block::{self, BlockDevice};
use crate::boot::Facts;
use crate::data::Data;
use crate::data_disk;
use crate::log;
use crate::machine::{Machine, SYS};
use crate::problems::Source;
use crate::settings::{self, Found};
use crate::sys::{self, Access};
use crate::update;

/// Slow USB sticks and RAID controllers need about ten seconds to show their disks.
const DISK_LIMIT: Duration = Duration::from_secs(30);

/// Where the system partition is mounted while it is read.
const MOUNT: &str = "/run/blackbox/system";

/// Waits for the system partition and reads the settings from it.
///
/// # Errors
/// When it does not appear, or more than one does.
pub fn find(machine: &mut Machine, facts: &mut Facts) -> Result<(), String> {
    let found = machine.wait_for(DISK_LIMIT, |_| {
        let devices = block::scan(Path::new(SYS));
        let named: Vec<BlockDevice> = block::named(&devices, SYSTEM_NAME).into_iter().cloned().collect();
        (!named.is_empty()).then_some(named)
    });
    let Ok(partitions) = found else {
        let why = format!("{} can't be read without its disk", paths::CONFIG_NAME);
        facts.settings = Some(Found::Unreadable(why));
        return Err(format!(
            "No disk with a partition {SYSTEM_NAME} was found: check the disk and its cable, and restart."
        ));
    };
    for partition in &partitions {
        machine.keep_disk(&partition.disk);
    }
    let partition = &partitions[0];
    log!("system partition {}, {} MB", partition.name, partition.size_bytes / 1_000_000);
    facts.system_disk = Some(partition.disk.clone());
    facts.settings = Some(read(partition, facts));
    // Which of several was booted from is not known, and an update must not go to another one.
    facts.system_node = (partitions.len() == 1).then(|| partition.node());
    if partitions.len() > 1 {
        let names: Vec<_> = partitions.iter().map(|partition| partition.disk.as_str()).collect();
        return Err(format!(
            "Several disks of a P2P Black Box are connected ({}): the settings of {} are used; take the others out.",
            names.join(", "),
            partition.disk
        ));
    }
    Ok(())
}

/// Mounts the partition for as long as reading small files takes: the boot state, the note about the data disk, and the settings,
/// which are returned.
fn read(partition: &BlockDevice, facts: &mut Facts) -> Found {
    let mount = Path::new(MOUNT);
    let mounted = mount_system(&partition.node(), Access::Read);
    if let Err(error) = mounted {
        return Found::Unreadable(format!("The partition {SYSTEM_NAME} can't be mounted ({error})"));
    }
    facts.boot_state = update::read_state(mount);
    let note = read_bounded(&mount.join(data_disk::NAME), data_disk::MAX_BYTES);
    facts.data_disk = note.ok().and_then(|note| data_disk::uuid(&note));
    let found = match read_bounded(&mount.join(paths::CONFIG_NAME), MAX_BYTES) {
        Ok(bytes) => Found::File(bytes),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Found::Nothing,
        Err(error) => Found::Unreadable(format!(
            "{} on the partition {SYSTEM_NAME} can't be read ({error})",
            paths::CONFIG_NAME
        )),
    };
    if let Err(error) = sys::unmount(mount) {
        log!("{MOUNT}: {error}");
    }
    found
}

fn mount_system(node: &str, access: Access) -> io::Result<()> {
    let mount = Path::new(MOUNT);
    fs::create_dir_all(mount)?;
    sys::mount(node, mount, "vfat", access, "")
}

/// Puts a file on the system partition, where whoever opens the disk on a PC finds it.
///
/// # Errors
/// When it can't be written.
pub fn create(node: &str, name: &str, bytes: &[u8]) -> io::Result<()> {
    mount_system(node, Access::Write)?;
    let written = write_safely(&Path::new(MOUNT).join(name), bytes);
    written.and(sys::unmount(Path::new(MOUNT)))
}

/// Reads one byte more than may be used, so that a longer file is seen to be too long.
fn read_bounded(path: &Path, max: usize) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(max as u64 + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Puts the settings in force where the daemon and the network child read them; good ones are kept.
///
/// # Errors
/// When they can't be written, or kept.
pub fn choose_settings(machine: &mut Machine, facts: &mut Facts) -> Result<(), String> {
    let system = facts.settings.take().unwrap_or_else(|| Found::File(Vec::new()));
    let choice = settings::choose(system, read_bounded(Path::new(paths::LAST_GOOD_CONFIG), MAX_BYTES).ok());
    if let Some(problem) = choice.problem {
        log!("{problem}");
        machine.problems.add(Source::Settings, problem);
    }
    if choice.create
        && let Some(node) = &facts.system_node
    {
        // Without the file the same settings are in force.
        let created = create(node, paths::CONFIG_NAME, &choice.bytes);
        log!("{} was missing; it is made again: {created:?}", paths::CONFIG_NAME);
    }
    if let Ok(Config { network, .. }) = Config::parse(&choice.bytes) {
        machine.set_time_servers(network.ntp.clone());
        if let Some(name) = network.name.clone() {
            machine.set_name(name);
        }
        machine.set_network(network);
    }
    let in_force = Path::new(paths::CONFIG);
    write_safely(in_force, &choice.bytes)
        .and_then(|()| sys::share_with_group(in_force, paths::DAEMON_ID))
        .map_err(|error| format!("The settings can't be put in force ({error})."))?;
    if choice.keep && facts.data == Data::Writable {
        write_safely(Path::new(paths::LAST_GOOD_CONFIG), &choice.bytes)
            .map_err(|error| format!("The settings can't be kept on the data partition ({error})."))?;
    }
    Ok(())
}

/// Replaces a file so that after a power cut either the old or the new one is there, whole. Only root can read
/// it: it may hold passwords.
fn write_safely(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let directory = path.parent().ok_or(io::ErrorKind::InvalidInput)?;
    fs::create_dir_all(directory)?;
    let new = path.with_extension("new");
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&new)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&new, path)?;
    sys::sync_directory(directory)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_replaced_whole_and_kept_private() {
        use std::os::unix::fs::PermissionsExt;
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("config/blackbox.toml");
        for text in ["a long first version", "short"] {
            write_safely(&path, text.as_bytes()).unwrap();
            assert_eq!(read_bounded(&path, MAX_BYTES).unwrap(), text.as_bytes());
        }
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 1, "nothing is left over");
    }

    #[test]
    fn a_file_that_is_too_long_is_not_read_whole() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("long");
        fs::write(&path, vec![b'#'; MAX_BYTES * 2]).unwrap();
        assert_eq!(read_bounded(&path, MAX_BYTES).unwrap().len(), MAX_BYTES + 1);
    }
}
