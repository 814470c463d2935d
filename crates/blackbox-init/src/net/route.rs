//! Requests to the kernel's route netlink: links up, addresses, default routes.

use std::io;
use std::net::{IpAddr, Ipv4Addr};

use appliance::config::Cidr;
use netlink_packet_core::{
    NLM_F_ACK, NLM_F_CREATE, NLM_F_REPLACE, NLM_F_REQUEST, NetlinkHeader, NetlinkMessage, NetlinkPayload,
};
use netlink_packet_route::address::{AddressAttribute, AddressMessage};
use netlink_packet_route::link::{LinkFlags, LinkMessage};
use netlink_packet_route::route::{
    RouteAddress, RouteAttribute, RouteHeader, RouteMessage, RouteProtocol, RouteScope, RouteType,
};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};

use crate::sys;

/// Metric of default routes; the link's index is added, so that the first card is preferred.
const METRIC: u32 = 100;

/// Switches a link on.
pub fn link_up(index: u32) -> io::Result<()> {
    let mut message = LinkMessage::default();
    message.header.index = index;
    message.header.flags = LinkFlags::Up;
    message.header.change_mask = LinkFlags::Up;
    request(RouteNetlinkMessage::SetLink(message), 0)
}

/// Gives a link an address, or leaves it there.
pub fn add_address(index: u32, cidr: Cidr) -> io::Result<()> {
    let mut message = address(index, cidr.address);
    message.header.prefix_len = cidr.prefix;
    message.attributes.push(AddressAttribute::Address(cidr.address));
    if let IpAddr::V4(address) = cidr.address
        && cidr.prefix < 31
    {
        let host = u32::MAX >> cidr.prefix;
        message.attributes.push(AddressAttribute::Broadcast(Ipv4Addr::from_bits(address.to_bits() | host)));
    }
    request(RouteNetlinkMessage::NewAddress(message), NLM_F_CREATE | NLM_F_REPLACE)
}

/// Takes an address from a link.
pub fn remove_address(index: u32, local: IpAddr) -> io::Result<()> {
    request(RouteNetlinkMessage::DelAddress(address(index, local)), 0)
}

/// Makes a router the way to everywhere else.
pub fn add_default(index: u32, router: IpAddr) -> io::Result<()> {
    let mut message = default_route(index, router);
    message.attributes.push(RouteAttribute::Gateway(match router {
        IpAddr::V4(router) => RouteAddress::Inet(router),
        IpAddr::V6(router) => RouteAddress::Inet6(router),
    }));
    request(RouteNetlinkMessage::NewRoute(message), NLM_F_CREATE | NLM_F_REPLACE)
}

/// Takes away the default route over a link, in the router's address family.
pub fn remove_default(index: u32, router: IpAddr) -> io::Result<()> {
    request(RouteNetlinkMessage::DelRoute(default_route(index, router)), 0)
}

fn family(address: IpAddr) -> AddressFamily {
    if address.is_ipv4() { AddressFamily::Inet } else { AddressFamily::Inet6 }
}

fn address(index: u32, local: IpAddr) -> AddressMessage {
    let mut message = AddressMessage::default();
    message.header.family = family(local);
    message.header.index = index;
    message.attributes.push(AddressAttribute::Local(local));
    message
}

fn default_route(index: u32, router: IpAddr) -> RouteMessage {
    let mut message = RouteMessage::default();
    message.header = RouteHeader {
        address_family: family(router),
        table: RouteHeader::RT_TABLE_MAIN,
        protocol: RouteProtocol::Dhcp,
        scope: RouteScope::Universe,
        kind: RouteType::Unicast,
        ..RouteHeader::default()
    };
    message.attributes.push(RouteAttribute::Oif(index));
    message.attributes.push(RouteAttribute::Priority(METRIC + index));
    message
}

/// The bytes of a request that asks for an acknowledgement.
fn encode(message: RouteNetlinkMessage, flags: u16) -> Vec<u8> {
    let mut header = NetlinkHeader::default();
    header.flags = NLM_F_REQUEST | NLM_F_ACK | flags;
    let mut message = NetlinkMessage::new(header, NetlinkPayload::from(message));
    message.finalize();
    let mut bytes = vec![0; message.buffer_len()];
    message.serialize(&mut bytes);
    bytes
}

/// The kernel's verdict.
fn verdict(answer: &[u8]) -> io::Result<()> {
    let message = NetlinkMessage::<RouteNetlinkMessage>::deserialize(answer).map_err(io::Error::other)?;
    match message.payload {
        NetlinkPayload::Error(error) if error.code.is_none() => Ok(()),
        NetlinkPayload::Error(error) => Err(error.to_io()),
        _ => Err(io::Error::other("the kernel answered something else")),
    }
}

fn request(message: RouteNetlinkMessage, flags: u16) -> io::Result<()> {
    verdict(&sys::request_netlink(&encode(message, flags))?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_answer_is_understood() {
        let acknowledged = |code: i32| {
            let mut bytes = 36_u32.to_ne_bytes().to_vec();
            bytes.extend(2_u16.to_ne_bytes());
            bytes.extend([0; 10]);
            bytes.extend(code.to_ne_bytes());
            bytes.extend([0; 16]);
            bytes
        };
        assert!(verdict(&acknowledged(0)).is_ok());
        let error = verdict(&acknowledged(-17)).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::AlreadyExists);
        assert!(verdict(&[]).is_err());
    }

    #[test]
    fn a_request_has_the_layout_of_the_kernel() {
        let bytes = encode(RouteNetlinkMessage::DelAddress(address(3, "10.0.2.15".parse().unwrap())), 0);
        assert_eq!(bytes.len(), 16 + 8 + 8);
        assert_eq!(bytes[..4], 32_u32.to_ne_bytes());
        assert_eq!(bytes[4..6], 21_u16.to_ne_bytes(), "RTM_DELADDR");
        assert_eq!(bytes[16], 2, "AF_INET");
        assert_eq!(bytes[20..24], 3_u32.to_ne_bytes());
        assert_eq!(bytes[28..], [10, 0, 2, 15]);
    }
}
