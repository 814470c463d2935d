//! What the screen and the serial console show. Pure: state in, lines out.

use std::net::IpAddr;

use crate::lines::printable;

/// What the box is called.
pub const NAME: &str = "P2P Black Box";

/// The version that this program was built as.
pub const BUILT_AS: &str = env!("CARGO_PKG_VERSION");

/// Longest line (characters): what an 80-column console shows without wrapping.
const WIDTH: usize = 79;

/// Most problems shown; the page has them all.
const MAX_PROBLEMS: usize = 6;

/// Everything that is shown.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct View {
    /// Version of the system.
    pub version: String,
    /// Addresses of the box.
    pub addresses: Vec<IpAddr>,
    /// Port of the page, once the daemon has told.
    pub web_port: Option<u16>,
    /// Items that can be downloaded now.
    pub seeding: usize,
    /// Work going on.
    pub activity: Option<String>,
    /// What is wrong.
    pub problems: Vec<String>,
}

impl View {
    /// The lines, from the name down to the problems.
    pub fn render(&self) -> Vec<String> {
        let mut urls = self.urls().into_iter();
        let first = urls.next().unwrap_or_else(|| "(no network yet)".into());
        let mut lines = vec![format!("{NAME}  {first}")];
        lines.extend(urls.map(|url| format!("{:1$}  {url}", "", NAME.len())));
        lines.push(format!("Version {}", self.version));
        lines.push(match (self.web_port, self.seeding) {
            (None, _) => "The publishing service is starting.".into(),
            (Some(_), 0) => "Nothing is published yet: insert a disc.".into(),
            (Some(_), 1) => "1 item is published.".into(),
            (Some(_), n) => format!("{n} items are published."),
        });
        if let Some(activity) = &self.activity {
            lines.push(activity.clone());
        }
        for problem in self.problems.iter().take(MAX_PROBLEMS) {
            lines.extend(wrap(&format!("! {problem}")));
        }
        if let Some(more @ 1..) = self.problems.len().checked_sub(MAX_PROBLEMS) {
            lines.push(format!("! and {more} more; see the page"));
        }
        lines.iter().map(|line| printable(line).chars().take(WIDTH).collect()).collect()
    }

    /// The page's address on each network; IPv4 first as people type it.
    fn urls(&self) -> Vec<String> {
        let port = match self.web_port {
            None | Some(80) => String::new(),
            Some(port) => format!(":{port}"),
        };
        let mut addresses = self.addresses.clone();
        addresses.sort_by_key(IpAddr::is_ipv6);
        addresses
            .iter()
            .filter_map(|address| match address {
                IpAddr::V4(address) => Some(format!("http://{address}{port}/")),
                // Browsers take no zone, so a link-local address can't be typed.
                IpAddr::V6(address) if address.is_unicast_link_local() => None,
                IpAddr::V6(address) => Some(format!("http://[{address}]{port}/")),
            })
            .collect()
    }
}

/// Breaks a sentence at spaces; following lines are indented by two.
fn wrap(sentence: &str) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in sentence.split(' ') {
        let line = lines.last().map_or(0, |line| line.chars().count());
        if line > 2 && line + 1 + word.chars().count() > WIDTH {
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
            &View { addresses: addresses.clone(), seeding: 1, ..view() },
            &[
                "P2P Black Box  http://10.0.2.15/",
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
