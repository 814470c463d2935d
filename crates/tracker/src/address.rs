//! Which addresses are told to whom, and the box's own address among them.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// From where an address can be reached. The order is from near to far.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Scope {
    /// This machine only.
    Loopback,
    /// The networks behind one router: private ranges, shared ones of carriers, link-local.
    Local,
    /// Everywhere, as far as addresses can show.
    Global,
}

impl Scope {
    /// How many scopes there are.
    pub(crate) const COUNT: usize = 3;

    /// `None` for addresses that can't be told to anyone: unspecified, multicast, broadcast, and IPv6 link-local
    /// ones, which mean nothing without the asker's own interface name.
    pub fn of(address: IpAddr) -> Option<Self> {
        match address.to_canonical() {
            IpAddr::V4(v4) => Self::of_v4(v4),
            IpAddr::V6(v6) => Self::of_v6(v6),
        }
    }

    fn of_v4(v4: Ipv4Addr) -> Option<Self> {
        // 100.64.0.0/10 (RFC 6598): between a carrier and its customers, and in overlay networks.
        let shared = v4.octets()[0] == 100 && v4.octets()[1] & 0xc0 == 64;
        if v4.octets()[0] == 0 || v4.is_multicast() || v4.is_broadcast() {
            None
        } else if v4.is_loopback() {
            Some(Self::Loopback)
        } else if v4.is_private() || v4.is_link_local() || shared {
            Some(Self::Local)
        } else {
            Some(Self::Global)
        }
    }

    fn of_v6(v6: Ipv6Addr) -> Option<Self> {
        if v6.is_unspecified() || v6.is_multicast() || v6.is_unicast_link_local() {
            None
        } else if v6.is_loopback() {
            Some(Self::Loopback)
        } else if v6.is_unique_local() {
            Some(Self::Local)
        } else {
            Some(Self::Global)
        }
    }

    /// Whether a peer at `asker` can use an address of this scope: one from its own surroundings, or from further
    /// away. An asker of no scope is treated like a stranger.
    pub fn is_told_to(self, asker: IpAddr) -> bool {
        self >= Self::of(asker).unwrap_or(Self::Global)
    }
}

/// How a peer came to us.
#[derive(Debug, Clone, Copy)]
pub struct Approach {
    /// Source of its packet.
    pub asker: IpAddr,
    /// Destination of its packet, as our machine sees it.
    pub local: IpAddr,
    /// The host in its HTTP request, if that is an address (see [`host_address`]).
    pub host: Option<IpAddr>,
}

/// The address in an HTTP `Host` header, with or without a port; `None` for names.
pub fn host_address(header: &str) -> Option<IpAddr> {
    if let Some(rest) = header.strip_prefix('[') {
        return rest.split_once(']')?.0.parse().ok().map(IpAddr::V6);
    }
    let host = header.split_once(':').map_or(header, |(host, _port)| host);
    host.parse().ok().map(IpAddr::V4)
}

