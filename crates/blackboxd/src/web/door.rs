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
const OPEN: [&str; 5] = ["/admin", "/metrics", "/healthz", "/style.css", "/icon.svg"];

/// What a visitor is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Visit<'a> {
    /// The path without a passkey.
    pub(super) path: &'a str,
    /// Who it is, where that matters.
    pub(super) member: Option<MemberId>,
}

/// Lets everybody in where everything is public, and otherwise members; others are told how they could be.
///
/// # Errors
/// The answer for who may not come in.
pub(super) fn enter<'a>(app: &App, request: &'a Request) -> Result<Visit<'a>, Response> {
    let path = request.head.uri.path();
    if app.is_public() || OPEN.contains(&path) {
        return Ok(Visit { path, member: None });
    }
    let (in_path, rest) = Passkey::before(path);
    let is_in_path = in_path.is_some();
    let shown = in_path.or_else(|| {
        let field = request.head.headers.get(AUTHORIZATION)?;
        Passkey::parse(&basic_auth::presented(field.as_bytes())?)
    });
    match shown.and_then(|passkey| app.members.find(&passkey)) {
        Some(member) => Ok(Visit { path: rest, member: Some(member) }),
        // A link of somebody who is not a member (any more). Asking for a password would not mend it.
        None if is_in_path => Err(reply::error(
            StatusCode::FORBIDDEN,
            "The passkey in this address is not valid (any more). Ask whoever runs this box for one.",
        )),
        None => Err(ask()),
    }
}

fn ask() -> Response {
    let sentence = "This box is for its members. Your passkey is the password, any user name will do. Programs that can't \
                    be given a password take the passkey in front of the path, as in http://this-box/PASSKEY/feed.xml.";
    let challenge = HeaderValue::from_static("Basic realm=\"P2P Black Box: members\", charset=\"UTF-8\"");
    reply::with(reply::error(StatusCode::UNAUTHORIZED, sentence), WWW_AUTHENTICATE, challenge)
}
