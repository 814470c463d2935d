//! Puts files into an empty exFAT volume, which no tool does without mounting it (see Microsoft's exFAT specification).

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

/// Bytes of a directory entry.
const ENTRY: usize = 32;

/// Characters in an entry of a name.
const NAME_PART: usize = 15;

/// 1 January 2020, as FAT and exFAT write it.
const TIME: u32 = (2020 - 1980) << 25 | 1 << 21 | 1 << 16;

/// Where things are in a volume, in bytes.
struct Geometry {
    heap: u64,
    cluster: u64,
    root: u32,
}

impl Geometry {
    fn read(volume: &File) -> Self {
        let mut boot = [0; 512];
        volume.read_exact_at(&mut boot, 0).expect("a boot sector");
        assert_eq!(&boot[3..11], b"EXFAT   ");
        let number = |at: usize| u32::from_le_bytes(boot[at..at + 4].try_into().expect("four bytes"));
        let sector = 1_u64 << boot[108];
        Self { heap: u64::from(number(88)) * sector, cluster: sector << boot[109], root: number(96) }
    }

    fn offset(&self, cluster: u32) -> u64 {
        self.heap + u64::from(cluster - 2) * self.cluster
    }
}

/// Adds files, by their names, to the root of a volume that was just made.
///
/// # Panics
/// When it is not one, or too small.
pub fn add(volume: &Path, files: &BTreeMap<PathBuf, PathBuf>) {
    let volume = File::options().read(true).write(true).open(volume).expect("a volume");
    let geometry = Geometry::read(&volume);
    let root = geometry.offset(geometry.root);
    let mut directory = vec![0; usize::try_from(geometry.cluster).expect("a small cluster")];
    volume.read_exact_at(&mut directory, root).expect("a directory");
    let bitmap = directory.chunks(ENTRY).find(|entry| entry[0] == 0x81).expect("a bitmap");
    let bitmap = geometry.offset(u32::from_le_bytes(bitmap[20..24].try_into().expect("four bytes")));
    let mut end = directory.chunks(ENTRY).position(|entry| entry[0] == 0).expect("room") * ENTRY;
    // The root is what a new volume has last.
    let mut next = geometry.root + 1;
    for (name, path) in files {
        let content = fs::read(path).expect("a readable file");
        volume.write_all_at(&content, geometry.offset(next)).expect("room");
        let entries = entries(name.to_str().expect("text"), next, content.len() as u64);
        directory[end..end + entries.len()].copy_from_slice(&entries);
        end += entries.len();
        let clusters = (content.len() as u64).div_ceil(geometry.cluster);
        for used in u64::from(next - 2)..u64::from(next - 2) + clusters {
            let mut byte = [0];
            volume.read_exact_at(&mut byte, bitmap + used / 8).expect("a bitmap");
            volume.write_all_at(&[byte[0] | 1 << (used % 8)], bitmap + used / 8).expect("a bitmap");
        }
        next += u32::try_from(clusters).expect("a small volume");
    }
    volume.write_all_at(&directory, root).expect("a directory");
}

/// The directory entries of a file that is in one piece.
fn entries(name: &str, cluster: u32, length: u64) -> Vec<u8> {
    let units: Vec<u16> = name.encode_utf16().collect();
    // Character by character: the capital of a sharp s is itself.
    let capital = |c: char| c.to_uppercase().next().filter(|_| c.to_uppercase().count() == 1).unwrap_or(c);
    let upper = name.chars().map(capital).collect::<String>();
    let upper: Vec<u8> = upper.encode_utf16().flat_map(u16::to_le_bytes).collect();
    let parts = units.chunks(NAME_PART);
    let mut entries = vec![0; ENTRY * (2 + parts.len())];
    entries[..2].copy_from_slice(&[0x85, u8::try_from(1 + parts.len()).expect("a short name")]);
    entries[4] = 0x20;
    for at in [8, 12, 16] {
        entries[at..at + 4].copy_from_slice(&TIME.to_le_bytes());
    }
    let stream = &mut entries[ENTRY..2 * ENTRY];
    // In one piece: no chain in the FAT.
    stream[..2].copy_from_slice(&[0xc0, 3]);
    stream[3] = u8::try_from(units.len()).expect("a short name");
    stream[4..6].copy_from_slice(&checksum(upper.iter()).to_le_bytes());
    stream[8..16].copy_from_slice(&length.to_le_bytes());
    stream[20..24].copy_from_slice(&cluster.to_le_bytes());
    stream[24..32].copy_from_slice(&length.to_le_bytes());
    for (part, entry) in parts.zip(entries[2 * ENTRY..].chunks_mut(ENTRY)) {
        entry[0] = 0xc1;
        for (unit, bytes) in part.iter().zip(entry[2..].chunks_mut(2)) {
            bytes.copy_from_slice(&unit.to_le_bytes());
        }
    }
    let sum = checksum(entries[..2].iter().chain(&entries[4..]));
    entries[2..4].copy_from_slice(&sum.to_le_bytes());
    entries
}

fn checksum<'a>(bytes: impl Iterator<Item = &'a u8>) -> u16 {
    bytes.fold(0, |sum: u16, byte| sum.rotate_right(1).wrapping_add(u16::from(*byte)))
}
