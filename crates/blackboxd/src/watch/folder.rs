//! Is the publish folder really there? A volume that is not mounted looks like an empty folder, and must never make the
//! box forget what it publishes.

use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::{self, ErrorKind, Read};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use crate::app::App;
use crate::catalog::{Catalog, Item};
use crate::identity::Identity;
use crate::random;

/// File in the publish folder whose last word is the folder's id (a dotfile: never published).
const MARKER: &str = ".blackbox-publish-folder";

const MARKER_TEXT: &str = "The P2P Black Box publishes what is in this folder. By this file it knows that the right \
                           volume is here; leave it where it is.\n\nid ";

/// Bytes of a marker that are read.
const MAX_MARKER: u64 = 4096;

/// Published items that are looked for to recognise a folder by them.
const SAMPLE: usize = 100;

/// The publish folder between two looks.
#[derive(Debug, Default)]
pub(super) struct Folder {
    /// Device and inode of the folder that is trusted.
    trusted: Option<(u64, u64)>,
}

/// What a look at the publish folder found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Look {
    /// It is the one it was.
    There,
    /// It is there, for the first time or again: everything in it is to be looked at, and file events are to be
    /// subscribed to anew.
    Anew,
    /// It can't be trusted: nothing in it, and nothing missing from it, means anything.
    Away,
}

impl Folder {
    /// Looks at the folder, and takes the published items online or offline accordingly.
    ///
    /// A missing folder is made, and a missing marker written, as long as nothing that was published is at stake.
    pub(super) fn look(&mut self, app: &App) -> Look {
        let found = fs::metadata(&app.publish).map(|metadata| (metadata.dev(), metadata.ino())).ok();
        if found.is_some() && found == self.trusted {
            return Look::There;
        }
        self.trusted = None;
        let online = check(&app.publish, &app.catalog.snapshot()).and_then(|id| {
            app.catalog.set_online(id).map_err(|error| format!("The publish folder can't be used: {error}."))
        });
        let is_online = online.is_ok();
        if let Err(sentence) = &online
            && app.health.publish_folder() != Some(online.clone())
        {
            tracing::error!("{sentence}");
        }
        // First this: who sees that items are offline is told why.
        app.health.set_publish_folder(online);
        if !is_online {
            app.catalog.set_offline();
            app.storage.close_all();
        }
        if is_online {
            let made = || fs::metadata(&app.publish).map(|metadata| (metadata.dev(), metadata.ino())).ok();
            self.trusted = found.or_else(made);
            Look::Anew
        } else {
            Look::Away
        }
    }
}

/// Whether the folder is the one that the catalog's items are published from; an id that it is to be known by from now on.
///
/// # Errors
/// A sentence for people when the folder is missing, unreadable or another one.
fn check(publish: &Path, catalog: &Catalog) -> Result<Option<String>, String> {
    let published = || catalog.items().iter().filter(|item| item.content.is_some());
    let is_new = published().next().is_none();
    match fs::read_dir(publish) {
        Ok(_) => {}
        Err(error) if error.kind() == ErrorKind::NotFound => {
            let made = if is_new { fs::create_dir_all(publish) } else { Err(error) };
            if made.is_ok() {
                tracing::info!("the publish folder {} was not there, and has been made", publish.display());
            }
            made.map_err(|error| match error.kind() {
                // Where the volume should be, nothing may be made.
                ErrorKind::NotFound | ErrorKind::PermissionDenied => format!(
                    "The publish folder {} is missing. Connect its volume, or put the folder back; everything \
                     published is kept until then.",
                    publish.display()
                ),
                _ => unusable(publish, &error),
            })?;
        }
        Err(error) => return Err(unusable(publish, &error)),
    }
    let is_known = || published().take(SAMPLE).any(|item| is_there(publish, item));
    match read_marker(publish) {
        Marker::Id(id) if catalog.folder_id() == Some(&id) => Ok(None),
        Marker::Id(id) if is_new || is_known() => Ok(Some(id)),
        // A read-only volume can be published from too; it is recognised by its items.
        Marker::Missing if is_new || is_known() => Ok(write_marker(publish)),
        Marker::Blank => Ok(write_marker(publish)),
        Marker::Id(_) | Marker::Missing => Err(format!(
            "The publish folder {} is not the one that was published from. Connect its volume; or, if the folder is \
             right as it is, put an empty file named {MARKER} into it.",
            publish.display()
        )),
    }
}

