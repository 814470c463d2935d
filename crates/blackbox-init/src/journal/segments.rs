//! The files of the log (see [`appliance::journal`]): appended to, and the oldest deleted.

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use appliance::journal::{SEGMENTS, segment_name, segment_number};

/// More files than ever are in the folder; the rest is ignored.
const MAX_ENTRIES: usize = 1000;

/// The segments in a folder.
#[derive(Debug)]
pub struct Segments {
    folder: PathBuf,
    /// Most bytes of one.
    max: u64,
    /// The numbers of those that there are, in order; the last one is written to.
    numbers: Vec<u32>,
    file: File,
    bytes: u64,
}

impl Segments {
    /// Goes on with the last segment in the folder, or begins one.
    ///
    /// # Errors
    /// When the folder can't be read or written.
    pub fn open(folder: &Path, max: u64) -> io::Result<Self> {
        let names =
            fs::read_dir(folder)?.take(MAX_ENTRIES).filter_map(Result::ok).map(|entry| entry.file_name());
        let mut numbers: Vec<u32> = names.filter_map(|name| segment_number(name.to_str()?)).collect();
        numbers.sort_unstable();
        let last = numbers.last().copied().unwrap_or_default();
        let file = open(folder, last)?;
        if numbers.is_empty() {
            numbers.push(last);
        }
        let bytes = file.metadata()?.len();
        Ok(Self { folder: folder.to_owned(), max, numbers, file, bytes })
    }

    /// Appends a line. On a full disk the oldest segment makes room.
    ///
    /// # Errors
    /// When it can't be written.
    pub fn append(&mut self, line: &str) -> io::Result<()> {
        let length = line.len() as u64;
        if self.bytes > 0 && self.bytes + length > self.max {
            self.begin()?;
        }
        match self.file.write_all(line.as_bytes()) {
            Err(error) if error.kind() == ErrorKind::StorageFull && self.numbers.len() > 1 => {
                self.remove_oldest()?;
                self.file.write_all(line.as_bytes())?;
            }
            result => result?,
        }
        self.bytes += length;
        Ok(())
    }

    /// Has everything on the disk.
    ///
    /// # Errors
    /// When it can't be written.
    pub fn sync(&self) -> io::Result<()> {
        self.file.sync_data()
    }

    /// Begins a segment, and deletes those that are too many.
    fn begin(&mut self) -> io::Result<()> {
        self.sync()?;
        while self.numbers.len() >= SEGMENTS {
            self.remove_oldest()?;
        }
        let number = self.numbers.last().map_or(0, |last| last.wrapping_add(1));
        self.file = open(&self.folder, number)?;
        self.bytes = 0;
        self.numbers.push(number);
        Ok(())
    }

    fn remove_oldest(&mut self) -> io::Result<()> {
        match fs::remove_file(self.folder.join(segment_name(self.numbers[0]))) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
            _ => drop(self.numbers.remove(0)),
        }
        Ok(())
    }
}

/// Opens a segment for appending. The daemon's group may read it.
fn open(folder: &Path, number: u32) -> io::Result<File> {
    OpenOptions::new().append(true).create(true).mode(0o640).open(folder.join(segment_name(number)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAX: u64 = 100;

    /// All text in the folder, in order, after a look at what is allowed.
    fn read(folder: &Path) -> String {
        let mut names: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
        names.sort();
        assert!(names.len() <= SEGMENTS, "{names:?}");
        let texts = names.iter().map(|name| fs::read_to_string(name).unwrap());
        texts.inspect(|text| assert!(text.len() as u64 <= MAX, "{text}")).collect()
    }

    #[test]
    fn the_last_lines_are_kept_in_bounds_over_any_number_of_starts() {
        let folder = tempfile::tempdir().unwrap();
        let mut all = String::new();
        for start in 0..30 {
            let mut segments = Segments::open(folder.path(), MAX).unwrap();
            for line in 0..start % 7 {
                let line = format!("line {line} of start {start}\n");
                segments.append(&line).unwrap();
                all.push_str(&line);
            }
            let kept = read(folder.path());
            assert!(all.ends_with(&kept), "{kept}");
            let least = (SEGMENTS as u64 - 1) * (MAX - 30);
            assert!(kept.len() as u64 >= least.min(all.len() as u64), "{kept}");
        }
    }

    #[test]
    fn a_line_that_is_too_long_has_a_segment_of_its_own_and_other_files_stay() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("notes.txt"), "mine").unwrap();
        let mut segments = Segments::open(folder.path(), 10).unwrap();
        for _ in 0..10 {
            segments.append("a line of more than ten bytes\n").unwrap();
        }
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), SEGMENTS + 1);
        assert_eq!(fs::read_to_string(folder.path().join("notes.txt")).unwrap(), "mine");
    }
}
