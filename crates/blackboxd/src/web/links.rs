//! Absolute URLs of what the box gives away, for the one who asks.

use std::net::{IpAddr, SocketAddr};

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use torrent::Magnet;

use super::host::Host;
use crate::app::Listeners;
use crate::catalog::{Content, Torrent};
use crate::net::public_host::UrlHost;

/// Everything in a path segment but RFC 3986's unreserved characters.
pub(super) const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// URLs under the configured public host, or else the host that the request came to. A member's begin with its passkey: clients
/// use them without being asked who they are for.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(super) struct Links {
    /// Scheme, host and port of the page, without a slash at the end.
    page: String,
    /// What all paths begin with: nothing, or a slash and a member's passkey.
    base: String,
    announce: Vec<String>,
}

/// Where a router maps the tracker.
#[derive(Debug, Clone, Copy)]
pub(super) struct MappedTracker {
    pub(super) tracker: SocketAddr,
    /// Whether the public host is there.
    pub(super) is_public_host: bool,
}

impl Links {
    /// The page's port is the one the client used, which need not be the listener's behind a router that forwards;
    /// under another name than the public host's it is the listener's. The tracker's is its listener's,
    /// or the one that a router maps to it at that name.
    ///
    /// `local` is the address at which the request arrived. If the client used another one, somebody forwards, and the
    /// UDP tracker is left out: its packets do not say which address the asker used, so its answers would name one of
    /// the box that is of no use to the asker, and many clients ask no further tracker then.
    pub(super) fn new(
        public_host: Option<&str>,
        asked: &Host,
        local: IpAddr,
        listeners: &Listeners,
        mapped: Option<MappedTracker>,
        passkey: Option<&str>,
    ) -> Self {
        let (name, port) = match public_host {
            Some(public) if !public.eq_ignore_ascii_case(asked.name()) => (public, listeners.web.port()),
            Some(public) => (public, asked.port()),
            None => (asked.name(), asked.port()),
        };
        let host = UrlHost(name);
        let mapped = mapped.filter(|mapped| match public_host {
            Some(_) => mapped.is_public_host,
            None => asked.address() == Some(mapped.tracker.ip()),
        });
        let tracker = mapped.map_or(listeners.tracker.port(), |mapped| mapped.tracker.port());
        // Where it is mapped, answers name the address that is mapped.
        let is_forwarded = public_host.is_none()
            && mapped.is_none()
            && asked.address().is_some_and(|address| address != local);
        let base = passkey.map(|passkey| format!("/{passkey}")).unwrap_or_default();
        let http = format!("http://{host}:{tracker}{base}/announce");
        // Clients give the path along (BEP 41). Not all of them do, which is one reason why HTTP comes first.
        let path = passkey.map(|_| format!("{base}/announce")).unwrap_or_default();
        let udp = (!is_forwarded).then(|| format!("udp://{host}:{tracker}{path}"));
        Self {
            base,
            page: if port == 80 { format!("http://{host}") } else { format!("http://{host}:{port}") },
            announce: [http].into_iter().chain(udp).collect(),
        }
    }

    /// `path`, which starts with a slash, on this box.
    pub(super) fn to(&self, path: &str) -> String {
        format!("{}{}{path}", self.page, self.base)
    }

    /// `path`, which starts with a slash, for a link on a page of this box.
    pub(super) fn path(&self, path: &str) -> String {
        format!("{}{path}", self.base)
    }

    /// The `.torrent` of a torrent.
    pub(super) fn torrent(&self, torrent: &Torrent) -> String {
        self.to(&torrent_path(torrent))
    }

    /// Trackers, best first; each is a tier of its own (BEP 12).
    pub(super) fn announce(&self) -> &[String] {
        &self.announce
    }

    /// The web seed of every item: clients append the name and, in a folder, the path (BEP 19).
    pub(super) fn web_seed(&self) -> String {
        self.to("/files/")
    }

    /// The magnet link.
    pub(super) fn magnet(&self, content: &Content) -> String {
        Magnet {
            info_hashes: content.torrent().info_hashes,
            name: content.name.clone(),
            length: Some(content.size_bytes()),
            trackers: self.announce.clone(),
            web_seeds: vec![self.web_seed()],
        }
        .to_string()
    }
}

/// Path of a `.torrent` on this box.
pub(super) fn torrent_path(torrent: &Torrent) -> String {
    format!("/torrents/{}.torrent", torrent.info_hash())
}

/// Path of the page of an item.
pub(super) fn page_path(content: &Content) -> String {
    format!("/items/{}", content.info_hash())
}

/// A name as a segment of a path.
pub(super) fn segment(name: &str) -> String {
    utf8_percent_encode(name, SEGMENT).to_string()
}

/// Path under `/files/` for names one below the other; a folder's gets a slash at the end by an empty last name.
pub(super) fn files_path<'a>(names: impl IntoIterator<Item = &'a str>) -> String {
    let mut path = "/files".to_owned();
    for name in names {
        path.push('/');
        path.extend(utf8_percent_encode(name, SEGMENT));
    }
    path
}

