//! Metainfo as other programs write it, and metainfo that nobody should write.

use super::*;
use crate::info::{File, Hashes, Mode};
use crate::xorshift::Xorshift;
use crate::{FilePath, PieceHasher};

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

    /// Makes the info dictionary from the files.
    fn info(&self) -> Info {
        let mut hasher = PieceHasher::new(self.piece_length);
        let mut files = Vec::new();
        for file in self.lines("file") {
            let (length, path) = (file[0].parse().unwrap(), file[1]);
            hasher.update(&content(path, length));
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
        Info {
            name: self.item.to_owned(),
            piece_length: self.piece_length,
            mode,
            hashes: Hashes::V1 { pieces: hasher.finish().into_flattened() },
            private: self.lines("private").count() > 0,
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
        let info = origin.info();
        assert_eq!(parsed, info, "{name}");
        assert_eq!(info.to_bytes(), metainfo.info_bytes, "{name}");
        let info_hash = origin.lines("info-hash").next().unwrap()[0];
        assert_eq!(InfoHash::of(&info.to_bytes()).to_string(), info_hash, "{name}");
        assert_eq!(metainfo.info_hash().to_string(), info_hash, "{name}");
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
    let written = Metainfo {
        announce: vec![owned(&["http://a/", "http://b/"]), owned(&["udp://c:1"])],
        web_seeds: owned(&["http://a/files/", "http://b/files/"]),
        comment: Some("ü".into()),
        created_by: Some("black box".into()),
        creation_date: Some(1_700_000_000),
        ..Metainfo::new(Origin::all()[0].info().to_bytes())
    };
    let bytes = written.to_bytes();
    let (read, info) = Metainfo::parse(&bytes).unwrap();
    assert_eq!((read, info), (written, Origin::all()[0].info()));
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
    check("", "8:url-listi1e", "`url-list` is wrong");
    check("", "8:url-listd1:a1:be", "`url-list` is wrong");
    check("", "1:a1:b", "bad bencode at byte 57: keys are not sorted");
    assert_eq!(Metainfo::parse(b"le"), Err(MetainfoError::NotADictionary));
    assert_eq!(Metainfo::parse(b"de"), Err(MetainfoError::Info(InfoError::NotADictionary)));
    assert_eq!(Metainfo::parse(b"d4:infolee"), Err(MetainfoError::Info(InfoError::NotADictionary)));
    assert_eq!(Metainfo::parse(b"d8:announce1:\xff4:infodee"), Err(MetainfoError::Key("announce")));
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
