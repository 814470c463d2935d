//! What the screen and the serial console show. Pure: state in, lines out.

use std::net::IpAddr;

use crate::lines::printable;
use crate::qr;

/// What the box is called.
pub const NAME: &str = "P2P Black Box";

/// The version that this program was built as.
pub const BUILT_AS: &str = env!("CARGO_PKG_VERSION");

/// Longest line (characters): what an 80-column console shows without wrapping.
const WIDTH: usize = 79;

/// Most lines on the screen: one less than the smallest has.
const HEIGHT: usize = 24;

/// Most problems shown; the page has them all.
const MAX_PROBLEMS: usize = 6;

/// Everything that is shown.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct View {
    /// Version of the system.
    pub version: String,
    /// The name by which the box is found in its networks, if it has one.
    pub name: Option<String>,
    /// Addresses of the box.
    pub addresses: Vec<IpAddr>,
    /// Port of the page, once the daemon has told.
    pub web_port: Option<u16>,
    /// Items that can be downloaded now.
    pub seeding: usize,
    /// Work going on.
    pub activity: Option<String>,
    /// Who downloads and how much was given away; changes all the time.
    pub traffic: String,
    /// What is wrong.
    pub problems: Vec<String>,
}

impl View {
    /// The lines, from the name down to the problems.
    pub fn render(&self) -> Vec<String> {
        self.lines(WIDTH)
    }

    /// The lines with a QR code of the page's address beside them: for phones.
    pub fn screen(&self) -> Vec<String> {
        let code = self.code();
        let beside = code.first().map_or(0, |line| line.chars().count() + 1);
        let mut lines = self.lines(WIDTH - beside);
        if lines.len() > HEIGHT {
            lines.truncate(HEIGHT - 1);
            lines.push("! and more; see the page".into());
        }
        lines.resize(lines.len().max(code.len()), String::new());
        for (line, code) in lines.iter_mut().zip(code) {
            *line = format!("{line:0$}{code}", WIDTH - beside + 1);
        }
        lines
    }

    /// The QR code of the page's address; no lines if there is none.
    pub fn code(&self) -> Vec<String> {
        self.urls().first().and_then(|url| qr::lines(url)).unwrap_or_default()
    }

    fn lines(&self, width: usize) -> Vec<String> {
        let mut urls = self.urls().into_iter();
        let first = urls.next().unwrap_or_else(|| "(no network yet)".into());
        let mut lines = vec![format!("{NAME}  {first}")];
        // A long address has a line of its own, or its end would be missing.
        lines.extend(urls.map(|url| {
            let indent = if NAME.len() + 2 + url.chars().count() <= width { NAME.len() + 2 } else { 0 };
            format!("{:indent$}{url}", "")
        }));
        lines.push(format!("Version {}", self.version));
        lines.push(match (self.web_port, self.seeding) {
            (None, _) => "The publishing service is starting.".into(),
            (Some(_), 0) => "Nothing is published yet: insert a disc.".into(),
            (Some(_), 1) => "1 item is published.".into(),
            (Some(_), n) => format!("{n} items are published."),
        });
        if self.web_port.is_some() && !self.traffic.is_empty() {
            lines.extend(wrap(&self.traffic, width));
        }
        if let Some(activity) = &self.activity {
            lines.extend(wrap(activity, width));
        }
        for problem in self.problems.iter().take(MAX_PROBLEMS) {
            lines.extend(wrap(&format!("! {problem}"), width));
        }
        if let Some(more @ 1..) = self.problems.len().checked_sub(MAX_PROBLEMS) {
            lines.push(format!("! and {more} more; see the page"));
        }
        lines.iter().map(|line| printable(line).chars().take(width).collect()).collect()
    }

    /// The page's address on each network, IPv4 first as people type it, and by name.
    fn urls(&self) -> Vec<String> {
        let port = match self.web_port {
            None | Some(80) => String::new(),
            Some(port) => format!(":{port}"),
        };
        let mut addresses = self.addresses.clone();
        addresses.sort_by_key(IpAddr::is_ipv6);
        let mut urls: Vec<_> = addresses
            .iter()
            .filter_map(|address| match address {
                IpAddr::V4(address) => Some(format!("http://{address}{port}/")),
                // Browsers take no zone, so a link-local address can't be typed.
                IpAddr::V6(address) if address.is_unicast_link_local() => None,
                IpAddr::V6(address) => Some(format!("http://[{address}]{port}/")),
            })
            .collect();
        // Every computer understands an address, so that comes first.
        let name = self.name.iter().map(|name| format!("http://{name}{port}/"));
        urls.splice(urls.len().min(1)..urls.len().min(1), name);
        urls
    }
}

