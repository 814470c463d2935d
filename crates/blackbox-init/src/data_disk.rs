//! The note on the system partition that says where the data is, if not on the system disk. Without it a data disk that is
//! missing at one start would have a rival made behind the system, and its content would seem lost.

use appliance::partitions::{DATA_NAME, SYSTEM_NAME};

/// The note's name on the system partition.
pub const NAME: &str = "data-disk.txt";

/// Longest note (bytes) that is read.
pub const MAX_BYTES: usize = 4096;

/// Where the groups of a UUID end, and its length.
const DASHES: [usize; 4] = [8, 13, 18, 23];
const UUID_LENGTH: usize = 36;

/// The note about a data disk whose file system has this UUID, for people too.
pub fn note(uuid: &str) -> String {
    let lines = [
        format!(
            "The data of this P2P Black Box is on another disk, in the file system {DATA_NAME} with the UUID"
        ),
        uuid.to_owned(),
        "While that disk is not connected, the box waits for it. If it is gone for good, delete this"
            .to_owned(),
        "file: then the box makes a data partition on its own disk when it starts.".to_owned(),
    ];
    lines.map(|line| line + "\r\n").concat()
}

/// The UUID in a note; `None` in what is none.
pub fn uuid(note: &[u8]) -> Option<String> {
    String::from_utf8_lossy(note).lines().map(str::trim).find(|line| is_uuid(line)).map(str::to_owned)
}

/// Whether it is one as `blkid` writes it.
pub fn is_uuid(text: &str) -> bool {
    text.len() == UUID_LENGTH
        && text.bytes().enumerate().all(|(at, byte)| match byte {
            b'-' => DASHES.contains(&at),
            byte => byte.is_ascii_hexdigit() && !DASHES.contains(&at),
        })
}

/// What people are told while the disk is missing.
pub fn missing(uuid: &str) -> String {
    format!(
        "The data disk of this box is missing (file system {DATA_NAME}, UUID {uuid}): connect it. Until then nothing is \
         published. If it is gone for good, delete {NAME} on the partition {SYSTEM_NAME}, and restart."
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    const UUID: &str = "3f0c1d2e-0a1b-4c5d-8e9f-00112233aAbB";

    #[test]
    fn a_note_is_understood_and_nothing_else_is() {
        let note = note(UUID);
        assert_eq!(uuid(note.as_bytes()).as_deref(), Some(UUID));
        assert_eq!(note.lines().count(), note.matches("\r\n").count());
        // As an editor may leave it.
        assert_eq!(uuid(format!("\u{feff}Mine\n  {UUID} ").as_bytes()).as_deref(), Some(UUID));
        for other in ["", "x", &UUID[1..], &UUID.replace('-', "0"), &UUID.replace('f', "g"), "\0\0\0\0"] {
            assert_eq!(uuid(other.as_bytes()), None, "{other}");
        }
    }
}
