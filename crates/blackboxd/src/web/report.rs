//! `/admin/report`: one text with what the box knows of itself, to be sent to somebody who helps. It has what `/admin` shows,
//! for the same people, with secrets masked as there; and the log: of the box, of this start and those before, as init keeps it,
//! or else the daemon's last lines.

use std::fmt::Write;
use std::io;
use std::path::PathBuf;

use bytes::Bytes;
use hyper::StatusCode;
use hyper::header::{CACHE_CONTROL, HeaderValue};
use tokio::sync::mpsc;

use super::admin::AdminPage;
use super::reply;
use crate::journal::Journal;
use crate::net::http::{self, Body, Response};
use crate::recent;

/// The answer. The log is read while it is sent, so that no slow asker holds a lot of memory.
pub(super) async fn respond(page: &AdminPage, logs: Vec<PathBuf>) -> Response {
    let mut text = render(page);
    let journal = tokio::task::spawn_blocking(move || Journal::open(&logs)).await;
    let journal = journal.ok().filter(|journal| !journal.is_empty());
    match &journal {
        Some(_) => text.push_str("\n== Log\n"),
        None => section(&mut text, "Log", recent::lines().iter().map(|line| one_line(line))),
    }
    let (parts, body) = mpsc::channel(1);
    tokio::spawn(async move {
        let sent = parts.send(Ok(text.into())).await;
        if let Some(journal) = journal.filter(|_| sent.is_ok()) {
            send(journal, &parts).await;
        }
    });
    let mut response = http::response(StatusCode::OK, "text/plain; charset=utf-8", "");
    *response.body_mut() = Body::Stream(body);
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    reply::guarded(response)
}

/// Sends all of it, unless the asker goes.
async fn send(mut journal: Journal, parts: &mpsc::Sender<io::Result<Bytes>>) {
    loop {
        let read = tokio::task::spawn_blocking(move || {
            let part = journal.part();
            (journal, part)
        });
        let Ok((rest, part)) = read.await else { return };
        if part.is_empty() || parts.send(Ok(part.into())).await.is_err() {
            return;
        }
        journal = rest;
    }
}

/// All but the log.
fn render(page: &AdminPage) -> String {
    let mut text = String::from("P2P Black Box: report\n");
    let glance = format!("{}: {}", page.glance.level.word(), page.glance.sentence);
    section(&mut text, "At a glance", [one_line(&glance)].into_iter());
    section(&mut text, "Problems", page.problems.iter().map(|problem| one_line(problem)));
    let fact = |name: &str, value: &str| format!("{name}: {}", one_line(value));
    let system = page.system.iter().map(|(name, value)| fact(name, value));
    section(&mut text, "Box", page.box_facts.iter().map(|(name, value)| fact(name, value)).chain(system));
    for (title, facts) in
        [("Machine", &page.machine), ("Network", &page.network), ("Settings in force", &page.config)]
    {
        section(&mut text, title, facts.iter().map(|(name, value)| fact(name, value)));
    }
    let items = page.items.iter().map(|item| {
        let line = format!("{}: {}, {}. {}", item.name, item.state, item.size, item.standing);
        one_line(&line)
    });
    section(&mut text, "Items", items);
    if page.hidden > 0 {
        let _ = writeln!(text, "and {} more", page.hidden);
    }
    let events = page.events.iter().map(|event| one_line(&format!("{} {}", event.when(), event.sentence())));
    section(&mut text, "Events", events);
    text
}

fn section(text: &mut String, title: &str, lines: impl Iterator<Item = String>) {
    // Writing to a string does not fail, here and above.
    let _ = writeln!(text, "\n== {title}");
    let before = text.len();
    for line in lines {
        text.push_str(&line);
        text.push('\n');
    }
    if text.len() == before {
        text.push_str("none\n");
    }
}

/// Names of files can hold anything, and shall not look like other lines.
fn one_line(text: &str) -> String {
    text.chars().map(|char| if char.is_control() { ' ' } else { char }).collect()
}
