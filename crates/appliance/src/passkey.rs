//! A member's passkey, as it is configured.

use std::fmt;

use serde::{Deserialize, Deserializer, de};

/// Shortest passkey (bytes): 16 characters of base 32 hold 80 bits.
pub const MIN_PASSKEY: usize = 16;

/// Longest passkey (bytes): it must fit into announce URLs.
pub const MAX_PASSKEY: usize = 64;

/// A well-formed passkey. A secret: neither `Debug` nor an error shows it.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Passkey(String);

impl Passkey {
    /// The key, for the URLs of its member.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Passkey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Passkey(..)")
    }
}

impl<'de> Deserialize<'de> for Passkey {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        // By way of any value: an error about a key without its quotes would show it.
        let value = toml::Value::deserialize(deserializer)?;
        let key = value.as_str().ok_or_else(|| de::Error::custom("a passkey must be written in quotes"))?;
        let plain = key.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_');
        if key.len() < MIN_PASSKEY || key.len() > MAX_PASSKEY || !plain {
            return Err(de::Error::custom(format!(
                "a passkey must be {MIN_PASSKEY} to {MAX_PASSKEY} letters, digits, - or _"
            )));
        }
        Ok(Self(key.to_owned()))
    }
}
