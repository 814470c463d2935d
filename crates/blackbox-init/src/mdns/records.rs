//! What the box says of itself by multicast DNS: its name, and the page as a service (RFC 6763). Pure.

use std::collections::BTreeSet;
use std::net::IpAddr;

use super::message::{Name, Question, Record, kind};

/// Seconds for which names of hosts hold (RFC 6762 section 10).
const HOST_TTL: u32 = 120;

/// Seconds for which everything else holds.
const OTHER_TTL: u32 = 4500;

/// Most addresses that are told on one link.
const MAX_ADDRESSES: usize = 16;

/// Highest number of a name: a network with more boxes needs names of its owner's choice.
pub const MAX_NUMBER: u32 = 999;

/// What people see in a list of services.
const INSTANCE: &str = "P2P Black Box";

/// Records that are sent together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Group {
    /// The addresses.
    Host,
    /// Host, port and properties of the page.
    Service,
    /// That the page is one of the network's pages.
    Listing,
    /// That there are pages in this network.
    Types,
}

/// All of them, in the order in which they are sent.
const GROUPS: [Group; 4] = [Group::Listing, Group::Service, Group::Host, Group::Types];

/// All that can be asked for.
pub fn everything() -> BTreeSet<(Group, u16)> {
    GROUPS.into_iter().map(|group| (group, kind::ANY)).collect()
}

/// The names of one box.
#[derive(Debug, Clone)]
pub struct Names {
    /// Without what follows it, such as `blackbox-2`.
    label: String,
    host: Name,
    instance: Name,
    service: Name,
    types: Name,
    port: u16,
}

impl Names {
    /// Those of a box that is called `base`, in a network with `number - 1` others of that name; its page is at `port`.
    pub fn new(base: &str, number: u32, port: u16) -> Self {
        let (label, instance) = match number {
            1 => (base.to_owned(), INSTANCE.to_owned()),
            _ => (format!("{base}-{number}"), format!("{INSTANCE} ({number})")),
        };
        Self {
            host: Name::new(&[&label, "local"]),
            instance: Name::new(&[&instance, "_http", "_tcp", "local"]),
            service: Name::new(&["_http", "_tcp", "local"]),
            types: Name::new(&["_services", "_dns-sd", "_udp", "local"]),
            label,
            port,
        }
    }

    /// The name by which the box is found, such as `blackbox.local`.
    pub fn host_name(&self) -> String {
        format!("{}.local", self.label)
    }

    /// What a question is about, if it is about the box.
    pub fn group(&self, question: &Question) -> Option<Group> {
        let names = [
            (&self.host, Group::Host),
            (&self.instance, Group::Service),
            (&self.service, Group::Listing),
            (&self.types, Group::Types),
        ];
        names.into_iter().find(|(name, _)| **name == question.name).map(|(_, group)| group)
    }

    /// The questions of a probe: whether anybody has these names (RFC 6762 section 8.1).
    pub fn probe_questions(&self) -> Vec<Question> {
        // Answers have to come to the group: what comes to the box alone it does not hear.
        let ask = |name: &Name| Question { name: name.clone(), kind: kind::ANY, unicast: false };
        vec![ask(&self.host), ask(&self.instance)]
    }

    /// The records of a group on a link with these addresses.
    pub fn records(&self, group: Group, addresses: &[IpAddr]) -> Vec<Record> {
        match group {
            Group::Host => {
                let mut records: Vec<_> = self.addresses(addresses).collect();
                records.push(self.types_of_host(addresses));
                records
            }
            Group::Service => vec![self.location(), unique(&self.instance, kind::TXT, b"\x06path=/")],
            Group::Listing => vec![pointer(&self.service, &self.instance)],
            Group::Types => vec![pointer(&self.types, &self.service)],
        }
    }

    /// What is claimed by a probe: records that are not yet the only ones of their names.
    pub fn claims(&self, addresses: &[IpAddr]) -> Vec<Record> {
        let claim = |record| Record { unique: false, ..record };
        self.addresses(addresses).chain([self.location()]).map(claim).collect()
    }

    /// The addresses as records, sorted as they are compared (RFC 6762 section 8.2.1).
    pub fn sorted_addresses(&self, addresses: &[IpAddr]) -> Vec<(u16, Vec<u8>)> {
        sorted(self.addresses(addresses))
    }

    /// What a message claims of the box's name, sorted likewise.
    pub fn claimed(&self, records: &[Record]) -> Vec<(u16, Vec<u8>)> {
        sorted(records.iter().filter(|record| record.name == self.host).cloned())
    }

    /// Whether a record says that the name of the host or of the service is somebody else's. The box has `own` addresses on
    /// all of its links together.
    pub fn contradicts(&self, record: &Record, own: &[IpAddr]) -> bool {
        match record.kind {
            // Taken back, and so free.
            _ if record.ttl == 0 => false,
            kind::A | kind::AAAA if record.name == self.host => {
                !own.iter().any(|address| data(*address).1 == record.data)
            }
            kind::SRV if record.name == self.instance => {
                !record.data.eq_ignore_ascii_case(&self.location().data)
            }
            _ => false,
        }
    }

    fn addresses(&self, addresses: &[IpAddr]) -> impl Iterator<Item = Record> {
        addresses.iter().take(MAX_ADDRESSES).map(|address| {
            let (kind, data) = data(*address);
            unique(&self.host, kind, &data)
        })
    }

    fn location(&self) -> Record {
        let mut data = vec![0; 4];
        data.extend(self.port.to_be_bytes());
        data.extend(self.host.bytes());
        unique(&self.instance, kind::SRV, &data)
    }

    /// Says which types of records there are of the host, so that nobody waits for others (RFC 6762 section 6.1).
    fn types_of_host(&self, addresses: &[IpAddr]) -> Record {
        let mut bits = [0_u8; 4];
        for address in addresses {
            let kind = usize::from(data(*address).0);
            bits[kind / 8] |= 0x80 >> (kind % 8);
        }
        let data = [self.host.bytes(), &[0, 4], &bits].concat();
        unique(&self.host, kind::NSEC, &data)
    }
}

fn unique(name: &Name, kind: u16, data: &[u8]) -> Record {
    let ttl = if kind == kind::TXT { OTHER_TTL } else { HOST_TTL };
    Record { name: name.clone(), kind, unique: true, ttl, data: data.to_vec() }
}

fn pointer(name: &Name, to: &Name) -> Record {
    Record { name: name.clone(), kind: kind::PTR, unique: false, ttl: OTHER_TTL, data: to.bytes().to_vec() }
}

fn data(address: IpAddr) -> (u16, Vec<u8>) {
    match address {
        IpAddr::V4(v4) => (kind::A, v4.octets().to_vec()),
        IpAddr::V6(v6) => (kind::AAAA, v6.octets().to_vec()),
    }
}

fn sorted(records: impl Iterator<Item = Record>) -> Vec<(u16, Vec<u8>)> {
    let mut sorted: Vec<_> = records.map(|record| (record.kind, record.data)).collect();
    sorted.sort_unstable();
    sorted
}
