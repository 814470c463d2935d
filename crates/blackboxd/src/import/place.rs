//! Putting a complete copy under the first name that is free, and publishing it.

use std::fs::File;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use nix::fcntl::{AT_FDCWD, RenameFlags, renameat2};

use super::copy::Pieces;
use super::name::{ItemName, MAX_NUMBER};
use super::outcome::{ImportError, Imported};
use crate::app::App;
use crate::catalog::Content;
use crate::listing::Listing;
use crate::publish::{PublishError, content};

/// Publishes what is at `staged`. All of it is on the disk, and the medium is not needed any more.
pub(super) fn place(
    app: &App,
    staged: &Path,
    name: &ItemName,
    pieces: &Pieces,
) -> Result<Imported, ImportError> {
    let mut listing = list(staged)?;
    for name in (1..=MAX_NUMBER).map(|number| name.numbered(number)) {
        let mut content = describe(&name, &listing, pieces)?;
        if app.catalog.snapshot().named(&name).is_some_and(|item| is_same(item.content.as_deref(), &content))
        {
            return Ok(Imported::Known(name));
        }
        let path = app.publish.join(&name);
        match renameat2(AT_FDCWD, staged, AT_FDCWD, &path, RenameFlags::RENAME_NOREPLACE) {
            Err(nix::Error::EEXIST) => continue,
            Err(error) => return Err(ImportError::Write { path, source: error.into() }),
            Ok(()) => {}
        }
        let synced = File::open(&app.publish).and_then(|folder| folder.sync_all());
        synced.map_err(|source| ImportError::Write { path: path.clone(), source })?;
        if let Listing::File(_) = listing {
            // A new name is a change to the file itself; what is in a folder has not changed.
            listing = list(&path)?;
            content = describe(&name, &listing, pieces)?;
        }
        app.catalog.publish(&name, Arc::new(content))?;
        return Ok(Imported::New(name));
    }
    let why = "a thousand other items have its name";
    Err(ImportError::Refused(name.numbered(1), why.into()))
}

fn list(path: &Path) -> Result<Listing, PublishError> {
    Ok(Listing::of(path, &AtomicBool::new(false))?)
}

/// The item's content, from what its copy consists of and the hashes that were taken on the way.
fn describe(name: &str, listing: &Listing, pieces: &Pieces) -> Result<Content, PublishError> {
    content(name, listing, pieces.clone())
}

fn is_same(published: Option<&Content>, new: &Content) -> bool {
    published.is_some_and(|published| published.info_hash == new.info_hash)
}
