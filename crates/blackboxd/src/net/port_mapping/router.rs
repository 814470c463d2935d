//! A router that maps ports, in one of the three ways in which they can be asked.
//!
//! Whatever it answers has bounds: packets of PCP and NAT-PMP are of fixed size, documents of `UPnP` are cut at 1 MiB by
//! the crate, and every wait ends. Of its words none are shown.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroU16;
use std::time::Duration;

use crab_nat::{InternetProtocol, PortMappingOptions, TimeoutConfig, natpmp, pcp};
use igd_next::aio::tokio::{Tokio, search_gateway};
use igd_next::{AddPortError, GetExternalIpError, PortMappingProtocol, RequestError, SearchOptions};

use super::gateway::Gateway;
use crate::random;

/// Time that is asked for; after it a router forgets a box that is gone.
const LIFETIME: Duration = Duration::from_hours(1);

/// How long a router has to answer by PCP and NAT-PMP: a first try, and three more after twice the time each.
const TIMES: TimeoutConfig =
    TimeoutConfig { initial_timeout: Duration::from_millis(250), max_retries: 3, max_retry_timeout: None };

/// How long a router has to say where its `UPnP` is, asked by itself and then by multicast.
const SEARCH: Duration = Duration::from_secs(2);

/// How long each further answer of `UPnP` may take.
const UPNP: Duration = Duration::from_secs(5);

/// Where `UPnP` devices listen, and to which group (SSDP).
const SSDP_PORT: u16 = 1900;
const SSDP_GROUP: [u8; 4] = [239, 255, 255, 250];

/// What the router's own page calls the mapping.
const DESCRIPTION: &str = "P2P Black Box";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Transport {
    Tcp,
    Udp,
}

/// A port that is to be mapped.
#[derive(Debug, Clone, Copy)]
pub(super) struct Wanted {
    pub transport: Transport,
    /// The listener's.
    internal: NonZeroU16,
    /// The one that would be liked outside; that which was granted, once one was.
    pub external: NonZeroU16,
}

impl Wanted {
    pub(super) fn new(transport: Transport, port: NonZeroU16) -> Self {
        Self { transport, internal: port, external: port }
    }
}

/// A port that is mapped.
#[derive(Debug, Clone, Copy)]
pub(super) struct Granted {
    pub port: NonZeroU16,
    pub lifetime: Duration,
    /// The router's address outside, if it said so with the port.
    pub address: Option<IpAddr>,
}

/// Why ports are not mapped. The order is from what tells least to what tells most.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Trouble {
    /// There is nobody to ask, or nothing to be forwarded to.
    NoRouter,
    /// The router does not answer.
    NoAnswer,
    /// It answers what can't be.
    Nonsense,
    /// It says no, and why.
    Refused(&'static str),
}

impl Trouble {
    pub(super) fn sentence(self) -> String {
        match self {
            Self::NoRouter => {
                "there is no router to be asked: no default route over IPv4, or ports that listen elsewhere".into()
            }
            Self::NoAnswer => {
                "the router answers neither PCP nor NAT-PMP nor UPnP; perhaps one of them can be switched on there, or \
                 the ports forwarded by hand"
                    .into()
            }
            Self::Nonsense => "the router gives answers that make no sense".into(),
            Self::Refused(reason) => format!("refused by the router: {reason}"),
        }
    }
}

enum Way {
    /// With what our mappings are known by.
    Pcp(pcp::Nonce),
    NatPmp,
    Upnp(Box<igd_next::aio::Gateway<Tokio>>),
}

/// A router that does as it is asked.
pub(super) struct Router {
    gateway: Gateway,
    way: Way,
}

impl Router {
    /// Finds a way in which it can be asked, by asking for `first`.
    ///
    /// # Errors
    /// When the system has no randomness; inside, what the router has against it.
    pub(super) async fn ask(gateway: Gateway, first: Wanted) -> io::Result<Result<Self, Trouble>> {
        let words: [u8; 12] = random::bytes()?;
        let nonce =
            [0, 4, 8].map(|at| u32::from_be_bytes([words[at], words[at + 1], words[at + 2], words[at + 3]]));
        let mut trouble = Trouble::NoAnswer;
        for way in [Way::Pcp(nonce), Way::NatPmp] {
            let router = Self { gateway, way };
            match router.map(first).await {
                Ok(_) => return Ok(Ok(router)),
                Err(found) => trouble = trouble.max(found),
            }
        }
        let upnp = match find_upnp(gateway).await {
            Ok(upnp) => upnp,
            Err(found) => return Ok(Err(trouble.max(found))),
        };
        let router = Self { gateway, way: Way::Upnp(Box::new(upnp)) };
        Ok(match router.map(first).await {
            Ok(_) => Ok(router),
            Err(found) => Err(trouble.max(found)),
        })
    }

