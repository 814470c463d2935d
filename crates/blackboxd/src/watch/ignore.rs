//! Names that are never published: other programs' half-finished files, and litter of operating systems.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

const PREFIXES: [&[u8]; 2] = [b".", b"~"];
const SUFFIXES: [&[u8]; 3] = [b".part", b".crdownload", b".tmp"];
const NAMES: [&[u8]; 5] =
    [b"thumbs.db", b"desktop.ini", b"lost+found", b"system volume information", b"$recycle.bin"];

/// Whether a file or folder of that name is passed over, at the top and inside items alike.
pub fn is_ignored(name: &OsStr) -> bool {
    let name = name.as_bytes().to_ascii_lowercase();
    PREFIXES.iter().any(|prefix| name.starts_with(prefix))
        || SUFFIXES.iter().any(|suffix| name.ends_with(suffix))
        || NAMES.contains(&name.as_slice())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn litter_is_ignored_and_content_is_not() {
        for name in [
            ".hidden",
            "~$report.docx",
            "a.iso.part",
            "A.CRDOWNLOAD",
            "x.tmp",
            "Thumbs.db",
            "lost+found",
            "$RECYCLE.BIN",
        ] {
            assert!(is_ignored(name.as_ref()), "{name}");
        }
        for name in ["a.iso", "part", "tmp", "x.tmp.iso", "a~", "thumbs.db.zip", "\u{e9}t\u{e9}"] {
            assert!(!is_ignored(name.as_ref()), "{name}");
        }
    }
}
