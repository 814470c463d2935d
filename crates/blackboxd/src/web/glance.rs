//! The first line of `/admin`: green, amber or red, and the one sentence that matters most.
//!
//! The first of these that is so:
//!
//! 1. Trouble: the publish folder can't be used, so nothing of it is given away.
//! 2. Trouble: the disk does not give back what is published as it was hashed.
//! 3. Trouble: what is published is offline for another reason.
//! 4. Trouble: the disk is full.
//! 5. Attention: something else is wrong with the box; what init says first comes first.
//! 6. Attention: something can't be published.
//! 7. Attention: the disk is almost full.
//! 8. All is well.

use super::space::Space;
use super::view::Listed;
use crate::catalog::State;
use crate::words;

/// Free bytes with which a disk is full: less than a CD takes.
const FULL: u64 = 100_000_000;

/// Free bytes with which a disk is almost full if these are less than a twentieth of it: less than a DVD takes.
const ALMOST_FULL: u64 = 5_000_000_000;

/// How the box is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Level {
    /// All is well.
    Good,
    /// Somebody should look after it, some day.
    Attention,
    /// People can't have what is published, or nothing more can be.
    Trouble,
}

/// The level, and why it is so.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Glance {
    pub(super) level: Level,
    pub(super) sentence: String,
}

impl Level {
    /// In words, before the sentence.
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Good => "All is well",
            Self::Attention => "Attention",
            Self::Trouble => "Trouble",
        }
    }

    /// For the style sheet.
    pub(super) fn class(self) -> &'static str {
        match self {
            Self::Good => "good",
            Self::Attention => "attention",
            Self::Trouble => "trouble",
        }
    }

    /// A drawing of 24 by 24 that differs in its shape: a tick in a circle, a mark of exclamation in a triangle, a cross in an
    /// octagon. The sign is what the even-odd rule leaves out of the shape.
    pub(super) fn shape(self) -> &'static str {
        match self {
            Self::Good => "M12 1a11 11 0 1 0 0 22a11 11 0 1 0 0-22zM6 12l2-2l3 3l6-6l2 2l-8 8z",
            Self::Attention => "M12 1L23.5 22H.5zM11 8h2v7h-2zM11 17h2v2h-2z",
            Self::Trouble => {
                "M7.4 1h9.2L23 7.4v9.2L16.6 23H7.4L1 16.6V7.4zM7 8.5L8.5 7L12 10.5L15.5 7L17 8.5L13.5 12L17 15.5L15.5 17L12 \
                 13.5L8.5 17L7 15.5L10.5 12z"
            }
        }
    }
}

/// What matters most. `folder` says what is wrong with the publish folder, `problems` what is wrong with the box.
pub(super) fn of(
    listed: &[Listed],
    folder: Option<&str>,
    problems: &[String],
    space: Option<Space>,
) -> Glance {
    let trouble = |sentence: String| Glance { level: Level::Trouble, sentence };
    let attention = |sentence: String| Glance { level: Level::Attention, sentence };
    let first_of = |words: &dyn Fn(&Listed) -> Option<String>, one: &str, more: &str| {
        let mut said = listed.iter().filter_map(words);
        let first = said.next()?;
        Some(match said.count() {
            0 => format!("{one} {first}"),
            others => format!("{} {more} {first}", others + 1),
        })
    };
    let damaged =
        |listed: &Listed| (listed.damaged() > 0).then(|| format!("{}: {}", listed.item.name, why(listed)));
    let in_state = |state| {
        move |listed: &Listed| {
            (listed.item.state == state).then(|| format!("{}: {}", listed.item.name, why(listed)))
        }
    };
    if let Some(sentence) = folder {
        return trouble(words::sentence(sentence));
    }
    if let Some(words) = first_of(&damaged, "Data is damaged.", "items are damaged.") {
        return trouble(words);
    }
    if let Some(words) = first_of(&in_state(State::Offline), "An item is offline.", "items are offline.") {
        return trouble(words);
    }
    if let Some(Space { free, .. }) = space.filter(|space| space.free < FULL) {
        let free = words::bytes(free);
        return trouble(format!(
            "The disk is full: {free} are free. Delete something from the publish folder."
        ));
    }
    if let Some(first) = problems.first() {
        return attention(words::sentence(first));
    }
    if let Some(words) =
        first_of(&in_state(State::Failed), "An item can't be published.", "items can't be published.")
    {
        return attention(words);
    }
    if let Some(Space { free, .. }) = space.filter(|it| it.free < ALMOST_FULL.min(it.total / 20)) {
        return attention(format!("The disk is almost full: {} are free.", words::bytes(free)));
    }
    Glance { level: Level::Good, sentence: good(listed) }
}

