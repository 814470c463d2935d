//! `blackboxd --hash`: the info hashes that a file or folder has when it is published.

use std::io::Write;
use std::path::Path;
use std::process::ExitCode;
use std::sync::atomic::AtomicBool;

use appliance::exit;

use crate::catalog::{Content, Progress};
use crate::hash::Turn;
use crate::publish::Job;

/// Prints them, and how it went.
pub fn print(path: &Path, v1_only: bool) -> ExitCode {
    match of(path, v1_only) {
        Ok(line) => {
            // Nobody reads it: nobody misses it.
            let _ = writeln!(std::io::stdout(), "{line}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("blackboxd: {}: {error}", path.display());
            ExitCode::from(exit::FAILED)
        }
    }
}

fn of(path: &Path, v1_only: bool) -> Result<String, String> {
    let path = path.canonicalize().map_err(|error| error.to_string())?;
    let name = path.file_name().and_then(|name| name.to_str()).ok_or("its name is not UTF-8; rename it")?;
    let job = Job {
        name,
        item: &path,
        fingerprint: None,
        v1_only,
        is_private: false,
        progress: &Progress::of(0),
        cancel: &AtomicBool::new(false),
        state: None,
        turn: &Turn::default(),
    };
    let content = job.run().map_err(|error| error.to_string())?.content;
    Ok(line(&content))
}

fn line(content: &Content) -> String {
    let v1 = content.info_hash_v1().map(|hash| hash.to_string());
    let v2 = content.info_hash_v2().map(|hash| hash.to_string());
    v1.into_iter().chain(v2).chain([content.name.clone()]).collect::<Vec<_>>().join("  ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_has_two_hashes_or_one() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a b");
        std::fs::write(&path, "abc").unwrap();
        let both = of(&path, false).unwrap();
        let words: Vec<_> = both.split("  ").collect();
        assert_eq!((words[0].len(), words[1].len(), words[2]), (40, 64, "a b"));
        assert_eq!(of(&path, true).unwrap(), format!("{}  a b", words[0]));
        assert!(of(&folder.path().join("missing"), false).is_err());
    }
}
