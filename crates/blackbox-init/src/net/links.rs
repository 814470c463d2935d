//! The machine's Ethernet links as sysfs shows them.

use std::fs;
use std::net::{IpAddr, Ipv6Addr};
use std::path::Path;

/// More network cards than a box has; the rest is ignored.
const MAX_LINKS: usize = 32;

/// `ARPHRD_ETHER`.
const ETHERNET: &str = "1";

/// `IFF_UP`.
const UP: u32 = 1;

/// `IFA_F_TENTATIVE` and `IFA_F_DADFAILED`.
const TENTATIVE: u32 = 0x40;
const FAILED: u32 = 0x08;

/// What is known of a link.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LinkFacts {
    /// Kernel name, such as `eth0`.
    pub name: String,
    /// Interface index.
    pub index: u32,
    /// Hardware address.
    pub mac: [u8; 6],
    /// Whether it is switched on.
    pub up: bool,
    /// Whether a cable with something at its other end is plugged in.
    pub carrier: bool,
}

/// Every wired Ethernet link of real (or virtual machine) hardware, by name.
pub fn scan(sys: &Path) -> Vec<LinkFacts> {
    let Ok(entries) = fs::read_dir(sys.join("class/net")) else { return Vec::new() };
    let mut links: Vec<_> = entries.filter_map(|entry| read(&entry.ok()?.path())).take(MAX_LINKS).collect();
    links.sort_by_key(|link| link.index);
    links
}

/// The addresses in `/proc/net/if_inet6` of which it is not certain yet that nobody else has them, or that somebody has.
pub fn unchecked(table: &str) -> Vec<IpAddr> {
    let parse = |line: &str| {
        let mut words = line.split_ascii_whitespace();
        let address = u128::from_str_radix(words.next()?, 16).ok()?;
        let flags = u32::from_str_radix(words.nth(3)?, 16).ok()?;
        (flags & (TENTATIVE | FAILED) != 0).then(|| Ipv6Addr::from_bits(address).into())
    };
    table.lines().filter_map(parse).collect()
}

fn read(path: &Path) -> Option<LinkFacts> {
    let text = |name: &str| fs::read_to_string(path.join(name)).map(|text| text.trim().to_owned()).ok();
    let wired =
        path.join("device").exists() && !path.join("wireless").exists() && !path.join("phy80211").exists();
    if text("type")? != ETHERNET || !wired {
        return None;
    }
    let flags = u32::from_str_radix(text("flags")?.trim_start_matches("0x"), 16).ok()?;
    Some(LinkFacts {
        name: path.file_name()?.to_str()?.to_owned(),
        index: text("ifindex")?.parse().ok()?,
        mac: parse_mac(&text("address")?)?,
        up: flags & UP != 0,
        // Reading fails while the link is off.
        carrier: text("carrier").is_some_and(|text| text == "1"),
    })
}

fn parse_mac(text: &str) -> Option<[u8; 6]> {
    let bytes: Option<Vec<u8>> = text.split(':').map(|part| u8::from_str_radix(part, 16).ok()).collect();
    bytes?.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_wired_cards_are_used() {
        let sys = tempfile::tempdir().unwrap();
        let add = |name: &str, kind: &str, extra: &[&str], carrier: Option<&str>| {
            let path = sys.path().join("class/net").join(name);
            for directory in extra {
                fs::create_dir_all(path.join(directory)).unwrap();
            }
            fs::create_dir_all(&path).unwrap();
            let index = name.bytes().last().unwrap() - b'0' + 1;
            let files = [("type", kind), ("flags", "0x1003"), ("address", "02:00:00:00:00:0a")];
            for (file, value) in files {
                fs::write(path.join(file), format!("{value}\n")).unwrap();
            }
            fs::write(path.join("ifindex"), format!("{index}\n")).unwrap();
            if let Some(carrier) = carrier {
                fs::write(path.join("carrier"), carrier).unwrap();
            }
        };
        add("eth1", "1", &["device"], Some("1\n"));
        add("eth0", "1", &["device"], None);
        add("wlan2", "1", &["device", "wireless"], Some("1\n"));
        add("lo0", "772", &[], Some("1\n"));
        add("br0", "1", &[], Some("1\n"));
        let mac = [2, 0, 0, 0, 0, 10];
        let link =
            |name: &str, index, carrier| LinkFacts { name: name.into(), index, mac, up: true, carrier };
        assert_eq!(scan(sys.path()), [link("eth0", 1, false), link("eth1", 2, true)]);
    }

    #[test]
    fn addresses_that_may_not_be_used_yet_are_known() {
        let table = "00000000000000000000000000000001 01 80 10 80       lo\n\
                     fe800000000000005054000012345678 02 40 20 c0     eth0\n\
                     fd000007000000000000000000000001 02 40 00 88     eth0\n\
                     fd000007000000000000000000000002 02 40 00 80     eth0\n\nnonsense 1 2";
        let expected: Vec<IpAddr> =
            ["fe80::5054:0:1234:5678", "fd00:7::1"].iter().map(|text| text.parse().unwrap()).collect();
        assert_eq!(unchecked(table), expected);
    }

    #[test]
    fn hardware_addresses_have_six_bytes() {
        assert_eq!(parse_mac("52:54:00:12:34:56"), Some([0x52, 0x54, 0, 0x12, 0x34, 0x56]));
        for bad in ["", "52:54:00:12:34", "52:54:00:12:34:56:78", "xx:54:00:12:34:56"] {
            assert_eq!(parse_mac(bad), None, "{bad}");
        }
    }
}
