//! Block devices as sysfs shows them.

use std::fs;
use std::path::Path;

use appliance::partitions::{DATA_NAME, NEW_DATA_NAME, SYSTEM_NAME};

use crate::uevent;

/// More block devices than any machine has; the rest is ignored.
const MAX_DEVICES: usize = 4096;

/// How the kernel's names of disks begin: SATA, SCSI and USB, `NVMe`, SD and `eMMC`, and those of virtual machines.
const DISKS: [&str; 5] = ["sd", "nvme", "mmcblk", "vd", "xvd"];

/// sysfs counts in sectors of 512 bytes whatever the disk's own are.
const SYSFS_SECTOR: u64 = 512;

/// A disk, a partition or a drive.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct BlockDevice {
    /// Kernel name, such as `sda2`.
    pub name: String,
    /// The whole disk it is on, such as `sda`; its own name for a disk.
    pub disk: String,
    /// Name of the partition in the GPT.
    pub partname: Option<String>,
    /// Number of the partition in the table of its disk.
    pub number: Option<u32>,
    /// Whether it hangs on USB or says that its medium can be taken out.
    pub removable: bool,
    /// Size in bytes; 0 for a drive without a medium.
    pub size_bytes: u64,
    /// Bytes of a logical sector.
    pub sector_bytes: u64,
}

impl BlockDevice {
    /// Its node in `/dev`.
    pub fn node(&self) -> String {
        format!("/dev/{}", self.name)
    }

    /// Whether it is an optical drive.
    pub fn is_optical(&self) -> bool {
        is_optical(&self.name)
    }

    /// Whether it is a partition of that disk.
    pub fn is_part_of(&self, disk: &Self) -> bool {
        self.number.is_some() && self.disk == disk.name
    }

    /// Whether data can be on it: a disk, or a part of one.
    pub fn can_hold_data(&self) -> bool {
        self.size_bytes > 0 && DISKS.iter().any(|kind| self.name.starts_with(kind))
    }

    /// Whether something in it can be imported: an optical drive, or a disk or partition people plug in. What
    /// belongs to this or another box is not imported.
    pub fn can_hold_media(&self) -> bool {
        let boxes = [SYSTEM_NAME, DATA_NAME, NEW_DATA_NAME].map(Some).contains(&self.partname.as_deref());
        self.is_optical()
            || (self.removable
                && !boxes
                && ["sd", "mmcblk", "nvme"].iter().any(|kind| self.name.starts_with(kind)))
    }
}

/// Whether the kernel name is that of an optical drive.
pub fn is_optical(name: &str) -> bool {
    name.strip_prefix("sr").is_some_and(|rest| !rest.is_empty() && rest.bytes().all(|b| b.is_ascii_digit()))
}

/// Every block device there is now, by name; `sys` is where sysfs is mounted.
pub fn scan(sys: &Path) -> Vec<BlockDevice> {
    let Ok(entries) = fs::read_dir(sys.join("class/block")) else { return Vec::new() };
    let mut devices: Vec<_> =
        entries.take(MAX_DEVICES).filter_map(|entry| read(sys, entry.ok()?.file_name().to_str()?)).collect();
    devices.sort_by(|a, b| a.name.cmp(&b.name));
    devices
}

/// One block device; `None` when it is gone.
pub fn read(sys: &Path, name: &str) -> Option<BlockDevice> {
    let path = fs::canonicalize(sys.join("class/block").join(name)).ok()?;
    let text = |path: &Path| fs::read_to_string(path).map(|text| text.trim().to_owned()).ok();
    let number = |path: &Path| text(path).and_then(|text| text.parse::<u64>().ok());
    let fields = uevent::fields(&text(&path.join("uevent"))?, '\n');
    let partition = fields.get("DEVTYPE").is_some_and(|kind| kind == "partition");
    let disk = if partition { path.parent()? } else { &path };
    let usb =
        disk.components().any(|part| part.as_os_str().to_str().is_some_and(|part| part.starts_with("usb")));
    Some(BlockDevice {
        name: name.to_owned(),
        disk: disk.file_name()?.to_str()?.to_owned(),
        partname: fields.get("PARTNAME").cloned(),
        number: number(&path.join("partition")).and_then(|number| u32::try_from(number).ok()),
        removable: usb || number(&disk.join("removable")) == Some(1),
        size_bytes: number(&path.join("size"))?.saturating_mul(SYSFS_SECTOR),
        sector_bytes: number(&disk.join("queue/logical_block_size")).unwrap_or(SYSFS_SECTOR),
    })
}

