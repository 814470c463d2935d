//! Metainfo as other programs write it, and metainfo that nobody should write.

use super::*;
use crate::info::{File, Hashes, Mode};
use crate::xorshift::Xorshift;
use crate::{FilePath, FileRoot, InfoHashes, MerkleHasher, NodeHash, PieceHasher};

/// What the vectors were made from; it describes its own grammar.
const MANIFEST: &str = include_str!("../../../../tests/vectors/metainfo/manifest.txt");

macro_rules! vectors {
    ($($name:literal)*) => {
        &[$(($name, include_bytes!(concat!("../../../../tests/vectors/metainfo/", $name, ".torrent")))),*]
    };
}

/// The `.torrent` files by mktorrent and libtorrent.
const VECTORS: &[(&str, &[u8])] = vectors! {
    "empty" "one-byte" "piece-less-one" "piece" "piece-and-one" "two-pieces" "two-pieces-16k" "tree" "empty-files"
    "short-then-empty" "folder-of-one" "order" "small-pieces"
    "hybrid-one-byte" "hybrid-block-less-one" "hybrid-block" "hybrid-block-and-one" "hybrid-piece-less-one"
    "hybrid-piece" "hybrid-piece-and-one" "hybrid-two-pieces" "hybrid-private"
    "v2-one-byte" "v2-piece" "v2-piece-and-one" "v2-two-pieces-16k" "v2-eleven-pieces" "v2-sizes"
    "v2-empty-files" "v2-tree" "v2-order" "v2-folder-of-one" "v2-many"
};

/// A torrent of the manifest.
struct Origin<'a> {
    name: &'a str,
    piece_length: u32,
    item: &'a str,
    lines: Vec<(&'a str, Vec<&'a str>)>,
}

impl<'a> Origin<'a> {
    fn all() -> Vec<Self> {
        let mut origins: Vec<Self> = Vec::new();
        for line in MANIFEST.lines().filter(|line| !line.starts_with('#') && !line.is_empty()) {
            let mut fields = line.split('\t');
            let (key, values) = (fields.next().unwrap(), fields.collect::<Vec<_>>());
            if let ("torrent", [name, _maker, piece_length, item]) = (key, &values[..]) {
                let piece_length = piece_length.parse().unwrap();
                origins.push(Origin { name, piece_length, item, lines: Vec::new() });
            } else {
                origins.last_mut().unwrap().lines.push((key, values));
            }
        }
        origins
    }

    /// The values of all lines with a key.
    fn lines(&self, key: &str) -> impl Iterator<Item = &[&'a str]> {
        self.lines.iter().filter(move |(candidate, _)| *candidate == key).map(|(_, values)| &values[..])
    }

    /// Makes the info dictionary and the piece layers from the files.
    fn made(&self) -> (Info, Option<PieceLayers>) {
        let mut hasher = PieceHasher::new(self.piece_length);
        let mut files = Vec::new();
        let mut roots = Vec::new();
        for file in self.lines("file") {
            let (length, path) = (file[0].parse().unwrap(), file[1]);
            let content = content(path, length);
            hasher.update(&content);
            let mut merkle_hasher = MerkleHasher::new(self.piece_length);
            merkle_hasher.update(&content);
            roots.push(merkle_hasher.finish());
            files.push((path, length as u64));
        }
        let folder = format!("{}/", self.item);
        let below = |path: &str| FilePath::from_path(path.strip_prefix(&folder).unwrap().as_ref()).unwrap();
        let mode = if files[0].0 == self.item {
            Mode::Single { length: files[0].1 }
        } else {
            let files = files.into_iter().map(|(path, length)| File { path: below(path), length });
            Mode::Multiple { files: files.collect() }
        };
        let (hashes, piece_layers) = self.hashes(hasher.finish().into_flattened(), roots);
        let private = self.lines("private").count() > 0;
        let (name, piece_length) = (self.item.to_owned(), self.piece_length);
        (Info { name, piece_length, mode, hashes, private }, piece_layers)
    }

