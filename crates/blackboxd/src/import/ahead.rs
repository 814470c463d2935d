//! Reading ahead: the drive goes on reading while what it has read is written and hashed.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::thread::{self, Scope};

use super::outcome::ImportError;
use super::source::{Source, SourceFile, shorter};

/// Bytes that are read at once: more than a drive has in a track, less than it reads in a second.
const BLOCK: usize = 1 << 20;

/// Blocks on their way: at most 8 MiB of memory, half a second of the fastest discs.
const BLOCKS: usize = 8;

/// The blocks of all files, one file after the other; none of them holds bytes of two files.
pub(super) struct ReadAhead {
    filled: Receiver<Result<Vec<u8>, ImportError>>,
    empty: Sender<Vec<u8>>,
}

impl ReadAhead {
    /// Begins to read.
    ///
    /// # Errors
    /// When there is no thread for it.
    pub(super) fn start<'scope>(
        scope: &'scope Scope<'scope, '_>,
        source: &'scope Source,
        removed: &'scope AtomicBool,
    ) -> Result<Self, ImportError> {
        let (to_writer, filled) = sync_channel(BLOCKS);
        let (empty, recycled) = channel();
        let mut reader = Reader { removed, to_writer, recycled };
        let read = move || {
            for file in &source.files {
                let Err(error) = reader.read(file) else { continue };
                // When nobody listens any more the error does not matter.
                let _ = error.map(|error| reader.to_writer.send(Err(reader.or_removed(error))));
                return;
            }
        };
        thread::Builder::new()
            .name("read medium".into())
            .spawn_scoped(scope, read)
            .map_err(ImportError::Thread)?;
        Ok(Self { filled, empty })
    }

    /// The next block, which is not empty; `None` when all is read. `used` is one that is not needed any more.
    ///
    /// # Errors
    /// The first error of reading.
    pub(super) fn next(&self, used: Vec<u8>) -> Result<Option<Vec<u8>>, ImportError> {
        if used.capacity() > 0 {
            // Not needed by a reader that is done.
            let _ = self.empty.send(used);
        }
        self.filled.recv().ok().transpose()
    }
}

struct Reader<'a> {
    removed: &'a AtomicBool,
    to_writer: SyncSender<Result<Vec<u8>, ImportError>>,
    recycled: Receiver<Vec<u8>>,
}

impl Reader<'_> {
    /// Reads one file to its end.
    ///
    /// # Errors
    /// `None` when nobody wants to have it any more.
    fn read(&mut self, file: &SourceFile) -> Result<(), Option<ImportError>> {
        if file.size == 0 {
            return Ok(());
        }
        let mut reader = file.open(self.removed)?;
        let mut offset = 0;
        while offset < file.size {
            let mut block = self.recycled.try_recv().unwrap_or_default();
            block.resize(BLOCK.min(usize::try_from(file.size - offset).unwrap_or(BLOCK)), 0);
            let mut filled = 0;
            while filled < block.len() {
                if self.removed.load(Ordering::Relaxed) {
                    return Err(Some(ImportError::Removed));
                }
                let at = offset + filled as u64;
                match reader.read_at(&mut block[filled..], at) {
                    Ok(0) => return Err(Some(file.read_error(at, shorter()))),
                    Ok(count) => filled += count,
                    Err(error) => return Err(Some(file.read_error(at, error))),
                }
            }
            offset += filled as u64;
            self.to_writer.send(Ok(block)).map_err(|_| None)?;
        }
        Ok(())
    }

    /// A medium that was pulled gives read errors first.
    fn or_removed(&self, error: ImportError) -> ImportError {
        if self.removed.load(Ordering::Relaxed) { ImportError::Removed } else { error }
    }
}
