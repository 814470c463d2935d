//! What the box is reading right now, as a part of `/admin`.

use super::view::Listed;
use crate::words;

/// Works that are shown; the list of items has all.
const MAX_SHOWN: usize = 20;

/// One of them.
#[derive(Debug)]
pub(super) struct Work {
    pub(super) name: String,
    pub(super) sentence: String,
    pub(super) percent: u8,
}

/// Those of these items that are being read.
pub(super) fn of(listed: &[Listed]) -> Vec<Work> {
    let work = |listed: &Listed| {
        let item = &listed.item;
        let sentence = words::sentence(&item.activity()?);
        let drive = item.medium.as_ref().map(|drive| format!(" It is in drive {drive}.")).unwrap_or_default();
        let percent = words::percent(item.fraction());
        Some(Work { name: item.name.clone(), sentence: sentence + &drive, percent })
    };
    listed.iter().filter_map(work).take(MAX_SHOWN).collect()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::super::view::tests::{published, unpublished};
    use super::*;
    use crate::catalog::{Item, Progress, State};

    #[test]
    fn what_is_read_is_told_with_how_far_it_has_come() {
        let reading = unpublished("DISC_1", State::Copying, None);
        let progress = Progress::of(4_400_000_000);
        progress.skip(2_100_000_000);
        let item = Item { progress, medium: Some("sr0".into()), ..Item::clone(&reading.item) };
        let reading = Listed { item: Arc::new(item), ..reading };
        let works = of(&[published("a", &[]), reading, unpublished("b", State::Settling, None)]);
        let works: Vec<_> = works.iter().map(|work| (work.sentence.as_str(), work.percent)).collect();
        assert_eq!(works, [("Reading DISC_1, 2.1 GB of 4.4 GB. It is in drive sr0.", 47)]);
    }
}
