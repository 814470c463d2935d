//! The page, feed, API, metrics and web seed: everything HTTP except the tracker. Read-only.
//!
//! Each surface is a pure function from what the box knows ([`view::Listed`], `admin::Facts`, ...) to text; the router
//! here gathers that knowledge. `/files` alone touches the disk, in [`download`].
//!
//! - [`host`], [`links`]: the host a request came to, and absolute URLs made of it
//! - [`reply`], [`conditional`], [`range`]: answers, `If-None-Match` and its kin, `Range`
//! - [`view`]: what all surfaces show of an item
//! - [`index`], [`item`], [`admin`], [`folder`]: HTML, with [`get`], [`qr`] and [`query`]; [`feed`], [`api`], [`api_history`],
//!   [`metrics`]: for programs
//! - [`glance`], [`chart`]: what the admin page says first, and what it draws
//! - [`events`]: when to look again; [`finish`]: what is cached, and compressed; [`shelf`]: what many ask for at once
//! - [`torrent_file`], [`files`], [`download`]: what is given away
//! - [`work`], [`peers`], [`machine`] with [`hardware`]: parts of the admin page
//! - [`access`], [`door`], [`basic_auth`]: who may see the admin page, and what is for members; [`space`], [`memory`]: room on the disk, and for programs

mod access;
mod admin;
mod api;
mod api_history;
mod basic_auth;
mod chart;
mod conditional;
mod door;
mod download;
mod events;
mod feed;
mod files;
mod finish;
mod folder;
mod get;
mod glance;
mod hardware;
mod host;
mod index;
mod item;
mod links;
mod machine;
mod memory;
mod metrics;
mod peers;
mod qr;
mod query;
mod range;
mod reply;
mod report;
mod shelf;
mod space;
mod torrent_file;
mod view;
mod work;

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use hyper::header::{CACHE_CONTROL, HeaderValue};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tracker::prefix;

use crate::app::{App, SharedApp};
use crate::net::http::{self, Request, Response};
use crate::net::places::Places;
use door::Visit;
use host::Host;
use links::{Links, MappedTracker};
use shelf::{Key, Shelf};

/// Downloads over `/files` at once; more are told to come back, so that the page stays in reach. With the parts that
/// are read ahead ([`download::MAX_PART`]) and their connections they hold at most 70 MB.
const MAX_DOWNLOADS: usize = 256;

/// The web's own state.
struct Web {
    app: SharedApp,
    downloads: Places,
    listeners: Places,
    shelf: Shelf,
}

/// Answers on `listener` until `shutdown`.
///
/// # Errors
/// None so far; all parts of the daemon end alike.
pub async fn run(app: SharedApp, listener: TcpListener, shutdown: CancellationToken) -> std::io::Result<()> {
    // As of connections, one network may have a quarter.
    let places = |all| Places::new(all, all / 4, prefix::network);
    let (downloads, listeners) = (places(MAX_DOWNLOADS), places(events::MAX_LISTENERS));
    let web = Arc::new(Web { app, downloads, listeners, shelf: Shelf::default() });
    let handler = move |request| {
        let web = Arc::clone(&web);
        async move { respond(&web, &request).await }
    };
    http::serve(listener, handler, shutdown).await;
    Ok(())
}

async fn respond(web: &Web, request: &Request) -> Response {
    if let Some(refusal) = http::refuse_method(&request.head.method) {
        return refusal;
    }
    let Some(host) = Host::of(&request.head, request.local) else { return reply::bad_host() };
    let app = &web.app;
    let visit = match door::enter(app, request) {
        Ok(visit) => visit,
        Err(refusal) => return refusal.response(),
    };
    let (links, catalog) = (links(app, request, &host, visit), app.catalog.snapshot());
    let key = Key::of(request, visit.path, &links);
    if let Some(finished) = key.as_ref().and_then(|key| web.shelf.find(key, Instant::now(), &catalog)) {
        return finished.answer(request);
    }
    let mut response = answer(web, request, &host, &links, visit).await;
    let is_stored = response.headers().get(CACHE_CONTROL).is_none_or(|it| it != "no-store");
    if visit.member.is_some() && is_stored {
        // Another member's links are in it.
        response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("private, no-cache"));
    }
    match finish::finish(request, response).await {
        Ok(finished) => {
            if let Some(key) = key {
                web.shelf.put(key, Instant::now(), &catalog, &finished);
            }
            finished.answer(request)
        }
        Err(unfinished) => unfinished,
    }
}

