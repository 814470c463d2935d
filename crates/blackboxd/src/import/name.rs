//! Item names from volume labels, which are hostile or at least careless input.

use crate::watch::is_ignored;

/// Name of a medium without a (usable) label.
const UNTITLED: &str = "UNTITLED";

/// Longest name made from a label, in bytes; leaves room for ` (2)` and `.iso` in a file name.
const MAX: usize = 200;

/// A name for the publish folder.
pub(super) fn of_label(label: Option<&str>) -> String {
    let mut name: String =
        label
            .unwrap_or_default()
            .chars()
            .map(|char| {
                if char == '/' || char.is_control() || char == char::REPLACEMENT_CHARACTER {
                    '_'
                } else {
                    char
                }
            })
            .collect();
    while name.len() > MAX {
        name.pop();
    }
    let name = name.trim().trim_start_matches(['.', '~']).trim();
    match name {
        "" => UNTITLED.to_owned(),
        name if is_ignored(name.as_ref()) => format!("{name}_"),
        name => name.to_owned(),
    }
}

/// The name to try when `name` is taken by something else: `DISC (2)`, `DISC (3)`, ...
pub(super) fn numbered(name: &str, number: u32) -> String {
    if number < 2 { name.to_owned() } else { format!("{name} ({number})") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_become_names_that_are_published() {
        for (label, name) in [
            (Some("DISC_1"), "DISC_1"),
            (Some("  Fotos 2026 "), "Fotos 2026"),
            (Some("../../etc/passwd"), "_.._etc_passwd"),
            (Some("..."), UNTITLED),
            (Some(""), UNTITLED),
            (None, UNTITLED),
            (Some("a\nb\0c"), "a_b_c"),
            (Some(".hidden"), "hidden"),
            (Some("data.part"), "data.part_"),
            (Some("lost+found"), "lost+found_"),
            (Some("\u{e9}t\u{e9}"), "\u{e9}t\u{e9}"),
        ] {
            assert_eq!(of_label(label), name, "{label:?}");
            assert!(!is_ignored(of_label(label).as_ref()));
        }
        assert!(of_label(Some(&"\u{e9}".repeat(500))).len() <= MAX);
    }
}
