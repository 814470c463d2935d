//! What is copied from a medium.

use std::fs::{self, File};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use appliance::config::{Import, ImportMode};
use appliance::message::Medium;

use super::outcome::ImportError;
use super::patient::{PatientReader, passes, retry};
use crate::listing::{ListError, Listing};

/// What is copied: sorted as the info dictionary will be.
pub(super) struct Source {
    /// Whether it becomes a folder, or else one file.
    pub is_folder: bool,
    /// One for each file.
    pub files: Vec<SourceFile>,
}

/// A file on a medium, or all of the medium.
pub(super) struct SourceFile {
    /// Where it is read.
    from: PathBuf,
    /// Its path below the target; empty when the target is the file itself.
    pub to: PathBuf,
    /// Bytes.
    pub size: u64,
    /// Time of its last change in nanoseconds since 1970; an image has none.
    pub mtime: Option<i128>,
}

impl Source {
    /// What `settings` want of `medium`.
    pub(super) fn of(medium: &Medium, settings: &Import, removed: &AtomicBool) -> Result<Self, ImportError> {
        let mount = Path::new(&medium.mount);
        let source = match (settings.mode, &settings.from_folder) {
            (ImportMode::Image, _) => Self::image(medium),
            (ImportMode::Contents, None) => Self::contents(medium, mount, removed)?,
            (ImportMode::Contents, Some(name)) => {
                Self::contents(medium, &mount.join(top_folder(mount, name, removed)?), removed)?
            }
        };
        if source.size_bytes() == 0 { Err(ImportError::Empty) } else { Ok(source) }
    }

    fn contents(medium: &Medium, root: &Path, removed: &AtomicBool) -> Result<Self, ImportError> {
        // What vanishes while it is listed has perhaps been pulled out, which is told in a moment.
        let may_pass = |error: &ListError| match error {
            ListError::Unreadable { source, .. } => passes(source),
            ListError::Gone | ListError::Changing => true,
            ListError::Refused(_) | ListError::Cancelled => false,
        };
        let listing =
            retry(&removed, may_pass, || Listing::of(root, removed)).map_err(|error| match error {
                ListError::Refused(why) => {
                    ImportError::Refused(medium.label.clone().unwrap_or_default(), why)
                }
                _ if removed.load(Ordering::Relaxed) => ImportError::Removed,
                ListError::Gone | ListError::Changing | ListError::Cancelled => ImportError::Damaged,
                ListError::Unreadable { path, source } => list_error(&path, &medium.mount, source),
            })?;
        let files = listing.paths(root).into_iter().map(|(from, identity)| SourceFile {
            to: from.strip_prefix(root).map(Path::to_owned).unwrap_or_default(),
            from,
            size: identity.size,
            mtime: Some(identity.mtime),
        });
        Ok(Self { is_folder: true, files: files.collect() })
    }

    /// The whole medium as one file.
    fn image(medium: &Medium) -> Self {
        let from = PathBuf::from(&medium.device);
        let file = SourceFile { from, to: PathBuf::new(), size: medium.size_bytes, mtime: None };
        Self { is_folder: false, files: vec![file] }
    }

    /// Bytes of all files.
    pub(super) fn size_bytes(&self) -> u64 {
        self.files.iter().map(|file| file.size).sum()
    }
}

impl SourceFile {
    /// Opens it to be read with patience.
    pub(super) fn open<'a>(
        &self,
        removed: &'a AtomicBool,
    ) -> Result<PatientReader<File, &'a AtomicBool>, ImportError> {
        let file = retry(&removed, passes, || File::open(&self.from));
        Ok(PatientReader::new(file.map_err(|source| self.read_error(0, source))?, removed))
    }

    /// Fills `buffer` with what is at `offset` (bytes).
    pub(super) fn read_exact_at(
        &self,
        buffer: &mut [u8],
        offset: u64,
        removed: &AtomicBool,
    ) -> Result<(), ImportError> {
        let mut reader = self.open(removed)?;
        let mut filled = 0;
        while filled < buffer.len() {
            let at = offset + filled as u64;
            match reader.read_at(&mut buffer[filled..], at) {
                Ok(0) => return Err(self.read_error(at, shorter())),
                Ok(count) => filled += count,
                Err(error) => return Err(self.read_error(at, error)),
            }
        }
        Ok(())
    }

    /// The error for what can't be read at `offset` (bytes).
    pub(super) fn read_error(&self, offset: u64, source: io::Error) -> ImportError {
        let path = if self.to.as_os_str().is_empty() { &self.from } else { &self.to };
        match source.kind() {
            ErrorKind::PermissionDenied => ImportError::Private(path.clone()),
            _ => ImportError::Read { path: path.display().to_string(), offset, source },
        }
    }

    /// Where its copy is when all of the source is copied to `target`.
    pub(super) fn below(&self, target: &Path) -> PathBuf {
        // Joining an empty path would add a slash.
        if self.to.as_os_str().is_empty() { target.to_owned() } else { target.join(&self.to) }
    }
}

/// The error for a file that ends too early.
pub(super) fn shorter() -> io::Error {
    io::Error::new(ErrorKind::UnexpectedEof, "it is shorter than it says")
}

/// The folder of that name at the top of a medium. Some file systems have only capital letters, or only small ones, so another
/// case will do.
fn top_folder(mount: &Path, name: &str, removed: &AtomicBool) -> Result<PathBuf, ImportError> {
    let list = || -> io::Result<Vec<PathBuf>> {
        let mut folders = Vec::new();
        for entry in fs::read_dir(mount)? {
            let entry = entry?;
            if entry.file_name().eq_ignore_ascii_case(name) && entry.file_type()?.is_dir() {
                folders.push(entry.file_name().into());
            }
        }
        Ok(folders)
    };
    let mut folders = retry(&removed, passes, list).map_err(|error| list_error(mount, "", error))?;
    folders.sort_by_key(|folder| folder.as_os_str() != name);
    folders.into_iter().next().ok_or_else(|| ImportError::NoFolder(name.to_owned()))
}

fn list_error(path: &Path, mount: &str, source: io::Error) -> ImportError {
    let path = path.strip_prefix(mount).unwrap_or(path).to_owned();
    match source.kind() {
        ErrorKind::PermissionDenied => ImportError::Private(path),
        _ => ImportError::List(path, source),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_at_the_top_is_found_in_any_case_and_nothing_else_is() {
        let mount = tempfile::tempdir().unwrap();
        let find = |name| top_folder(mount.path(), name, &AtomicBool::new(false));
        fs::create_dir_all(mount.path().join("deep/PUBLIC")).unwrap();
        fs::write(mount.path().join("FILE"), "").unwrap();
        std::os::unix::fs::symlink("deep", mount.path().join("LINK")).unwrap();
        for name in ["PUBLIC", "FILE", "LINK"] {
            assert!(matches!(find(name), Err(ImportError::NoFolder(_))), "{name}");
        }
        fs::create_dir(mount.path().join("public")).unwrap();
        assert_eq!(find("PUBLIC").unwrap(), Path::new("public"));
        fs::create_dir(mount.path().join("PUBLIC")).unwrap();
        assert_eq!(find("PUBLIC").unwrap(), Path::new("PUBLIC"));
    }
}
