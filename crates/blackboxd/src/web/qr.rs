//! QR codes, drawn as SVG that needs nothing from anywhere.

use std::fmt::Write;

use qrcodegen::{QrCode, QrCodeEcc};

/// White modules around a code (ISO/IEC 18004 asks for 4).
const QUIET: usize = 4;

/// An `svg` element with the code of `text`; `None` if it is too long for one. `label` says what it is and is escaped here.
pub(super) fn svg(text: &str, label: &str) -> Option<String> {
    let rows = rows(&QrCode::encode_text(text, QrCodeEcc::Low).ok()?);
    let size = rows.len() + 2 * QUIET;
    let label = askama::filters::escape(label, askama::filters::Html).ok()?;
    let mut svg = format!(
        "<svg class=\"qr\" xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {size} {size}\" role=\"img\" \
         aria-label=\"{label}\" shape-rendering=\"crispEdges\"><path fill=\"#fff\" d=\"M0 0h{size}v{size}H0z\"/>\
         <path fill=\"#000\" d=\""
    );
    for (y, row) in rows.iter().enumerate() {
        let mut x = 0;
        for run in row.chunk_by(PartialEq::eq) {
            if run[0] {
                let length = run.len();
                let _ = write!(svg, "M{} {}h{length}v1h-{length}z", x + QUIET, y + QUIET);
            }
            x += run.len();
        }
    }
    svg.push_str("\"/></svg>");
    Some(svg)
}

/// Its modules; true is dark.
fn rows(code: &QrCode) -> Vec<Vec<bool>> {
    (0..code.size()).map(|y| (0..code.size()).map(|x| code.get_module(x, y)).collect()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_drawn_are_the_modules_of_the_code() {
        let text = "magnet:?xt=urn:btih:0123456789012345678901234567890123456789";
        let expected = rows(&QrCode::encode_text(text, QrCodeEcc::Low).unwrap());
        let svg = svg(text, "a <b>").unwrap();
        assert!(svg.contains("aria-label=\"a &#60;b&#62;\""), "{svg}");
        let path = svg.rsplit("d=\"").next().unwrap();
        let mut drawn = vec![vec![false; expected.len()]; expected.len()];
        for run in path.split('M').skip(1) {
            let (at, rest) = run.split_once('h').unwrap();
            let (x, y) = at.split_once(' ').unwrap();
            let length = rest.split('v').next().unwrap();
            let [x, y, length] = [x, y, length].map(|number| number.parse::<usize>().unwrap());
            drawn[y - QUIET][x - QUIET..][..length].fill(true);
        }
        assert_eq!(drawn, expected);
    }

    #[test]
    fn what_is_too_long_has_none() {
        assert_eq!(svg(&"x".repeat(3000), ""), None);
    }
}