    /// What the version has of the hashes.
    fn hashes(&self, pieces: Vec<u8>, files: Vec<Option<FileRoot>>) -> (Hashes, Option<PieceLayers>) {
        let roots: Vec<_> = files.iter().map(|file| file.as_ref().map(|file| file.pieces_root)).collect();
        let long = files.into_iter().flatten().filter(|file| !file.piece_layer.is_empty());
        let piece_layers = long.map(|file| (file.pieces_root, file.piece_layer)).collect();
        match self.lines("version").next() {
            None => (Hashes::V1 { pieces }, None),
            Some(["2"]) => (Hashes::V2 { roots }, Some(piece_layers)),
            Some(["hybrid"]) => (Hashes::Hybrid { pieces, root: roots[0] }, Some(piece_layers)),
            Some(other) => panic!("no version: {other:?}"),
        }
    }

    fn info_hashes(&self) -> InfoHashes {
        let v1 = self.lines("info-hash").next().map(|values| values[0].parse().unwrap());
        let v2 = self.lines("info-hash-v2").next().map(|values| values[0].parse().unwrap());
        match (v1, v2) {
            (Some(v1), None) => InfoHashes::V1(v1),
            (None, Some(v2)) => InfoHashes::V2(v2),
            (v1, v2) => InfoHashes::Hybrid(v1.unwrap(), v2.unwrap()),
        }
    }
}

/// The bytes of a file, by the rule of the manifest.
fn content(path: &str, length: usize) -> Vec<u8> {
    let fnv = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    let mut chance = Xorshift::new(path.bytes().fold(0xcbf2_9ce4_8422_2325, fnv));
    (0..length).map(|_| chance.next().to_be_bytes()[0]).collect()
}

fn owned(urls: &[&str]) -> Vec<String> {
    urls.iter().map(|&url| url.to_owned()).collect()
}

#[test]
fn equal_content_has_the_info_hash_that_other_makers_give_it() {
    let origins = Origin::all();
    assert_eq!(origins.len(), VECTORS.len());
    for (origin, (name, bytes)) in origins.iter().zip(VECTORS) {
        assert_eq!(origin.name, *name);
        let (metainfo, parsed) = Metainfo::parse(bytes).unwrap();
        let (info, piece_layers) = origin.made();
        assert_eq!(parsed, info, "{name}");
        assert_eq!(metainfo.piece_layers, piece_layers, "{name}");
        assert_eq!(info.to_bytes(), metainfo.info_bytes, "{name}");
        assert_eq!(info.info_hashes(&metainfo.info_bytes), origin.info_hashes(), "{name}");
        assert!(origin.info_hashes().v1().is_none_or(|v1| v1 == metainfo.info_hash()), "{name}");
        assert!(origin.info_hashes().v2().is_none_or(|v2| v2 == metainfo.info_hash_v2()), "{name}");
        if let Mode::Multiple { files } = &info.mode {
            assert!(
                files.is_sorted_by_key(|file| &file.path),
                "{name}: a sorted walk would order it otherwise"
            );
        }
    }
}

#[test]
fn trackers_and_web_seeds_are_read_as_other_makers_write_them() {
    for (origin, (name, bytes)) in Origin::all().iter().zip(VECTORS) {
        let (metainfo, _) = Metainfo::parse(bytes).unwrap();
        assert_eq!(metainfo.announce, origin.lines("announce").map(owned).collect::<Vec<_>>(), "{name}");
        let web_seeds: Vec<_> = origin.lines("web-seed").flat_map(owned).collect();
        assert_eq!(metainfo.web_seeds, web_seeds, "{name}");
    }
}

#[test]
fn what_is_written_is_read_again() {
    let origin = Origin::all().into_iter().find(|origin| origin.name == "hybrid-two-pieces").unwrap();
    let (info, piece_layers) = origin.made();
    assert_eq!(piece_layers.as_ref().unwrap().len(), 1);
    let written = Metainfo {
        piece_layers,
        announce: vec![owned(&["http://a/", "http://b/"]), owned(&["udp://c:1"])],
        web_seeds: owned(&["http://a/files/", "http://b/files/"]),
        collections: owned(&["Films", "ü"]),
        similar: vec![InfoHash([1; 20]), InfoHash([0; 20])],
        comment: Some("ü".into()),
        created_by: Some("black box".into()),
        creation_date: Some(1_700_000_000),
        ..Metainfo::new(info.to_bytes())
    };
    assert_eq!(Metainfo::parse(&written.to_bytes()), Ok((written, info)));
    for (_, bytes) in VECTORS {
        let (metainfo, info) = Metainfo::parse(bytes).unwrap();
        assert_eq!(Metainfo::parse(&metainfo.to_bytes()), Ok((metainfo, info)));
    }
}

