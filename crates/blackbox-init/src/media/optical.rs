//! What a drive and its disc say of themselves, judged. Pure.

use crate::sys::{DiscStatus, DriveStatus};

/// What to do about a drive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// No disc in it.
    Empty,
    /// It is still reading the disc in: ask again.
    Wait,
    /// Try to mount the disc.
    Try,
    /// The disc can't be imported; a sentence for people.
    Unusable(String),
}

/// Judges a drive's own answers; `disc` is only known when there is a disc.
pub fn judge(name: &str, drive: DriveStatus, disc: Option<DiscStatus>) -> Verdict {
    match (drive, disc) {
        (DriveStatus::NoDisc | DriveStatus::TrayOpen, _) | (_, Some(DiscStatus::NoDisc)) => Verdict::Empty,
        (DriveStatus::NotReady, _) => Verdict::Wait,
        (_, Some(DiscStatus::Audio)) => Verdict::Unusable(format!(
            "The disc in {name} is an audio CD, which this box can't publish; insert a disc with files."
        )),
        // A blank disc has no readable contents, but some drives can't tell good ones either: reading decides.
        (_, Some(DiscStatus::Unknown | DiscStatus::Data) | None) => Verdict::Try,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn drives_and_discs_are_judged() {
        use DiscStatus as Disc;
        use DriveStatus as Drive;
        for (drive, disc, verdict) in [
            (Drive::NoDisc, None, Verdict::Empty),
            (Drive::TrayOpen, None, Verdict::Empty),
            (Drive::NotReady, None, Verdict::Wait),
            (Drive::DiscOk, Some(Disc::Data), Verdict::Try),
            (Drive::DiscOk, Some(Disc::Unknown), Verdict::Try),
            (Drive::DiscOk, Some(Disc::NoDisc), Verdict::Empty),
            (Drive::Unknown, None, Verdict::Try),
        ] {
            assert_eq!(judge("sr0", drive, disc), verdict, "{drive:?} {disc:?}");
        }
        let audio = judge("sr0", Drive::DiscOk, Some(Disc::Audio));
        assert!(matches!(audio, Verdict::Unusable(reason) if reason.contains("audio CD")));
    }
}
