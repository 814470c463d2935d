//! Who may see the admin page.

use std::net::IpAddr;

use super::host::Host;

/// Why somebody may not see it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refusal {
    /// Asks from outside.
    Elsewhere,
    /// Came under a name that is not ours: a foreign site may have pointed its own name at the box (DNS rebinding).
    ForeignName,
}

impl Refusal {
    /// What the asker is told.
    pub(super) fn sentence(self) -> &'static str {
        match self {
            Self::Elsewhere => "This page is only for the network that the box is in.",
            Self::ForeignName => {
                "This page is only shown under the box's own address, such as http://192.0.2.10/admin, or under the \
                 public_host in blackbox.toml."
            }
        }
    }
}

/// Whether the asker is in the box's network and reached the box under a name that nobody else can own.
pub(super) fn check(asker: IpAddr, host: &Host, public_host: Option<&str>) -> Result<(), Refusal> {
    if !is_lan(asker) {
        return Err(Refusal::Elsewhere);
    }
    let name = host.name().strip_suffix('.').unwrap_or(host.name());
    let public = public_host.map(|public| public.strip_suffix('.').unwrap_or(public));
    // Nobody can have `.local` names in the DNS (RFC 6762).
    let local = name == "localhost" || name.strip_suffix(".local").is_some_and(|rest| !rest.is_empty());
    let ours =
        host.address().is_some() || local || public.is_some_and(|public| public.eq_ignore_ascii_case(name));
    if ours { Ok(()) } else { Err(Refusal::ForeignName) }
}

/// Loopback, private (RFC 1918), link-local and unique local addresses; `asker` must be canonical.
fn is_lan(asker: IpAddr) -> bool {
    match asker {
        IpAddr::V4(v4) => v4.is_loopback() || v4.is_private() || v4.is_link_local(),
        IpAddr::V6(v6) => v6.is_loopback() || v6.is_unique_local() || v6.is_unicast_link_local(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_lan_may_look() {
        for (asker, may) in [
            ("127.0.0.1", true),
            ("10.0.2.2", true),
            ("172.16.0.1", true),
            ("172.31.255.255", true),
            ("192.168.1.1", true),
            ("169.254.1.1", true),
            ("::1", true),
            ("fe80::1", true),
            ("fd00::1", true),
            ("172.32.0.1", false),
            ("192.0.2.1", false),
            ("100.64.0.1", false),
            ("0.0.0.0", false),
            ("2001:db8::1", false),
            ("::", false),
            // A mapped address that nobody made canonical is not taken for its IPv4 address.
            ("::ffff:10.0.0.1", false),
        ] {
            let result = check(asker.parse().unwrap(), &Host::parse("192.0.2.9").unwrap(), None);
            assert_eq!(result, if may { Ok(()) } else { Err(Refusal::Elsewhere) }, "{asker}");
        }
    }

    #[test]
    fn only_under_a_name_that_nobody_else_can_own() {
        for (host, ours) in [
            ("192.0.2.9", true),
            ("127.0.0.1:8080", true),
            ("[2001:db8::1]:8080", true),
            ("localhost:8080", true),
            ("blackbox.local", true),
            ("BlackBox.Local.", true),
            ("files.example.org", true),
            ("files.example.org.", true),
            ("evil.example.org", false),
            ("local", false),
            ("localhost.evil.example", false),
            ("blackbox.local.evil.example", false),
            ("192.0.2.9.evil.example", false),
        ] {
            let public_host = Some("Files.example.org");
            let result = check("10.0.0.1".parse().unwrap(), &Host::parse(host).unwrap(), public_host);
            assert_eq!(result, if ours { Ok(()) } else { Err(Refusal::ForeignName) }, "{host}");
        }
        let host = Host::parse("files.example.org").unwrap();
        assert_eq!(check("10.0.0.1".parse().unwrap(), &host, None), Err(Refusal::ForeignName));
    }
}
