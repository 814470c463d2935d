//! Warnings about names that are fine here, but not everywhere a torrent is downloaded to.
//!
//! They never keep anything from being published.

use std::collections::HashMap;
use std::collections::hash_map::DefaultHasher;
use std::fmt;
use std::hash::Hasher;

use unicode_normalization::{UnicodeNormalization, is_nfc};

use crate::file_path::FilePath;

/// Most warnings of one torrent that are kept: more are only counted, nobody reads them.
pub const MAX_WARNINGS: usize = 100;

/// Longest path that fits everywhere, the torrent's name included, in UTF-16 units: Windows programs take 259,
/// and something like `C:\Users\somebody\Downloads\` comes before it.
pub const MAX_PORTABLE_PATH: usize = 220;

/// What [`check`] found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Lint {
    /// In the order of the files, at most [`MAX_WARNINGS`].
    pub warnings: Vec<Warning>,
    /// How many more there were.
    pub more: usize,
}

/// A name that makes trouble elsewhere; its `Display` is a sentence for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Warning {
    /// Path of the file or folder, beginning with the torrent's name.
    pub path: String,
    /// What is wrong with the last name of it.
    pub problem: NameProblem,
}

/// Why a name makes trouble.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NameProblem {
    /// It is in another Unicode normal form than what is typed: other systems take it for another name.
    #[error("it is not in Unicode normal form C, so some systems will not find it")]
    NotNfc,
    /// Windows can't have this character in a name.
    #[error("Windows can't have {0:?} in a name")]
    Character(char),
    /// Windows drops a dot or space at the end of a name.
    #[error("Windows can't have a dot or space at the end of a name")]
    End,
    /// On Windows this is a device.
    #[error("Windows keeps this name for a device")]
    Device,
    /// Another name in the same folder differs in nothing but case or Unicode form.
    #[error("on Windows and macOS it is the same as {0:?}")]
    Clash(String),
    /// The path is longer than [`MAX_PORTABLE_PATH`].
    #[error("the path is too long for many Windows programs")]
    LongPath,
}

/// Warns of names in a torrent with this name, and, if it is a folder, with files at these paths.
///
/// Each file and folder is looked at once, whatever the order of the paths.
pub fn check<'a>(name: &str, paths: impl IntoIterator<Item = &'a FilePath>) -> Lint {
    let mut paths: Vec<_> = paths.into_iter().collect();
    paths.sort_unstable();
    let mut linter = Linter { root: name, before: Vec::new(), siblings: Vec::new(), lint: Lint::default() };
    linter.warn("", name_problems(name));
    if paths.is_empty() {
        linter.check_length("");
    }
    for path in paths {
        linter.walk(path);
    }
    linter.lint
}

struct Linter<'a> {
    root: &'a str,
    /// The names in the path before this one.
    before: Vec<&'a str>,
    /// For each of them the names in the same folder up to it, by the hash of what they are to others.
    siblings: Vec<HashMap<u64, &'a str>>,
    lint: Lint,
}

impl<'a> Linter<'a> {
    /// Looks at what is in a path that was not in the one before it.
    fn walk(&mut self, path: &'a FilePath) {
        let names: Vec<_> = path.components().collect();
        let known = names.iter().zip(&self.before).take_while(|(name, before)| name == before).count();
        self.siblings.truncate(known + 1);
        self.siblings.resize_with(names.len(), HashMap::new);
        let mut end = 0;
        for (depth, name) in names.iter().enumerate() {
            end += name.len();
            if depth >= known {
                self.warn(&path.as_str()[..end], name_problems(name));
                let twin = twin(&mut self.siblings[depth], name);
                self.warn(&path.as_str()[..end], twin.map(|other| NameProblem::Clash(other.to_owned())));
            }
            end += 1; // the slash
        }
        self.check_length(path.as_str());
        self.before = names;
    }

