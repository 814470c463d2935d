//! Finds peers, and lets itself be found, other than by the box's tracker. Decisions are those of crate `discovery`.

pub mod dht;
pub mod dial;
mod interfaces;
pub mod local;
mod nodes;

pub use dial::Dialler;
use discovery::candidates::Tip;
use torrent::InfoHash;

use crate::app::App;
use crate::catalog::State;

/// All names of what is served and everybody may know of, newest first.
fn public_names(app: &App) -> Vec<InfoHash> {
    let catalog = app.catalog.snapshot();
    let seeding = catalog.items().iter().filter(|item| app.is_public() && item.state == State::Seeding);
    let contents = seeding.filter_map(|item| item.content.as_ref());
    contents.flat_map(|content| content.names_on_the_wire()).collect()
}

/// Takes a tip, if the item is one that everybody may know of.
fn hear(app: &App, tip: &Tip) {
    if app.is_public() && app.catalog.snapshot().seeding(&tip.info_hash).is_some() {
        app.dialler.add(tip);
    }
}
