//! Is the publish folder really there? A volume that is not mounted looks like an empty folder, and must never make the
//! box forget what it publishes.

use std::fs;
use std::io::{self, ErrorKind};
use std::path::Path;

use crate::catalog::{Catalog, Item};
use crate::listing::Listing;

/// File in the publish folder that tells it from an empty mount point (a dotfile: never published).
const MARKER: &str = ".blackbox-publish-folder";

const MARKER_TEXT: &str = "The P2P Black Box publishes what is in this folder. This file tells it that the right volume is \
                           here; leave it where it is.\n";

/// Published items that are looked for to recognise a folder without its marker.
const SAMPLE: usize = 100;

/// Whether items can be looked for in the publish folder.
///
/// A missing folder is made, and a missing marker written, as long as nothing that was published is at stake.
///
/// # Errors
/// A sentence for people when the folder is missing, unreadable or not the one that was published from.
pub(super) fn check(publish: &Path, catalog: &Catalog) -> Result<(), String> {
    let published = || catalog.items().iter().filter(|item| item.content.is_some());
    let is_new = published().next().is_none();
    match fs::read_dir(publish) {
        Ok(_) => {}
        Err(error) if error.kind() == ErrorKind::NotFound && is_new => {
            fs::create_dir_all(publish).map_err(|error| unusable(publish, &error))?;
        }
        Err(error) if error.kind() == ErrorKind::NotFound => {
            return Err(format!(
                "The publish folder {} is missing. Connect its volume, or put the folder back; everything \
                 published is kept until then.",
                publish.display()
            ));
        }
        Err(error) => return Err(unusable(publish, &error)),
    }
    if publish.join(MARKER).exists() {
        return Ok(());
    }
    if is_new || published().take(SAMPLE).any(|item| is_there(publish, item)) {
        // A read-only volume can be published from too; it is recognised by its items.
        let _ = fs::write(publish.join(MARKER), MARKER_TEXT);
        return Ok(());
    }
    Err(format!(
        "The publish folder {} holds nothing that was published from it before. Connect its volume; or, if the \
         folder is right as it is, create a file named {MARKER} in it.",
        publish.display()
    ))
}

fn is_there(publish: &Path, item: &Item) -> bool {
    Listing::of(&publish.join(&item.name)).is_ok()
}

fn unusable(publish: &Path, error: &io::Error) -> String {
    format!("The publish folder {} can't be used: {error}. Everything published is kept.", publish.display())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_box_makes_its_folder() {
        let state = tempfile::tempdir().unwrap();
        let publish = state.path().join("a/publish");
        check(&publish, &Catalog::default()).unwrap();
        assert!(publish.join(MARKER).exists());
    }
}