    fn check_length(&mut self, path: &str) {
        // There are no more units than bytes; few paths are so long that they need be counted.
        let long = self.root.len() + path.len() >= MAX_PORTABLE_PATH
            && self.full(path).encode_utf16().count() > MAX_PORTABLE_PATH;
        self.warn(path, long.then_some(NameProblem::LongPath));
    }

    fn warn(&mut self, path: &str, problems: impl IntoIterator<Item = NameProblem>) {
        for problem in problems {
            if self.lint.warnings.len() == MAX_WARNINGS {
                self.lint.more += 1;
                continue;
            }
            let path = self.full(path);
            self.lint.warnings.push(Warning { path, problem });
        }
    }

    /// A path with the torrent's name before it.
    fn full(&self, path: &str) -> String {
        if path.is_empty() { self.root.to_owned() } else { format!("{}/{path}", self.root) }
    }
}

/// Adds a name to those of its folder; what is returned was there before and is the same elsewhere.
fn twin<'a>(siblings: &mut HashMap<u64, &'a str>, name: &'a str) -> Option<&'a str> {
    let mut hasher = DefaultHasher::new();
    folded(name).for_each(|c| hasher.write_u32(c.into()));
    let first = *siblings.entry(hasher.finish()).or_insert(name);
    (first != name && folded(first).eq(folded(name))).then_some(first)
}

/// A name as systems compare it that see neither case nor normal form.
fn folded(name: &str) -> impl Iterator<Item = char> {
    name.nfc().map(|c| {
        // As NTFS does: letters without a single upper-case form, such as ß, stay.
        let mut upper = c.to_uppercase();
        if upper.len() == 1 { upper.next().unwrap_or(c) } else { c }
    })
}

/// What is wrong with a name by itself.
fn name_problems(name: &str) -> impl Iterator<Item = NameProblem> {
    let character = |c: &char| *c < ' ' || "<>:\"|?*\\".contains(*c);
    let normal = (!is_nfc(name)).then_some(NameProblem::NotNfc);
    let character = name.chars().find(character).map(NameProblem::Character);
    let end = name.ends_with(['.', ' ']).then_some(NameProblem::End);
    let device = is_device(name).then_some(NameProblem::Device);
    [normal, character, end, device].into_iter().flatten()
}

/// Devices have their names in every folder and with any extension.
fn is_device(name: &str) -> bool {
    let stem = name.split('.').next().unwrap_or_default().trim_end_matches(' ').to_ascii_uppercase();
    let port = |number: &str| matches!(number, "¹" | "²" | "³") || matches!(number.as_bytes(), [b'1'..=b'9']);
    matches!(&*stem, "CON" | "PRN" | "AUX" | "NUL" | "CONIN$" | "CONOUT$")
        || stem.strip_prefix("COM").or(stem.strip_prefix("LPT")).is_some_and(port)
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {}", self.path, self.problem)
    }
}

#[cfg(test)]
mod tests {
    use std::slice::from_ref;

    use super::*;

    /// The warnings for a torrent `t` with files at these paths.
    #[track_caller]
    fn check(paths: &[&str], want: &[&str]) {
        for backwards in [false, true] {
            let mut paths: Vec<_> =
                paths.iter().map(|path| FilePath::from_components(path.split('/')).unwrap()).collect();
            if backwards {
                paths.reverse();
            }
            let lint = super::check("t", &paths);
            let got: Vec<_> = lint.warnings.iter().map(ToString::to_string).collect();
            assert_eq!(got, want);
            assert_eq!(lint.more, 0);
        }
    }

    #[test]
    fn names_that_are_fine_everywhere() {
        check(
            &["a", "A b", ".c", "été/日本.txt", "été/x", "con-1", "COM10", "COM", "LPTx", "nul_", "ß", "SS"],
            &[],
        );
        check(&["a/x", "b/X", "c/x/y", "d/x/Y"], &[]);
    }

