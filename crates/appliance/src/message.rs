//! What PID 1 and the daemon say to each other: one JSON object a line over a Unix stream socket that init
//! creates before it starts the daemon (descriptor number in [`crate::paths::INIT_FD_VAR`]).
//!
//! The socket closes when either side ends. Messages carry state, not changes, wherever they can: a list
//! replaces the list sent before it, so a restarted daemon is told everything again.

use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::disk::Disk;

/// Longest line (bytes, without the newline) either side accepts; a longer one ends the conversation.
pub const MAX_LINE: usize = 64 * 1024;

/// How often the daemon says [`ToInit::Alive`].
pub const PULSE: Duration = Duration::from_secs(5);

/// From init to the daemon.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum ToDaemon {
    /// A disc or stick is mounted read-only and can be imported. Sent again to a restarted daemon.
    MediumInserted(Medium),
    /// Something was inserted that can't be mounted; `reason` is a sentence for people.
    MediumUnusable {
        /// Kernel name of the drive, such as `sr0`.
        drive: String,
        /// What is wrong and what to do.
        reason: String,
    },
    /// The medium is gone (ejected or pulled).
    MediumRemoved {
        /// Kernel name of the drive.
        drive: String,
    },
    /// Everything that is wrong with the box right now, as init sees it; replaces the list before it.
    Problems {
        /// Sentences for people: what, where, what to do.
        sentences: Vec<String>,
    },
    /// Addresses and name of the box in its networks; replaces what was said before.
    Addresses {
        /// No loopback and no link-local addresses unless there is nothing else.
        addresses: Vec<IpAddr>,
        /// The name by which it is found there, such as `blackbox.local`, once it has one.
        name: Option<String>,
    },
    /// What only init knows of the machine; replaces what was said before.
    Machine(Machine),
    /// An update is on trial: say [`ToInit::Serves`] as soon as that is proved. Sent again to a restarted daemon.
    ProveYourself,
}

/// The machine, as far as the daemon can't look for itself.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Machine {
    /// Version of the image that runs.
    pub version: String,
    /// The slot that it was started from, `a` or `b`; null where it was not started from a disk.
    pub slot: Option<String>,
    /// Whether it is on trial.
    pub is_trial: bool,
    /// The clock.
    pub clock: Clock,
    /// What else is known of it, for people: names and values, in this order.
    pub facts: Vec<(String, String)>,
    /// The disks of the box, at most [`crate::disk::MAX_DISKS`], by name.
    pub disks: Vec<Disk>,
    /// Folders of the log (see [`crate::journal`]), oldest lines first.
    pub logs: Vec<PathBuf>,
}

/// How far the machine's clock can be believed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Clock {
    /// A time that has passed for sure, that of the build: seconds since 1970.
    pub floor: u64,
    /// Who says that the clock is right; null while nobody does.
    pub source: Option<IpAddr>,
    /// When that was said last: seconds since 1970, by the clock itself.
    pub checked: Option<u64>,
}

/// A mounted disc or stick.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Medium {
    /// Kernel name of the drive, such as `sr0` or `sdb1`.
    pub drive: String,
    /// Device node, such as `/dev/sr0`, readable by the daemon.
    pub device: String,
    /// Where it is mounted, such as `/media/sr0`.
    pub mount: String,
    /// Volume label as the medium spells it, or null where it has none.
    pub label: Option<String>,
    /// Identity of the volume as its file system tells it (a serial number, a time), or null where it has none.
    pub uuid: Option<String>,
    /// Size of the file system in bytes (for an optical disc: of the volume, not of the blank disc).
    pub size_bytes: u64,
    /// Whether the drive has a tray to open.
    pub ejectable: bool,
}

/// From the daemon to init.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum ToInit {
    /// Every part of the daemon that waits for no disk has just done some work. Said every [`PULSE`] from the start on, before
    /// [`ToInit::Ready`] too; init ends a daemon that does not say it for long.
    Alive,
    /// The listeners are open and the catalog is loaded.
    Ready {
        /// Port of the web page.
        web_port: u16,
    },
    /// The daemon has fetched from itself, through its listeners, the page, an answer of the tracker, and a piece of a
    /// published item, if there is one, which had the right hash. Only said when asked.
    Serves,
    /// Done with this medium: unmount it and, where there is a tray, open it.
    Eject {
        /// Kernel name of the drive.
        drive: String,
    },
    /// A medium was published, or can't be: for who stands beside the box and hears it.
    Imported {
        /// Whether it can be downloaded now.
        published: bool,
    },
    /// What the screen should show of the daemon; replaces what it showed before.
    Screen {
        /// Published items that can be downloaded now.
        seeding: usize,
        /// Work going on, such as `Reading DISC_1, 2.1 of 4.4 GB`, or null.
        activity: Option<String>,
        /// Who downloads and how much was given away, in words.
        traffic: String,
        /// What is wrong, most recent first; at most a few.
        problems: Vec<String>,
    },
}

