//! How far a UDF disc is recorded, from its volume descriptors (ECMA-167 part 3; ISO 9660 in a bridge disc). Nothing in them is
//! believed beyond numbers of sectors.

use std::fs::File;
use std::os::unix::fs::FileExt;

/// Bytes of a sector of an optical disc.
const SECTOR: u32 = 2048;

/// Sectors that are looked at in a sequence of descriptors; 16 are usual.
const MAX_DESCRIPTORS: u32 = 64;

/// Where the descriptors of ISO 9660 begin, in sectors.
const ISO_DESCRIPTORS: u32 = 16;

/// Where the anchor is that leads to UDF's descriptors, in sectors.
const ANCHOR: u32 = 256;

/// Tags of UDF's descriptors.
const TAG_ANCHOR: u16 = 2;
const TAG_PARTITION: u16 = 5;
const TAG_LOGICAL_VOLUME: u16 = 6;
const TAG_END: u16 = 8;

/// Bytes from the disc's beginning to the end of what its descriptors name; `None` where there are none.
pub fn recorded_bytes(disc: &File) -> Option<u64> {
    let read = |number: u32| {
        let mut sector = [0; SECTOR as usize];
        disc.read_exact_at(&mut sector, u64::from(number) * u64::from(SECTOR)).ok()?;
        Some(Sector(sector))
    };
    Some(udf_sectors(&read)?.max(iso_sectors(&read).unwrap_or(0)) * u64::from(SECTOR))
}

struct Sector([u8; SECTOR as usize]);

impl Sector {
    fn tag(&self) -> u16 {
        u16::from_le_bytes([self.0[0], self.0[1]])
    }

    /// The number at an offset; all offsets are ours, and within the sector.
    fn number(&self, offset: usize) -> u32 {
        let bytes = &self.0[offset..offset + 4];
        u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]])
    }

    /// The extent (length in bytes, then first sector) at an offset.
    fn extent(&self, offset: usize) -> Extent {
        let sectors = self.number(offset).div_ceil(SECTOR);
        Extent { first: self.number(offset + 4), sectors }
    }
}

#[derive(Clone, Copy)]
struct Extent {
    first: u32,
    sectors: u32,
}

impl Extent {
    fn end(self) -> u64 {
        if self.sectors == 0 { 0 } else { u64::from(self.first) + u64::from(self.sectors) }
    }
}

fn udf_sectors(read: &impl Fn(u32) -> Option<Sector>) -> Option<u64> {
    let anchor = read(ANCHOR).filter(|sector| sector.tag() == TAG_ANCHOR)?;
    let sequences = [anchor.extent(16), anchor.extent(24)];
    let mut end = u64::from(ANCHOR) + 1;
    for sequence in sequences {
        end = end.max(sequence.end());
        let numbers =
            (0..sequence.sectors.min(MAX_DESCRIPTORS)).filter_map(|n| sequence.first.checked_add(n));
        for sector in numbers.map_while(read).take_while(|sector| sector.tag() != TAG_END) {
            end = end.max(match sector.tag() {
                TAG_PARTITION => Extent { first: sector.number(188), sectors: sector.number(192) }.end(),
                // Where it is said whether the volume is intact.
                TAG_LOGICAL_VOLUME => sector.extent(432).end(),
                _ => 0,
            });
        }
    }
    Some(end)
}

fn iso_sectors(read: &impl Fn(u32) -> Option<Sector>) -> Option<u64> {
    let primary = read(ISO_DESCRIPTORS).filter(|sector| sector.0.starts_with(b"\x01CD001"))?;
    Some(primary.number(80).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A disc of 4000 sectors that holds these numbers, at sector and offset in it.
    fn disc(numbers: &[(u32, usize, u32)]) -> File {
        let disc = tempfile::tempfile().unwrap();
        disc.set_len(4000 * u64::from(SECTOR)).unwrap();
        for (sector, offset, number) in numbers {
            let at = u64::from(*sector) * u64::from(SECTOR) + *offset as u64;
            disc.write_all_at(&number.to_le_bytes(), at).unwrap();
        }
        disc
    }

    /// An anchor that names two sequences, of which the first begins with a partition.
    const UDF: [(u32, usize, u32); 8] = [
        (256, 0, 2),
        (256, 16, 16 * 2048),
        (256, 20, 32),
        (256, 24, 16 * 2048),
        (256, 28, 48),
        (32, 0, 5),
        (32, 188, 257),
        (32, 192, 3000),
    ];

    #[test]
    fn a_volume_ends_where_the_last_thing_ends_that_is_named() {
        let with = |more: &[(u32, usize, u32)]| recorded_bytes(&disc(&[&UDF[..], more].concat()));
        let sectors = |count: u64| Some(count * u64::from(SECTOR));
        assert_eq!(with(&[]), sectors(3257));
        assert_eq!(with(&[(256, 28, 3800)]), sectors(3816), "the second sequence may be at the end");
        assert_eq!(with(&[(33, 0, 6), (33, 432, 4096), (33, 436, 3500)]), sectors(3502));
        assert_eq!(with(&[(33, 0, 8), (34, 0, 5), (34, 188, 257), (34, 192, 3500)]), sectors(3257));
        let iso = [(16, 0, u32::from_le_bytes(*b"\x01CD0")), (16, 4, u32::from_le_bytes(*b"01\0\0"))];
        assert_eq!(with(&[&iso[..], &[(16, 80, 3900)]].concat()), sectors(3900), "a bridge disc");
    }

    #[test]
    fn nonsense_has_no_size_or_a_large_one_but_does_no_harm() {
        assert_eq!(recorded_bytes(&disc(&[])), None);
        assert_eq!(recorded_bytes(&tempfile::tempfile().unwrap()), None);
        let all = u32::MAX;
        let huge = disc(&[(256, 0, 2), (256, 16, all), (256, 20, all), (256, 24, all), (256, 28, 0)]);
        assert!(recorded_bytes(&huge).unwrap() > u64::from(all));
    }
}
