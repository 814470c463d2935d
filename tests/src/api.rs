//! What the box says of itself under `/api/v1`.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use serde_json::Value;
use torrent::{Info, InfoHash, Metainfo};

use crate::http::{self, Response};
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
}

impl Api {
    /// GETs `target`.
    ///
    /// # Panics
    /// When no proper answer comes.
    #[track_caller]
    pub fn get(&self, target: &str) -> Response {
        http::get(self.address, target)
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

/// An item that can be downloaded, as the API describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Published {
    /// Name of the file or folder.
    pub name: String,
    /// Version 1.
    pub info_hash: InfoHash,
    /// URL of the `.torrent`.
    pub torrent_url: String,
    /// Magnet link.
    pub magnet: String,
}

impl From<&Value> for Published {
    fn from(item: &Value) -> Self {
        let text = |key: &str| item[key].as_str().unwrap_or_else(|| panic!("no {key} in {item}")).to_owned();
        Self {
            name: text("name"),
            info_hash: text("info_hash_v1").parse().expect("an info hash"),
            torrent_url: text("torrent_url"),
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

    /// Writes its `.torrent`, changed, into `folder` and returns the file's path.
    ///
    /// # Panics
    /// When it can't be had or written.
    #[track_caller]
    pub fn changed_torrent(&self, folder: &Path, change: impl FnOnce(&mut Metainfo)) -> String {
        let (mut metainfo, _) = self.metainfo();
        change(&mut metainfo);
        let path = folder.join(format!("{}.torrent", self.info_hash));
        std::fs::write(&path, metainfo.to_bytes()).expect("new file");
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