/// The keys before the info dictionary that a list of tiers leads to.
#[track_caller]
fn check_announce(tiers: &[&[&str]], want: &str) {
    let metainfo =
        Metainfo { announce: tiers.iter().map(|tier| owned(tier)).collect(), ..Metainfo::new(b"de".into()) };
    assert_eq!(String::from_utf8(metainfo.to_bytes()).unwrap(), format!("d{want}4:infodee"));
}

#[test]
fn announce_is_the_first_tracker() {
    check_announce(&[], "");
    check_announce(&[&[]], "");
    check_announce(&[&["a"]], "8:announce1:a");
    check_announce(&[&[], &["a"]], "8:announce1:a");
    check_announce(&[&["a", "b"]], "8:announce1:a13:announce-listll1:a1:bee");
    check_announce(&[&["a"], &[], &["b"]], "8:announce1:a13:announce-listll1:ael1:bee");
}

/// What becomes of metainfo whose info dictionary is right.
#[track_caller]
fn check(before_info: &str, after_info: &str, want: &str) {
    let info = "d6:lengthi0e4:name1:x12:piece lengthi4e6:pieces0:e";
    let got = Metainfo::parse(format!("d{before_info}4:info{info}{after_info}e").as_bytes());
    let got =
        got.map_or_else(|error| error.to_string(), |(m, _)| format!("{:?} {:?}", m.announce, m.web_seeds));
    assert_eq!(got, want);
}

