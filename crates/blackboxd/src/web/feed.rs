//! `/feed.xml`: RSS 2.0 with one enclosure for each item, so that a client downloads what is new by itself.

use std::fmt::Write;

use super::conditional::http_date;
use super::links::{Links, page_path};
use super::torrent_file;
use super::view::Listed;
use crate::words;

const TITLE: &str = "P2P Black Box";

/// The items that can be downloaded, newest first.
pub(super) fn render(listed: &[Listed], links: &Links) -> String {
    let page = escape(&links.to("/"));
    let own = escape(&links.to("/feed.xml"));
    let mut xml = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n\
         <rss version=\"2.0\" xmlns:atom=\"http://www.w3.org/2005/Atom\">\n<channel>\n\
         <title>{TITLE}</title>\n<link>{page}</link>\n\
         <description>What this box publishes, newest first.</description>\n\
         <atom:link href=\"{own}\" rel=\"self\" type=\"application/rss+xml\"/>\n"
    );
    for listed in listed {
        item(&mut xml, listed, links);
    }
    xml.push_str("</channel>\n</rss>\n");
    xml
}

fn item(xml: &mut String, listed: &Listed, links: &Links) {
    let Some(content) = listed.seeding() else { return };
    let item = &listed.item;
    let size = words::bytes(item.size_bytes);
    let files = words::count(item.file_count as u64, "file", "files");
    let written = write!(
        xml,
        "<item>\n<title>{title}</title>\n<link>{link}</link>\n<description>{size}, {files}</description>\n\
         <guid isPermaLink=\"false\">{guid}</guid>\n<pubDate>{date}</pubDate>\n\
         <enclosure url=\"{url}\" length=\"{length}\" type=\"application/x-bittorrent\"/>\n</item>\n",
        title = escape(&item.name),
        link = escape(&links.to(&page_path(content))),
        guid = content.info_hash(),
        date = http_date(i64::try_from(item.added.as_nanosecond()).unwrap_or(i64::MAX)),
        url = escape(&links.torrent(content.torrent())),
        length = torrent_file::length(item, content, links),
    );
    written.expect("invariant: writing to a string never fails");
}

/// Text for XML 1.0, which can't hold most control characters in any form; they become U+FFFD.
fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            '\t' | '\n' | '\r' => {
                let _ = write!(escaped, "&#{};", u32::from(c));
            }
            '\0'..='\u{1f}' | '\u{fffe}' | '\u{ffff}' => escaped.push(char::REPLACEMENT_CHARACTER),
            c => escaped.push(c),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::super::links::tests::links;
    use super::super::view::tests::{published, unpublished};
    use super::*;
    use crate::catalog::State;

    #[test]
    fn names_become_text_that_xml_can_hold() {
        for (text, escaped) in [
            ("plain \u{fc}\u{1f4bf}", "plain \u{fc}\u{1f4bf}"),
            ("<a href=\"x\">&'", "&lt;a href=&quot;x&quot;&gt;&amp;&#39;"),
            ("a\0b\u{1b}c\u{ffff}", "a\u{fffd}b\u{fffd}c\u{fffd}"),
            ("a\tb\r\n", "a&#9;b&#13;&#10;"),
        ] {
            assert_eq!(escape(text), escaped, "{text:?}");
        }
    }

    #[test]
    fn only_what_can_be_downloaded_is_in_it_in_the_catalog_order() {
        let listed = [
            published("second & <last>", &[]),
            unpublished("not yet", State::Hashing, None),
            published("first", &[("a", 1)]),
        ];
        let xml = render(&listed, &links(None, "box.local:8080"));
        assert_eq!(xml.matches("<item>").count(), 2);
        assert!(!xml.contains("not yet"));
        let position = |text: &str| xml.find(text).unwrap_or_else(|| panic!("no {text} in {xml}"));
        assert!(position("second &amp; &lt;last&gt;") < position("<title>first</title>"));
        for listed in [&listed[0], &listed[2]] {
            let hash = listed.seeding().unwrap().info_hash();
            position(&format!("<link>http://box.local:8080/items/{hash}</link>"));
        }
        position("<pubDate>Mon, 06 May 2024 07:08:09 GMT</pubDate>");
    }

    #[test]
    fn the_enclosure_is_the_torrent_with_its_exact_length() {
        let listed = published("a", &[]);
        let links = links(None, "192.0.2.1");
        let content = listed.seeding().unwrap();
        let length = torrent_file::length(&listed.item, content, &links);
        let hash = content.info_hash();
        let xml = render(std::slice::from_ref(&listed), &links);
        let enclosure = format!(
            "<enclosure url=\"http://192.0.2.1/torrents/{hash}.torrent\" length=\"{length}\" \
             type=\"application/x-bittorrent\"/>"
        );
        assert!(xml.contains(&enclosure), "{xml}");
        assert!(xml.contains(&format!("<guid isPermaLink=\"false\">{hash}</guid>")), "{xml}");
    }
}