    pub(super) fn gateway(&self) -> Gateway {
        self.gateway
    }

    pub(super) fn way(&self) -> &'static str {
        match self.way {
            Way::Pcp(_) => "PCP",
            Way::NatPmp => "NAT-PMP",
            Way::Upnp(_) => "UPnP",
        }
    }

    /// Maps a port, or renews that.
    pub(super) async fn map(&self, wanted: Wanted) -> Result<Granted, Trouble> {
        let options = PortMappingOptions {
            external_port: Some(wanted.external),
            lifetime_seconds: u32::try_from(LIFETIME.as_secs()).ok(),
            timeout_config: Some(TIMES),
        };
        let router = self.gateway.router.into();
        match &self.way {
            Way::Pcp(nonce) => {
                let local = self.gateway.local.into();
                let base = pcp::BaseMapRequest::new(router, local, wanted.transport.into(), wanted.internal);
                let mapping = pcp::port_mapping(base, Some(*nonce), None, options).await?;
                let crab_nat::PortMappingType::Pcp { external_ip, .. } = mapping.mapping_type() else {
                    return Err(Trouble::Nonsense);
                };
                Ok(Granted { address: Some(external_ip.to_canonical()), ..Granted::of(&mapping) })
            }
            Way::NatPmp => {
                let mapping =
                    natpmp::port_mapping(router, wanted.transport.into(), wanted.internal, options).await?;
                Ok(Granted::of(&mapping))
            }
            Way::Upnp(upnp) => self.map_by_upnp(upnp, wanted).await,
        }
    }

    async fn map_by_upnp(
        &self,
        upnp: &igd_next::aio::Gateway<Tokio>,
        wanted: Wanted,
    ) -> Result<Granted, Trouble> {
        let local = SocketAddr::new(self.gateway.local.into(), wanted.internal.get());
        let transport = wanted.transport.into();
        let add = async |port: NonZeroU16, seconds: u32| {
            let added = upnp.add_port(transport, port.get(), local, seconds, DESCRIPTION);
            tokio::time::timeout(UPNP, added).await.map_err(|_| Trouble::NoAnswer)
        };
        let seconds = u32::try_from(LIFETIME.as_secs()).unwrap_or(u32::MAX);
        let granted = |port| Granted { port, lifetime: LIFETIME, address: None };
        match add(wanted.external, seconds).await? {
            Ok(()) => Ok(granted(wanted.external)),
            // Old routers keep a mapping until it is taken back.
            Err(AddPortError::OnlyPermanentLeasesSupported) => {
                add(wanted.external, 0).await?.map_err(|error| refusal(&error))?;
                Ok(granted(wanted.external))
            }
            Err(AddPortError::PortInUse) => {
                let any = upnp.add_any_port(transport, local, seconds, DESCRIPTION);
                let any = tokio::time::timeout(UPNP, any).await.map_err(|_| Trouble::NoAnswer)?;
                let port =
                    any.map_err(|_| Trouble::Refused("the port is another machine's, and it has no other"))?;
                NonZeroU16::new(port).map(granted).ok_or(Trouble::Nonsense)
            }
            Err(error) => Err(refusal(&error)),
        }
    }

    /// The router's address outside.
    pub(super) async fn address(&self) -> Result<IpAddr, Trouble> {
        match &self.way {
            Way::Pcp(_) => Err(Trouble::Nonsense),
            Way::NatPmp => {
                Ok(natpmp::external_address(self.gateway.router.into(), Some(TIMES)).await?.into())
            }
            Way::Upnp(upnp) => {
                let asked = tokio::time::timeout(UPNP, upnp.get_external_ip()).await;
                asked.map_err(|_| Trouble::NoAnswer)?.map_err(|error| match error {
                    GetExternalIpError::ActionNotAuthorized => {
                        Trouble::Refused("it does not tell its address to this box")
                    }
                    GetExternalIpError::RequestError(error) => request_trouble(&error),
                })
            }
        }
    }

    /// Takes a mapping back, if the router still listens. It ends by itself otherwise.
    pub(super) async fn unmap(&self, wanted: Wanted) {
        let once = TimeoutConfig { max_retries: 1, ..TIMES };
        let router = self.gateway.router.into();
        // It is not worth a word when this fails.
        match &self.way {
            Way::Pcp(nonce) => {
                let range = pcp::DropMappingRange::Single {
                    internal_port: wanted.internal,
                    protocol: wanted.transport.into(),
                };
                let local = self.gateway.local.into();
                let _ = pcp::try_drop_mapping(router, local, *nonce, range, Some(once)).await;
            }
            Way::NatPmp => {
                let (transport, port) = (wanted.transport.into(), Some(wanted.internal));
                let _ = natpmp::try_drop_mapping(router, transport, port, Some(once)).await;
            }
            Way::Upnp(upnp) => {
                let _ = upnp.remove_port(wanted.transport.into(), wanted.external.get()).await;
            }
        }
    }
}

