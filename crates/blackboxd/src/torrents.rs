//! Describes an item by its torrents.

use std::sync::Arc;

use torrent::{
    File, FileRoot, Hashes as InfoHashing, Info, Mode, PieceLayers, lint, piece_layers, piece_length,
};

use crate::catalog::{Content, Metadata, Publication, Torrent};
use crate::hash::{Hashes, Layout};
use crate::listing::Listing;

/// How files of these lengths (bytes) are cut into pieces, for all torrents of an item.
pub fn layout(lengths: Vec<u64>) -> Layout {
    let piece_length = piece_length(lengths.iter().sum());
    Layout::new(lengths, piece_length)
}

/// The torrents of an item of which `hashes` was found: one of version 1, which every client takes, and one of version 2.
/// Private ones (BEP 27) have other info hashes.
///
/// Not one that is both: Transmission before version 4 refuses every file tree, since the empty key in it is none to it, and a
/// folder would need pad files, which some clients write to the disk and others stumble over.
///
/// # Errors
/// A sentence when there can't be such a torrent.
pub fn publication(
    name: &str,
    listing: Listing,
    hashes: Hashes,
    is_private: bool,
) -> Result<Publication, String> {
    let Hashes { pieces, roots } = hashes;
    let describe = |hashes, layers: Option<&PieceLayers>| {
        let piece_length = piece_length(listing.size_bytes());
        let mode = mode(&listing);
        let info = Info { name: name.to_owned(), piece_length, mode, hashes, private: is_private };
        torrent(&info, &listing, layers.map(piece_layers::to_bytes))
    };
    let v1 = describe(InfoHashing::V1 { pieces }, None);
    let v2 = roots.map(|roots| {
        let layers = layers(&roots);
        let roots = roots.into_iter().map(|root| root.map(|root| root.pieces_root)).collect();
        describe(InfoHashing::V2 { roots }, Some(&layers))
    });
    let versions: Option<Vec<_>> = [v1].into_iter().chain(v2).collect();
    let versions = versions.ok_or("it has too many pieces")?;
    let (torrents, metadata) = versions.into_iter().unzip();
    let warnings = warnings(name, &listing);
    let mut content = Content::new(name.to_owned(), listing, torrents);
    content.warnings = warnings;
    content.is_private = is_private;
    Ok(Publication { content: Arc::new(content), metadata: Arc::new(metadata) })
}

/// The piece layers of all files that are longer than a piece.
fn layers(roots: &[Option<FileRoot>]) -> PieceLayers {
    let long = roots.iter().flatten().filter(|root| !root.piece_layer.is_empty());
    long.map(|root| (root.pieces_root, root.piece_layer.clone())).collect()
}

/// A torrent of the same content that is private or is not, for which nothing has to be read; `None` if the metadata is not
/// such as this program makes it.
pub fn remade(listing: &Listing, metadata: Metadata, is_private: bool) -> Option<(Torrent, Metadata)> {
    let Metadata { info_bytes, piece_layers } = metadata;
    let info = Info::parse(&info_bytes).ok().filter(|info| info.to_bytes() == info_bytes)?;
    torrent(&Info { private: is_private, ..info }, listing, piece_layers)
}

/// One torrent; `None` if it had more pieces than can be numbered.
fn torrent(info: &Info, listing: &Listing, piece_layers: Option<Vec<u8>>) -> Option<(Torrent, Metadata)> {
    let info_bytes = info.to_bytes();
    let info_hashes = info.info_hashes(&info_bytes);
    let torrent = Torrent {
        info_hashes,
        lengths: Torrent::lengths(info_hashes, listing, info.piece_length)?,
        info_size: info_bytes.len(),
        layers_size: piece_layers.as_ref().map(Vec::len),
    };
    Some((torrent, Metadata { info_bytes, piece_layers }))
}

fn mode(listing: &Listing) -> Mode {
    match listing {
        Listing::File(identity) => Mode::Single { length: identity.size },
        Listing::Folder(files) => Mode::Multiple {
            files: files
                .iter()
                .map(|file| File { path: file.path.clone(), length: file.identity.size })
                .collect(),
        },
    }
}

