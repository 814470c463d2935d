//! Folders with update files: what is in them, and how a file is marked with what became of it.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use appliance::Release;
use appliance::update::SUFFIX;

use super::package::Package;
use crate::sys;

/// Update files that are looked at in one folder; more are left for later.
const MAX_FILES: usize = 16;

/// Names that are looked at in one folder, whatever they are.
const MAX_NAMES: usize = 10_000;

/// Files of one name that are kept with their marks.
const MAX_MARKED: usize = 1000;

/// A file whose name says that it is an update.
#[derive(Debug)]
pub struct UpdateFile {
    /// Where it is.
    pub path: PathBuf,
    /// What it says of itself, which is not to be believed yet.
    pub release: Option<Release>,
}

/// What became of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mark {
    /// What is in it runs.
    Applied,
    /// It is not used.
    Refused,
}

/// Whether there is an update at the top of a medium.
pub fn holds_update(folder: &Path) -> bool {
    !paths(folder).is_empty()
}

/// The update files in a folder, those first that say of themselves to be the latest.
pub fn updates(folder: &Path) -> Vec<UpdateFile> {
    let release = |path: &PathBuf| Package::open(path).ok().map(|package| package.header.release);
    let mut files: Vec<_> =
        paths(folder).into_iter().map(|path| UpdateFile { release: release(&path), path }).collect();
    files.sort_by(|a, b| (b.release, &a.path).cmp(&(a.release, &b.path)));
    files
}

fn paths(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    let is_update = |path: &PathBuf| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        // macOS puts a file of its own beside every other one on a stick.
        name.to_ascii_lowercase().ends_with(SUFFIX) && !name.starts_with('.')
    };
    let is_file = |path: &PathBuf| fs::symlink_metadata(path).is_ok_and(|metadata| !metadata.is_dir());
    let mut paths: Vec<_> = entries
        .take(MAX_NAMES)
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| is_update(path) && is_file(path))
        .collect();
    paths.sort();
    paths.truncate(MAX_FILES);
    paths
}

impl UpdateFile {
    /// Its name, for people.
    pub fn name(&self) -> String {
        self.path.file_name().unwrap_or_default().to_string_lossy().into_owned()
    }

    /// Gives it a name that says what became of it, under which it is not tried again, and puts the reason beside it.
    ///
    /// # Errors
    /// When it can't be renamed. The reason is not worth one.
    pub fn mark(&self, mark: Mark, reason: &str) -> io::Result<()> {
        let word = match mark {
            Mark::Applied => "applied",
            Mark::Refused => "refused",
        };
        let marked = |end: &str| {
            let mut name = self.path.clone().into_os_string();
            name.push(format!(".{word}{end}"));
            PathBuf::from(name)
        };
        // What was marked before is not overwritten.
        let free = |path: &PathBuf| fs::symlink_metadata(path).is_err();
        let numbered = (2..MAX_MARKED).map(|number| marked(&format!(".{number}")));
        let target = std::iter::once(marked("")).chain(numbered).find(free).unwrap_or_else(|| marked(""));
        fs::rename(&self.path, &target)?;
        let mut text = target.into_os_string();
        text.push(".txt");
        let written = write_new(Path::new(&text), &format!("{reason}\r\n"));
        if let Err(error) = written {
            eprintln!("{}: {error}", Path::new(&text).display());
        }
        self.path.parent().map_or(Ok(()), sys::sync_directory)
    }
}

/// Writes a file that was not there, so that no link leads elsewhere.
fn write_new(path: &Path, text: &str) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).open(path)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        let mut names: Vec<_> = fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    #[test]
    fn updates_are_known_by_their_names() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path();
        for name in ["b.update", "A.UPDATE", "._b.update", "c.update.refused", "update", "d.txt"] {
            fs::write(folder.join(name), "x").unwrap();
        }
        assert!(holds_update(folder));
        fs::create_dir(folder.join("folder.update")).unwrap();
        std::os::unix::fs::symlink("/etc/passwd", folder.join("link.update")).unwrap();
        let found: Vec<_> = updates(folder).iter().map(UpdateFile::name).collect();
        assert_eq!(found, ["A.UPDATE", "b.update", "link.update"]);
        assert!(!holds_update(Path::new("/nonexistent")));
    }

    #[test]
    fn a_marked_file_is_kept_with_its_reason_and_not_found_again() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path();
        for (text, mark) in [("one", Mark::Refused), ("two", Mark::Refused), ("three", Mark::Applied)] {
            fs::write(folder.join("x.update"), text).unwrap();
            let [file] = &updates(folder)[..] else { panic!("one file") };
            file.mark(mark, &format!("Why {text}.")).unwrap();
            assert!(!holds_update(folder));
        }
        assert_eq!(
            names(folder),
            [
                "x.update.applied",
                "x.update.applied.txt",
                "x.update.refused",
                "x.update.refused.2",
                "x.update.refused.2.txt",
                "x.update.refused.txt"
            ]
        );
        assert_eq!(fs::read_to_string(folder.join("x.update.refused.2")).unwrap(), "two");
        assert_eq!(fs::read_to_string(folder.join("x.update.refused.txt")).unwrap(), "Why one.\r\n");
    }
}
