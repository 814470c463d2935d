//! Keeps what was hashed of a large item over restarts and power cuts, in a file of its own in the state folder.
//!
//! The file only grows: a header, then a frame whenever enough has been hashed. A frame is its length, the SHA-1 of its
//! payload, the payload; reading ends at the first that is not whole. So whatever a power cut leaves of it is right.

use std::collections::HashSet;
use std::fs::{self, File};
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use torrent::{NodeHash, PieceHash, hash_piece};

use super::done::{Done, Layout};

/// Folder in the state folder.
const FOLDER: &str = "hashing";

/// How much work a restart may cost.
const EVERY: Duration = Duration::from_secs(20);

/// Bytes of a header: of which item in which state the rest is.
const HEADER: usize = 8;

/// Bytes before the payload of a frame.
const FRAME_HEADER: usize = 4 + 20;

/// Largest file that is read: what belongs to the largest item that is published, a million pieces, many times over.
const MAX_FILE: u64 = 1 << 30;

/// Where and up to where an item's hashes are kept.
#[derive(Debug)]
pub struct Checkpoint {
    path: PathBuf,
    file: File,
    pieces: usize,
    nodes: usize,
    saved: Instant,
}

/// What is in a file.
#[derive(Debug, Default)]
struct Kept {
    pieces: Vec<PieceHash>,
    nodes: Vec<NodeHash>,
    leaves: Vec<NodeHash>,
    /// Bytes of the file up to the last whole frame.
    length: usize,
}

impl Checkpoint {
    /// What was kept of the item of that name, if it was in the state of that fingerprint, and where to keep more.
    ///
    /// # Errors
    /// When the file can't be written; hashing goes on without.
    pub fn open(state: &Path, name: &str, fingerprint: u64, layout: &Layout) -> io::Result<(Self, Done)> {
        let folder = state.join(FOLDER);
        fs::create_dir_all(&folder)?;
        let path = folder.join(file_name(name));
        let kept = read(&path, fingerprint);
        let length = kept.length;
        let done = Done::resume(layout.clone(), kept.pieces, kept.nodes, kept.leaves)
            .filter(|_| length > HEADER)
            .unwrap_or_else(|| Done::nothing(layout.clone()));
        let mut file = File::options().create(true).truncate(false).append(true).open(&path)?;
        if done.position() > 0 {
            file.set_len(length as u64)?;
        } else {
            file.set_len(0)?;
            file.write_all(&fingerprint.to_le_bytes())?;
        }
        let (pieces, nodes) = (done.pieces.len(), done.trees.nodes().len());
        Ok((Self { path, file, pieces, nodes, saved: Instant::now() }, done))
    }

    /// Keeps what is done, if it is time.
    ///
    /// # Errors
    /// When it can't be written; what was kept before is still good.
    pub fn save(&mut self, done: &Done) -> io::Result<()> {
        if self.saved.elapsed() < EVERY { Ok(()) } else { self.save_now(done) }
    }

    fn save_now(&mut self, done: &Done) -> io::Result<()> {
        let (nodes, leaves) = (done.trees.nodes(), done.trees.leaves());
        let mut payload = Vec::new();
        let parts = [
            done.pieces[self.pieces..].as_flattened(),
            nodes[self.nodes..].as_flattened(),
            leaves.as_flattened(),
        ];
        for part in parts {
            payload.extend_from_slice(&u32::try_from(part.len()).map_err(io::Error::other)?.to_le_bytes());
            payload.extend_from_slice(part);
        }
        let length = u32::try_from(payload.len()).map_err(io::Error::other)?;
        let frame = [&length.to_le_bytes()[..], &hash_piece(&payload), &payload].concat();
        self.file.write_all(&frame)?;
        self.file.sync_data()?;
        (self.pieces, self.nodes, self.saved) = (done.pieces.len(), nodes.len(), Instant::now());
        Ok(())
    }

    /// Forgets it all.
    pub fn remove(self) {
        remove(&self.path);
    }
}

/// Forgets what was kept of the item of that name: it is published.
pub fn forget(state: &Path, name: &str) {
    remove(&state.join(FOLDER).join(file_name(name)));
}

fn remove(path: &Path) {
    match fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            tracing::warn!("{path:?} can't be deleted: {error}");
        }
        _ => {}
    }
}

/// Deletes what was kept of items that are not there any more; `names` are those that are.
pub fn clean<N: AsRef<str>>(state: &Path, names: impl Iterator<Item = N>) {
    let Ok(entries) = fs::read_dir(state.join(FOLDER)) else { return };
    let wanted: HashSet<_> = names.map(|name| file_name(name.as_ref())).collect();
    for entry in entries.flatten().filter(|entry| !wanted.contains(&*entry.file_name().to_string_lossy())) {
        remove(&entry.path());
    }
}

/// Names of items can be too long with anything added to them.
fn file_name(name: &str) -> String {
    torrent::InfoHash(hash_piece(name.as_bytes())).to_string()
}