/// The `UPnP` of the router itself: others in the network may answer too, and are not believed.
async fn find_upnp(gateway: Gateway) -> Result<igd_next::aio::Gateway<Tokio>, Trouble> {
    let mut trouble = Trouble::NoAnswer;
    for target in [gateway.router, SSDP_GROUP.into()] {
        let mut options = SearchOptions::default();
        options.bind_addr = (gateway.local, 0).into();
        options.broadcast_address = (target, SSDP_PORT).into();
        options.timeout = Some(SEARCH);
        options.single_search_timeout = Some(SEARCH);
        match search_gateway(options).await {
            Ok(found) if found.addr.ip() == gateway.router => return Ok(found),
            Ok(_) => trouble = Trouble::Nonsense,
            Err(_) => {}
        }
    }
    Err(trouble)
}

impl Granted {
    fn of(mapping: &crab_nat::PortMapping) -> Self {
        let lifetime = Duration::from_secs(mapping.lifetime().into());
        Self { port: mapping.external_port(), lifetime, address: None }
    }
}

impl From<Transport> for InternetProtocol {
    fn from(transport: Transport) -> Self {
        match transport {
            Transport::Tcp => Self::Tcp,
            Transport::Udp => Self::Udp,
        }
    }
}

impl From<Transport> for PortMappingProtocol {
    fn from(transport: Transport) -> Self {
        match transport {
            Transport::Tcp => Self::TCP,
            Transport::Udp => Self::UDP,
        }
    }
}

/// What most routers mean when they say no.
const NOT_ALLOWED: &str = "its settings do not allow it";
const NO_NETWORK: &str = "it has no connection itself";
const NO_ROOM: &str = "it has no room for more mappings";

impl From<pcp::Failure> for Trouble {
    fn from(failure: pcp::Failure) -> Self {
        match failure {
            // The latter two say that it has no PCP.
            pcp::Failure::Socket(_)
            | pcp::Failure::Timeout
            | pcp::Failure::UnsupportedVersion(_)
            | pcp::Failure::UnsupportedOpcode => Self::NoAnswer,
            pcp::Failure::NotAuthorized(_) => Self::Refused(NOT_ALLOWED),
            pcp::Failure::NetworkFailure(_) => Self::Refused(NO_NETWORK),
            pcp::Failure::NoResources(_) | pcp::Failure::UserExceededQuota(_) => Self::Refused(NO_ROOM),
            pcp::Failure::CannotProvideExternal(_) => Self::Refused("it has no such port"),
            pcp::Failure::AddressMismatch => Self::Refused("there is another router between it and the box"),
            _ => Self::Nonsense,
        }
    }
}

impl From<natpmp::Failure> for Trouble {
    fn from(failure: natpmp::Failure) -> Self {
        match failure {
            natpmp::Failure::Socket(_)
            | natpmp::Failure::Timeout
            | natpmp::Failure::UnsupportedVersion(_)
            | natpmp::Failure::UnsupportedOpcode => Self::NoAnswer,
            natpmp::Failure::NotAuthorized => Self::Refused(NOT_ALLOWED),
            natpmp::Failure::NetworkFailure => Self::Refused(NO_NETWORK),
            natpmp::Failure::OutOfResources => Self::Refused(NO_ROOM),
            natpmp::Failure::InvalidResponse(_) => Self::Nonsense,
        }
    }
}

fn refusal(error: &AddPortError) -> Trouble {
    match error {
        AddPortError::RequestError(error) => request_trouble(error),
        AddPortError::PortInUse => Trouble::Refused("the port is another machine's"),
        _ => Trouble::Refused(NOT_ALLOWED),
    }
}

fn request_trouble(error: &RequestError) -> Trouble {
    match error {
        RequestError::ErrorCode(_, _) | RequestError::UnsupportedAction(_) => Trouble::Refused(NOT_ALLOWED),
        RequestError::IoError(_) | RequestError::HyperError(_) | RequestError::HyperClientError(_) => {
            Trouble::NoAnswer
        }
        _ => Trouble::Nonsense,
    }
}
