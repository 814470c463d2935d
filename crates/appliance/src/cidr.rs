//! Addresses with the prefix length of their network, as text.

use std::net::IpAddr;

use serde::{Deserialize, Deserializer, Serialize, de};

/// An address with the prefix length of its network.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(into = "String")]
pub struct Cidr {
    /// The address itself, not the network's.
    pub address: IpAddr,
    /// Prefix length: 1 to 32 for IPv4, 1 to 128 for IPv6.
    pub prefix: u8,
}

impl From<Cidr> for String {
    fn from(Cidr { address, prefix }: Cidr) -> Self {
        format!("{address}/{prefix}")
    }
}

impl<'de> Deserialize<'de> for Cidr {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let parse = || {
            let (address, prefix) = text.split_once('/')?;
            let cidr = Self { address: address.parse().ok()?, prefix: prefix.parse().ok()? };
            let bits = if cidr.address.is_ipv4() { 32 } else { 128 };
            (1..=bits).contains(&cidr.prefix).then_some(cidr)
        };
        parse().ok_or_else(|| {
            de::Error::custom(format!(
                "{text:?} is not an address with a prefix length, like \"192.0.2.10/24\""
            ))
        })
    }
}
