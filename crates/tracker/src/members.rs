//! Who is a member: passkeys, the secrets in members' announce URLs.

use std::fmt;
use std::hint::black_box;

use siphasher::sip128::SipHasher24;

/// Shortest passkey (bytes): 16 characters of base 32 hold 80 bits. Also tells keys from all other first names in a path.
pub const MIN_PASSKEY: usize = 16;

/// Longest passkey (bytes).
pub const MAX_PASSKEY: usize = 64;

/// What somebody shows as a passkey: of the form of one, whether or not it is any member's. It is a secret: it is not shown
/// by `Debug`, and is compared by [`Members`] alone (that it can be compared at all is for tests).
#[derive(Clone, PartialEq, Eq)]
pub struct Passkey(Box<str>);

impl Passkey {
    /// Letters, digits, `-` and `_`, [`MIN_PASSKEY`] to [`MAX_PASSKEY`] of them; `None` for anything else.
    pub fn parse(text: &[u8]) -> Option<Self> {
        let is_plain = text.iter().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(byte));
        let is_key = is_plain && (MIN_PASSKEY..=MAX_PASSKEY).contains(&text.len());
        std::str::from_utf8(text).ok().filter(|_| is_key).map(|key| Self(key.into()))
    }

    /// Takes the passkey off a path: `/KEY/announce` is the key and `/announce`. A path without one is returned as it is.
    pub fn before(path: &str) -> (Option<Self>, &str) {
        let split = path.strip_prefix('/').and_then(|rest| rest.split_at_checked(rest.find('/')?));
        let found = split.and_then(|(first, rest)| Some((Self::parse(first.as_bytes())?, rest)));
        found.map_or((None, path), |(key, rest)| (Some(key), rest))
    }
}

impl fmt::Debug for Passkey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Passkey(..)")
    }
}

/// A member: its place in the order in which the passkeys were given to [`Members::new`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MemberId(pub usize);

/// All members.
///
/// Keys are hashed before they are compared, by SipHash-2-4 (128 bits) with a key of our own, and always with all members':
/// the time that takes tells nothing of how much of a guess was right, nor whose key it is.
#[derive(Clone)]
pub struct Members {
    hash: SipHasher24,
    hashes: Vec<u128>,
}

impl Members {
    /// Members with these passkeys, no two of which are the same. `key` is secret and random, and may be another at each start.
    pub fn new<'a>(passkeys: impl IntoIterator<Item = &'a str>, key: &[u8; 16]) -> Self {
        let hash = SipHasher24::new_with_key(key);
        let hashes = passkeys.into_iter().map(|passkey| hashed(&hash, passkey)).collect();
        Self { hash, hashes }
    }

    /// The member whose passkey this is; `None` for a key that opens nothing (any more).
    pub fn find(&self, passkey: &Passkey) -> Option<MemberId> {
        let shown = hashed(&self.hash, &passkey.0);
        let found = self.hashes.iter().zip(1..).fold(0, |found, (known, number): (&u128, usize)| {
            found | (number * usize::from(black_box(shown ^ known) == 0))
        });
        found.checked_sub(1).map(MemberId)
    }
}

impl fmt::Debug for Members {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Members({})", self.hashes.len())
    }
}

fn hashed(hash: &SipHasher24, passkey: &str) -> u128 {
    hash.hash(passkey.as_bytes()).as_u128()
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEYS: [&str; 3] = ["AAAABBBBCCCCDDDD", "AAAABBBBCCCCDDDE", "aaaabbbbccccdddd-_0123456789"];

    fn key(text: &str) -> Passkey {
        Passkey::parse(text.as_bytes()).unwrap()
    }

    #[test]
    fn a_key_is_its_members_and_nobody_elses() {
        let members = Members::new(KEYS, &[1; 16]);
        for (number, text) in KEYS.into_iter().enumerate() {
            assert_eq!(members.find(&key(text)), Some(MemberId(number)));
        }
        for wrong in
            ["AAAABBBBCCCCDDDF", "aaaabbbbccccdddd", "AAAABBBBCCCCDDDDD", "AAAABBBBCCCCDDDD-_0123456789"]
        {
            assert_eq!(members.find(&key(wrong)), None, "{wrong}");
        }
        assert_eq!(Members::new([], &[1; 16]).find(&key(KEYS[0])), None);
        assert_eq!(Members::new([KEYS[1]], &[1; 16]).find(&key(KEYS[0])), None, "who was removed");
    }

    #[test]
    fn keys_stand_before_paths() {
        let longest = "k".repeat(MAX_PASSKEY);
        for (path, found, rest) in [
            ("/AAAABBBBCCCCDDDD/announce", Some("AAAABBBBCCCCDDDD"), "/announce"),
            ("/AAAABBBBCCCCDDDD/", Some("AAAABBBBCCCCDDDD"), "/"),
            ("/AAAABBBBCCCCDDDD/AAAABBBBCCCCDDDD/x", Some("AAAABBBBCCCCDDDD"), "/AAAABBBBCCCCDDDD/x"),
            (&format!("/{longest}/files/a"), Some(&*longest), "/files/a"),
            (&format!("/{longest}k/files/a"), None, &format!("/{longest}k/files/a")),
            ("/AAAABBBBCCCCDDDD", None, "/AAAABBBBCCCCDDDD"),
            ("/AAAABBBBCCCCDDD/announce", None, "/AAAABBBBCCCCDDD/announce"),
            ("/AAAABBBBCCCCDDD%41/announce", None, "/AAAABBBBCCCCDDD%41/announce"),
            ("//AAAABBBBCCCCDDDD/announce", None, "//AAAABBBBCCCCDDDD/announce"),
            ("AAAABBBBCCCCDDDD/announce", None, "AAAABBBBCCCCDDDD/announce"),
            ("/announce", None, "/announce"),
            ("/files/AAAABBBBCCCCDDDD/x", None, "/files/AAAABBBBCCCCDDDD/x"),
            ("", None, ""),
            ("/", None, "/"),
        ] {
            assert_eq!(Passkey::before(path), (found.map(key), rest), "{path}");
        }
    }

    #[test]
    fn secrets_are_not_shown() {
        let shown = format!("{:?} {:?}", key(KEYS[0]), Members::new(KEYS, &[1; 16]));
        assert!(!KEYS.iter().any(|key| shown.contains(&key[..4])), "{shown}");
    }
}
