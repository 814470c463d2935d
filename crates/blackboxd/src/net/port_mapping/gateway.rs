//! The router of the default route, and the address that it sees the box at.

use std::io::Read;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use tokio::net::UdpSocket;

use crate::app::Listeners;

/// The kernel's table of routes of IPv4.
const ROUTES: &str = "/proc/net/route";

/// Bytes of it that are read.
const MAX_ROUTES: u64 = 256 * 1024;

/// Flags of a route: it is up, and leads to a router.
const UP_BY_GATEWAY: u32 = 0x3;

/// A router and the box as it sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Gateway {
    pub router: Ipv4Addr,
    pub local: Ipv4Addr,
}

/// The router, if there is one, and if the listeners hear what it would forward.
pub(super) async fn find(listeners: Listeners) -> Option<Gateway> {
    let mut routes = String::new();
    std::fs::File::open(ROUTES).ok()?.take(MAX_ROUTES).read_to_string(&mut routes).ok()?;
    let router = default_route(&routes)?;
    // Nothing is sent: the system only chooses the address it would send from.
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).await.ok()?;
    socket.connect((router, 9)).await.ok()?;
    let IpAddr::V4(local) = socket.local_addr().ok()?.ip() else { return None };
    let hears = |listener: SocketAddr| listener.ip().is_unspecified() || listener.ip() == local;
    (hears(listeners.peer) && hears(listeners.tracker)).then_some(Gateway { router, local })
}

/// The router of the best default route in a table of routes.
fn default_route(routes: &str) -> Option<Ipv4Addr> {
    let route = |line: &str| {
        let fields: Vec<&str> = line.split_whitespace().take(8).collect();
        let [_, destination, router, flags, _, _, metric, mask] = fields[..] else { return None };
        let number = |text| u32::from_str_radix(text, 16).ok();
        let is_default = number(destination)? == 0 && number(mask)? == 0;
        let is_used = is_default && number(flags)? & UP_BY_GATEWAY == UP_BY_GATEWAY;
        // As the number lies in memory.
        let router = Ipv4Addr::from(number(router)?.to_ne_bytes());
        Some((metric.parse::<u32>().ok()?, router)).filter(|_| is_used)
    };
    routes.lines().filter_map(route).min_by_key(|(metric, _)| *metric).map(|(_, router)| router)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &str =
        "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT\n";

    #[test]
    fn the_router_is_that_of_the_best_default_route() {
        for (routes, router) in [
            ("", None),
            ("eth0\t0007A8C0\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0\n", None),
            ("eth0\t00000000\t01B2A8C0\t0003\t0\t0\t0\t00000000\t0\t0\t0\n", Some("192.168.178.1")),
            // A way to everywhere without a router, and one that is down.
            ("ppp0\t00000000\t00000000\t0001\t0\t0\t0\t00000000\t0\t0\t0\n", None),
            ("eth0\t00000000\t01B2A8C0\t0002\t0\t0\t0\t00000000\t0\t0\t0\n", None),
            (
                "wlan0\t00000000\t0100000A\t0003\t0\t0\t600\t00000000\t0\t0\t0\n\
                 eth0\t00000000\t01B2A8C0\t0003\t0\t0\t100\t00000000\t0\t0\t0\n",
                Some("192.168.178.1"),
            ),
            ("eth0\t00000000\tnonsense\t0003\t0\t0\t0\t00000000\t0\t0\t0\n", None),
            ("eth0\t00000000\n", None),
        ] {
            let found = default_route(&format!("{HEAD}{routes}"));
            assert_eq!(found, router.map(|router| router.parse().unwrap()), "{routes}");
        }
    }
}
