//! Figures as people say them.

use std::time::Duration;

/// Bytes in decimal units, as disks and downloads are sold: `512 bytes`, `4.7 GB`.
pub fn bytes(bytes: u64) -> String {
    const UNITS: [&str; 6] = ["kB", "MB", "GB", "TB", "PB", "EB"];
    if bytes < 1000 {
        return if bytes == 1 { "1 byte".into() } else { format!("{bytes} bytes") };
    }
    let mut value = bytes as f64 / 1000.0;
    let mut unit = 0;
    // From 999.95 on one decimal would round to 1000.0.
    while value >= 999.95 && unit + 1 < UNITS.len() {
        value /= 1000.0;
        unit += 1;
    }
    format!("{value:.1} {}", UNITS[unit])
}

/// `1 file`, `2 files`.
pub fn count(number: u64, one: &str, many: &str) -> String {
    format!("{number} {}", if number == 1 { one } else { many })
}

/// A part from 0 to 1 in whole per cent; 100 only when nothing is left.
pub fn percent(part: f64) -> u8 {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "between 0 and 100")]
    let percent = (part.clamp(0.0, 1.0) * 100.0) as u8;
    percent
}

/// The two largest units of a time: `3 days 4 hours`, `12 seconds`.
pub fn duration(duration: Duration) -> String {
    const UNITS: [(u64, &str, &str); 4] = [
        (86_400, "day", "days"),
        (3_600, "hour", "hours"),
        (60, "minute", "minutes"),
        (1, "second", "seconds"),
    ];
    let seconds = duration.as_secs();
    let largest = UNITS.iter().position(|unit| seconds >= unit.0).unwrap_or(UNITS.len() - 1);
    let mut rest = seconds;
    let mut words = Vec::new();
    for (size, one, many) in UNITS.iter().skip(largest).take(2) {
        let number = rest / size;
        rest %= size;
        if number > 0 || words.is_empty() {
            words.push(count(number, one, many));
        }
    }
    words.join(" ")
}

/// A reason as a sentence: with a capital letter, unless it begins with the name of a file, and a full stop.
pub fn sentence(reason: &str) -> String {
    let reason = reason.trim();
    let stop = if reason.ends_with(['.', '!', '?']) { "" } else { "." };
    let first = reason.split([' ', ':']).next().unwrap_or_default();
    if first.trim_end_matches('.').contains('.') {
        return format!("{reason}{stop}");
    }
    let mut rest = reason.chars();
    let first = rest.next().into_iter().flat_map(char::to_uppercase);
    format!("{}{}{stop}", first.collect::<String>(), rest.as_str())
}

/// How a swarm is doing; `seeders` includes the box.
pub fn swarm(seeders: u32, leechers: u32) -> String {
    let have = match seeders.saturating_sub(1) {
        0 => "This box has all of it".to_owned(),
        1 => "This box and 1 other have all of it".to_owned(),
        others => format!("This box and {others} others have all of it"),
    };
    match leechers {
        0 => format!("{have}; nobody is downloading right now."),
        1 => format!("{have}; 1 is downloading."),
        _ => format!("{have}; {leechers} are downloading."),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_said_in_decimal_units() {
        for (number, words) in [
            (0, "0 bytes"),
            (1, "1 byte"),
            (999, "999 bytes"),
            (1000, "1.0 kB"),
            (999_949, "999.9 kB"),
            (999_950, "1.0 MB"),
            (4_700_000_000, "4.7 GB"),
            (u64::MAX, "18.4 EB"),
        ] {
            assert_eq!(bytes(number), words);
        }
    }

    #[test]
    fn a_hundred_per_cent_means_done() {
        for (part, words) in
            [(0.0, 0), (0.005, 0), (0.5, 50), (0.9999, 99), (1.0, 100), (2.0, 100), (f64::NAN, 0)]
        {
            assert_eq!(percent(part), words, "{part}");
        }
    }

    #[test]
    fn times_are_said_in_two_units() {
        for (seconds, words) in [
            (0, "0 seconds"),
            (1, "1 second"),
            (59, "59 seconds"),
            (60, "1 minute"),
            (3_661, "1 hour 1 minute"),
            (86_400, "1 day"),
            (86_459, "1 day"),
            (190_000, "2 days 4 hours"),
        ] {
            assert_eq!(duration(Duration::from_secs(seconds)), words);
        }
    }

    #[test]
    fn reasons_become_sentences() {
        for (reason, words) in [
            ("it is empty; put files in", "It is empty; put files in."),
            ("Done.", "Done."),
            ("\u{fc}ber", "\u{dc}ber."),
            ("\"x\" is odd ", "\"x\" is odd."),
        ] {
            assert_eq!(sentence(reason), words);
        }
    }

    #[test]
    fn a_swarm_is_said_in_a_sentence() {
        for (seeders, leechers, words) in [
            (1, 0, "This box has all of it; nobody is downloading right now."),
            (2, 1, "This box and 1 other have all of it; 1 is downloading."),
            (13, 5, "This box and 12 others have all of it; 5 are downloading."),
        ] {
            assert_eq!(swarm(seeders, leechers), words);
        }
    }
}
