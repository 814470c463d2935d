//! The log of the box, which init has written to files (see [`appliance::journal`]), in parts for the report.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::PathBuf;

use appliance::journal::{SEGMENT_BYTES, SEGMENTS, segment_number};

/// Bytes of a part.
const PART: usize = 64 * 1024;

/// More files than ever are in a folder of the log; the rest is ignored.
const MAX_ENTRIES: usize = 1000;

/// What is left to read.
#[derive(Debug)]
pub struct Journal {
    /// The last one is the next.
    segments: Vec<PathBuf>,
    file: Option<io::Take<File>>,
}

impl Journal {
    /// All that is in these folders, oldest first.
    pub fn open(folders: &[PathBuf]) -> Self {
        let segments = folders.iter().flat_map(|folder| {
            let entries = fs::read_dir(folder).into_iter().flatten().take(MAX_ENTRIES).filter_map(Result::ok);
            let mut numbers: Vec<_> = entries
                .filter_map(|entry| Some((segment_number(entry.file_name().to_str()?)?, entry.path())))
                .collect();
            numbers.sort_unstable();
            let surplus = numbers.len().saturating_sub(SEGMENTS);
            numbers.into_iter().skip(surplus).map(|(_, path)| path)
        });
        let mut segments: Vec<_> = segments.collect();
        segments.reverse();
        Self { segments, file: None }
    }

    /// Whether there is none at all.
    pub fn is_empty(&self) -> bool {
        self.segments.is_empty()
    }

    /// The next part; empty at the end. A segment that is deleted meanwhile is left out, and so is the rest of one that can't be
    /// read. What could move a terminal's cursor is not in it.
    pub fn part(&mut self) -> Vec<u8> {
        let mut part = vec![0; PART];
        loop {
            let Some(file) = &mut self.file else {
                let Some(next) = self.segments.pop() else { return Vec::new() };
                self.file = File::open(next).ok().map(|file| file.take(SEGMENT_BYTES));
                continue;
            };
            match file.read(&mut part) {
                Ok(bytes @ 1..) => {
                    part.truncate(bytes);
                    part.iter_mut()
                        .filter(|byte| byte.is_ascii_control() && **byte != b'\n')
                        .for_each(|byte| *byte = b' ');
                    return part;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Ok(_) | Err(_) => self.file = None,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use appliance::journal::segment_name;

    fn read(mut journal: Journal) -> String {
        let mut text = Vec::new();
        loop {
            match journal.part() {
                part if part.is_empty() => return String::from_utf8(text).unwrap(),
                part => text.extend(part),
            }
        }
    }

    #[test]
    fn the_folders_are_read_in_order_and_in_bounds() {
        let folder = tempfile::tempdir().unwrap();
        let folders = ["a", "b", "missing"].map(|name| folder.path().join(name));
        for folder in &folders[..2] {
            fs::create_dir(folder).unwrap();
            assert!(Journal::open(&folders).is_empty());
        }
        let write = |folder: usize, number, text: &str| {
            fs::write(folders[folder].join(segment_name(number)), text).unwrap();
        };
        write(1, 3, "of b\n");
        write(0, 10, "last of a\n");
        write(0, 9, "first\x1b of a\n");
        fs::write(folders[0].join("else"), "else").unwrap();
        assert_eq!(read(Journal::open(&folders)), "first  of a\nlast of a\nof b\n");
        // However long and however many.
        for number in 11..30 {
            write(0, number, &"x".repeat(2 << 20));
        }
        let limit = SEGMENT_BYTES * SEGMENTS as u64;
        assert_eq!(read(Journal::open(&folders[..1])).len() as u64, limit);
    }
}
