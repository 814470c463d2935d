//! `/api/v1/history` and `/api/v1/items/{info_hash}/history`: when how much was given away, for programs.

use std::sync::Arc;

use hyper::StatusCode;
use jiff::Timestamp;
use serde::Serialize;

use super::{api, reply, torrent_file};
use crate::app::App;
use crate::catalog::Content;
use crate::history::Series;
use crate::history::series::{COMPLETED, OVER_HTTP, TO_PEERS};
use crate::net::http::Response;

/// What is answered. Its fields are a promise to other programs.
#[derive(Debug, Serialize)]
pub(super) struct History {
    /// The time, as the history has it.
    now: String,
    levels: Vec<Level>,
}

#[derive(Debug, Serialize)]
struct Level {
    /// Length of its periods.
    seconds: i64,
    /// Periods that are kept.
    kept: i64,
    /// Those in which there was something, oldest first.
    periods: Vec<Period>,
}

#[derive(Debug, Serialize)]
struct Period {
    start: String,
    uploaded_bytes: u64,
    /// Those of them that went over HTTP.
    http_bytes: u64,
    completed: u64,
}

/// Answers for the box.
pub(super) fn of_the_box(app: &App) -> Response {
    let (series, now) = app.catalog.history().of_the_box(app.catalog.snapshot().sums());
    api::reply(&History::new(&series, now))
}

/// Answers for an item that is published, by an info hash.
pub(super) async fn of_an_item(app: &App, info_hash: &str) -> Response {
    let item = torrent_file::info_hash(info_hash)
        .and_then(|info_hash| app.catalog.snapshot().seeding(&info_hash).cloned());
    let Some(content) = item.and_then(|item| item.content.clone()) else { return reply::not_found() };
    match series(app, &content).await {
        Some((series, now)) => api::reply(&History::new(&series, now)),
        None => reply::error(StatusCode::SERVICE_UNAVAILABLE, "The disk does not give it."),
    }
}

/// When how much of an item was given away, and the time; `None` if the disk does not give it.
pub(super) async fn series(app: &App, content: &Arc<Content>) -> Option<(Series, i64)> {
    let (store, content) = (app.catalog.clone(), Arc::clone(content));
    let _place = torrent_file::MAKING.acquire().await.ok()?;
    tokio::task::spawn_blocking(move || store.series(&content).ok()).await.ok()?
}

impl History {
    pub(super) fn new(series: &Series, now: i64) -> Self {
        let time = |seconds| Timestamp::from_second(seconds).unwrap_or_default().to_string();
        let levels = (0..).zip(series.levels()).map(|(index, level)| {
            let periods = series.periods().filter(|((of, _), _)| *of == index);
            let periods = periods.map(|((_, number), figures)| Period {
                start: time(number.saturating_mul(level.seconds)),
                uploaded_bytes: figures[TO_PEERS].saturating_add(figures[OVER_HTTP]),
                http_bytes: figures[OVER_HTTP],
                completed: figures[COMPLETED],
            });
            Level { seconds: level.seconds, kept: level.kept, periods: periods.collect() }
        });
        Self { now: time(now), levels: levels.collect() }
    }
}

#[cfg(test)]
mod tests {
    use super::super::chart;
    use super::*;
    use serde_json::json;

    #[test]
    fn periods_have_their_beginnings_and_figures() {
        let (series, now) = chart::tests::some();
        let value = serde_json::to_value(History::new(&series, now)).unwrap();
        assert_eq!(value["now"], "2023-11-14T22:13:20Z");
        let minutes = &value["levels"][0];
        assert_eq!((&minutes["seconds"], &minutes["kept"]), (&json!(60), &json!(1440)));
        assert_eq!(
            minutes["periods"],
            json!([
                { "start": "2023-11-14T21:43:00Z", "uploaded_bytes": 2_000_000, "http_bytes": 0, "completed": 0 },
                { "start": "2023-11-14T22:13:00Z", "uploaded_bytes": 4_000_000, "http_bytes": 1_000_000, "completed": 2 },
            ])
        );
        assert_eq!(value["levels"][2]["periods"][0]["start"], "2023-11-14T00:00:00Z");
    }
}
