//! A QR code made of the characters that every console's font has. Pure.

use qrcodegen::{QrCode, QrCodeEcc};

/// Modules of light around the code: half of what the standard asks for, which is enough on a dark screen.
const MARGIN: i32 = 2;

/// Most modules of a code on a side: what does not fit beside a text of 49 characters is not shown.
const MAX_SIZE: i32 = 25;

/// The code for a text as lines of equal width, two rows of modules in each; `None` when it would be too large.
pub fn lines(text: &str) -> Option<Vec<String>> {
    let code = QrCode::encode_text(text, QrCodeEcc::Low).ok().filter(|code| code.size() <= MAX_SIZE)?;
    // Outside of the code everything is light.
    let range = -MARGIN..code.size() + MARGIN;
    let line = |y: i32| {
        let of = |x| match (code.get_module(x, y), code.get_module(x, y + 1)) {
            // The screen is dark by itself.
            (true, true) => ' ',
            (true, false) => '▄',
            (false, true) => '▀',
            (false, false) => '█',
        };
        range.clone().map(of).collect()
    };
    Some(range.clone().step_by(2).map(line).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_fits_and_a_novel_does_not() {
        let lines = lines("http://192.168.178.123/").unwrap();
        assert_eq!(lines.len(), 15);
        assert!(lines.iter().all(|line| line.chars().count() == 29));
        // The corner of the first of three squares.
        assert_eq!(lines[1].chars().take(9).collect::<String>(), "██ ▄▄▄▄▄ ");
        assert!(lines[0].chars().all(|c| c == '█'));
        assert_eq!(super::lines(&"x".repeat(60)), None);
    }
}
