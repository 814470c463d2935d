//! The machine, as a part of `/admin`: what runs, its clock, its tracker, and how warm and how sound it is.

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
    let mut facts = of_init(app.health.machine().as_ref());
    facts.extend(of_hardware(&hardware));
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

#[cfg(test)]
mod tests {
    use super::*;

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
