//! Where on the system disk the data partition goes. Pure: facts of the disk in, region out.
//!
//! The data partition fills everything behind the last partition of the image, aligned to MiB, but for a gap. An
//! image that is flashed over an older one ends in that gap, with the backup of its own partition table, so the
//! region is where the data was before, and untouched.

use std::fmt;

use appliance::partitions::{DATA_TYPE, MIN_DATA_BYTES, NEW_DATA_NAME};
use serde::Deserialize;

/// Partitions start and end at multiples of this (bytes): right for every flash and RAID geometry in use.
const ALIGNMENT: u64 = 1 << 20;

/// What stays free (bytes) behind the last partition of the image, for the backup GPT at the image's end.
const GAP: u64 = 1 << 20;

/// Size (bytes) of a GPT's partition array: 128 entries of 128 bytes.
const GPT_ARRAY: u64 = 128 * 128;

/// What is known of a disk: its size and its partition table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Disk {
    /// Bytes of a logical sector.
    pub sector_bytes: u64,
    /// Size of the whole disk in sectors.
    pub sectors: u64,
    /// Partitions in the GPT, in any order.
    pub partitions: Vec<Partition>,
}

/// A partition, in sectors.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Partition {
    /// First sector.
    pub start: u64,
    /// Number of sectors.
    pub size: u64,
}

/// The place of a partition to be made, in sectors.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Region {
    /// First sector.
    pub start: u64,
    /// Number of sectors.
    pub sectors: u64,
}

impl Region {
    /// The line that makes `sfdisk` add this partition.
    pub fn sfdisk_line(self) -> String {
        format!("start={}, size={}, type={DATA_TYPE}, name=\"{NEW_DATA_NAME}\"\n", self.start, self.sectors)
    }
}

/// Why no partition can be made, as the end of a sentence.
#[derive(Debug, PartialEq, Eq)]
pub enum LayoutError {
    /// The partition table is not one that the image has.
    Table(String),
    /// Behind the last partition are only so many bytes.
    NoRoom(u64),
}

impl fmt::Display for LayoutError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Table(what) => write!(f, "its partition table can't be used: {what}"),
            Self::NoRoom(bytes) => write!(
                f,
                "only {} MB are free on it and at least {} MB are needed; use a larger disk",
                bytes / 1_000_000,
                MIN_DATA_BYTES / 1_000_000
            ),
        }
    }
}

impl Disk {
    /// Reads what `sfdisk --json` prints; the disk's size is the kernel's, as the table may be older than the disk.
    ///
    /// # Errors
    /// Anything but a GPT.
    pub fn parse(json: &str, sector_bytes: u64, size_bytes: u64) -> Result<Self, LayoutError> {
        #[derive(Deserialize)]
        struct Output {
            partitiontable: Table,
        }
        #[derive(Deserialize)]
        struct Table {
            label: String,
            #[serde(default)]
            partitions: Vec<Partition>,
        }
        let table = serde_json::from_str::<Output>(json)
            .map_err(|error| LayoutError::Table(error.to_string()))?
            .partitiontable;
        if table.label != "gpt" {
            return Err(LayoutError::Table(format!("it is of the kind \"{}\", not GPT", table.label)));
        }
        if sector_bytes == 0 {
            return Err(LayoutError::Table("its sectors have no size".into()));
        }
        Ok(Self { sector_bytes, sectors: size_bytes / sector_bytes, partitions: table.partitions })
    }

