//! Publications for tests, whose hashes are none.

use std::fs;
use std::path::Path;

use torrent::{FilePath, FileRoot, piece_length};

use super::{Handle, Publication, open};
use crate::hash::Hashes;
use crate::identity::Identity;
use crate::listing::{ListedFile, Listing};
use crate::torrents::publication;

/// These files, without looking at their content.
pub fn publication_of(name: &str, listing: Listing) -> Publication {
    described(name, listing, false)
}

fn described(name: &str, listing: Listing, is_private: bool) -> Publication {
    let piece_length = u64::from(piece_length(listing.size_bytes()));
    let pieces = usize::try_from(listing.size_bytes().div_ceil(piece_length)).unwrap();
    let root = |length: u64| {
        let pieces = usize::try_from(length.div_ceil(piece_length)).unwrap();
        let piece_layer = if pieces > 1 { vec![[9; 32]; pieces] } else { Vec::new() };
        (length > 0).then_some(FileRoot { pieces_root: [8; 32], piece_layer })
    };
    let hashes = Hashes { pieces: vec![7; 20 * pieces], roots: Some(listing.lengths().map(root).collect()) };
    publication(name, listing, hashes, is_private).unwrap()
}

/// A file of 5 bytes (no `files`) or a folder, on no disk.
pub fn published(name: &str, files: &[(&str, u64)]) -> Publication {
    publication_of(name, listing_of(files))
}

/// As [`published`], for members alone.
pub fn private(name: &str, files: &[(&str, u64)]) -> Publication {
    described(name, listing_of(files), true)
}

fn listing_of(files: &[(&str, u64)]) -> Listing {
    let listed = |(path, length): &(&str, u64)| ListedFile {
        path: FilePath::from_path(Path::new(path)).unwrap(),
        identity: Identity::of_nothing(1, *length),
    };
    match files {
        [] => Listing::File(Identity::of_nothing(1, 5)),
        files => Listing::Folder(files.iter().map(listed).collect()),
    }
}

/// Writes a folder of that name with files into `publish`.
pub fn folder(publish: &Path, name: &str, files: &[(String, Vec<u8>)]) -> Publication {
    let listed = |(path, bytes): &(String, Vec<u8>)| {
        let to = publish.join(name).join(path);
        fs::create_dir_all(to.parent().unwrap()).unwrap();
        fs::write(&to, bytes).unwrap();
        let identity = Identity::from(&fs::metadata(to).unwrap());
        ListedFile { path: FilePath::from_path(Path::new(path)).unwrap(), identity }
    };
    publication_of(name, Listing::Folder(files.iter().map(listed).collect()))
}

/// Runs `use_it` with the catalog in `state`, then closes it.
pub fn with_catalog(state: &Path, use_it: impl FnOnce(&Handle)) {
    let (handle, owner) = open(state, false).unwrap();
    handle.set_online(None).unwrap();
    use_it(&handle);
    handle.close();
    owner.join().unwrap();
}
