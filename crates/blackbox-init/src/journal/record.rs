//! Records of the kernel's log, which holds what init and its children say too.

use std::time::Duration;

use crate::lines::printable;

/// The kernel's priorities up to this one (warnings) tell of trouble.
const WARNING: u32 = 4;

/// What the kernel itself says has this facility.
const KERNEL: u32 = 0;

/// One record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// Since power-on.
    pub time: Duration,
    /// Whether it tells of trouble.
    pub is_warning: bool,
    /// One line, which says who speaks.
    pub text: String,
}

impl Record {
    /// Reads what one read of `/dev/kmsg` gives: priority, number, microseconds and flags, separated by commas; a semicolon;
    /// the text; and lines of properties, which are left out. `None` for anything else.
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        let split = bytes.iter().position(|byte| *byte == b';')?;
        let mut fields = std::str::from_utf8(&bytes[..split]).ok()?.split(',');
        let priority: u32 = fields.next()?.parse().ok()?;
        let time = Duration::from_micros(fields.nth(1)?.parse().ok()?);
        let text = bytes[split + 1..].split(|byte| *byte == b'\n').next()?;
        let text = printable(String::from_utf8_lossy(&unescape(text)).trim_end());
        // The lower three bits are the level.
        let speaker = if priority >> 3 == KERNEL { "kernel: " } else { "" };
        Some(Self { time, is_warning: priority & 7 <= WARNING, text: format!("{speaker}{text}") })
    }
}

/// Everything but printable ASCII is written as `\xHH`, and so is the backslash.
fn unescape(mut text: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(text.len());
    while let [first, rest @ ..] = text {
        let escaped = match rest {
            [b'x', high, low, ..] if *first == b'\\' => {
                let digit =
                    |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
                digit(*high).zip(digit(*low)).map(|(high, low)| high << 4 | low)
            }
            _ => None,
        };
        bytes.push(escaped.unwrap_or(*first));
        text = if escaped.is_some() { &rest[3..] } else { rest };
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(record: &[u8], expected: Option<(u64, bool, &str)>) {
        let parsed = Record::parse(record);
        let parsed = parsed
            .as_ref()
            .map(|it| (u64::try_from(it.time.as_micros()).unwrap(), it.is_warning, it.text.as_str()));
        assert_eq!(parsed, expected, "{}", String::from_utf8_lossy(record));
    }

    #[test]
    fn records_are_understood() {
        check(b"6,1,5140900,-;Linux version 6.1\n", Some((5_140_900, false, "kernel: Linux version 6.1")));
        check(
            b"4,339,7,-,caller=T1;ACPI: odd\n SUBSYSTEM=acpi\n DEVICE=+acpi:PNP0A03:00\n",
            Some((7, true, "kernel: ACPI: odd")),
        );
        check(b"14,2,0,-;init: ready\n", Some((0, false, "init: ready")));
        check(b"12,2,0,-;init: trouble", Some((0, true, "init: trouble")));
        // 8 is the facility and 6 the level, whatever else is in the line.
        check(b"14,3,0,-;init: a;b,c\n", Some((0, false, "init: a;b,c")));
        check(
            br"14,3,0,-;init: caf\xc3\xa9 \x1b[2J \x5cx \q \x4",
            Some((0, false, "init: café  [2J \\x \\q \\x4")),
        );
    }

    #[test]
    fn what_is_no_record_is_nothing() {
        for bytes in [&b""[..], b";", b"6,1;x", b"x,1,2,-;x", b"6,1,x,-;x", b"6,1,2,- x", b"\xff,1,2,-;x"] {
            check(bytes, None);
        }
    }
}
