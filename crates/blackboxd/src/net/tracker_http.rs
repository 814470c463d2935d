//! The tracker over HTTP: `/announce` and `/scrape`.

use std::sync::Arc;
use std::time::{Duration, Instant};

use hyper::StatusCode;
use hyper::header::{CONNECTION, HOST, HeaderValue};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tracker::address::{Approach, host_address};
use tracker::members::Passkey;
use tracker::{Announce, Failure, TOO_MANY, http as codec};

use super::http::{self, Request, Response};
use super::tracker::{Moment, Tracker};
use crate::app::SharedApp;

/// How often peers are forgotten that no longer announce.
const EXPIRE: Duration = Duration::from_mins(1);

/// Answers on `listener` until `shutdown`. Also does the housekeeping of the swarms, for UDP too.
///
/// # Errors
/// When the system has no randomness.
pub async fn run(app: SharedApp, listener: TcpListener, shutdown: CancellationToken) -> std::io::Result<()> {
    let tracker = Arc::new(Tracker::new(Arc::clone(&app))?);
    let handler = move |request| {
        let tracker = Arc::clone(&tracker);
        async move { respond(&tracker, &request) }
    };
    tokio::select! {
        () = http::serve(listener, handler, shutdown) => {}
        // These two never end.
        ((), ()) = async { tokio::join!(expire(&app), app.public_host.watch()) } => {}
    }
    Ok(())
}

async fn expire(app: &SharedApp) {
    loop {
        tokio::time::sleep(EXPIRE).await;
        app.swarms.expire(Instant::now());
        app.tracker_load.end_minute();
    }
}

fn respond(tracker: &Tracker, request: &Request) -> Response {
    if let Some(refusal) = http::refuse_method(&request.head.method) {
        return refusal;
    }
    let moment = tracker.moment();
    if !tracker.admits(&moment, request.peer.ip()) {
        let mut refusal = http::response(StatusCode::OK, "text/plain", codec::failure(&TOO_MANY));
        // Whoever does not stop has to connect anew each time.
        refusal.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        return refusal;
    }
    let query = request.head.uri.query().unwrap_or_default();
    let (passkey, path) = Passkey::before(request.head.uri.path());
    let body = match path {
        "/announce" => announce(tracker, &moment, request, query, passkey),
        "/scrape" => scrape(tracker, &moment, query, passkey.as_ref()),
        _ => {
            let sentence = "This is the tracker: /announce and /scrape. The page is on another port.\n";
            return http::response(StatusCode::NOT_FOUND, "text/plain; charset=utf-8", sentence);
        }
    };
    // Clients look for the failure in the body of a good answer.
    http::response(StatusCode::OK, "text/plain", body.unwrap_or_else(|failure| codec::failure(&failure)))
}

fn announce(
    tracker: &Tracker,
    moment: &Moment,
    request: &Request,
    query: &str,
    passkey: Option<Passkey>,
) -> Result<Vec<u8>, Failure> {
    let announce = Announce { passkey, ..codec::parse_announce(query, request.peer.ip())? };
    let approach = Approach { asker: request.peer.ip(), local: request.local.ip(), host: host(request) };
    let mut answer = tracker.announce(moment, &announce, &approach)?;
    if let Some(downloaded) = tracker.downloaded(moment, &announce.info_hash) {
        answer.scrape.downloaded = downloaded;
    }
    Ok(codec::announce_response(&answer, &announce))
}

fn scrape(
    tracker: &Tracker,
    moment: &Moment,
    query: &str,
    passkey: Option<&Passkey>,
) -> Result<Vec<u8>, Failure> {
    tracker.member(passkey)?;
    let swarms: Vec<_> = codec::parse_scrape(query)?
        .into_iter()
        .filter_map(|info_hash| Some((info_hash, tracker.scrape(moment, &info_hash)?)))
        .collect();
    Ok(codec::scrape_response(&swarms))
}

/// The address that the client has for us, if it has not come by a name.
fn host(request: &Request) -> Option<std::net::IpAddr> {
    let authority = request.head.uri.authority().map(hyper::http::uri::Authority::as_str);
    let field = || request.head.headers.get(HOST)?.to_str().ok();
    host_address(authority.or_else(field)?)
}
