//! Room for what is imported, promised before the first byte is copied; several drives may want it at once.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use nix::sys::statvfs::statvfs;

use super::outcome::ImportError;
use crate::catalog::Progress;
use crate::words;

/// Space that stays free on the data volume for the box itself, in bytes.
const RESERVE: u64 = 32 << 20;

/// What the imports that run have still to write.
#[derive(Debug, Default)]
pub(super) struct Space {
    running: Mutex<Vec<Weak<Progress>>>,
}

impl Space {
    /// Promises room for `needed` bytes on the volume of `folder`, as long as the progress of writing them is in use.
    ///
    /// # Errors
    /// [`ImportError::NoSpace`] when there is less, or when it is promised to others.
    pub(super) fn claim(&self, folder: &Path, needed: u64) -> Result<Arc<Progress>, ImportError> {
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        let volume = statvfs(folder)
            .map_err(|error| ImportError::Write { path: folder.to_owned(), source: error.into() })?;
        running.retain(|progress| progress.strong_count() > 0);
        let others = running.iter().filter_map(Weak::upgrade);
        let promised: u64 = others.map(|progress| progress.total().saturating_sub(progress.done())).sum();
        let taken = promised.saturating_add(RESERVE);
        let free = (volume.blocks_available() * volume.fragment_size()).saturating_sub(taken);
        if needed > free {
            return Err(ImportError::NoSpace { needed: words::bytes(needed), free: words::bytes(free) });
        }
        let progress = Progress::of(needed);
        running.push(Arc::downgrade(&progress));
        Ok(progress)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_promised_to_one_is_not_promised_to_another() {
        let (folder, space) = (tempfile::tempdir().unwrap(), Space::default());
        let volume = statvfs(folder.path()).unwrap();
        let free = volume.blocks_available() * volume.fragment_size();
        // More than half of it, so two of these do not fit, whatever others write meanwhile.
        let most = free / 4 * 3;
        let first = space.claim(folder.path(), most).unwrap();
        assert!(matches!(space.claim(folder.path(), most), Err(ImportError::NoSpace { .. })));
        // What is written already is no longer free either, and not counted twice.
        first.skip(most);
        let second = space.claim(folder.path(), most).unwrap();
        assert!(space.claim(folder.path(), most).is_err());
        drop(second);
        space.claim(folder.path(), most).unwrap();
    }
}
