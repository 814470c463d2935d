//! The kernel's uevents, and the `KEY=value` fields of `uevent` files in sysfs.

use std::collections::BTreeMap;

/// Longest message (bytes) the kernel sends: its own buffer has 2 KiB, plus the header line.
pub const MAX_BYTES: usize = 8 * 1024;

/// `KEY=value` fields of a message or of a `uevent` file.
pub type Fields = BTreeMap<String, String>;

/// What happened to a kobject.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// It is there now.
    Add,
    /// It is gone.
    Remove,
    /// Something about it changed, such as the medium in a drive.
    Change,
    /// Bind, unbind, move, online, offline: nothing init acts on.
    Other,
}

/// One message of the kernel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Uevent {
    /// What happened.
    pub action: Action,
    /// Path below `/sys`.
    pub devpath: String,
    fields: Fields,
}

impl Uevent {
    /// Reads a message as it comes from the socket; `None` for anything else (udev's own format, damage).
    pub fn parse(message: &[u8]) -> Option<Self> {
        if message.len() > MAX_BYTES {
            return None;
        }
        let text = std::str::from_utf8(message).ok()?;
        let (header, rest) = text.split_once('\0')?;
        let (action, devpath) = header.split_once('@')?;
        let action = match action {
            "add" => Action::Add,
            "remove" => Action::Remove,
            "change" => Action::Change,
            _ => Action::Other,
        };
        devpath.starts_with('/').then(|| Self {
            action,
            devpath: devpath.to_owned(),
            fields: fields(rest, '\0'),
        })
    }

    /// The value of a field.
    pub fn get(&self, key: &str) -> Option<&str> {
        self.fields.get(key).map(String::as_str)
    }

    /// Whether it is about a device of this subsystem.
    pub fn is_about(&self, subsystem: &str) -> bool {
        self.get("SUBSYSTEM") == Some(subsystem)
    }

    /// The device's kernel name: the last part of its path.
    pub fn name(&self) -> &str {
        self.devpath.rsplit('/').next().unwrap_or_default()
    }
}

/// Splits `KEY=value` fields; of a key that stands twice the last one counts.
pub fn fields(text: &str, separator: char) -> Fields {
    text.split(separator)
        .filter_map(|field| field.split_once('='))
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kernel_messages_are_read() {
        let message = b"change@/devices/pci0000:00/ata2/host1/block/sr0\0ACTION=change\0\
            DEVPATH=/devices/pci0000:00/ata2/host1/block/sr0\0SUBSYSTEM=block\0DISK_MEDIA_CHANGE=1\0\
            DEVNAME=sr0\0DEVTYPE=disk\0SEQNUM=1234\0";
        let uevent = Uevent::parse(message).unwrap();
        assert_eq!(uevent.action, Action::Change);
        assert_eq!(uevent.name(), "sr0");
        assert!(uevent.is_about("block") && !uevent.is_about("input"));
        assert_eq!(uevent.get("DISK_MEDIA_CHANGE"), Some("1"));
        assert_eq!(uevent.get("DISK_EJECT_REQUEST"), None);
    }

    #[test]
    fn actions_are_told_apart() {
        for (message, action) in [
            ("add@/a\0", Action::Add),
            ("remove@/a\0", Action::Remove),
            ("change@/a\0", Action::Change),
            ("bind@/a\0", Action::Other),
        ] {
            assert_eq!(Uevent::parse(message.as_bytes()).unwrap().action, action, "{message}");
        }
    }

    #[test]
    fn other_messages_are_ignored() {
        for message in [
            &b""[..],
            b"libudev\0\xfe\xed\xca\xfe",
            b"add/devices\0",
            b"add@devices\0A=1\0",
            b"add@/x",
            b"\xff@/x\0",
        ] {
            assert_eq!(Uevent::parse(message), None, "{message:?}");
        }
        let mut long = b"add@/x\0A=".to_vec();
        long.resize(MAX_BYTES + 1, b'x');
        assert_eq!(Uevent::parse(&long), None);
    }

    #[test]
    fn uevent_files_are_read() {
        let fields = fields("MAJOR=8\nDEVNAME=sda2\nPARTNAME=BLACKBOX\njunk\nX=a=b\n", '\n');
        assert_eq!(fields["PARTNAME"], "BLACKBOX");
        assert_eq!(fields["X"], "a=b");
        assert_eq!(fields.len(), 4);
    }
}