#[test]
fn values_of_the_wrong_kind_are_refused() {
    check("", "", "[] []");
    check("8:announce1:a", "8:url-list1:w", r#"[["a"]] ["w"]"#);
    check("8:announce1:a", "8:url-list0:", r#"[["a"]] []"#);
    check("8:announce1:a13:announce-listll1:belee", "", r#"[["b"]] []"#);
    check("8:announce1:a13:announce-listllee", "", r#"[["a"]] []"#);
    check("8:announcei1e", "", "`announce` is wrong");
    check("13:announce-listl1:ae", "", "`announce-list` is wrong");
    check("13:announce-listlli1eee", "", "`announce-list` is wrong");
    check("7:commenti1e", "", "`comment` is wrong");
    check("10:created byle", "", "`created by` is wrong");
    check("13:creation datei-1e", "", "`creation date` is wrong");
    check("11:collectionsi1e", "", "`collections` is wrong");
    check("11:collectionsli1ee", "", "`collections` is wrong");
    check("", "7:similar20:aaaaaaaaaaaaaaaaaaaa", "`similar` is wrong");
    check("", "7:similarl19:aaaaaaaaaaaaaaaaaaae", "`similar` is wrong");
    check("", "8:url-listi1e", "`url-list` is wrong");
    check("", "8:url-listd1:a1:be", "`url-list` is wrong");
    check("", "1:a1:b", "bad bencode at byte 57: keys are not sorted");
    assert_eq!(Metainfo::parse(b"le"), Err(MetainfoError::NotADictionary));
    assert_eq!(Metainfo::parse(b"de"), Err(MetainfoError::Info(InfoError::NotADictionary)));
    assert_eq!(Metainfo::parse(b"d4:infolee"), Err(MetainfoError::Info(InfoError::NotADictionary)));
    assert_eq!(Metainfo::parse(b"d8:announce1:\xff4:infodee"), Err(MetainfoError::Key("announce")));
}

/// What becomes of metainfo of version 2 for files of these lengths in pieces of 16 KiB; `root` and `piece_layer`
/// belong to all that are not empty.
#[track_caller]
fn check_piece_layers(lengths: &[u64], root: NodeHash, layers: Option<&[(&[u8], &[u8])]>, want: &str) {
    let file = |(number, &length): (usize, &u64)| File {
        path: FilePath::from_components([format!("{number}")]).unwrap(),
        length,
    };
    let info = Info {
        name: "x".into(),
        piece_length: 16384,
        mode: Mode::Multiple { files: lengths.iter().enumerate().map(file).collect() },
        hashes: Hashes::V2 { roots: lengths.iter().map(|&length| (length > 0).then_some(root)).collect() },
        private: false,
    };
    let bytes = bencode::dictionary(|d| {
        d.raw(b"info", &info.to_bytes());
        if let Some(layers) = layers {
            d.dictionary(b"piece layers", |d| layers.iter().for_each(|(root, layer)| d.bytes(root, layer)));
        }
    });
    let got = Metainfo::parse(&bytes);
    let got = got.map_or_else(
        |error| error.to_string(),
        |(read, _)| format!("{} layers", read.piece_layers.unwrap().len()),
    );
    assert_eq!(got, want);
}

#[test]
fn piece_layers_must_be_those_of_the_files() {
    const P: u64 = 16384;
    let mut hasher = MerkleHasher::new(16384);
    hasher.update(&vec![7; 3 * 16384 - 5]);
    let FileRoot { pieces_root: root, piece_layer } = hasher.finish().unwrap();
    let layer = piece_layer.as_flattened();
    let (short, longer) = (&layer[..64], [layer, &[0; 32]].concat());
    let length = 3 * P - 5;
    let wrong = "the piece layers do not fit the roots of the files";

    check_piece_layers(&[length], root, Some(&[(&root, layer)]), "1 layers");
    check_piece_layers(&[length, 0, length], root, Some(&[(&root, layer)]), "1 layers");
    check_piece_layers(&[0, 5, P], root, Some(&[]), "0 layers");
    check_piece_layers(&[length], root, None, "`piece layers` is wrong");
    check_piece_layers(&[P], root, None, "`piece layers` is wrong");
    // Missing, of no file, of a file that needs none.
    check_piece_layers(&[length], root, Some(&[]), wrong);
    check_piece_layers(&[length], [1; 32], Some(&[(&root, layer)]), wrong);
    check_piece_layers(&[P], root, Some(&[(&root, layer)]), wrong);
    check_piece_layers(&[], root, Some(&[]), "`file tree` is missing or wrong");
    // Too short, too long (by what a balanced tree has there anyway), not of whole hashes, not of the root.
    check_piece_layers(&[length], root, Some(&[(&root, short)]), wrong);
    check_piece_layers(&[length], root, Some(&[(&root, &longer)]), wrong);
    check_piece_layers(&[length], root, Some(&[(&root, b"")]), wrong);
    check_piece_layers(&[length], root, Some(&[(&root, &layer[..95])]), wrong);
    check_piece_layers(&[length], root, Some(&[(&root[..31], layer)]), wrong);
    check_piece_layers(&[length], [1; 32], Some(&[(&[1; 32], layer)]), wrong);
    // Of the root, but not as many pieces as one of the files.
    check_piece_layers(&[length, 4 * P], root, Some(&[(&root, layer)]), wrong);
    check_piece_layers(&[length, P + 1], root, Some(&[(&root, layer)]), wrong);
}

#[test]
fn mutated_metainfo_is_refused_or_consistent() {
    let mut chance = Xorshift::new(3);
    let mut accepted = 0;
    for round in 0..100_000 {
        let mut bytes = VECTORS[round % VECTORS.len()].1.to_vec();
        chance.mutate(&mut bytes);
        let Ok((metainfo, info)) = Metainfo::parse(&bytes) else { continue };
        accepted += 1;
        assert_eq!(Info::parse(&metainfo.info_bytes).as_ref(), Ok(&info));
        assert_eq!(Info::parse(&info.to_bytes()), Ok(info));
        assert_eq!(Metainfo::parse(&metainfo.to_bytes()).unwrap().0, metainfo);
    }
    assert!(accepted > 1000, "only {accepted} inputs were accepted: the test tests nothing");
}