/// Breaks a sentence at spaces, into lines of `width`; following lines are indented by two.
fn wrap(sentence: &str, width: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in sentence.split(' ') {
        let line = lines.last().map_or(0, |line| line.chars().count());
        if line > 2 && line + 1 + word.chars().count() > width {
            lines.push(format!("  {word}"));
        } else if let Some(last) = lines.last_mut() {
            if line > 0 {
                last.push(' ');
            }
            last.push_str(word);
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    fn view() -> View {
        View { version: "1.0".into(), web_port: Some(80), ..View::default() }
    }

    fn check(view: &View, expected: &[&str]) {
        assert_eq!(view.render(), expected, "{view:?}");
    }

    #[test]
    fn the_first_line_says_where_the_page_is() {
        check(
            &View::default(),
            &["P2P Black Box  (no network yet)", "Version ", "The publishing service is starting."],
        );
        let addresses = ["fe80::1", "2001:db8::1", "10.0.2.15"].map(|text| text.parse().unwrap()).to_vec();
        check(
            &View { name: Some("blackbox.local".into()), addresses: addresses.clone(), seeding: 1, ..view() },
            &[
                "P2P Black Box  http://10.0.2.15/",
                "               http://blackbox.local/",
                "               http://[2001:db8::1]/",
                "Version 1.0",
                "1 item is published.",
            ],
        );
        let other = View { addresses, web_port: Some(8080), ..view() }.render();
        assert_eq!(other[0], "P2P Black Box  http://10.0.2.15:8080/");
    }

    #[test]
    fn activity_and_problems_are_shown() {
        check(
            &View {
                seeding: 2,
                activity: Some("Reading DISC_1, 2.1 of 4.4 GB".into()),
                problems: vec!["No network cable: plug one into eth0.".into()],
                ..view()
            },
            &[
                "P2P Black Box  (no network yet)",
                "Version 1.0",
                "2 items are published.",
                "Reading DISC_1, 2.1 of 4.4 GB",
                "! No network cable: plug one into eth0.",
            ],
        );
    }

    #[test]
    fn a_code_stands_beside_the_text_on_the_screen() {
        let long = "2001:db8:1111:2222:3333:4444:5555:6666";
        let view = View {
            addresses: vec!["192.168.178.123".parse().unwrap(), long.parse().unwrap()],
            traffic: "2 peers are connected; 1.0 MB given away.".into(),
            problems: vec!["word ".repeat(60).trim().to_owned(); 20],
            ..view()
        };
        let lines = view.screen();
        assert_eq!(lines.len(), HEIGHT);
        assert!(lines.iter().all(|line| line.chars().count() <= WIDTH), "{lines:#?}");
        assert!(lines[0].starts_with("P2P Black Box  http://192.168.178.123/ "));
        assert!(lines[1].starts_with(&format!("http://[{long}]/ ")), "{}", lines[1]);
        let beside: Vec<String> = lines.iter().map(|line| line.chars().skip(50).collect()).collect();
        assert_eq!(beside[..15], view.code());
        assert!(lines.concat().contains("2 peers are connected"));
        // Without an address there is nothing to be opened.
        assert_eq!(View::default().screen(), View::default().render());
    }

    #[test]
    fn long_and_many_problems_fit_on_a_screen() {
        let view = View { problems: vec!["word ".repeat(60).trim().to_owned(); 20], ..view() };
        let lines = view.render();
        assert!(lines.len() <= 24 + 7, "{}", lines.len());
        assert!(lines.iter().all(|line| line.chars().count() <= WIDTH));
        assert_eq!(lines.last().unwrap(), "! and 14 more; see the page");
        let words: usize = lines.iter().map(|line| line.matches("word").count()).sum();
        assert_eq!(words, 60 * MAX_PROBLEMS, "wrapping loses no word");
    }

    #[test]
    fn nothing_in_a_label_moves_the_cursor() {
        let view = View { activity: Some("\x1b[2JReading\r\n".repeat(20)), ..view() };
        assert!(view.render().iter().all(|line| !line.contains(char::is_control)));
    }
}
