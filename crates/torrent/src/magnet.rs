//! Magnet links (BEP 9, BEP 52): the names of a torrent and where to ask for its metainfo.

use std::fmt;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use crate::ids::InfoHashes;

/// Everything but RFC 3986's unreserved characters: encoded so, a value is safe in any link, whatever it holds.
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// A magnet link; its `Display` is the link.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Magnet {
    /// `xt`: which torrent; of a hybrid one both.
    pub info_hashes: InfoHashes,
    /// `dn`: what clients show until they have the metainfo.
    pub name: String,
    /// `xl`: bytes of content.
    pub length: Option<u64>,
    /// `tr`: announce URLs.
    pub trackers: Vec<String>,
    /// `ws`: web seeds.
    pub web_seeds: Vec<String>,
}

impl fmt::Display for Magnet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("magnet:?")?;
        if let Some(info_hash) = self.info_hashes.v1() {
            write!(f, "xt=urn:btih:{info_hash}&")?;
        }
        if let Some(info_hash) = self.info_hashes.v2() {
            // As a multihash: 0x12 is SHA-256, 0x20 its length.
            write!(f, "xt=urn:btmh:1220{info_hash}&")?;
        }
        write!(f, "dn={}", utf8_percent_encode(&self.name, ENCODED))?;
        if let Some(length) = self.length {
            write!(f, "&xl={length}")?;
        }
        for tracker in &self.trackers {
            write!(f, "&tr={}", utf8_percent_encode(tracker, ENCODED))?;
        }
        for web_seed in &self.web_seeds {
            write!(f, "&ws={}", utf8_percent_encode(web_seed, ENCODED))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::{InfoHash, InfoHashV2};

    #[track_caller]
    fn check(name: &str, length: Option<u64>, trackers: &[&str], web_seeds: &[&str], want: &str) {
        let owned = |urls: &[&str]| urls.iter().map(|&url| url.to_owned()).collect();
        let magnet = Magnet {
            info_hashes: InfoHashes::V1(InfoHash([0xab; 20])),
            name: name.to_owned(),
            length,
            trackers: owned(trackers),
            web_seeds: owned(web_seeds),
        };
        let rest = magnet.to_string();
        let rest = rest.strip_prefix("magnet:?xt=urn:btih:abababababababababababababababababababab").unwrap();
        assert_eq!(rest, want);
    }

    #[test]
    fn links() {
        check("DISC_1", None, &[], &[], "&dn=DISC_1");
        check("a.iso", Some(0), &[], &[], "&dn=a.iso&xl=0");
        check(
            "a",
            Some(4_700_000_000),
            &["http://box.example:6969/announce", "udp://[2001:db8::1]:6969"],
            &["http://box.example/files/"],
            "&dn=a&xl=4700000000&tr=http%3A%2F%2Fbox.example%3A6969%2Fannounce\
             &tr=udp%3A%2F%2F%5B2001%3Adb8%3A%3A1%5D%3A6969&ws=http%3A%2F%2Fbox.example%2Ffiles%2F",
        );
    }

    #[test]
    fn each_version_has_its_own_topic() {
        let (v1, v2) = (InfoHash([0xab; 20]), InfoHashV2([0xcd; 32]));
        let check = |info_hashes, want: &str| {
            let (trackers, web_seeds) = (Vec::new(), Vec::new());
            let magnet = Magnet { info_hashes, name: "a".into(), length: None, trackers, web_seeds };
            assert_eq!(magnet.to_string(), want);
        };
        let btih = "xt=urn:btih:abababababababababababababababababababab";
        let btmh = "xt=urn:btmh:1220cdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcd";
        check(InfoHashes::V1(v1), &format!("magnet:?{btih}&dn=a"));
        check(InfoHashes::V2(v2), &format!("magnet:?{btmh}&dn=a"));
        check(InfoHashes::Hybrid(v1, v2), &format!("magnet:?{btih}&{btmh}&dn=a"));
    }

    #[test]
    fn no_name_breaks_out_of_its_parameter() {
        check("a&tr=x#?", None, &[], &[], "&dn=a%26tr%3Dx%23%3F");
        check("50% + \"ü\" <b>'\n~", None, &[], &[], "&dn=50%25%20%2B%20%22%C3%BC%22%20%3Cb%3E%27%0A~");
    }
}
