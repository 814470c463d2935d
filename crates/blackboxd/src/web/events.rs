//! `/events` and `/admin/events`: server-sent events that say when a page is worth asking for again.
//!
//! They carry nothing but that: what is shown is made in one place, as HTML, and who has it already is answered with 304.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use hyper::header::{CACHE_CONTROL, HeaderValue, RETRY_AFTER};
use hyper::{Method, StatusCode};
use tokio::sync::mpsc;

use super::{Web, reply};
use crate::catalog::Catalog;
use crate::net::http::{self, Body, Request, Response};

/// Pages that are kept up to date at once; more look by themselves, now and then.
pub(super) const MAX_LISTENERS: usize = 128;

/// At most one event in this time.
const REST: Duration = Duration::from_secs(1);

/// Events while something is read or copied.
const WHILE_IN_PROGRESS: Duration = Duration::from_secs(2);

/// Seconds after which a listener that found all places taken may try again.
const RETRY_SECONDS: u32 = 60;

/// What a page shows that changes without the catalog: how often it is worth looking.
#[derive(Debug, Clone, Copy)]
pub(super) enum Figures {
    /// How many download.
    Swarms,
    /// Traffic, peers, memory.
    Box,
}

impl Figures {
    fn period(self) -> Duration {
        match self {
            Self::Swarms => Duration::from_secs(15),
            Self::Box => Duration::from_secs(5),
        }
    }
}

/// Says when to look, until the listener goes or the daemon ends.
pub(super) fn respond(web: &Web, request: &Request, figures: Figures) -> Response {
    let Some(place) = web.listeners.try_take(request.peer.ip()) else { return crowded() };
    let mut response = http::response(StatusCode::OK, "text/event-stream", "");
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if request.head.method == Method::HEAD {
        return response;
    }
    let (events, body) = mpsc::channel(1);
    let app = Arc::clone(&web.app);
    tokio::spawn(async move {
        let mut snapshots = app.catalog.changes();
        loop {
            // Before the event: what changes from here on is told by the next one.
            let in_progress = in_progress(&snapshots.borrow_and_update());
            if events.send(Ok(Bytes::from_static(b"data: look\n\n"))).await.is_err() {
                break;
            }
            tokio::time::sleep(REST).await;
            let period = if in_progress { WHILE_IN_PROGRESS } else { figures.period() };
            tokio::select! {
                changed = snapshots.changed() => if changed.is_err() { break },
                () = tokio::time::sleep(period.saturating_sub(REST)) => {}
                () = events.closed() => break,
                () = app.ending.cancelled() => break,
            }
        }
        drop(place);
    });
    *response.body_mut() = Body::Stream(body);
    reply::guarded(response)
}

fn in_progress(catalog: &Catalog) -> bool {
    catalog.items().iter().any(|item| item.is_in_progress())
}

fn crowded() -> Response {
    let response = reply::text("text/plain; charset=utf-8", "Too many pages listen already.\n");
    let mut response = reply::with(response, RETRY_AFTER, HeaderValue::from(RETRY_SECONDS));
    *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
    response
}