enum Marker {
    Missing,
    /// Put there by people who say that the folder is right.
    Blank,
    Id(String),
}

fn read_marker(publish: &Path) -> Marker {
    let mut text = String::new();
    let read =
        File::open(publish.join(MARKER)).and_then(|file| file.take(MAX_MARKER).read_to_string(&mut text));
    match (read, text.split_whitespace().last()) {
        (Err(_), _) => Marker::Missing,
        (Ok(_), None) => Marker::Blank,
        (Ok(_), Some(id)) => Marker::Id(id.to_owned()),
    }
}

/// Gives the folder a new id; `None` when it can't be written.
fn write_marker(publish: &Path) -> Option<String> {
    let random: [u8; 16] = random::bytes().ok()?;
    let id = random.iter().fold(String::new(), |mut id, byte| {
        let _ = write!(id, "{byte:02x}");
        id
    });
    fs::write(publish.join(MARKER), format!("{MARKER_TEXT}{id}\n")).ok()?;
    Some(id)
}

/// Whether the item's first file is the very file that was published.
fn is_there(publish: &Path, item: &Item) -> bool {
    item.content.as_ref().is_some_and(|content| {
        let (path, identity) = content.file(0);
        fs::metadata(publish.join(path)).is_ok_and(|metadata| Identity::from(&metadata) == identity)
    })
}

fn unusable(publish: &Path, error: &io::Error) -> String {
    format!("The publish folder {} can't be used: {error}. Everything published is kept.", publish.display())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog;
    use crate::catalog::testing::publication_of;
    use crate::listing::Listing;
    use std::path::PathBuf;

    /// A folder with a published file, and the catalog that published it from the folder's id.
    struct Published {
        root: tempfile::TempDir,
        publish: PathBuf,
        catalog: catalog::Handle,
    }

    impl Published {
        fn new() -> Self {
            let root = tempfile::tempdir().unwrap();
            let publish = root.path().join("publish");
            let (catalog, _) = catalog::open(&root.path().join("state"), false).unwrap();
            let id = check(&publish, &catalog.snapshot()).expect("a new box makes its folder");
            catalog.set_online(id).unwrap();
            fs::write(publish.join("one"), "123").unwrap();
            let identity = Identity::from(&fs::metadata(publish.join("one")).unwrap());
            catalog.publish("one", publication_of("one", Listing::File(identity))).unwrap();
            Self { root, publish, catalog }
        }

        fn check(&self) -> Result<Option<String>, String> {
            check(&self.publish, &self.catalog.snapshot())
        }
    }

    #[test]
    fn the_folder_is_known_by_its_id() {
        let published = Published::new();
        assert_eq!(published.check(), Ok(None));
        // Everything in it may be deleted by its owner.
        fs::remove_file(published.publish.join("one")).unwrap();
        assert_eq!(published.check(), Ok(None));
    }

    #[test]
    fn a_missing_folder_is_not_made_anew() {
        let published = Published::new();
        fs::rename(&published.publish, published.root.path().join("away")).unwrap();
        assert!(published.check().unwrap_err().contains("missing"));
        assert!(!published.publish.exists());
    }

    #[test]
    fn an_empty_mount_point_is_not_trusted_not_even_with_the_marker_of_another_time() {
        let published = Published::new();
        fs::rename(&published.publish, published.root.path().join("away")).unwrap();
        fs::create_dir(&published.publish).unwrap();
        assert!(published.check().unwrap_err().contains("not the one"));
        fs::write(published.publish.join(MARKER), format!("{MARKER_TEXT}0123456789abcdef\n")).unwrap();
        assert!(published.check().unwrap_err().contains("not the one"));
        // Its owner can say that it is right.
        fs::write(published.publish.join(MARKER), "").unwrap();
        assert!(matches!(published.check(), Ok(Some(_))));
    }

    #[test]
    fn a_folder_without_marker_is_recognised_by_the_very_files() {
        let published = Published::new();
        fs::remove_file(published.publish.join(MARKER)).unwrap();
        assert!(matches!(published.check(), Ok(Some(_))));
        fs::remove_file(published.publish.join(MARKER)).unwrap();
        fs::copy(published.publish.join("one"), published.publish.join("copy")).unwrap();
        fs::rename(published.publish.join("copy"), published.publish.join("one")).unwrap();
        assert!(published.check().is_err(), "another file of the same name proves nothing");
    }
}
