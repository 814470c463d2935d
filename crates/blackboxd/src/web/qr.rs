//! QR codes, drawn as SVG that needs nothing from anywhere.

use std::fmt::Write;

use qrcode::{Color, EcLevel, QrCode};

/// White modules around a code (ISO/IEC 18004 asks for 4).
const QUIET: usize = 4;

/// An `svg` element with the code of `text`; `None` if it is too long for one. `label` says what it is and is escaped here.
pub(super) fn svg(text: &str, label: &str) -> Option<String> {
    let code = QrCode::with_error_correction_level(text, EcLevel::L).ok()?;
    let (width, modules) = (code.width(), code.to_colors());
    let size = width + 2 * QUIET;
    let label = askama::filters::escape(label, askama::filters::Html).ok()?;
    let mut svg = format!(
        "<svg class=\"qr\" xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {size} {size}\" role=\"img\" \
         aria-label=\"{label}\" shape-rendering=\"crispEdges\"><path fill=\"#fff\" d=\"M0 0h{size}v{size}H0z\"/>\
         <path fill=\"#000\" d=\""
    );
    for (y, row) in modules.chunks(width).enumerate() {
        let mut x = 0;
        for run in row.chunk_by(PartialEq::eq) {
            if run[0] == Color::Dark {
                let length = run.len();
                let _ = write!(svg, "M{} {}h{length}v1h-{length}z", x + QUIET, y + QUIET);
            }
            x += run.len();
        }
    }
    svg.push_str("\"/></svg>");
    Some(svg)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_drawn_are_the_modules_of_the_code() {
        let text = "magnet:?xt=urn:btih:0123456789012345678901234567890123456789";
        let code = QrCode::with_error_correction_level(text, EcLevel::L).unwrap();
        let svg = svg(text, "a <b>").unwrap();
        assert!(svg.contains("aria-label=\"a &#60;b&#62;\""), "{svg}");
        let path = svg.rsplit("d=\"").next().unwrap();
        let runs = path.split('M').skip(1).map(|run| {
            let (at, rest) = run.split_once('h').unwrap();
            let (x, y) = at.split_once(' ').unwrap();
            let length = rest.split('v').next().unwrap();
            [x, y, length].map(|number| number.parse::<usize>().unwrap())
        });
        let mut drawn = vec![Color::Light; code.width() * code.width()];
        for [x, y, length] in runs {
            let from = (y - QUIET) * code.width() + x - QUIET;
            drawn[from..from + length].fill(Color::Dark);
        }
        assert_eq!(drawn, code.to_colors());
    }

    #[test]
    fn what_is_too_long_has_none() {
        assert_eq!(svg(&"x".repeat(3000), ""), None);
    }
}
