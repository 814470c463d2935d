//! Compares bytes on the disk with what was hashed.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use nix::errno::Errno;
use nix::fcntl::{PosixFadviseAdvice, posix_fadvise};
use torrent::bencode::{self, Value};
use torrent::hash::sha256_blocks;
use torrent::{
    BLOCK_LENGTH, FileTrees, Info, InfoHash, METAINFO_LIMITS, NodeHash, PieceHash, PieceLayers, hash_piece,
    piece_layers,
};

use crate::app::App;
use crate::catalog::{Content, Metadata, Torrent};
use crate::storage::{OpenFile, ServeError};

/// Bytes that are read at once.
const READ: usize = 1 << 20;

/// The kernel drops memory in whole folios, of up to so many bytes, and leaves one that is not wholly given up.
const MAX_FOLIO: u64 = 2 << 20;

/// What is known of some bytes after they were read.
#[derive(Debug)]
pub(super) enum Verdict {
    /// They are what was hashed.
    Good,
    /// These of them are not.
    Damaged(Vec<Range<u64>>),
    /// A file is another one.
    Changed(ServeError),
    /// They can't be read, for a reason that has nothing to do with the disk.
    Unknown,
}

/// What the content of an item must hash to.
#[derive(Debug)]
pub(super) struct Verifier {
    content: Arc<Content>,
    /// Of the torrent of version 1.
    pieces: Vec<PieceHash>,
}

impl Verifier {
    /// `None` if the catalog can't say.
    pub(super) fn new(app: &App, content: &Arc<Content>) -> Option<Self> {
        let metadata = metadata(app, &content.torrent().info_hash())?;
        let info = bencode::scan(&metadata.info_bytes, METAINFO_LIMITS).ok()?.as_dictionary()?;
        let pieces = info.get(b"pieces").and_then(Value::as_bytes)?.as_chunks().0.to_vec();
        Some(Self { content: Arc::clone(content), pieces })
    }

    pub(super) fn is_of(&self, content: &Arc<Content>) -> bool {
        Arc::ptr_eq(&self.content, content)
    }

    /// Reads a piece, of which these are the bytes, from the disk.
    pub(super) fn verify(&self, app: &App, range: Range<u64>) -> Verdict {
        let piece_length = u64::from(self.content.torrent().lengths.piece_length());
        let number = usize::try_from(range.start / piece_length).unwrap_or(usize::MAX);
        match read(app, &self.content, range.clone()) {
            Read::Bytes(bytes) if self.pieces.get(number) == Some(&hash_piece(&bytes)) => Verdict::Good,
            Read::Bytes(_) | Read::Unreadable => match self.nodes(app) {
                Some(nodes) => self.narrow(app, &nodes, &range),
                None => Verdict::Damaged(vec![range]),
            },
            Read::Changed(error) => Verdict::Changed(error),
            Read::Unknown => Verdict::Unknown,
        }
    }

    /// The hashes of version 2, if there are any.
    fn nodes(&self, app: &App) -> Option<Nodes> {
        let torrent = self.content.torrents.iter().find(|torrent| torrent.info_hashes.v2().is_some())?;
        let metadata = metadata(app, &torrent.info_hash())?;
        Nodes::of(torrent, &metadata)
    }

    /// Which of these bytes are in pieces of files (as version 2 has them) that are damaged. If none are, they could be read
    /// this time.
    fn narrow(&self, app: &App, nodes: &Nodes, range: &Range<u64>) -> Verdict {
        let piece_length = u64::from(nodes.piece_length);
        let mut damaged = Vec::new();
        for span in self.content.spans.spans(range.start, range.end - range.start) {
            let start = self.content.spans.start(span.file);
            let length = self.content.listing.identity(span.file).map_or(0, |identity| identity.size);
            for number in span.offset / piece_length..(span.offset + span.length).div_ceil(piece_length) {
                let piece = start + number * piece_length..start + length.min((number + 1) * piece_length);
                let is_good = match read(app, &self.content, piece.clone()) {
                    Read::Bytes(bytes) => nodes.fits(span.file, length, number, &bytes),
                    Read::Unreadable => false,
                    Read::Changed(error) => return Verdict::Changed(error),
                    Read::Unknown => return Verdict::Unknown,
                };
                if !is_good {
                    damaged.push(piece.start.max(range.start)..piece.end.min(range.end));
                }
            }
        }
        if damaged.is_empty() { Verdict::Good } else { Verdict::Damaged(damaged) }
    }
}

