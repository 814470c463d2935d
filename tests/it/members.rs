//! What is for members: they have it with their passkeys, by stock clients, and nobody else has anything of it.

mod accounts;
mod downloads;
mod silence;
mod strangers;

use std::fs;

use system_tests::api::{Api, Published};
use system_tests::content::{Chance, write_file};
use system_tests::daemon::{Daemon, Site};
use system_tests::http::Response;
use system_tests::tracker::Announce;

/// What stands before the paths of Alice's URLs: a slash and her passkey.
const ALICE: &str = "/alices-key_8fK2mQ7xZp4T";

/// As [`ALICE`], of Bob.
const BOB: &str = "/bobs-key_Lr5vB3yHs6Gd1Jw";

/// The settings with these members.
fn config(members: &[(&str, &str)]) -> String {
    let lines = members.iter().map(|(name, base)| format!("{name} = \"{}\"\n", &base[1..]));
    format!("[members]\n{}", lines.collect::<String>())
}

/// A box for Alice and Bob that publishes a file of some pieces.
struct Box {
    site: Site,
    daemon: Daemon,
}

fn site() -> Site {
    Site::new().with_config(&config(&[("alice", ALICE), ("bob", BOB)]))
}

fn publish(site: Site) -> Box {
    write_file(&mut Chance::fresh(), &site.publish().join("secret.bin"), (1 << 20) + 12_345);
    let daemon = site.start();
    Box { site, daemon }
}

impl Box {
    fn api(&self, base: &'static str) -> Api {
        self.daemon.api.member(base)
    }

    /// The file as a member sees it.
    #[track_caller]
    fn item(&self, base: &'static str) -> Published {
        self.api(base).seeding("secret.bin")
    }

    fn content(&self) -> Vec<u8> {
        fs::read(self.site.publish().join("secret.bin")).unwrap()
    }

    /// Announces as a member who begins to download.
    #[track_caller]
    fn announce(&self, base: &'static str, client: u16) -> Option<String> {
        let announce = Announce::new(self.item(ALICE).info_hash, client).member(base);
        announce.event("started").http(self.daemon.tracker).failure
    }

    /// Starts it anew with these members.
    fn restart_with(self, members: &[(&str, &str)]) -> Self {
        let Self { site, daemon } = self;
        daemon.end();
        let site = site.with_config(&config(members));
        let daemon = site.start();
        Self { site, daemon }
    }
}

/// Whether an answer gives anything of the item away.
fn tells_of_it(response: &Response, item: &Published) -> bool {
    let text = String::from_utf8_lossy(&response.body).into_owned();
    ["secret", &item.info_hash.to_string()].iter().any(|word| text.contains(word))
}