fn read(path: &Path, fingerprint: u64) -> Kept {
    let mut kept = Kept::default();
    let is_readable = fs::metadata(path).is_ok_and(|metadata| metadata.len() <= MAX_FILE);
    let Some(bytes) = is_readable.then(|| fs::read(path).ok()).flatten() else { return kept };
    let Some((header, mut frames)) = bytes.split_first_chunk::<HEADER>() else { return kept };
    if u64::from_le_bytes(*header) != fingerprint {
        return kept;
    }
    kept.length = HEADER;
    while let Some((payload, rest)) = frame(frames)
        && kept.add(payload).is_some()
    {
        kept.length += FRAME_HEADER + payload.len();
        frames = rest;
    }
    kept
}

/// The payload of the frame that `bytes` begin with, and what is after it.
fn frame(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (payload, rest) = counted(*bytes.first_chunk()?, bytes.get(FRAME_HEADER..)?)?;
    (bytes[4..FRAME_HEADER] == hash_piece(payload)).then_some((payload, rest))
}

/// As many bytes as `length` says, and the others.
fn counted(length: [u8; 4], bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    bytes.split_at_checked(usize::try_from(u32::from_le_bytes(length)).ok()?)
}

impl Kept {
    fn add(&mut self, payload: &[u8]) -> Option<()> {
        let part = |bytes: &mut &[u8]| {
            let (length, after) = bytes.split_first_chunk()?;
            let (part, rest) = counted(*length, after)?;
            *bytes = rest;
            Some(part.to_vec())
        };
        let mut rest = payload;
        let (pieces, nodes, leaves) = (part(&mut rest)?, part(&mut rest)?, part(&mut rest)?);
        self.pieces.extend_from_slice(pieces.as_chunks().0);
        self.nodes.extend_from_slice(nodes.as_chunks().0);
        self.leaves = leaves.as_chunks().0.to_vec();
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hash::tests::{Content, PIECE};

    const FINGERPRINT: u64 = 7;

    /// Hashes content with a checkpoint after each chunk, up to a number of chunks; returns what is kept then.
    fn interrupted(state: &Path, content: &Content, chunks: usize) -> Done {
        let (mut checkpoint, done) = Checkpoint::open(state, "item", FINGERPRINT, &content.layout()).unwrap();
        content.hash_chunks(done, chunks, |done| checkpoint.save_now(done).unwrap());
        Checkpoint::open(state, "item", FINGERPRINT, &content.layout()).unwrap().1
    }

    #[test]
    fn hashing_goes_on_where_it_was_interrupted() {
        // A single file; files that end anywhere in pieces; many small ones.
        for lengths in
            [vec![9 * PIECE + 1], vec![PIECE + 5, 3 * PIECE, 0, 16384, 4 * PIECE - 7], vec![1000; 500]]
        {
            let content = Content::new(&lengths);
            let state = tempfile::tempdir().unwrap();
            let mut before = 0;
            loop {
                let done = interrupted(state.path(), &content, 1);
                assert!(done.position() > before, "each try comes further");
                before = done.position();
                if before == content.layout().total() {
                    assert_eq!(content.hash_rest(done), content.hashes());
                    break;
                }
                assert_eq!(content.hash_rest(done), content.hashes(), "{lengths:?} from {before} on");
            }
        }
    }

    #[test]
    fn what_is_torn_is_not_used() {
        let content = Content::new(&[6 * PIECE + 100]);
        let state = tempfile::tempdir().unwrap();
        interrupted(state.path(), &content, usize::MAX);
        let path = state.path().join(FOLDER).join(file_name("item"));
        let whole = fs::read(&path).unwrap();
        let reopened = |bytes: &[u8]| {
            fs::write(&path, bytes).unwrap();
            Checkpoint::open(state.path(), "item", FINGERPRINT, &content.layout()).unwrap().1
        };
        for length in 0..whole.len() {
            assert_eq!(
                content.hash_rest(reopened(&whole[..length])),
                content.hashes(),
                "{length} bytes are left"
            );
            let zeros = [&whole[..length], &vec![0; whole.len() - length]].concat();
            assert_eq!(content.hash_rest(reopened(&zeros)), content.hashes(), "zeros from {length} on");
        }
        assert!(reopened(&whole).position() > 0);
        let other = Checkpoint::open(state.path(), "item", FINGERPRINT + 1, &content.layout()).unwrap().1;
        assert_eq!(other.position(), 0, "the item has changed");
    }

    #[test]
    fn what_nobody_will_ask_for_is_deleted() {
        let state = tempfile::tempdir().unwrap();
        let layout = Content::new(&[5]).layout();
        for name in ["here", "gone"] {
            Checkpoint::open(state.path(), name, 1, &layout).unwrap();
        }
        clean(state.path(), ["here"].into_iter());
        let names: Vec<_> =
            fs::read_dir(state.path().join(FOLDER)).unwrap().map(|e| e.unwrap().file_name()).collect();
        assert_eq!(names, [file_name("here").as_str()]);
    }
}