/// The hashes of version 2.
struct Nodes {
    layers: PieceLayers,
    roots: Vec<Option<NodeHash>>,
    piece_length: u32,
}

impl Nodes {
    fn of(torrent: &Torrent, metadata: &Metadata) -> Option<Self> {
        let info = Info::parse(&metadata.info_bytes).ok()?;
        let layers = piece_layers::from_bytes(metadata.piece_layers.as_ref()?)?;
        let piece_length = torrent.lengths.piece_length();
        Some(Self { layers, roots: info.roots()?.to_vec(), piece_length })
    }

    /// Whether these bytes are piece `number` of a file of `length` bytes.
    fn fits(&self, file: usize, length: u64, number: u64, bytes: &[u8]) -> bool {
        self.node(file, length, number)
            .is_some_and(|(number, wanted)| self.node_of(length, number, bytes) == Some(wanted))
    }

    /// The number of the piece, and what it must hash to.
    fn node(&self, file: usize, length: u64, number: u64) -> Option<(usize, NodeHash)> {
        let root = (*self.roots.get(file)?)?;
        let number = usize::try_from(number).ok()?;
        let is_whole = length <= u64::from(self.piece_length);
        let node = if is_whole { root } else { *self.layers.get(&root)?.get(number)? };
        Some((number, node))
    }

    /// What these bytes hash to as that piece.
    fn node_of(&self, length: u64, number: usize, bytes: &[u8]) -> Option<NodeHash> {
        let before = vec![[0; 32]; number];
        let mut trees = FileTrees::resume(vec![length], self.piece_length, before, Vec::new())?;
        let blocks: Vec<_> = bytes.chunks(BLOCK_LENGTH as usize).collect();
        trees.push(&sha256_blocks(&blocks));
        trees.nodes().get(number).copied()
    }
}

fn metadata(app: &App, info_hash: &InfoHash) -> Option<Arc<Metadata>> {
    app.catalog
        .metadata(info_hash)
        .inspect_err(|error| tracing::warn!("an item can't be verified: {error}"))
        .ok()?
}

/// What came of reading.
enum Read {
    Bytes(Vec<u8>),
    /// The disk fails.
    Unreadable,
    Changed(ServeError),
    Unknown,
}

/// Reads bytes of content from the disk, not from what is in memory of it.
fn read(app: &App, content: &Content, range: Range<u64>) -> Read {
    let mut bytes = Vec::new();
    for span in content.spans.spans(range.start, range.end - range.start) {
        let file = match app.storage.open_alone(content, span.file) {
            Ok(file) => file,
            Err(error @ ServeError::Changed(_)) => return Read::Changed(error),
            Err(_) => return Read::Unknown,
        };
        let part = read_from_disk(&file, span.offset, span.length, &mut bytes);
        // First this: a volume that went away fails in the same way as a bad one.
        match (file.check(), part) {
            (Ok(()), Ok(())) => {}
            (Err(error @ ServeError::Changed(_)), _) => return Read::Changed(error),
            (Ok(()), Err(error)) if error.raw_os_error() == Some(Errno::EIO as i32) && is_there(app) => {
                return Read::Unreadable;
            }
            _ => return Read::Unknown,
        }
    }
    Read::Bytes(bytes)
}

fn is_there(app: &App) -> bool {
    app.health.publish_folder() == Some(Ok(())) && app.publish.exists()
}

fn read_from_disk(file: &OpenFile, offset: u64, length: u64, into: &mut Vec<u8>) -> io::Result<()> {
    forget(file.file(), offset, length);
    let end = offset + length;
    let mut at = offset;
    while at < end {
        let size = usize::try_from(end - at).unwrap_or(READ).min(READ);
        let before = into.len();
        into.resize(before + size, 0);
        file.file().read_exact_at(&mut into[before..], at)?;
        at += size as u64;
    }
    // What nobody asked for takes no memory from what peers ask for.
    forget(file.file(), offset, length);
    Ok(())
}

/// Drops these bytes from memory, so that they are read from the disk. Only advice.
fn forget(file: &File, offset: u64, length: u64) {
    let end = (offset + length).next_multiple_of(MAX_FOLIO);
    let offset = offset - offset % MAX_FOLIO;
    let length = end - offset;
    if let (Ok(offset), Ok(length)) = (i64::try_from(offset), i64::try_from(length)) {
        let _ = posix_fadvise(file, offset, length, PosixFadviseAdvice::POSIX_FADV_DONTNEED);
    }
}
