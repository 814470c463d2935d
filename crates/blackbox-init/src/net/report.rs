//! What the network child tells PID 1, one JSON object a line, whenever it changes.

use std::net::{IpAddr, Ipv4Addr};

use serde::{Deserialize, Serialize};

/// More addresses than a page can show; the rest is left out.
const MAX_ADDRESSES: usize = 16;

/// The state of the network.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Report {
    /// Addresses of the box: no loopback, and link-local ones only when there is nothing else.
    pub addresses: Vec<IpAddr>,
    /// Servers that tell the time, as DHCP names them.
    pub time_servers: Vec<Ipv4Addr>,
    /// What is wrong, for people.
    pub problems: Vec<String>,
}

/// How far a link has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// No cable, or nothing at its other end.
    NoCable,
    /// Working, or not for long enough without an answer to worry.
    Fine,
    /// No DHCP server answers.
    Silent,
}

impl Report {
    /// Sums up the links by name and stage, and their addresses.
    pub fn new(links: &[(&str, Stage)], addresses: &[IpAddr]) -> Self {
        let (local, mut wide): (Vec<IpAddr>, Vec<IpAddr>) = addresses
            .iter()
            .copied()
            .filter(|address| !address.is_loopback())
            .partition(|address| is_link_local(*address));
        if wide.is_empty() {
            wide = local;
        }
        wide.sort_unstable();
        wide.dedup();
        let reachable = wide.iter().any(|address| !is_link_local(*address));
        wide.truncate(MAX_ADDRESSES);
        Self { addresses: wide, time_servers: Vec::new(), problems: problems(links, reachable) }
    }
}

fn problems(links: &[(&str, Stage)], reachable: bool) -> Vec<String> {
    let of = |stage: Stage| -> Vec<&str> {
        links.iter().filter(|(_, is)| *is == stage).map(|(name, _)| *name).collect()
    };
    if links.is_empty() {
        return vec!["No network card was found that this box has a driver for; add another one.".into()];
    }
    // A second card without a cable is not a problem.
    let unplugged = of(Stage::NoCable);
    if unplugged.len() == links.len() {
        let names = unplugged.join(" or ");
        return vec![format!(
            "No network cable in {names}: plug one in, and check that its other end is connected."
        )];
    }
    if reachable {
        return Vec::new();
    }
    of(Stage::Silent)
        .into_iter()
        .map(|name| {
            format!(
                "{name}: no answer from a DHCP server. A computer at the other end of the cable can open the address \
                 above; for others check the router, or set an address under [network] in blackbox.toml. Trying again."
            )
        })
        .collect()
}

fn is_link_local(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => address.is_link_local(),
        IpAddr::V6(address) => address.is_unicast_link_local(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(links: &[(&str, Stage)], addresses: &[&str], expected: &[&str], problems: &[&str]) {
        let addresses: Vec<IpAddr> = addresses.iter().map(|text| text.parse().unwrap()).collect();
        let report = Report::new(links, &addresses);
        let shown: Vec<_> = report.addresses.iter().map(IpAddr::to_string).collect();
        assert_eq!(shown, expected, "{links:?} {addresses:?}");
        assert_eq!(report.problems.len(), problems.len(), "{:?}", report.problems);
        for (problem, part) in report.problems.iter().zip(problems) {
            assert!(problem.contains(part), "{problem}");
        }
        let line = serde_json::to_string(&report).unwrap();
        assert_eq!(serde_json::from_str::<Report>(&line).unwrap(), report);
    }

    #[test]
    fn link_local_addresses_only_count_alone() {
        use Stage::Fine;
        check(&[("eth0", Fine)], &["127.0.0.1", "::1", "10.0.2.15", "fe80::1"], &["10.0.2.15"], &[]);
        check(&[("eth0", Fine)], &["fe80::1", "169.254.1.2"], &["169.254.1.2", "fe80::1"], &[]);
        check(
            &[("eth0", Fine)],
            &["10.0.2.15", "10.0.2.15", "2001:db8::1"],
            &["10.0.2.15", "2001:db8::1"],
            &[],
        );
        check(&[("eth0", Fine)], &[], &[], &[]);
    }

    #[test]
    fn problems_say_what_to_do() {
        use Stage::{Fine, NoCable, Silent};
        check(&[], &[], &[], &["No network card"]);
        check(&[("eth0", NoCable)], &[], &[], &["cable in eth0: plug"]);
        check(&[("eth0", NoCable), ("eth1", NoCable)], &[], &[], &["eth0 or eth1"]);
        check(&[("eth0", NoCable), ("eth1", Fine)], &["10.0.2.15"], &["10.0.2.15"], &[]);
        check(&[("eth0", Silent), ("eth1", NoCable)], &["fe80::1"], &["fe80::1"], &["eth0: no answer"]);
        check(&[("eth0", Silent), ("eth1", Fine)], &["10.0.2.15"], &["10.0.2.15"], &[]);
        check(&[("eth0", Silent)], &["2001:db8::1"], &["2001:db8::1"], &[]);
    }
}
