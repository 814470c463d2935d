//! The options behind a UDP announce (BEP 41): the path and query of its URL, in which members have their passkey.

use crate::members::{MAX_PASSKEY, Passkey};

const END_OF_OPTIONS: u8 = 0;
const NOP: u8 = 1;
const URL_DATA: u8 = 2;

/// Where announces go, as over HTTP.
const ANNOUNCE: &str = "/announce";

/// Longest path (bytes) with a passkey in it.
const MAX_PATH: usize = 1 + MAX_PASSKEY + ANNOUNCE.len();

/// The passkey in a path like `/KEY/announce`; `None` if there is none. Options that can't be read end those before them.
pub(super) fn passkey(options: &[u8]) -> Option<Passkey> {
    let mut url = [0; MAX_PATH];
    let mut length = 0;
    // Long URLs come in parts. What is beyond the longest path can at most be a query.
    for byte in url_data(options) {
        match url.get_mut(length) {
            Some(place) if byte != b'?' => *place = byte,
            Some(_) => break,
            None if byte == b'?' => break,
            None => return None,
        }
        length += 1;
    }
    match Passkey::before(std::str::from_utf8(&url[..length]).ok()?) {
        (Some(passkey), ANNOUNCE) => Some(passkey),
        _ => None,
    }
}

/// The bytes of all parts of the URL, in order.
fn url_data(mut options: &[u8]) -> impl Iterator<Item = u8> {
    let next = move || {
        loop {
            let (option, rest) = options.split_first()?;
            options = rest;
            match *option {
                END_OF_OPTIONS => return None,
                NOP => {}
                other => {
                    let (length, rest) = rest.split_first()?;
                    let (data, rest) = rest.split_at_checked(usize::from(*length))?;
                    options = rest;
                    if other == URL_DATA {
                        return Some(data);
                    }
                }
            }
        }
    };
    std::iter::from_fn(next).flatten().copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "AAAABBBBCCCCDDDD";

    fn url(text: &str) -> Vec<u8> {
        [&[URL_DATA, u8::try_from(text.len()).unwrap()], text.as_bytes()].concat()
    }

    #[test]
    fn a_key_is_found_where_clients_put_it() {
        let long = "k".repeat(MAX_PASSKEY);
        for (name, options, found) in [
            ("libtorrent", url("/AAAABBBBCCCCDDDD/announce"), Some(KEY)),
            ("with a query", url("/AAAABBBBCCCCDDDD/announce?a=b"), Some(KEY)),
            (
                "in parts",
                [url("/AAAABBBB"), vec![NOP], url(""), url("CCCCDDDD/announce")].concat(),
                Some(KEY),
            ),
            (
                "unknown options",
                [vec![77, 3, 2, 2, 2, NOP], url("/AAAABBBBCCCCDDDD/announce")].concat(),
                Some(KEY),
            ),
            ("then the end", [url("/AAAABBBBCCCCDDDD/announce"), vec![0, 2, 9]].concat(), Some(KEY)),
            ("the longest", url(&format!("/{long}/announce")), Some(&*long)),
            ("the longest, with a query", url(&format!("/{long}/announce?{long}")), Some(&*long)),
            ("too long", url(&format!("/{long}k/announce")), None),
            ("after the end", [vec![0], url("/AAAABBBBCCCCDDDD/announce")].concat(), None),
            ("no key", url("/announce"), None),
            ("elsewhere", url("/AAAABBBBCCCCDDDD/scrape"), None),
            ("in the query", url("/announce?passkey=AAAABBBBCCCCDDDD"), None),
            ("more than announce", url("/AAAABBBBCCCCDDDD/announcement"), None),
            ("cut short", url("/AAAABBBBCCCCDDDD/announce")[..20].to_vec(), None),
            ("no length", vec![URL_DATA], None),
            ("nothing", vec![], None),
        ] {
            let found = found.and_then(|key| Passkey::parse(key.as_bytes()));
            assert_eq!(passkey(&options), found, "{name}");
        }
    }

    #[test]
    fn no_options_panic() {
        let mut random = crate::testing::random(3);
        for length in 0..400 {
            // Many are option codes and small lengths.
            let options: Vec<u8> = (0..length).map(|_| random().to_le_bytes()[0] >> (random() % 8)).collect();
            let _ = passkey(&options);
        }
    }
}