    /// The region behind the last partition and the gap.
    ///
    /// # Errors
    /// [`LayoutError::NoRoom`] when it is smaller than [`MIN_DATA_BYTES`].
    pub fn free_region(&self) -> Result<Region, LayoutError> {
        let alignment = (ALIGNMENT / self.sector_bytes).max(1);
        let end = self.partitions.iter().map(|p| p.start.saturating_add(p.size)).max().unwrap_or(0);
        let start = end.saturating_add((GAP / self.sector_bytes).max(1));
        let start = start.checked_next_multiple_of(alignment).unwrap_or(u64::MAX);
        // The backup GPT: the array and one sector of header.
        let backup = GPT_ARRAY.div_ceil(self.sector_bytes) + 1;
        let limit = self.sectors.saturating_sub(backup) / alignment * alignment;
        let sectors = limit.saturating_sub(start);
        let bytes = sectors.saturating_mul(self.sector_bytes);
        if bytes < MIN_DATA_BYTES { Err(LayoutError::NoRoom(bytes)) } else { Ok(Region { start, sectors }) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;
    const NEEDED: u64 = MIN_DATA_BYTES;

    /// The free region in bytes of a disk of `size` bytes with partitions at (start, size) in bytes.
    fn check(sector: u64, size: u64, partitions: &[(u64, u64)], expected: Result<(u64, u64), u64>) {
        let partitions = partitions
            .iter()
            .map(|(start, size)| Partition { start: start / sector, size: size / sector })
            .collect();
        let disk = Disk { sector_bytes: sector, sectors: size / sector, partitions };
        let found = disk.free_region().map(|region| (region.start * sector, region.sectors * sector));
        assert_eq!(found, expected.map_err(LayoutError::NoRoom), "{disk:?}");
    }

    #[test]
    fn the_region_is_what_is_behind_the_last_partition() {
        let image = [(MIB, MIB), (2 * MIB, 256 * MIB)];
        let end = 259 * MIB;
        check(512, 1 << 30, &image, Ok((end, (1 << 30) - MIB - end)));
        check(4096, 1 << 30, &image, Ok((end, (1 << 30) - MIB - end)));
        // The order in the table means nothing, and a gap between partitions is left alone.
        check(512, 1 << 30, &[image[1], (0, 512)], Ok((end, (1 << 30) - MIB - end)));
        // An end between two MiB is rounded up.
        check(512, 1 << 30, &[(MIB, 512)], Ok((3 * MIB, (1 << 30) - 4 * MIB)));
        check(512, 1 << 30, &[], Ok((MIB, (1 << 30) - 2 * MIB)));
    }

    #[test]
    fn an_image_written_over_the_disk_ends_before_the_region() {
        let image_bytes = 258 * MIB + 33 * 512;
        let disk = Disk {
            sector_bytes: 512,
            sectors: 1 << 30,
            partitions: vec![Partition { start: 4096, size: 524_288 }],
        };
        assert!(disk.free_region().unwrap().start * 512 >= image_bytes);
    }

    #[test]
    fn a_region_that_is_too_small_is_refused() {
        let image = [(MIB, 256 * MIB)];
        let end = 258 * MIB;
        let backup = 33 * 512;
        check(512, end + NEEDED + backup, &image, Ok((end, NEEDED)));
        check(512, end + NEEDED + backup - 512, &image, Err(NEEDED - MIB));
        check(512, end, &image, Err(0));
        check(512, 0, &image, Err(0));
        check(512, 1 << 40, &[(0, u64::MAX)], Err(0));
    }

    #[test]
    fn sfdisk_is_understood() {
        let json = r#"{ "partitiontable": { "label":"gpt", "id":"X", "device":"/dev/vda", "unit":"sectors",
            "firstlba":34, "lastlba":528350, "sectorsize":512, "partitions": [
            {"node": "/dev/vda1","start": 34,"size": 2014,"type": "T","uuid": "U","name": "bios"},
            {"node": "/dev/vda2","start": 2048,"size": 524288,"type": "T","uuid": "U","name": "BLACKBOX"} ] } }"#;
        let disk = Disk::parse(json, 512, 1 << 30).unwrap();
        let region = disk.free_region().unwrap();
        assert_eq!(region, Region { start: 528_384, sectors: (1 << 21) - 2048 - 528_384 });
        assert_eq!(
            region.sfdisk_line(),
            "start=528384, size=1566720, type=0fc63daf-8483-4772-8e79-3d69d8477de4, name=\"BLACKBOX-NEW\"\n"
        );
        for bad in ["", "{}", r#"{"partitiontable":{"label":"dos","partitions":[]}}"#] {
            assert!(matches!(Disk::parse(bad, 512, 1 << 30), Err(LayoutError::Table(_))), "{bad}");
        }
    }
}
