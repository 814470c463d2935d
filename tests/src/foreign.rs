//! The info hashes that a foreign maker of torrents, libtorrent, gives the same content.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::{Value, json};
use torrent::{InfoHash, InfoHashV2, piece_length};

use crate::api::Hashes;
use crate::clients::libtorrent;
use crate::content::size;
use crate::process::Process;

/// Longer than this it does not take to hash a few gigabytes on a busy machine.
const PATIENCE: Duration = Duration::from_mins(5);

/// What is right for each of many files and folders.
#[derive(Debug)]
pub struct Foreign(HashMap<PathBuf, (InfoHash, InfoHashV2)>);

impl Foreign {
    /// Asks libtorrent about all of `paths`, under the names that they have there.
    ///
    /// # Panics
    /// When it fails.
    pub fn of(paths: impl IntoIterator<Item = PathBuf>) -> Self {
        let mut paths: Vec<_> = paths.into_iter().collect();
        paths.sort_unstable();
        paths.dedup();
        let folder = crate::temporary_folder();
        let (list, output) = (folder.path().join("list"), folder.path().join("output"));
        let wanted: Vec<Value> = paths.iter().map(|path| json!([path, piece_length(size(path))])).collect();
        fs::write(&list, Value::from(wanted).to_string()).expect("new file");
        let mut command = libtorrent();
        command.arg("name").arg(&list).arg(&output);
        Process::start(command).succeed(PATIENCE);
        let found: Vec<(String, String)> =
            serde_json::from_slice(&fs::read(&output).expect("its output")).expect("pairs of info hashes");
        assert_eq!(found.len(), paths.len());
        let parse = |(v1, v2): (String, String)| (v1.parse().expect("a hash"), v2.parse().expect("a hash"));
        Self(paths.into_iter().zip(found.into_iter().map(parse)).collect())
    }

    /// Whether the content of `path`, one of those that were asked about, has these.
    ///
    /// # Panics
    /// When it was not asked about.
    pub fn agrees(&self, path: &Path, hashes: &Hashes) -> bool {
        let (v1, v2) = self.0.get(path).unwrap_or_else(|| panic!("{path:?} was not asked about"));
        hashes.v1 == *v1 && hashes.v2.is_none_or(|hash| hash == *v2)
    }
}
