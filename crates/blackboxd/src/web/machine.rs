//! The machine, as a part of `/admin`: what runs, its clock, its tracker, and how warm and how sound it is.

use appliance::disk::{Disk, Soundness};
use appliance::message::{Clock, Machine};
use jiff::Timestamp;

use super::hardware::Hardware;
use crate::app::App;
use crate::words;

/// Name and value, for people.
pub(super) type Facts = Vec<(&'static str, String)>;

/// Of the machine as it is now.
pub(super) async fn of(app: &App) -> Facts {
    let hardware = Hardware::now(&app.publish).await;
    let machine = app.health.machine();
    let mut facts = of_init(machine.as_ref());
    facts.extend(of_hardware(&hardware));
    let disks = machine.iter().flat_map(|machine| &machine.disks);
    facts.extend(disks.map(|disk| ("Disk health", of_disk(disk))));
    facts.push(("Tracker", tracker(app)));
    facts
}

fn tracker(app: &App) -> String {
    let peers = words::count(app.swarms.peer_count() as u64, "peer", "peers");
    let (last, all) = (app.tracker_load.last_minute(), app.tracker_load.all());
    format!("{peers} in all swarms; {last} announces in the last minute, {all} since the start")
}

/// A hosted run knows no more than that it is one.
fn of_init(machine: Option<&Machine>) -> Facts {
    let Some(machine) = machine else {
        return vec![("System", "the machine's own; the clock too".into())];
    };
    let trial = if machine.is_trial { ", on trial" } else { "" };
    let system = match &machine.slot {
        Some(slot) => format!("version {} in slot {slot}{trial}", machine.version),
        None => format!("version {}, not from a disk", machine.version),
    };
    vec![("System", system), ("Clock", clock(&machine.clock))]
}

fn clock(clock: &Clock) -> String {
    let date = |seconds: u64| {
        let time = i64::try_from(seconds).ok().and_then(|seconds| Timestamp::from_second(seconds).ok());
        time.map_or("?".into(), |time| time.strftime("%Y-%m-%d %H:%M UTC").to_string())
    };
    match (clock.source, clock.checked) {
        (Some(source), Some(checked)) => format!("right, as {source} said last on {}", date(checked)),
        _ => format!(
            "nobody has told the time yet; it is no earlier than that of the build, {}",
            date(clock.floor)
        ),
    }
}

fn of_hardware(hardware: &Hardware) -> Facts {
    let mut facts: Facts = Vec::new();
    let warm: Vec<_> = hardware.temperatures.iter().map(ToString::to_string).collect();
    facts.push(("Temperature", if warm.is_empty() { "no sensor tells".into() } else { warm.join("; ") }));
    facts.push(("Disk", hardware.disk.to_string()));
    facts
}

/// What a disk says of itself, by SMART.
fn of_disk(disk: &Disk) -> String {
    let says = match disk.soundness {
        Soundness::Silent => "does not tell how sound it is",
        Soundness::Sound => "says that it is sound",
        Soundness::Failing => "says that it is about to fail",
    };
    let mut words = vec![format!("{} {says}", disk.title())];
    let mut count = |number: Option<u64>, one, many| {
        words.extend(number.map(|number| words::count(number, one, many)));
    };
    count(disk.power_on_hours, "hour of running", "hours of running");
    count(disk.reallocated_sectors, "sector replaced", "sectors replaced");
    count(disk.pending_sectors, "sector that can't be read", "sectors that can't be read");
    count(disk.media_errors, "time data could not be given back", "times data could not be given back");
    words.extend(disk.wear_percent.map(|worn| format!("{worn} % of its life is behind it")));
    words.extend(disk.spare_percent.map(|spare| format!("{spare} % of its spare blocks are left")));
    words.join("; ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_disk_is_put_in_words() {
        let silent = Disk::silent("vda");
        let hard = Disk {
            model: Some("WDC WD40".into()),
            soundness: Soundness::Sound,
            power_on_hours: Some(12_345),
            reallocated_sectors: Some(1),
            pending_sectors: Some(0),
            ..Disk::silent("sda")
        };
        let flash = Disk {
            soundness: Soundness::Failing,
            media_errors: Some(2),
            wear_percent: Some(104),
            spare_percent: Some(3),
            ..Disk::silent("nvme0n1")
        };
        for (disk, words) in [
            (silent, "vda does not tell how sound it is"),
            (
                hard,
                "sda (WDC WD40) says that it is sound; 12345 hours of running; 1 sector replaced; 0 sectors that can't be \
                 read",
            ),
            (
                flash,
                "nvme0n1 says that it is about to fail; 2 times data could not be given back; 104 % of its life is behind \
                 it; 3 % of its spare blocks are left",
            ),
        ] {
            assert_eq!(of_disk(&disk), words);
        }
    }

    #[test]
    fn what_init_knows_is_put_in_words() {
        let clock = Clock { floor: 1_700_000_000, source: None, checked: None };
        let machine = Machine {
            version: "1.2.3".into(),
            slot: Some("b".into()),
            is_trial: true,
            clock,
            ..Machine::default()
        };
        let facts = of_init(Some(&machine));
        assert_eq!(facts[0].1, "version 1.2.3 in slot b, on trial");
        assert!(facts[1].1.ends_with("no earlier than that of the build, 2023-11-14 22:13 UTC"), "{facts:?}");
        let clock = Clock {
            source: Some("192.0.2.1".parse().unwrap()),
            checked: Some(1_700_000_060),
            ..machine.clock.clone()
        };
        let facts = of_init(Some(&Machine { clock, is_trial: false, slot: None, ..machine }));
        assert_eq!(facts[0].1, "version 1.2.3, not from a disk");
        assert_eq!(facts[1].1, "right, as 192.0.2.1 said last on 2023-11-14 22:14 UTC");
        assert_eq!(of_init(None).len(), 1);
    }
}
