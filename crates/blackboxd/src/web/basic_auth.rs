//! The password of HTTP Basic authentication (RFC 7617).

/// Whether an `Authorization` field holds `password`, with whatever user name. The time taken tells nothing about how
/// much of it was right.
pub(super) fn is_password(field: &[u8], password: &str) -> bool {
    presented(field).is_some_and(|presented| same(&presented, password.as_bytes()))
}

/// The password in `Basic base64(user:password)`.
pub(super) fn presented(field: &[u8]) -> Option<Vec<u8>> {
    let (scheme, encoded) = field.split_at_checked(6)?;
    if !scheme.eq_ignore_ascii_case(b"basic ") {
        return None;
    }
    let mut credentials = base64(encoded.trim_ascii())?;
    let colon = credentials.iter().position(|byte| *byte == b':')?;
    Some(credentials.split_off(colon + 1))
}

/// Standard alphabet, padded or not (RFC 4648, section 4).
fn base64(text: &[u8]) -> Option<Vec<u8>> {
    let text = text.strip_suffix(b"==").or_else(|| text.strip_suffix(b"=")).unwrap_or(text);
    let mut bytes = Vec::with_capacity(text.len() / 4 * 3 + 2);
    for group in text.chunks(4) {
        let mut bits: u32 = 0;
        for digit in group {
            bits = bits << 6 | sextet(*digit)?;
        }
        match group.len() {
            4 => bytes.extend_from_slice(&bits.to_be_bytes()[1..]),
            3 => bytes.extend_from_slice(&(bits << 6).to_be_bytes()[1..3]),
            2 => bytes.extend_from_slice(&(bits << 12).to_be_bytes()[1..2]),
            _ => return None,
        }
    }
    Some(bytes)
}

fn sextet(digit: u8) -> Option<u32> {
    Some(match digit {
        b'A'..=b'Z' => u32::from(digit - b'A'),
        b'a'..=b'z' => u32::from(digit - b'a') + 26,
        b'0'..=b'9' => u32::from(digit - b'0') + 52,
        b'+' => 62,
        b'/' => 63,
        _ => return None,
    })
}

/// Compares in a time that depends on the length of `presented` only.
fn same(presented: &[u8], expected: &[u8]) -> bool {
    let mut difference = u8::from(presented.len() != expected.len());
    for (index, byte) in presented.iter().enumerate() {
        // A guess that is too long meets zeros; it differs in length anyhow.
        difference |= byte ^ expected.get(index).copied().unwrap_or(0);
    }
    std::hint::black_box(difference) == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_is_read_with_every_padding() {
        // The vectors of RFC 4648, section 10.
        for (text, expected) in [
            ("", Some("")),
            ("Zg==", Some("f")),
            ("Zm8=", Some("fo")),
            ("Zm9v", Some("foo")),
            ("Zm9vYg==", Some("foob")),
            ("Zm9vYmE=", Some("fooba")),
            ("Zm9vYmFy", Some("foobar")),
            ("Zm9vYmE", Some("fooba")),
            ("Z", None),
            ("Zm9v!A==", None),
            ("Z=9v", None),
        ] {
            assert_eq!(base64(text.as_bytes()).as_deref(), expected.map(str::as_bytes), "{text}");
        }
    }

    #[test]
    fn only_the_password_opens() {
        // admin:geheim, :geheim, geheim, admin:geheim2, admin:gehei, admin:, a:b:c
        for (field, password, opens) in [
            ("Basic YWRtaW46Z2VoZWlt", "geheim", true),
            ("basic  YWRtaW46Z2VoZWlt ", "geheim", true),
            ("Basic OmdlaGVpbQ==", "geheim", true),
            ("Basic Z2VoZWlt", "geheim", false),
            ("Basic YWRtaW46Z2VoZWltMg==", "geheim", false),
            ("Basic YWRtaW46Z2VoZWk=", "geheim", false),
            ("Basic YWRtaW46", "geheim", false),
            ("Basic YTpiOmM=", "b:c", true),
            ("Bearer YWRtaW46Z2VoZWlt", "geheim", false),
            ("Basic", "geheim", false),
            ("", "geheim", false),
        ] {
            assert_eq!(is_password(field.as_bytes(), password), opens, "{field}");
        }
    }
}
