//! The host a request came to.

use std::net::{IpAddr, SocketAddr};

use appliance::config::is_host;
use hyper::Version;
use hyper::header::HOST;
use hyper::http::request::Parts;

/// A host name or address with the port that the client used, checked: it can stand in a URL as it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Host {
    /// Lower case, an IPv6 address without brackets.
    name: String,
    /// As the client wrote it; without one it used 80.
    port: Option<u16>,
}

impl Host {
    /// From the request's target or `Host` field; the address the client reached us at when it says neither and need not
    /// (HTTP/1.0). `None` when it is not a host, or when there are two.
    pub(super) fn of(head: &Parts, local: SocketAddr) -> Option<Self> {
        if let Some(authority) = head.uri.authority() {
            return Self::parse(authority.as_str());
        }
        let mut fields = head.headers.get_all(HOST).iter();
        match (fields.next(), fields.next()) {
            (None, _) if head.version >= Version::HTTP_11 => None,
            (None, _) => Some(Self { name: local.ip().to_string(), port: Some(local.port()) }),
            (Some(field), None) => Self::parse(field.to_str().ok()?),
            (Some(_), Some(_)) => None,
        }
    }

    /// Reads `name`, `name:port`, `[IPv6]` or `[IPv6]:port`.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (name, rest) = match text.strip_prefix('[') {
            Some(bracketed) => {
                let (name, rest) = bracketed.split_once(']')?;
                name.parse::<std::net::Ipv6Addr>().ok()?;
                (name, rest)
            }
            None => text.split_at(text.find(':').unwrap_or(text.len())),
        };
        let port = match rest.strip_prefix(':') {
            Some(digits) if digits.bytes().all(|byte| byte.is_ascii_digit()) => Some(digits.parse().ok()?),
            None if rest.is_empty() => None,
            _ => return None,
        };
        is_host(name).then(|| Self { name: name.to_ascii_lowercase(), port })
    }

    /// The name or address, an IPv6 address without brackets.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// The port that the client used.
    pub(super) fn port(&self) -> u16 {
        self.port.unwrap_or(80)
    }

    /// The address, if it is one.
    pub(super) fn address(&self) -> Option<IpAddr> {
        self.name.parse().ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_are_read_with_their_ports() {
        for (text, name, port) in [
            ("box.example.org", "box.example.org", 80),
            ("Box.Example.ORG:8080", "box.example.org", 8080),
            ("192.0.2.1:80", "192.0.2.1", 80),
            ("[2001:DB8::1]", "2001:db8::1", 80),
            ("[2001:db8::1]:8080", "2001:db8::1", 8080),
        ] {
            let host = Host::parse(text).unwrap();
            assert_eq!((host.name(), host.port()), (name, port), "{text}");
        }
    }

    #[test]
    fn what_cannot_stand_in_a_url_is_refused() {
        for text in [
            "",
            ":80",
            "a:",
            "a:b",
            "a:+1",
            "a:65536",
            "a:1:2",
            "2001:db8::1",
            "[a]",
            "[::1",
            "[::1]x",
            "[::1]:",
            "a/b",
            "a@b",
            "a b",
            "a\"b",
            "<script>",
            "[fe80::1%25eth0]",
            "\u{e9}",
        ] {
            assert_eq!(Host::parse(text), None, "{text:?}");
        }
    }

    fn of(request: hyper::http::request::Builder) -> Option<Host> {
        let (head, ()) = request.body(()).unwrap().into_parts();
        Host::of(&head, "[2001:db8::7]:81".parse().unwrap())
    }

    #[test]
    fn the_target_wins_over_the_field_and_without_both_it_is_our_address() {
        let get = |uri| hyper::Request::get(uri);
        assert_eq!(of(get("/").header(HOST, "a:81")).unwrap().name(), "a");
        assert_eq!(of(get("http://b:82/").header(HOST, "a:81")).unwrap().port(), 82);
        assert_eq!(of(get("/")), None);
        let old = get("/").version(Version::HTTP_10);
        assert_eq!(of(old), Some(Host { name: "2001:db8::7".into(), port: Some(81) }));
        assert_eq!(of(get("/").header(HOST, "a").header(HOST, "a")), None);
        assert_eq!(of(get("/").header(HOST, &b"\xff"[..])), None);
    }
}
