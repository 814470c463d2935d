//! What a look at an item found, compared with what is published of it. Pure.

use std::ffi::OsStr;
use std::path::Path;

use torrent::FilePath;

use super::settle::Fingerprint;
use crate::catalog::Content;
use crate::listing::{ListError, Listing};

/// How large an item is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Size {
    pub bytes: u64,
    pub files: usize,
}

/// What was found under the name of an item.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Sight {
    /// The very files that are published.
    AsPublished,
    /// Files that could be published.
    Files(Fingerprint, Size),
    /// Nothing.
    Gone,
    /// Something in it vanished while it was listed.
    Changing,
    /// It could not be listed now; a sentence.
    Unreadable(String),
    /// It can't be published until it changes; a sentence.
    Refused(String),
}

impl Sight {
    /// What `listing` says about the item called `name`; `None` if listing it was given up.
    pub(super) fn of(
        name: &OsStr,
        listing: Result<Listing, ListError>,
        published: Option<&Content>,
    ) -> Option<Self> {
        let listing = match listing {
            Ok(listing) => listing,
            Err(ListError::Cancelled) => return None,
            Err(ListError::Gone) => return Some(Self::Gone),
            Err(ListError::Changing) => return Some(Self::Changing),
            Err(error @ ListError::Unreadable { .. }) => return Some(Self::Unreadable(error.to_string())),
            Err(ListError::Refused(sentence)) => return Some(Self::Refused(sentence)),
        };
        if let Err(error) = FilePath::from_path(Path::new(name)) {
            return Some(Self::Refused(format!("{error}; rename it")));
        }
        if published.is_some_and(|content| content.listing == listing) {
            return Some(Self::AsPublished);
        }
        let size = Size { bytes: listing.size_bytes(), files: listing.file_count() };
        Some(Self::Files(listing.fingerprint(), size))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::testing::publication_of;
    use crate::identity::Identity;
    use crate::listing::ListedFile;
    use std::os::unix::ffi::OsStrExt;

    fn folder(files: &[(&str, u64)]) -> Listing {
        let listed = |(path, inode): &(&str, u64)| ListedFile {
            path: FilePath::from_path(Path::new(path)).unwrap(),
            identity: Identity::of_nothing(*inode, 5),
        };
        Listing::Folder(files.iter().map(listed).collect())
    }

    #[test]
    fn only_the_very_same_files_are_as_published() {
        let published = publication_of("item", folder(&[("a", 1), ("b", 2)])).content;
        let check = |listing: Listing, same: bool| {
            let sight = Sight::of(OsStr::new("item"), Ok(listing.clone()), Some(&published)).unwrap();
            assert_eq!(sight == Sight::AsPublished, same, "{listing:?}");
            let unpublished = Sight::of(OsStr::new("item"), Ok(listing), None).unwrap();
            assert!(matches!(unpublished, Sight::Files(_, size) if size.files > 0 && size.bytes > 0));
        };
        check(folder(&[("a", 1), ("b", 2)]), true);
        check(folder(&[("a", 1), ("b", 3)]), false);
        check(folder(&[("a", 1), ("c", 2)]), false);
        check(folder(&[("a", 1)]), false);
        check(folder(&[("a", 1), ("b", 2), ("c", 3)]), false);
        check(Listing::File(Identity::of_nothing(1, 5)), false);
    }

    #[test]
    fn a_name_that_no_torrent_can_have_is_refused_before_anything_is_hashed() {
        let sight = Sight::of(OsStr::from_bytes(b"caf\xe9"), Ok(folder(&[("a", 1)])), None);
        assert!(
            matches!(&sight, Some(Sight::Refused(why)) if why.contains("not UTF-8; rename it")),
            "{sight:?}"
        );
    }
}
