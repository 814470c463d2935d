//! Item names from volume labels, which are hostile or at least careless input.

use appliance::config::ImportMode;

use crate::watch::is_ignored;

/// Name of a medium without a (usable) label.
const UNTITLED: &str = "UNTITLED";

/// Longest name made from a label, in bytes; leaves room for ` (2)` and `.iso` in a file name.
const MAX: usize = 200;

/// Names tried for a medium whose label is taken.
pub(super) const MAX_NUMBER: u32 = 1000;

/// The names that an item may get.
#[derive(Debug, Clone)]
pub(super) struct ItemName {
    stem: String,
    suffix: &'static str,
}

impl ItemName {
    /// From the label of a medium; of an image they end in `.iso`.
    pub(super) fn of_label(label: Option<&str>, mode: ImportMode) -> Self {
        let suffix = match mode {
            ImportMode::Contents => "",
            ImportMode::Image => ".iso",
        };
        Self { stem: stem(label.unwrap_or_default()), suffix }
    }

    /// The name by which people know the medium.
    pub(super) fn of_medium(&self) -> &str {
        &self.stem
    }

    /// The name to try first, and when it is taken by something else: `DISC`, `DISC (2)`, `DISC (3)`, ...
    pub(super) fn numbered(&self, number: u32) -> String {
        let Self { stem, suffix } = self;
        if number < 2 { format!("{stem}{suffix}") } else { format!("{stem} ({number}){suffix}") }
    }
}

/// A label as a name for the publish folder.
fn stem(label: &str) -> String {
    let mut name: String =
        label
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
            for (mode, suffix) in [(ImportMode::Contents, ""), (ImportMode::Image, ".iso")] {
                let found = ItemName::of_label(label, mode);
                assert_eq!(found.of_medium(), name, "{label:?}");
                assert_eq!(found.numbered(1), format!("{name}{suffix}"));
                assert_eq!(found.numbered(12), format!("{name} (12){suffix}"));
                assert!(!is_ignored(found.numbered(1).as_ref()));
            }
        }
        assert!(stem(&"\u{e9}".repeat(500)).len() <= MAX);
    }
}