/// A message that could not be read.
#[derive(Debug, thiserror::Error)]
pub enum MessageError {
    /// Longer than [`MAX_LINE`].
    #[error("a message of {0} bytes is longer than {MAX_LINE} bytes")]
    TooLong(usize),
    /// Not JSON of a known shape.
    #[error("not a known message: {0}")]
    Unknown(#[from] serde_json::Error),
}

/// The message as a line, newline included.
///
/// # Errors
/// [`MessageError::TooLong`] when the line would be refused by [`decode`].
pub fn encode<M: Serialize>(message: &M) -> Result<Vec<u8>, MessageError> {
    let mut line = serde_json::to_vec(message)?;
    if line.len() > MAX_LINE {
        return Err(MessageError::TooLong(line.len()));
    }
    line.push(b'\n');
    Ok(line)
}

/// Reads a line, with or without its newline.
///
/// # Errors
/// When the line is too long or not a message of type `M`.
pub fn decode<M: DeserializeOwned>(line: &[u8]) -> Result<M, MessageError> {
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    if line.len() > MAX_LINE {
        return Err(MessageError::TooLong(line.len()));
    }
    Ok(serde_json::from_slice(line)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_message_survives_the_line() {
        let medium = Medium {
            drive: "sr0".into(),
            device: "/dev/sr0".into(),
            mount: "/media/sr0".into(),
            label: Some("DISC \"1\"\n".into()),
            uuid: Some("2026-01-31-12-00-00-00".into()),
            size_bytes: 1 << 32,
            ejectable: true,
        };
        let drive = || "sr0".to_owned();
        for message in [
            ToDaemon::MediumInserted(medium),
            ToDaemon::MediumUnusable { drive: drive(), reason: "blank".into() },
            ToDaemon::MediumRemoved { drive: drive() },
            ToDaemon::Problems { sentences: vec!["No cable.".into()] },
            ToDaemon::Addresses {
                addresses: vec!["192.0.2.1".parse().unwrap(), "fe80::1".parse().unwrap()],
                name: Some("blackbox.local".into()),
            },
            ToDaemon::Machine(Machine {
                version: "1.2.3".into(),
                slot: Some("b".into()),
                is_trial: true,
                clock: Clock { floor: 1, source: Some("192.0.2.1".parse().unwrap()), checked: Some(2) },
                facts: vec![("Slot".into(), "a".into())],
                disks: vec![Disk::silent("sda")],
                logs: vec!["/data/log".into()],
            }),
            ToDaemon::ProveYourself,
        ] {
            let line = encode(&message).unwrap();
            assert_eq!(
                line.iter().position(|byte| *byte == b'\n'),
                Some(line.len() - 1),
                "{message:?} is one line"
            );
            assert_eq!(decode::<ToDaemon>(&line).unwrap(), message);
        }
        for message in [
            ToInit::Alive,
            ToInit::Ready { web_port: 80 },
            ToInit::Serves,
            ToInit::Eject { drive: drive() },
            ToInit::Imported { published: true },
            ToInit::Screen { seeding: 2, activity: None, traffic: "None.".into(), problems: vec![] },
        ] {
            assert_eq!(decode::<ToInit>(&encode(&message).unwrap()).unwrap(), message);
        }
    }

    #[test]
    fn long_and_unknown_lines_are_refused() {
        assert!(matches!(decode::<ToInit>(&vec![b'x'; MAX_LINE + 1]), Err(MessageError::TooLong(_))));
        for line in ["", "{}", "[]", r#"{"type":"format_disk"}"#] {
            assert!(matches!(decode::<ToInit>(line.as_bytes()), Err(MessageError::Unknown(_))), "{line}");
        }
    }
}
