use std::{fmt, num::NonZeroU64, str::FromStr};

use serde::{Deserialize, Deserializer, de};

/// A data rate in bytes per second, at least 1 KiB/s; written as `"8 MiB/s"`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ByteRate(NonZeroU64);

/// Slower than this the box could not answer a single block request within a client's patience.
const MIN: u64 = 1024;

/// Unit names and the number of bytes each stands for.
const UNITS: [(&str, u64); 7] = [
    ("B/s", 1),
    ("kB/s", 1_000),
    ("MB/s", 1_000_000),
    ("GB/s", 1_000_000_000),
    ("KiB/s", 1 << 10),
    ("MiB/s", 1 << 20),
    ("GiB/s", 1 << 30),
];

impl ByteRate {
    /// Bytes per second.
    pub fn bytes_per_second(self) -> u64 {
        self.0.get()
    }
}

impl FromStr for ByteRate {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let bad = || {
            format!("{text:?} is not a rate of at least 1 KiB/s; write it like \"8 MiB/s\" or \"500 kB/s\"")
        };
        let split = text.find(|c: char| !c.is_ascii_digit() && c != '.').ok_or_else(bad)?;
        let (number, unit) = text.split_at(split);
        let unit = UNITS.iter().find(|(name, _)| *name == unit.trim()).ok_or_else(bad)?.1;
        let number: f64 = number.parse().map_err(|_| bad())?;
        let bytes = number * unit as f64;
        // Above 2^53 a float no longer counts single bytes, and no link is that fast.
        if !(bytes >= MIN as f64 && bytes < (1_u64 << 53) as f64) {
            return Err(bad());
        }
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "between MIN and 2^53")]
        NonZeroU64::new(bytes as u64).map(Self).ok_or_else(bad)
    }
}

impl fmt::Display for ByteRate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bytes = self.bytes_per_second();
        let (name, unit) =
            UNITS.iter().rev().find(|(_, unit)| bytes.is_multiple_of(*unit)).unwrap_or(&UNITS[0]);
        write!(f, "{} {name}", bytes / unit)
    }
}

impl<'de> Deserialize<'de> for ByteRate {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_read_with_their_units() {
        for (text, bytes) in [
            ("8 MiB/s", 8 << 20),
            ("8MiB/s", 8 << 20),
            ("1.5 MB/s", 1_500_000),
            ("500 kB/s", 500_000),
            ("1 KiB/s", 1024),
            ("1 GB/s", 1_000_000_000),
        ] {
            assert_eq!(text.parse::<ByteRate>().unwrap().bytes_per_second(), bytes, "{text}");
        }
    }

    #[test]
    fn what_is_not_a_rate_is_refused() {
        for text in [
            "",
            "8",
            "MiB/s",
            "8 MiB",
            "8 Mb/s",
            "-1 MiB/s",
            "0 MiB/s",
            "1 B/s",
            "1.2.3 MB/s",
            "99999999999 GB/s",
            "8 mib/s",
        ] {
            assert!(text.parse::<ByteRate>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_rate_prints_as_it_would_be_written() {
        for text in ["8 MiB/s", "500 kB/s", "1 GB/s"] {
            assert_eq!(text.parse::<ByteRate>().unwrap().to_string(), text);
        }
    }
}
