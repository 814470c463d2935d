//! Putting a complete copy under the first name that is free, and publishing it.

use std::fs::File;
use std::path::Path;
use std::sync::atomic::AtomicBool;

use nix::fcntl::{AT_FDCWD, RenameFlags, renameat2};

use super::name::{ItemName, MAX_NUMBER};
use super::outcome::{ImportError, Imported};
use crate::app::App;
use crate::catalog::{Content, Publication};
use crate::hash::Hashes;
use crate::listing::Listing;
use crate::publish::PublishError;
use crate::torrents::publication;

/// Publishes what is at `staged`. All of it is on the disk, and the medium is not needed any more.
pub(super) fn place(
    app: &App,
    staged: &Path,
    name: &ItemName,
    hashes: &Hashes,
) -> Result<Imported, ImportError> {
    let mut listing = list(staged)?;
    for name in (1..=MAX_NUMBER).map(|number| name.numbered(number)) {
        let mut described = describe(app, &name, &listing, hashes)?;
        let same = |old: &Content| old.info_hash() == described.content.info_hash();
        let published = app.catalog.snapshot().named(&name).and_then(|item| item.content.clone());
        let published = published.filter(|published| same(published));
        let is_damaged = published.as_ref().is_some_and(|published| !published.damage.ranges().is_empty());
        if published.is_some() && !is_damaged {
            return Ok(Imported::Known(name));
        }
        let path = app.publish.join(&name);
        // The damaged copy goes with what else is staged.
        let how = if is_damaged { RenameFlags::RENAME_EXCHANGE } else { RenameFlags::RENAME_NOREPLACE };
        match renameat2(AT_FDCWD, staged, AT_FDCWD, &path, how) {
            Err(nix::Error::EEXIST) => continue,
            Err(error) => return Err(ImportError::Write { path, source: error.into() }),
            Ok(()) => {}
        }
        let synced = File::open(&app.publish).and_then(|folder| folder.sync_all());
        synced.map_err(|source| ImportError::Write { path: path.clone(), source })?;
        if let Listing::File(_) = listing {
            // A new name is a change to the file itself; what is in a folder has not changed.
            listing = list(&path)?;
            described = describe(app, &name, &listing, hashes)?;
        }
        app.catalog.publish(&name, described)?;
        return Ok(Imported::New(name));
    }
    let why = "a thousand other items have its name";
    Err(ImportError::Refused(name.numbered(1), why.into()))
}

fn list(path: &Path) -> Result<Listing, PublishError> {
    Ok(Listing::of(path, &AtomicBool::new(false))?)
}

/// The item, from what its copy consists of and the hashes that were taken on the way.
fn describe(app: &App, name: &str, listing: &Listing, hashes: &Hashes) -> Result<Publication, PublishError> {
    publication(name, listing.clone(), hashes.clone(), !app.is_public()).map_err(PublishError::Refused)
}