fn why(listed: &Listed) -> String {
    listed.error.as_deref().map(words::sentence).unwrap_or_default()
}

/// How many have how much, and what is being done.
fn good(listed: &[Listed]) -> String {
    let seeding = listed.iter().filter(|listed| listed.seeding().is_some()).count();
    let leechers: u64 = listed.iter().map(|listed| u64::from(listed.leechers)).sum();
    let published = match (seeding, leechers) {
        (0, _) => "nothing is published yet".to_owned(),
        (_, 0) => format!("{}, nobody is downloading right now", items(seeding)),
        (_, 1) => format!("{}, 1 is downloading", items(seeding)),
        (_, many) => format!("{}, {many} are downloading", items(seeding)),
    };
    let busy = listed.iter().find(|listed| listed.is_being_read()).map(|listed| {
        let verb = if listed.item.state == State::Copying { "Reading" } else { "Preparing" };
        format!(" {verb} {}, {} %.", listed.item.name, words::percent(listed.item.fraction()))
    });
    format!("{}{}", words::sentence(&published), busy.unwrap_or_default())
}

fn items(number: usize) -> String {
    words::count(number as u64, "item", "items")
}

#[cfg(test)]
mod tests {
    use super::super::view::tests::{published, unpublished};
    use super::*;
    use crate::catalog::Item;
    use std::sync::Arc;

    /// Everything that can be wrong; what is taken away is no longer so.
    #[test]
    fn the_worst_comes_first() {
        let mut offline = published("away", &[]);
        offline.item = Arc::new(Item { state: State::Offline, ..Item::clone(&offline.item) });
        let damaged = published("bad", &[]);
        damaged.item.content.as_ref().unwrap().damage.set(std::iter::once(0..3).collect());
        let damaged = Listed::new(damaged.item, None);
        let failed = unpublished("odd", State::Failed, Some("its name is odd."));
        let listed = [damaged, offline, failed.clone(), published("fine", &[])];
        let problems = ["No cable.".to_owned()];
        let full = Some(Space { free: 5000, total: 1 << 40 });
        let check = |glance: Glance, level, start: &str| {
            assert!(glance.level == level && glance.sentence.starts_with(start), "{start}: {glance:?}");
        };
        let all = |folder| of(&listed, folder, &problems, full);
        check(all(Some("the folder is gone")), Level::Trouble, "The folder is gone.");
        check(all(None), Level::Trouble, "Data is damaged. bad: The disk is damaged");
        check(of(&listed[1..], None, &problems, full), Level::Trouble, "An item is offline. away: ");
        check(of(&listed[2..], None, &problems, full), Level::Trouble, "The disk is full: 5.0 kB are free.");
        check(of(&listed[2..], None, &problems, None), Level::Attention, "No cable.");
        let two = [failed.clone(), failed];
        check(
            of(&two, None, &[], None),
            Level::Attention,
            "2 items can't be published. odd: Its name is odd.",
        );
        let almost = Some(Space { free: 4_000_000_000, total: 1 << 40 });
        check(of(&listed[3..], None, &[], almost), Level::Attention, "The disk is almost full: 4.0 GB");
        let small = Some(Space { free: 4_000_000_000, total: 8_000_000_000 });
        check(of(&listed[3..], None, &[], small), Level::Good, "1 item, nobody is downloading right now.");
    }

    #[test]
    fn all_is_well_says_for_how_many() {
        let mut listed = vec![published("a", &[]), published("b", &[])];
        let sentence = |listed: &[Listed]| of(listed, None, &[], None).sentence;
        assert_eq!(sentence(&[]), "Nothing is published yet.");
        listed[0].leechers = 1;
        assert_eq!(sentence(&listed), "2 items, 1 is downloading.");
        listed[1].leechers = 119;
        listed.push(unpublished("DISC_1", State::Copying, None));
        assert_eq!(sentence(&listed), "2 items, 120 are downloading. Reading DISC_1, 0 %.");
    }
}