fn links(app: &App, request: &Request, host: &Host, visit: Visit<'_>) -> Links {
    let passkey = visit.member.map(|member| app.members.passkey(member));
    let public_host = app.config.public_host.as_deref();
    let mapped = app.port_mapping.tracker().map(|tracker| {
        let is_public_host = app.public_host.is_at(tracker.ip());
        MappedTracker { tracker, is_public_host }
    });
    Links::new(public_host, host, request.local.ip(), &app.listeners, mapped, passkey)
}

async fn answer(web: &Web, request: &Request, host: &Host, links: &Links, visit: Visit<'_>) -> Response {
    let app = &web.app;
    match visit.path {
        "/" => index::respond(app, request, links),
        "/admin" => admin::respond(app, request, host).await,
        "/admin/report" => admin::respond_with_report(app, request, host).await,
        "/events" => events::respond(web, request, events::Figures::Swarms),
        "/admin/events" => match admin::refusal(app, request, host).await {
            Some(refusal) => refusal,
            None => events::respond(web, request, events::Figures::Box),
        },
        "/feed.xml" => {
            let feed = feed::render(&view::listed(app), links);
            reply::cacheable("application/rss+xml; charset=utf-8", feed)
        }
        "/api/v1/items" => api::reply(&api::items(&view::listed(app), links)),
        "/api/v1/history" => api_history::of_the_box(app),
        "/api/v1/openapi.json" => reply::cacheable("application/json", api::OPENAPI),
        "/api/v1/status" => api::reply(&status(app)),
        "/metrics" => {
            let facts = metrics(app, admin::refusal(app, request, host).await.is_none()).await;
            reply::text("text/plain; version=0.0.4; charset=utf-8", metrics::render(&facts))
        }
        "/healthz" => reply::text("text/plain; charset=utf-8", "ok\n"),
        "/style.css" => reply::cacheable("text/css; charset=utf-8", reply::STYLE),
        "/script.js" => reply::cacheable("text/javascript; charset=utf-8", reply::SCRIPT),
        "/icon.svg" => reply::cacheable("image/svg+xml", reply::ICON),
        path => {
            if let Some(name) = path.strip_prefix("/torrents/") {
                torrent_file::respond(app, name, links).await
            } else if let Some(rest) = path.strip_prefix("/api/v1/items/")
                && let Some(info_hash) = rest.strip_suffix("/history")
            {
                api_history::of_an_item(app, info_hash).await
            } else if let Some(name) = path.strip_prefix("/items/") {
                item::respond(app, request, name, links).await
            } else if let Some(rest) = path.strip_prefix("/files/") {
                files::respond(web, request, rest, links, visit.member).await
            } else {
                reply::not_found()
            }
        }
    }
}

fn status(app: &App) -> api::Status {
    api::Status::new(&view::listed(app), app.health.problems(), app.health.disks(), app.started.elapsed())
}

/// What is for members is named to those only who may see the admin page.
async fn metrics(app: &App, is_trusted: bool) -> metrics::Facts {
    let space = space::of(&app.publish).await;
    metrics::Facts {
        listed: view::listed(app),
        with_names: app.is_public() || is_trusted,
        members: if is_trusted { app.members.standings() } else { Vec::new() },
        problems: app.health.problems().len(),
        uptime: app.started.elapsed(),
        peers: app.peers.len(),
        tracker_peers: app.swarms.peer_count(),
        announces: app.tracker_load.all(),
        port_mapping: app.port_mapping.state().name(),
        hashed: app.hashed_bytes.load(Ordering::Relaxed),
        scrubbed: app.scrubbed_bytes.load(Ordering::Relaxed),
        space,
        memory: memory::now(),
        disks: app.health.disks(),
    }
}