/// The partitions with this name in their disk's GPT.
pub fn named<'a>(devices: &'a [BlockDevice], partname: &str) -> Vec<&'a BlockDevice> {
    devices.iter().filter(|device| device.partname.as_deref() == Some(partname)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    /// A sysfs with these devices: path below `devices/`, uevent text, removable, sectors.
    fn sysfs(devices: &[(&str, &str, u64, u64)]) -> tempfile::TempDir {
        let sys = tempfile::tempdir().unwrap();
        fs::create_dir_all(sys.path().join("class/block")).unwrap();
        for (path, uevent, removable, sectors) in devices {
            let full = sys.path().join("devices").join(path);
            fs::create_dir_all(&full).unwrap();
            fs::write(full.join("uevent"), uevent).unwrap();
            fs::write(full.join("size"), format!("{sectors}\n")).unwrap();
            fs::write(full.join("removable"), format!("{removable}\n")).unwrap();
            let name = full.file_name().unwrap();
            symlink(&full, sys.path().join("class/block").join(name)).unwrap();
        }
        sys
    }

    #[test]
    fn disks_partitions_and_drives_are_told_apart() {
        let sys = sysfs(&[
            ("pci0/ata1/block/sda", "DEVTYPE=disk\nDEVNAME=sda\n", 0, 100),
            ("pci0/ata1/block/sda/sda2", "DEVTYPE=partition\nPARTNAME=BLACKBOX\n", 0, 50),
            ("pci0/usb1/1-1/host6/block/sdb", "DEVTYPE=disk\n", 0, 20),
            ("pci0/usb1/1-1/host6/block/sdb/sdb1", "DEVTYPE=partition\n", 0, 10),
            ("pci0/usb1/1-1/host6/block/sdb/sdb2", "DEVTYPE=partition\nPARTNAME=BLACKBOX-DATA\n", 0, 10),
            ("pci0/ata2/block/sr0", "DEVTYPE=disk\n", 1, 0),
            ("virtual/block/loop0", "DEVTYPE=disk\n", 0, 0),
        ]);
        let devices = scan(sys.path());
        let media: Vec<_> = devices.iter().filter(|d| d.can_hold_media()).map(|d| d.name.as_str()).collect();
        assert_eq!(media, ["sdb", "sdb1", "sr0"]);
        let data: Vec<_> = devices.iter().filter(|d| d.can_hold_data()).map(|d| d.name.as_str()).collect();
        assert_eq!(data, ["sda", "sda2", "sdb", "sdb1", "sdb2"]);
        let system = named(&devices, "BLACKBOX");
        assert_eq!(system.len(), 1);
        assert_eq!((system[0].node().as_str(), system[0].disk.as_str()), ("/dev/sda2", "sda"));
        assert_eq!(system[0].size_bytes, 50 * 512);
        assert_eq!(named(&devices, "BLACKBOX-DATA").len(), 1, "names are compared whole");
        assert_eq!(read(sys.path(), "sdz"), None);
    }

    #[test]
    fn optical_drives_are_known_by_name() {
        for (name, optical) in [("sr0", true), ("sr12", true), ("sr", false), ("sra", false), ("sda", false)]
        {
            assert_eq!(is_optical(name), optical, "{name}");
        }
    }
}
