//! What `blkid -p -o udev` says about a device or a part of one.

use appliance::partitions::DATA_NAME;

use crate::lines::printable;
use crate::uevent::fields;

/// Longest volume label (bytes) taken over: longer than any file system has.
const MAX_LABEL: usize = 256;

/// The file system of a data partition.
const DATA_KIND: &str = "ext4";

/// `blkid` found nothing it knows.
pub const NOTHING_FOUND: i32 = 2;

/// Type of an EFI system partition in an MBR; in a GPT it is [`appliance::partitions::SYSTEM_TYPE`].
const MBR_EFI_SYSTEM: &str = "0xef";

/// Signatures found by low-level probing.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Signatures {
    /// Type of the file system or other contents, such as `iso9660` or `crypto_LUKS`.
    pub kind: Option<String>,
    /// Volume label as the medium spells it, without control characters.
    pub label: Option<String>,
    /// Identity of the file system.
    pub uuid: Option<String>,
    /// Whether it is a file system, and not swap, a part of a RAID, or encrypted.
    pub file_system: bool,
    /// Whether there is a partition table.
    pub partition_table: bool,
    /// Whether it is a partition that belongs to the firmware.
    pub efi_system: bool,
}

impl Signatures {
    /// Reads the output.
    pub fn parse(output: &str) -> Self {
        let mut fields = fields(output, '\n');
        let label = fields
            .remove("ID_FS_LABEL_ENC")
            .map(|text| printable(&decode(&text)).trim().to_owned())
            .filter(|label| !label.is_empty());
        Self {
            kind: fields.remove("ID_FS_TYPE"),
            label,
            uuid: fields.remove("ID_FS_UUID"),
            file_system: fields.get("ID_FS_USAGE").is_some_and(|usage| usage == "filesystem"),
            partition_table: fields.contains_key("ID_PART_TABLE_TYPE"),
            efi_system: fields
                .get("ID_PART_ENTRY_TYPE")
                .is_some_and(|kind| kind == MBR_EFI_SYSTEM || kind == appliance::partitions::SYSTEM_TYPE),
        }
    }
}

impl Signatures {
    /// Whether it is a file system for the data of a box.
    pub fn is_data(&self) -> bool {
        self.kind.as_deref() == Some(DATA_KIND) && self.label.as_deref() == Some(DATA_NAME)
    }
}

/// What is in the place for the data partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Contents {
    /// Nothing known: it may be formatted.
    Nothing,
    /// A data partition's file system.
    Data {
        /// Whether it carries the data partition's own label.
        labelled: bool,
        /// Its identity.
        uuid: Option<String>,
    },
    /// Something that is not the box's; it is never touched.
    Foreign(String),
}

impl Contents {
    /// Judges exit code and output of `blkid -p`. Only a clear "nothing found" counts as nothing.
    pub fn judge(code: i32, output: &str) -> Self {
        let found = Signatures::parse(output);
        match (code, found.kind.clone()) {
            (0, Some(kind)) if kind == DATA_KIND => {
                Self::Data { labelled: found.is_data(), uuid: found.uuid }
            }
            (0, Some(kind)) => Self::Foreign(kind),
            (0, None) if found.partition_table => Self::Foreign("a partition table".into()),
            // Of an empty partition the entry in the partition table is told, and nothing else.
            (0 | NOTHING_FOUND, None) if !output.contains("ID_FS_") => Self::Nothing,
            _ => Self::Foreign("several signatures, or it can't be read".into()),
        }
    }
}

/// Undoes `\xNN`, which `blkid` writes for every byte that is not plain.
fn decode(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, tail)) = rest.split_first() {
        let escaped = tail.strip_prefix(b"x").and_then(|hex| std::str::from_utf8(hex.get(..2)?).ok());
        match escaped.and_then(|hex| u8::from_str_radix(hex, 16).ok()) {
            Some(byte) if first == b'\\' => {
                bytes.push(byte);
                rest = &tail[3..];
            }
            _ => {
                bytes.push(first);
                rest = tail;
            }
        }
        if bytes.len() == MAX_LABEL {
            break;
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_spelled_as_on_the_medium() {
        for (encoded, label) in [
            ("DISC_1", Some("DISC_1")),
            ("My\\x20Disc", Some("My Disc")),
            ("\\xc3\\xa9t\\xc3\\xa9", Some("été")),
            ("été", Some("été")),
            ("\\xff", Some("\u{fffd}")),
            ("a\\x0ab\\x1b", Some("a b")),
            ("\\x20\\x20", None),
            ("", None),
            ("a\\", Some("a\\")),
            ("a\\x4", Some("a\\x4")),
            ("a\\x5cx41", Some("a\\x41")),
        ] {
            let found = Signatures::parse(&format!("ID_FS_TYPE=udf\nID_FS_LABEL_ENC={encoded}\n"));
            assert_eq!(found.label.as_deref(), label, "{encoded}");
        }
        let long = Signatures::parse(&format!("ID_FS_LABEL_ENC={}\n", "a".repeat(1000)));
        assert_eq!(long.label.unwrap().len(), MAX_LABEL);
    }

    #[test]
    fn what_is_not_for_people_is_told_apart() {
        for (output, table, efi, file_system) in [
            ("ID_PART_TABLE_TYPE=gpt\n", true, false, false),
            ("ID_FS_USAGE=filesystem\nID_FS_TYPE=vfat\nID_PART_ENTRY_TYPE=0xef\n", false, true, true),
            ("ID_PART_ENTRY_TYPE=c12a7328-f81f-11d2-ba4b-00a0c93ec93b\n", false, true, false),
            ("ID_FS_USAGE=crypto\nID_PART_ENTRY_TYPE=0xc\n", false, false, false),
        ] {
            let found = Signatures::parse(output);
            let judged = (found.partition_table, found.efi_system, found.file_system);
            assert_eq!(judged, (table, efi, file_system), "{output}");
        }
    }

    #[test]
    fn only_what_is_surely_empty_may_be_formatted() {
        for (code, output, contents) in [
            (2, "", Contents::Nothing),
            (0, "ID_PART_ENTRY_NAME=BLACKBOX-DATA\nID_PART_ENTRY_NUMBER=3\n", Contents::Nothing),
            (
                0,
                "ID_FS_TYPE=ext4\nID_FS_UUID=u\nID_FS_LABEL_ENC=BLACKBOX-DATA\n",
                Contents::Data { labelled: true, uuid: Some("u".into()) },
            ),
            (0, "ID_FS_TYPE=ext4\nID_FS_LABEL_ENC=home\n", Contents::Data { labelled: false, uuid: None }),
            (0, "ID_FS_TYPE=ntfs\n", Contents::Foreign("ntfs".into())),
            (0, "ID_PART_TABLE_TYPE=dos\n", Contents::Foreign("a partition table".into())),
        ] {
            assert_eq!(Contents::judge(code, output), contents, "{code} {output}");
        }
        for (code, output) in
            [(8, ""), (4, ""), (-1, ""), (0, "ID_FS_USAGE=raid\n"), (2, "ID_FS_TYPE=ext4\n")]
        {
            assert!(matches!(Contents::judge(code, output), Contents::Foreign(_)), "{code} {output}");
        }
    }
}