/// What is wrong with names elsewhere, in sentences for people.
fn warnings(name: &str, listing: &Listing) -> Vec<String> {
    let paths = listing.folder().unwrap_or_default().iter().map(|file| &file.path);
    let found = lint::check(name, paths);
    let more = (found.more > 0).then(|| format!("{} more names make trouble elsewhere", found.more));
    found.warnings.iter().map(ToString::to_string).chain(more).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::Identity;
    use crate::listing::ListedFile;
    use std::path::Path;
    use torrent::{FilePath, Info};

    fn folder(names: &[&str]) -> Listing {
        let listed = |name: &&str| ListedFile {
            path: FilePath::from_path(Path::new(name)).unwrap(),
            identity: Identity::of_nothing(1, 20_000),
        };
        Listing::Folder(names.iter().map(listed).collect())
    }

    fn described(name: &str, listing: &Listing, is_private: bool) -> Publication {
        let roots = listing.lengths().map(|length| {
            let piece_layer = if length > 16_384 { vec![[2; 32], [3; 32]] } else { vec![] };
            Some(FileRoot { pieces_root: [1; 32], piece_layer })
        });
        let pieces = listing.size_bytes().div_ceil(16_384);
        let hashes =
            Hashes { roots: Some(roots.collect()), pieces: vec![7; usize::try_from(20 * pieces).unwrap()] };
        publication(name, listing.clone(), hashes, is_private).unwrap()
    }

    #[test]
    fn a_private_torrent_is_made_of_a_public_one_and_back() {
        for listing in [Listing::File(Identity::of_nothing(1, 20_000)), folder(&["a", "b"])] {
            let [public, private] = [false, true].map(|is_private| described("item", &listing, is_private));
            assert!(private.content.is_private && !public.content.is_private);
            let both = public.metadata.iter().zip(private.metadata.iter());
            for ((public, private), (open, closed)) in
                public.content.torrents.iter().zip(&private.content.torrents).zip(both)
            {
                assert_ne!(public.info_hashes, private.info_hashes);
                assert!(Info::parse(&closed.info_bytes).unwrap().private);
                let again = |metadata: &Metadata, is_private| remade(&listing, metadata.clone(), is_private);
                assert_eq!(again(open, true), Some((private.clone(), closed.clone())));
                assert_eq!(again(closed, false), Some((public.clone(), open.clone())));
            }
        }
        let foreign = Metadata { info_bytes: b"d4:name1:xe".to_vec(), piece_layers: None };
        assert_eq!(remade(&folder(&["a"]), foreign, true), None);
    }

    #[test]
    fn every_item_has_a_torrent_of_each_version() {
        for listing in [Listing::File(Identity::of_nothing(1, 20_000)), folder(&["a", "b"])] {
            let Publication { content, metadata } = described("item", &listing, false);
            let infos: Vec<_> =
                metadata.iter().map(|about| Info::parse(&about.info_bytes).unwrap()).collect();
            let has = infos.iter().map(|info| (info.pieces().is_some(), info.roots().is_some()));
            assert_eq!(has.collect::<Vec<_>>(), [(true, false), (false, true)]);
            for (torrent, about) in content.torrents.iter().zip(metadata.iter()) {
                assert_eq!(torrent.info_size, about.info_bytes.len());
                assert_eq!(torrent.layers_size, about.piece_layers.as_ref().map(Vec::len));
                assert_eq!(about.piece_layers.is_some(), torrent.info_hashes.v2().is_some());
            }
            assert!(content.info_hash_v1().is_some() && content.info_hash_v2().is_some());
        }
    }

    #[test]
    fn names_that_make_trouble_elsewhere_are_warned_of() {
        let content = described("item", &folder(&["a:b", "fine"]), false).content;
        assert_eq!(content.warnings.len(), 1, "{:?}", content.warnings);
        assert!(content.warnings[0].contains("item/a:b") && content.warnings[0].contains("Windows"));
    }
}