    #[test]
    fn what_windows_cannot_have() {
        check(&["a:b"], &[r#""t/a:b": Windows can't have ':' in a name"#]);
        check(&["a\\b"], &[r#""t/a\\b": Windows can't have '\\' in a name"#]);
        check(&["a\n?"], &[r#""t/a\n?": Windows can't have '\n' in a name"#]);
        for name in ["<", ">", "\"", "|", "?", "*", "\u{1}"] {
            check(
                &[name],
                &[&format!(
                    "{:?}: Windows can't have {:?} in a name",
                    format!("t/{name}"),
                    name.chars().next().unwrap()
                )],
            );
        }
        check(&["a."], &[r#""t/a.": Windows can't have a dot or space at the end of a name"#]);
        check(&["a "], &[r#""t/a ": Windows can't have a dot or space at the end of a name"#]);
        for name in ["con", "NUL.txt", "Aux .tar.gz", "COM1", "lpt9.x", "com¹", "conin$"] {
            check(&[name], &[&format!("\"t/{name}\": Windows keeps this name for a device")]);
        }
    }

    #[test]
    fn a_folder_is_looked_at_once() {
        let device = r#""t/a/aux": Windows keeps this name for a device"#;
        check(&["a/aux/1", "a/aux/2", "a/aux/c/3", "a/b"], &[device]);
        check(&["a/aux", "b/aux"], &[device, r#""t/b/aux": Windows keeps this name for a device"#]);
    }

    #[test]
    fn normal_form() {
        let want = "\"t/e\\u{301}\": it is not in Unicode normal form C, so some systems will not find it";
        check(&["e\u{301}"], &[want]);
    }

    #[test]
    fn names_that_are_the_same_elsewhere() {
        let same =
            |path: &str, other: &str| format!("{path:?}: on Windows and macOS it is the same as {other:?}");
        check(&["A", "a"], &[&same("t/a", "A")]);
        check(
            &["x/README", "x/Readme", "x/readme"],
            &[&same("t/x/Readme", "README"), &same("t/x/readme", "README")],
        );
        check(&["X/1", "x/1", "x/2"], &[&same("t/x", "X")]);
        check(&["x/1", "x/a/b", "x.y", "X"], &[&same("t/x", "X")]);
        check(&["É", "é"], &[&same("t/é", "É")]);
        check(&["Σ", "ς"], &[&same("t/ς", "Σ")]);
        let normal = "\"t/e\\u{301}\": it is not in Unicode normal form C, so some systems will not find it";
        check(&["e\u{301}", "é"], &[normal, &same("t/é", "e\u{301}")]);
    }

    #[test]
    fn long_paths() {
        let (long, short) = ("x".repeat(MAX_PORTABLE_PATH - 1), "x".repeat(MAX_PORTABLE_PATH - 2));
        check(&[&short], &[]);
        check(&[&long], &[&format!("\"t/{long}\": the path is too long for many Windows programs")]);
        check(&["日".repeat(80).as_str()], &[]);
    }

    #[test]
    fn the_torrent_itself() {
        let warnings = |name: &str| super::check(name, []).warnings;
        assert_eq!(warnings("a.iso"), []);
        let device = Warning { path: "AUX".into(), problem: NameProblem::Device };
        assert_eq!(warnings("AUX")[..], *from_ref(&device));
        let path = FilePath::from_components(["a"]).unwrap();
        assert_eq!(super::check("AUX", [&path]).warnings, [device]);
        let long = "x".repeat(MAX_PORTABLE_PATH + 1);
        assert_eq!(warnings(&long[1..]), []);
        assert_eq!(warnings(&long), [Warning { path: long, problem: NameProblem::LongPath }]);
    }

    #[test]
    fn no_more_warnings_than_people_read() {
        let paths: Vec<_> =
            (0..MAX_WARNINGS + 7).map(|n| FilePath::from_components([format!("{n:03}?")]).unwrap()).collect();
        let lint = super::check("t", &paths);
        assert_eq!((lint.warnings.len(), lint.more), (MAX_WARNINGS, 7));
        assert_eq!(lint.warnings[0].path, "t/000?");
    }
}