/// Where an item can be downloaded without a torrent: the file, or the listing of the folder.
pub(super) fn item_path(content: &Content) -> String {
    let slash = content.listing.folder().map(|_| "");
    files_path([content.name.as_str()].into_iter().chain(slash))
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::catalog::testing::published;

    fn sockets() -> Listeners {
        Listeners {
            web: "[::]:8080".parse().unwrap(),
            tracker: "[::]:6969".parse().unwrap(),
            peer: "[::]:6881".parse().unwrap(),
            dht: None,
        }
    }

    pub(in crate::web) fn links(public_host: Option<&str>, asked: &str) -> Links {
        let listeners = sockets();
        let asked = Host::parse(asked).unwrap();
        let local = asked.address().unwrap_or(IpAddr::from([192, 168, 1, 10]));
        Links::new(public_host, &asked, local, &listeners, None, None)
    }

    #[test]
    fn behind_a_forwarder_there_is_only_the_tracker_that_hears_which_address_was_used() {
        let sockets = Listeners {
            web: "[::]:80".parse().unwrap(),
            tracker: "[::]:6969".parse().unwrap(),
            peer: "[::]:6881".parse().unwrap(),
            dht: None,
        };
        for (public_host, asked, count) in [
            (None, "127.0.0.1:8080", 1),
            (None, "10.0.2.15", 2),
            (None, "box.local", 2),
            (Some("a.org"), "127.0.0.1", 2),
        ] {
            let asked = Host::parse(asked).unwrap();
            let links = Links::new(public_host, &asked, IpAddr::from([10, 0, 2, 15]), &sockets, None, None);
            assert_eq!(links.announce().len(), count, "{public_host:?} {asked:?}");
            assert!(links.announce()[0].starts_with("http://"));
        }
    }

    #[test]
    fn urls_follow_the_public_host_or_else_the_host_that_was_asked() {
        for (public_host, asked, page, tracker) in [
            (None, "box.local", "http://box.local", "box.local:6969"),
            (None, "127.0.0.1:8081", "http://127.0.0.1:8081", "127.0.0.1:6969"),
            (None, "[2001:db8::1]:8081", "http://[2001:db8::1]:8081", "[2001:db8::1]:6969"),
            (Some("example.org"), "192.0.2.1:8081", "http://example.org:8080", "example.org:6969"),
            (Some("Example.org"), "example.ORG", "http://Example.org", "Example.org:6969"),
            (Some("2001:db8::2"), "box.local", "http://[2001:db8::2]:8080", "[2001:db8::2]:6969"),
        ] {
            let links = links(public_host, asked);
            assert_eq!(links.web_seed(), format!("{page}/files/"), "{asked}");
            assert_eq!(links.announce()[0], format!("http://{tracker}/announce"), "{asked}");
            assert_eq!(links.announce()[1], format!("udp://{tracker}"), "{asked}");
        }
    }

    #[test]
    fn who_comes_through_the_router_is_told_the_port_that_it_maps() {
        let sockets = sockets();
        for (public_host, is_public_host, asked, tracker) in [
            (None, false, "203.0.113.1:8080", "203.0.113.1:40002"),
            (None, false, "192.168.1.10", "192.168.1.10:6969"),
            (None, false, "box.local", "box.local:6969"),
            (Some("example.org"), true, "192.168.1.10", "example.org:40002"),
            (Some("example.org"), false, "192.168.1.10", "example.org:6969"),
            (Some("203.0.113.1"), true, "203.0.113.1", "203.0.113.1:40002"),
        ] {
            let mapped = MappedTracker { tracker: "203.0.113.1:40002".parse().unwrap(), is_public_host };
            let asked = Host::parse(asked).unwrap();
            let links =
                Links::new(public_host, &asked, [192, 168, 1, 10].into(), &sockets, Some(mapped), None);
            let expected = [format!("http://{tracker}/announce"), format!("udp://{tracker}")];
            assert_eq!(links.announce(), expected, "{public_host:?} {asked:?}");
        }
    }

    #[test]
    fn a_members_urls_have_its_passkey_where_clients_keep_it() {
        let content = published("item", &[]).content;
        let (torrent, hash) = (content.torrent(), content.info_hash());
        let links = Links { base: "/KEY".into(), ..links(None, "box.local:8080") };
        let base = "http://box.local:8080/KEY";
        assert_eq!(links.torrent(torrent), format!("{base}/torrents/{hash}.torrent"));
        assert_eq!(links.web_seed(), format!("{base}/files/"));
        assert_eq!((links.to("/"), links.path("/feed.xml")), (format!("{base}/"), "/KEY/feed.xml".into()));
        let asked = Host::parse("box.local").unwrap();
        let local = IpAddr::from([192, 168, 1, 10]);
        let links = Links::new(None, &asked, local, &sockets(), None, Some("KEY"));
        let trackers = ["http://box.local:6969/KEY/announce", "udp://box.local:6969/KEY/announce"];
        assert_eq!(links.announce(), trackers);
        assert_eq!(links.magnet(&content).matches("%2FKEY%2F").count(), 3);
    }

    #[test]
    fn names_are_encoded_segment_by_segment() {
        for (names, path) in [
            (&["plain-1.0_~.iso"][..], "/files/plain-1.0_~.iso"),
            (&["a b", "c/d", ""], "/files/a%20b/c%2Fd/"),
            (&["\u{fc}%?#&'\"<>+"], "/files/%C3%BC%25%3F%23%26%27%22%3C%3E%2B"),
        ] {
            assert_eq!(files_path(names.iter().copied()), path);
        }
    }

    #[test]
    fn the_torrent_is_found_by_its_hash() {
        let content = published("item", &[]).content;
        let url = links(None, "a").torrent(content.torrent());
        assert_eq!(url, format!("http://a/torrents/{}.torrent", content.info_hash_v1().unwrap()));
    }
}
