//! Names of items as people see them.

use std::borrow::Cow;
use std::ffi::OsStr;
use std::fmt::Write as _;
use std::os::unix::ffi::OsStrExt;

/// The name under which an item is shown; a name that is not UTF-8 (such an item is never published) escaped.
///
/// No two files have the same: an escaped name begins with `./`, which no file's name does, and has its backslashes
/// doubled.
pub(super) fn shown(name: &OsStr) -> Cow<'_, str> {
    if let Some(name) = name.to_str() {
        return name.into();
    }
    let mut shown = String::from("./");
    for chunk in name.as_bytes().utf8_chunks() {
        shown.push_str(&chunk.valid().replace('\\', "\\\\"));
        for byte in chunk.invalid() {
            // Writing to a string can't fail.
            let _ = write!(shown, "\\x{byte:02x}");
        }
    }
    shown.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_is_shown_as_another_text() {
        let mut all = Vec::new();
        for (name, text) in [
            (&b"caf\xe9"[..], r"./caf\xe9"),
            (br"caf\xe9", r"caf\xe9"),
            (b"\\xe9\xe9", r"./\\xe9\xe9"),
            (b"\xe9\xe9", r"./\xe9\xe9"),
            ("caf\u{e9}".as_bytes(), "caf\u{e9}"),
            ("caf\u{fffd}".as_bytes(), "caf\u{fffd}"),
        ] {
            assert_eq!(shown(OsStr::from_bytes(name)), text);
            assert!(!all.contains(&text));
            all.push(text);
        }
    }
}
