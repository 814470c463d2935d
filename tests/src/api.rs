//! What the box says of itself under `/api/v1`.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use serde_json::Value;
use torrent::{Info, InfoHash, InfoHashV2, Metainfo};

use crate::http::{self, Request, Response};
use crate::wait;

/// Time in which an item settles, as long as nobody touches it.
pub const SETTLE: Duration = Duration::from_secs(10);

/// Settling, hashing little, and what a busy test machine adds.
pub const SOON: Duration = Duration::from_secs(25);

/// The web side of a box.
#[derive(Debug, Clone, Copy)]
pub struct Api {
    /// Where it listens.
    pub address: SocketAddr,
    /// What all paths begin with: nothing, or a slash and a member's passkey.
    pub base: &'static str,
}

impl Api {
    /// As who has the URL of the page.
    pub fn new(address: SocketAddr) -> Self {
        Self { address, base: "" }
    }

    /// As a member, by `base`, which is a slash and its passkey.
    #[must_use]
    pub fn member(self, base: &'static str) -> Self {
        Self { base, ..self }
    }

    /// GETs `target` as it is now, and not as it was a moment ago.
    ///
    /// # Panics
    /// When no proper answer comes.
    #[track_caller]
    pub fn get(&self, target: &str) -> Response {
        let request = Request::get(&format!("{}{target}", self.base)).field("Cache-Control", "no-cache");
        request.send(self.address)
    }

    /// All items.
    ///
    /// # Panics
    /// When the API does not answer with a list.
    #[track_caller]
    pub fn items(&self) -> Vec<Value> {
        match self.get("/api/v1/items").json() {
            Value::Array(items) => items,
            other => panic!("not a list: {other}"),
        }
    }

    /// The item of that name, if there is one.
    #[track_caller]
    pub fn item(&self, name: &str) -> Option<Value> {
        self.items().into_iter().find(|item| item["name"] == name)
    }

    /// A number from `/metrics`.
    ///
    /// # Panics
    /// When it is not there.
    #[track_caller]
    pub fn metric(&self, name: &str) -> u64 {
        let metrics = self.get("/metrics");
        let value =
            metrics.text().lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.parse().ok());
        value.unwrap_or_else(|| panic!("no {name} in\n{}", metrics.text()))
    }

    /// The text for somebody who helps.
    ///
    /// # Panics
    /// When it is not given.
    #[track_caller]
    pub fn report(&self) -> String {
        let report = self.get("/admin/report");
        assert_eq!(report.status, 200, "{}", report.text());
        report.text().to_owned()
    }

    /// What is wrong with the box.
    #[track_caller]
    pub fn problems(&self) -> Vec<String> {
        let status = self.get("/api/v1/status").json();
        serde_json::from_value(status["problems"].clone()).expect("a list of sentences")
    }

    /// Waits until the item of that name is in that state.
    ///
    /// # Panics
    /// When it is not in time.
    #[track_caller]
    pub fn wait_for(&self, name: &str, state: &str, limit: Duration) -> Value {
        let mut last = None;
        let found = wait::try_until(limit, || {
            last = self.item(name);
            last.take_if(|item| item["state"] == state)
        });
        found.unwrap_or_else(|| panic!("{name:?} is not {state} within {limit:?}: {last:?}"))
    }

    /// Waits until the item of that name is being seeded.
    ///
    /// # Panics
    /// When it is not in time.
    #[track_caller]
    pub fn seeding(&self, name: &str) -> Published {
        self.seeding_within(name, SOON)
    }

    /// As [`Api::seeding`], with a limit.
    ///
    /// # Panics
    /// When it is not in time.
    #[track_caller]
    pub fn seeding_within(&self, name: &str, limit: Duration) -> Published {
        Published::from(&self.wait_for(name, "seeding", limit))
    }
}

/// The info hashes of an item that is published, of one torrent for each version.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Hashes {
    /// Version 1.
    pub v1: InfoHash,
    /// Version 2, if it is published in that version too.
    pub v2: Option<InfoHashV2>,
}

impl Hashes {
    /// Those in an element of `/api/v1/items`; `None` for an item that is not published.
    ///
    /// # Panics
    /// When what is there is none.
    pub fn of(item: &Value) -> Option<Self> {
        let text = |key: &str| item[key].as_str();
        let v1 = text("info_hash_v1")?.parse().expect("an info hash");
        Some(Self { v1, v2: text("info_hash_v2").map(|hash| hash.parse().expect("an info hash")) })
    }
}

/// An item that can be downloaded, as the API describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Published {
    /// Name of the file or folder.
    pub name: String,
    /// Both versions.
    pub hashes: Hashes,
    /// Version 1.
    pub info_hash: InfoHash,
    /// URL of the `.torrent`.
    pub torrent_url: String,
    /// URL of the `.torrent` of version 2, if there is one.
    pub torrent_url_v2: Option<String>,
    /// Magnet link.
    pub magnet: String,
}

impl From<&Value> for Published {
    fn from(item: &Value) -> Self {
        let text = |key: &str| item[key].as_str().unwrap_or_else(|| panic!("no {key} in {item}")).to_owned();
        let hashes = Hashes::of(item).unwrap_or_else(|| panic!("no info hash in {item}"));
        Self {
            name: text("name"),
            hashes,
            info_hash: hashes.v1,
            torrent_url: text("torrent_url"),
            torrent_url_v2: item["torrent_url_v2"].as_str().map(str::to_owned),
            magnet: text("magnet"),
        }
    }
}

impl Published {
    /// The content of its `.torrent`.
    ///
    /// # Panics
    /// When it can't be had or read.
    #[track_caller]
    pub fn metainfo(&self) -> (Metainfo, Info) {
        let response = http::get_url(&self.torrent_url);
        assert_eq!(response.status, 200, "{}", self.torrent_url);
        Metainfo::parse(&response.body).expect("metainfo")
    }

    /// Writes its `.torrent`, changed, into `folder` and returns the file's path. A client that is just reading it from an
    /// earlier call reads that one.
    ///
    /// # Panics
    /// When it can't be had or written.
    #[track_caller]
    pub fn changed_torrent(&self, folder: &Path, change: impl FnOnce(&mut Metainfo)) -> String {
        let (mut metainfo, _) = self.metainfo();
        change(&mut metainfo);
        let path = folder.join(format!("{}.torrent", self.info_hash));
        let written = path.with_extension("written");
        std::fs::write(&written, metainfo.to_bytes()).expect("new file");
        std::fs::rename(written, &path).expect("a file of ours");
        path.to_str().expect("our paths are text").to_owned()
    }

    /// As [`Published::changed_torrent`]: one that peers alone can fulfil.
    ///
    /// # Panics
    /// When it can't be had or written.
    #[track_caller]
    pub fn torrent_without_web_seeds(&self, folder: &Path) -> String {
        self.changed_torrent(folder, |metainfo| metainfo.web_seeds.clear())
    }
}
