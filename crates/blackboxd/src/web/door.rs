//! Who may come in where there are members: who shows a passkey, in front of the path or as a password.
//!
//! People and feed readers can be asked for a password (RFC 7617). Clients that fetch torrents and web seeds by themselves
//! can't, and append to the URLs that they have: so the URLs that a member is given begin with its passkey.

use hyper::StatusCode;
use hyper::header::{AUTHORIZATION, HeaderValue, WWW_AUTHENTICATE};
use tracker::members::{MemberId, Passkey};

use super::{basic_auth, reply};
use crate::app::App;
use crate::net::http::{Request, Response};

/// What is no secret, or has a door of its own.
const OPEN: [&str; 8] = [
    "/admin",
    "/admin/events",
    "/admin/report",
    "/metrics",
    "/healthz",
    "/style.css",
    "/script.js",
    "/icon.svg",
];

/// What a visitor is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Visit<'a> {
    /// The path without a passkey.
    pub(super) path: &'a str,
    /// Who it is, where that matters.
    pub(super) member: Option<MemberId>,
}

/// Why somebody may not come in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refusal {
    /// Shows no passkey, or has mistyped it.
    NoMember,
    /// Uses a link of somebody who is not a member (any more). Asking for a password would not mend it.
    StaleLink,
}

impl Refusal {
    /// What the visitor is told.
    pub(super) fn response(self) -> Response {
        match self {
            Self::NoMember => {
                let challenge = "Basic realm=\"P2P Black Box: members\", charset=\"UTF-8\"";
                let sentence = "This box is for its members. Your passkey is the password, any user name will do. Programs \
                                that can't be given a password take the passkey in front of the path, as in \
                                http://this-box/PASSKEY/feed.xml.";
                let response = reply::error(StatusCode::UNAUTHORIZED, sentence);
                reply::with(response, WWW_AUTHENTICATE, HeaderValue::from_static(challenge))
            }
            Self::StaleLink => reply::error(
                StatusCode::FORBIDDEN,
                "The passkey in this address is not valid (any more). Ask whoever runs this box for one.",
            ),
        }
    }
}

/// Lets everybody in where everything is public, and otherwise members.
pub(super) fn enter<'a>(app: &App, request: &'a Request) -> Result<Visit<'a>, Refusal> {
    let path = request.head.uri.path();
    if app.is_public() || OPEN.contains(&path) {
        return Ok(Visit { path, member: None });
    }
    let (in_path, rest) = Passkey::before(path);
    let refusal = if in_path.is_some() { Refusal::StaleLink } else { Refusal::NoMember };
    let shown = in_path.or_else(|| {
        let field = request.head.headers.get(AUTHORIZATION)?;
        Passkey::parse(&basic_auth::presented(field.as_bytes())?)
    });
    let member = shown.and_then(|passkey| app.members.find(&passkey)).ok_or(refusal)?;
    Ok(Visit { path: rest, member: Some(member) })
}