/// Where this asker reaches the box's listener; `None` when nothing is known that can work for it.
///
/// `listener` is the listener's real address. `public` are its addresses outside, as configured or as a router maps
/// them (or nothing); a router may give it another port there. Askers in the box's own networks get the address they
/// reached it at; others the public one if there is one. A listener bound to one address is only there, or behind a
/// public address that is forwarded to it.
pub fn seed_address(listener: SocketAddr, public: &[SocketAddr], approach: &Approach) -> Option<SocketAddr> {
    let asker = approach.asker.to_canonical();
    let bound = listener.ip().to_canonical();
    let here = |ip: IpAddr| SocketAddr::new(ip, listener.port());
    let is_public = |ip: IpAddr| public.iter().find(|public| public.ip() == ip).copied();
    let local = here(if bound.is_unspecified() { approach.local } else { bound });
    let host = approach.host.map(|host| host.to_canonical());
    let usable = |candidate: SocketAddr| {
        // Dual-stack sockets show IPv4 as mapped IPv6.
        let ip = candidate.ip().to_canonical();
        let reachable = Scope::of(ip).is_some_and(|scope| {
            // A virtual machine's forwarder is reached at a loopback address and shows a private one of its own. Only
            // the asker itself is told so, and it is the one who said so.
            let forwarded = scope == Scope::Loopback && host == Some(ip);
            scope.is_told_to(asker) || (forwarded && Scope::of(asker) == Some(Scope::Local))
        });
        let heard = ip.is_ipv4() == bound.is_ipv4() || bound == Ipv6Addr::UNSPECIFIED;
        let is_usable = reachable && heard && ip.is_ipv4() == asker.is_ipv4() && candidate.port() != 0;
        is_usable.then(|| SocketAddr::new(ip, candidate.port()))
    };
    let public = || public.iter().copied();
    if Scope::of(asker) == Some(Scope::Global) {
        let asked = host.map(|host| is_public(host).unwrap_or(here(host)));
        return public().chain(asked).chain([local]).find_map(usable);
    }
    // Our own announce URLs name the public host, so a request to it does not say where the asker is. Any other address
    // is one that works for the asker, perhaps that of a forwarder which hides its source.
    let found = host.filter(|host| bound.is_unspecified() && is_public(*host).is_none()).map(here);
    found.into_iter().chain([local]).chain(public()).find_map(usable)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn addresses_have_scopes() {
        use Scope::{Global, Local, Loopback};
        for (address, scope) in [
            ("127.0.0.1", Some(Loopback)),
            ("127.255.255.254", Some(Loopback)),
            ("::1", Some(Loopback)),
            ("::ffff:127.0.0.1", Some(Loopback)),
            ("10.0.0.1", Some(Local)),
            ("172.16.0.1", Some(Local)),
            ("172.32.0.1", Some(Global)),
            ("192.168.255.255", Some(Local)),
            ("169.254.1.1", Some(Local)),
            ("100.63.255.255", Some(Global)),
            ("100.64.0.1", Some(Local)),
            ("100.127.255.255", Some(Local)),
            ("100.128.0.1", Some(Global)),
            ("::ffff:192.168.1.1", Some(Local)),
            ("fd00::1", Some(Local)),
            ("8.8.8.8", Some(Global)),
            ("2001:db8::1", Some(Global)),
            ("0.0.0.0", None),
            ("0.1.2.3", None),
            ("255.255.255.255", None),
            ("224.0.0.1", None),
            ("::", None),
            ("::ffff:0.0.0.0", None),
            ("fe80::1", None),
            ("ff02::1", None),
        ] {
            assert_eq!(Scope::of(ip(address)), scope, "{address}");
        }
    }

    #[test]
    fn near_addresses_stay_near() {
        let addresses = ["127.0.0.1", "192.168.1.2", "203.0.113.1"];
        for (asker, told) in [
            ("127.0.0.1", [true, true, true]),
            ("::1", [true, true, true]),
            ("10.9.9.9", [false, true, true]),
            ("fd00::1", [false, true, true]),
            ("198.51.100.1", [false, false, true]),
            ("2001:db8::1", [false, false, true]),
            ("fe80::1", [false, false, true]),
        ] {
            for (address, told) in addresses.into_iter().zip(told) {
                let scope = Scope::of(ip(address)).unwrap();
                assert_eq!(scope.is_told_to(ip(asker)), told, "{address} to {asker}");
            }
        }
    }

    #[test]
    fn the_host_header_counts_if_it_is_an_address() {
        for (header, address) in [
            ("192.0.2.1", Some("192.0.2.1")),
            ("192.0.2.1:6969", Some("192.0.2.1")),
            ("[2001:db8::1]", Some("2001:db8::1")),
            ("[2001:db8::1]:6969", Some("2001:db8::1")),
            ("files.example.org", None),
            ("files.example.org:80", None),
            ("2001:db8::1", None),
            ("[fe80::1%25eth0]:80", None),
            ("[192.0.2.1]", None),
            ("[::1", None),
            ("", None),
            (":80", None),
        ] {
            assert_eq!(host_address(header), address.map(ip), "{header:?}");
        }
    }

    #[test]
    fn the_box_is_where_the_asker_can_reach_it() {
        const ANY: &str = "[::]:6881";
        // listener, public addresses (with its port there), asker, local address, host in the request -> told
        for (listener, public, asker, local, host, told) in [
            // One network, nothing configured.
            (ANY, "", "192.168.1.5", "192.168.1.10", "", "192.168.1.10:6881"),
            (ANY, "", "192.168.1.5", "192.168.1.10", "192.168.1.10", "192.168.1.10:6881"),
            (ANY, "", "127.0.0.1", "127.0.0.1", "127.0.0.1", "127.0.0.1:6881"),
            (ANY, "", "::1", "::1", "", "[::1]:6881"),
            (ANY, "", "fd00::5", "fd00::10", "", "[fd00::10]:6881"),
            ("0.0.0.0:7000", "", "192.168.1.5", "192.168.1.10", "", "192.168.1.10:7000"),
            // IPv4 through a dual-stack socket.
            (ANY, "", "::ffff:192.168.1.5", "::ffff:192.168.1.10", "", "192.168.1.10:6881"),
            // From outside.
            (ANY, "203.0.113.1:6881", "198.51.100.1", "192.168.1.10", "", "203.0.113.1:6881"),
            (
                ANY,
                "203.0.113.1:6881 [2001:db8::1]:6881",
                "198.51.100.1",
                "192.168.1.10",
                "",
                "203.0.113.1:6881",
            ),
            (
                ANY,
                "203.0.113.1:6881 [2001:db8::1]:6881",
                "2001:db8:5::1",
                "2001:db8::2",
                "",
                "[2001:db8::1]:6881",
            ),
            (ANY, "203.0.113.1:6881", "2001:db8:5::1", "2001:db8::2", "", "[2001:db8::2]:6881"),
            (ANY, "", "198.51.100.1", "192.168.1.10", "203.0.113.1", "203.0.113.1:6881"),
            (ANY, "", "198.51.100.1", "203.0.113.9", "", "203.0.113.9:6881"),
            (ANY, "203.0.113.1:6881", "198.51.100.1", "203.0.113.9", "203.0.113.7", "203.0.113.1:6881"),
            // Inside, though a public address is configured or was used.
            (ANY, "203.0.113.1:6881", "192.168.1.5", "192.168.1.10", "", "192.168.1.10:6881"),
            (ANY, "203.0.113.1:6881", "192.168.1.1", "192.168.1.10", "203.0.113.1", "192.168.1.10:6881"),
            (ANY, "203.0.113.1:6881", "127.0.0.1", "127.0.0.1", "", "127.0.0.1:6881"),
            // A forwarder in front shows its own source for everybody.
            (ANY, "", "10.0.2.2", "10.0.2.15", "192.168.1.77", "192.168.1.77:6881"),
            (ANY, "", "172.17.0.1", "172.17.0.2", "203.0.113.1", "203.0.113.1:6881"),
            // A campus with public addresses only on the box.
            (ANY, "", "10.1.2.3", "203.0.113.9", "", "203.0.113.9:6881"),
            // A listener with one address.
            ("127.0.0.1:5000", "", "127.0.0.1", "127.0.0.1", "", "127.0.0.1:5000"),
            ("192.168.1.10:5000", "", "127.0.0.1", "127.0.0.1", "127.0.0.1", "192.168.1.10:5000"),
            ("192.168.1.10:5000", "203.0.113.1:5000", "198.51.100.1", "10.0.0.1", "", "203.0.113.1:5000"),
            // Nothing that can work.
            ("127.0.0.1:5000", "", "192.168.1.5", "192.168.1.10", "192.168.1.10", ""),
            ("0.0.0.0:5000", "", "fd00::5", "fd00::10", "", ""),
            ("[2001:db8::1]:5000", "203.0.113.1:5000", "198.51.100.1", "192.168.1.10", "", ""),
            (ANY, "", "198.51.100.1", "192.168.1.10", "", ""),
            (ANY, "", "198.51.100.1", "192.168.1.10", "192.168.1.10", ""),
            (ANY, "", "198.51.100.1", "127.0.0.1", "127.0.0.1", ""),
            (ANY, "0.0.0.0:6881", "198.51.100.1", "0.0.0.0", "0.0.0.0", ""),
            (ANY, "", "fe80::5", "fe80::10", "", ""),
            ("[::]:0", "203.0.113.1:0", "198.51.100.1", "203.0.113.1", "", ""),
            // A router maps another port.
            (ANY, "203.0.113.1:40001", "198.51.100.1", "192.168.1.10", "", "203.0.113.1:40001"),
            (ANY, "203.0.113.1:40001", "198.51.100.1", "192.168.1.10", "203.0.113.1", "203.0.113.1:40001"),
            (ANY, "203.0.113.1:40001", "192.168.1.5", "192.168.1.10", "", "192.168.1.10:6881"),
            (ANY, "203.0.113.1:40001", "192.168.1.1", "192.168.1.10", "203.0.113.1", "192.168.1.10:6881"),
            (
                ANY,
                "203.0.113.2:6881 203.0.113.1:40001",
                "198.51.100.1",
                "192.168.1.10",
                "203.0.113.1",
                "203.0.113.2:6881",
            ),
            (ANY, "203.0.113.1:40001", "2001:db8:5::1", "2001:db8::2", "", "[2001:db8::2]:6881"),
            (
                "192.168.1.10:5000",
                "203.0.113.1:40001",
                "198.51.100.1",
                "192.168.1.10",
                "",
                "203.0.113.1:40001",
            ),
            (ANY, "203.0.113.1:0", "198.51.100.1", "192.168.1.10", "", ""),
            (ANY, "192.168.178.2:40001", "198.51.100.1", "192.168.1.10", "", ""),
            // The host of a virtual machine that forwards its own loopback address.
            (ANY, "", "10.0.2.2", "10.0.2.15", "127.0.0.1", "127.0.0.1:6881"),
        ] {
            let public: Vec<SocketAddr> =
                public.split_whitespace().map(|text| text.parse().unwrap()).collect();
            let host = (!host.is_empty()).then(|| ip(host));
            let approach = Approach { asker: ip(asker), local: ip(local), host };
            let told = (!told.is_empty()).then(|| told.parse().unwrap());
            assert_eq!(
                seed_address(listener.parse().unwrap(), &public, &approach),
                told,
                "{listener} {public:?} {approach:?}"
            );
        }
    }
}
