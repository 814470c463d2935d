//! `/metrics`: Prometheus text format, version 0.0.4.

use std::fmt::{self, Write};
use std::time::Duration;

use appliance::disk::{Disk, Soundness};

use super::memory::Memory;
use super::space::Space;
use super::view::{Listed, STATES, state_name};
use crate::members::Standing;
use crate::net::port_mapping;

/// What the metrics are made of.
pub(super) struct Facts {
    /// All items.
    pub(super) listed: Vec<Listed>,
    /// Whether items may be named.
    pub(super) with_names: bool,
    /// Members, as far as they may be named.
    pub(super) members: Vec<Standing>,
    /// Number of things that are wrong with the box.
    pub(super) problems: usize,
    /// Since the daemon started.
    pub(super) uptime: Duration,
    /// Connected peers.
    pub(super) peers: usize,
    /// Peers that the tracker knows.
    pub(super) tracker_peers: usize,
    /// Announces since the daemon started.
    pub(super) announces: u64,
    /// How port mapping stands, as one of [`STATES`](port_mapping::STATES).
    pub(super) port_mapping: &'static str,
    /// Bytes read to hash them since the daemon started.
    pub(super) hashed: u64,
    /// Bytes compared with what was hashed since the daemon started.
    pub(super) scrubbed: u64,
    /// Free and all bytes of the volume of the publish folder, when it is there.
    pub(super) space: Option<Space>,
    /// The machine's memory.
    pub(super) memory: Option<Memory>,
    /// The box's disks.
    pub(super) disks: Vec<Disk>,
}

/// The exposition.
pub(super) fn render(facts: &Facts) -> String {
    let mut text = String::new();
    write_all(&mut text, facts).expect("invariant: writing to a string never fails");
    text
}

fn write_all(text: &mut String, facts: &Facts) -> fmt::Result {
    family(text, "blackbox_build_info", "gauge", "Always 1; the label is the version of the daemon.")?;
    writeln!(text, "blackbox_build_info{{version=\"{}\"}} 1", env!("CARGO_PKG_VERSION"))?;
    gauge(text, "blackbox_uptime_seconds", "Time since the daemon started.", facts.uptime.as_secs())?;
    gauge(text, "blackbox_problems", "Things that are wrong with the box right now.", facts.problems as u64)?;
    gauge(text, "blackbox_peers", "Peers that are connected.", facts.peers as u64)?;
    gauge(text, "blackbox_tracker_peers", "Peers that the tracker knows.", facts.tracker_peers as u64)?;
    let help = "Announces to the tracker since the daemon started, over HTTP and UDP.";
    single(text, "blackbox_tracker_announces_total", "counter", help, facts.announces)?;
    let help = "Bytes of content read to hash them since the daemon started.";
    single(text, "blackbox_hashed_bytes_total", "counter", help, facts.hashed)?;
    let help = "Bytes of content read again to compare them with what was hashed, since the daemon started.";
    single(text, "blackbox_scrubbed_bytes_total", "counter", help, facts.scrubbed)?;
    if let Some(space) = facts.space {
        let volume = "of the volume that the publish folder is on.";
        gauge(text, "blackbox_publish_free_bytes", &format!("Free space {volume}"), space.free)?;
        gauge(text, "blackbox_publish_size_bytes", &format!("Size {volume}"), space.total)?;
    }
    if let Some(memory) = facts.memory {
        let help = "Memory of the machine that programs could still have.";
        gauge(text, "blackbox_memory_available_bytes", help, memory.available)?;
        gauge(text, "blackbox_memory_size_bytes", "Memory of the machine.", memory.total)?;
    }
    for (name, kind, help, value) in DISK_FAMILIES {
        let told: Vec<_> = facts.disks.iter().filter_map(|disk| Some((disk, value(disk)?))).collect();
        if !told.is_empty() {
            family(text, name, kind, help)?;
        }
        for (disk, value) in told {
            writeln!(text, "{name}{{disk=\"{}\"}} {value}", Label(&disk.name))?;
        }
    }
    family(text, "blackbox_port_mapping", "gauge", "1 for how it stands, 0 for how it could.")?;
    for state in port_mapping::STATES {
        let is_so = u8::from(state == facts.port_mapping);
        writeln!(text, "blackbox_port_mapping{{state=\"{state}\"}} {is_so}")?;
    }
    family(text, "blackbox_items", "gauge", "Items in each state.")?;
    for state in STATES {
        let count = facts.listed.iter().filter(|listed| listed.item.state == state).count();
        writeln!(text, "blackbox_items{{state=\"{}\"}} {count}", state_name(state))?;
    }
    for (name, kind, help, value) in MEMBER_FAMILIES {
        if !facts.members.is_empty() {
            family(text, name, kind, help)?;
        }
        for member in &facts.members {
            writeln!(text, "{name}{{member=\"{}\"}} {}", Label(&member.name), value(member))?;
        }
    }
    for (name, kind, help, value) in ITEM_FAMILIES.into_iter().filter(|_| facts.with_names) {
        family(text, name, kind, help)?;
        for listed in &facts.listed {
            let Some(content) = &listed.item.content else { continue };
            let item = Label(&listed.item.name);
            writeln!(
                text,
                "{name}{{info_hash=\"{}\",item=\"{item}\"}} {}",
                content.info_hash(),
                value(listed)
            )?;
        }
    }
    Ok(())
}

/// A metric of every disk that tells it: name, type, help, value.
type DiskFamily = (&'static str, &'static str, &'static str, fn(&Disk) -> Option<f64>);

const DISK_FAMILIES: [DiskFamily; 7] = [
    (
        "blackbox_disk_failing",
        "gauge",
        "1 for a disk that says it is about to fail, 0 for a sound one.",
        |disk| (disk.soundness != Soundness::Silent).then(|| f64::from(disk.soundness == Soundness::Failing)),
    ),
    (
        "blackbox_disk_power_on_seconds_total",
        "counter",
        "Time that the disk has been running in its life, to the hour.",
        |disk| disk.power_on_hours.map(|hours| hours as f64 * 3600.0),
    ),
    (
        "blackbox_disk_reallocated_sectors",
        "gauge",
        "Sectors that the disk has replaced by spare ones.",
        |disk| disk.reallocated_sectors.map(|sectors| sectors as f64),
    ),
    (
        "blackbox_disk_pending_sectors",
        "gauge",
        "Sectors that the disk could not read and has not replaced yet.",
        |disk| disk.pending_sectors.map(|sectors| sectors as f64),
    ),
    (
        "blackbox_disk_wear_ratio",
        "gauge",
        "Part of the life that its maker promised which is behind the disk; may be more than 1.",
        |disk| disk.wear_percent.map(|percent| percent as f64 / 100.0),
    ),
    ("blackbox_disk_spare_ratio", "gauge", "Part of the disk's spare blocks that is left.", |disk| {
        disk.spare_percent.map(|percent| percent as f64 / 100.0)
    }),
    (
        "blackbox_disk_media_errors_total",
        "counter",
        "Times that the disk could not give back what was stored.",
        |disk| disk.media_errors.map(|errors| errors as f64),
    ),
];

/// A metric of every published item: name, type, help, value.
type ItemFamily = (&'static str, &'static str, &'static str, fn(&Listed) -> u64);

const ITEM_FAMILIES: [ItemFamily; 6] = [
    ("blackbox_item_size_bytes", "gauge", "Size of the item.", |listed| listed.item.size_bytes),
    ("blackbox_item_seeders", "gauge", "Who has all of the item, the box included.", |listed| {
        listed.seeders.into()
    }),
    ("blackbox_item_leechers", "gauge", "Who is downloading the item.", |listed| listed.leechers.into()),
    ("blackbox_item_completed_total", "counter", "Downloads that peers completed.", Listed::completed),
    ("blackbox_item_damaged_bytes", "gauge", "Bytes that are damaged on the disk.", Listed::damaged),
    ("blackbox_item_uploaded_bytes_total", "counter", "Bytes of the item given away.", Listed::uploaded),
];

/// A metric of every member: name, type, help, value. The name alone tells whose it is: a passkey is a secret.
type MemberFamily = (&'static str, &'static str, &'static str, fn(&Standing) -> i128);

const MEMBER_FAMILIES: [MemberFamily; 5] = [
    (
        "blackbox_member_sent_bytes_total",
        "counter",
        "Bytes of content that the box sent to the member.",
        |member| member.account.sent.into(),
    ),
    (
        "blackbox_member_claimed_downloaded_bytes_total",
        "counter",
        "Bytes that the member's clients say they have received, from anybody.",
        |member| member.account.claimed_downloaded.into(),
    ),
    (
        "blackbox_member_claimed_uploaded_bytes_total",
        "counter",
        "Bytes that the member's clients say they have sent.",
        |member| member.account.claimed_uploaded.into(),
    ),
    (
        "blackbox_member_last_seen_timestamp_seconds",
        "gauge",
        "When the member last showed its passkey; 0 for never.",
        |member| member.account.last_seen.into(),
    ),
    (
        "blackbox_member_clients",
        "gauge",
        "Clients of the member that are admitted, each once for every item and address.",
        |member| member.clients as i128,
    ),
];

fn family(text: &mut String, name: &str, kind: &str, help: &str) -> fmt::Result {
    writeln!(text, "# HELP {name} {help}\n# TYPE {name} {kind}")
}

fn single(text: &mut String, name: &str, kind: &str, help: &str, value: u64) -> fmt::Result {
    family(text, name, kind, help)?;
    writeln!(text, "{name} {value}")
}

fn gauge(text: &mut String, name: &str, help: &str, value: u64) -> fmt::Result {
    single(text, name, "gauge", help, value)
}

/// The value of a label, escaped.
struct Label<'a>(&'a str);

impl fmt::Display for Label<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.chars().try_for_each(|c| match c {
            '\\' => f.write_str("\\\\"),
            '"' => f.write_str("\\\""),
            '\n' => f.write_str("\\n"),
            c => f.write_char(c),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::view::tests::{published, unpublished};
    use super::*;
    use crate::catalog::State;
    use crate::members::Account;
    use std::collections::HashSet;

    fn rendered() -> String {
        render(&facts())
    }

    fn facts() -> Facts {
        Facts {
            listed: vec![published("a \"b\" \\\nc", &[]), unpublished("x", State::Failed, None)],
            with_names: true,
            members: Vec::new(),
            problems: 2,
            uptime: Duration::from_millis(61_500),
            peers: 3,
            tracker_peers: 4,
            announces: 12,
            port_mapping: "mapped",
            hashed: 5,
            scrubbed: 6,
            space: Some(Space { free: 10, total: 100 }),
            memory: Some(Memory { available: 20, total: 200 }),
            disks: vec![
                Disk::silent("vda"),
                Disk {
                    soundness: Soundness::Sound,
                    power_on_hours: Some(2),
                    reallocated_sectors: Some((1 << 48) - 1),
                    pending_sectors: Some(0),
                    ..Disk::silent("sda")
                },
                Disk {
                    soundness: Soundness::Failing,
                    wear_percent: Some(104),
                    spare_percent: Some(7),
                    media_errors: Some(3),
                    ..Disk::silent("nvme0n1")
                },
            ],
        }
    }

    #[test]
    fn members_are_named_and_items_are_not_where_they_may_not_be() {
        let account = Account { sent: 1, claimed_uploaded: 2, claimed_downloaded: 3, last_seen: 4 };
        let members = vec![Standing { name: "al\"ice".into(), account, clients: 5 }];
        let text = render(&Facts { members, with_names: false, ..facts() });
        for line in [
            r#"blackbox_member_sent_bytes_total{member="al\"ice"} 1"#,
            r#"blackbox_member_claimed_uploaded_bytes_total{member="al\"ice"} 2"#,
            r#"blackbox_member_claimed_downloaded_bytes_total{member="al\"ice"} 3"#,
            r#"blackbox_member_last_seen_timestamp_seconds{member="al\"ice"} 4"#,
            r#"blackbox_member_clients{member="al\"ice"} 5"#,
        ] {
            assert!(text.lines().any(|it| it == line), "{line} is not in\n{text}");
        }
        assert!(!text.contains("item=") && !text.contains("info_hash"), "{text}");
        assert!(!rendered().contains("member"));
    }

    #[test]
    fn figures_are_there_with_their_labels() {
        let text = rendered();
        let hash = published("a \"b\" \\\nc", &[]).seeding().unwrap().info_hash();
        for line in [
            "blackbox_uptime_seconds 61",
            "blackbox_problems 2",
            "blackbox_peers 3",
            "blackbox_tracker_peers 4",
            "blackbox_port_mapping{state=\"mapped\"} 1",
            "blackbox_port_mapping{state=\"refused\"} 0",
            "# TYPE blackbox_hashed_bytes_total counter",
            "blackbox_hashed_bytes_total 5",
            "blackbox_publish_free_bytes 10",
            "blackbox_disk_failing{disk=\"sda\"} 0",
            "blackbox_disk_failing{disk=\"nvme0n1\"} 1",
            "blackbox_disk_power_on_seconds_total{disk=\"sda\"} 7200",
            "blackbox_disk_reallocated_sectors{disk=\"sda\"} 281474976710655",
            "blackbox_disk_pending_sectors{disk=\"sda\"} 0",
            "blackbox_disk_wear_ratio{disk=\"nvme0n1\"} 1.04",
            "blackbox_disk_spare_ratio{disk=\"nvme0n1\"} 0.07",
            "blackbox_disk_media_errors_total{disk=\"nvme0n1\"} 3",
            "blackbox_items{state=\"seeding\"} 1",
            "blackbox_items{state=\"failed\"} 1",
            &format!("blackbox_item_size_bytes{{info_hash=\"{hash}\",item=\"a \\\"b\\\" \\\\\\nc\"}} 5"),
            &format!("blackbox_item_seeders{{info_hash=\"{hash}\",item=\"a \\\"b\\\" \\\\\\nc\"}} 1"),
        ] {
            assert!(text.lines().any(|l| l == line), "{line} is not in\n{text}");
        }
        assert!(!text.contains("vda"), "who tells nothing has no figures\n{text}");
    }

    #[test]
    fn every_sample_belongs_to_a_family_with_help_and_type() {
        let text = rendered();
        let families = |keyword: &str| -> HashSet<String> {
            let lines = text.lines().filter_map(|line| line.strip_prefix(keyword));
            lines.map(|line| line.split(' ').next().unwrap().to_owned()).collect()
        };
        let (help, kinds) = (families("# HELP "), families("# TYPE "));
        assert_eq!(help, kinds);
        for line in text.lines().filter(|line| !line.starts_with('#')) {
            let name = line.split(['{', ' ']).next().unwrap();
            assert!(help.contains(name), "{line}");
            let value = line.rsplit(' ').next().unwrap();
            assert!(value.parse::<f64>().is_ok(), "{line}");
        }
    }

    #[test]
    fn the_dashboard_asks_for_what_there_is() {
        let dashboard = include_str!("../../../../image/grafana-dashboard.json");
        let dashboard: serde_json::Value = serde_json::from_str(dashboard).unwrap();
        let text = render(&Facts {
            members: vec![Standing { name: "a".into(), account: Account::default(), clients: 0 }],
            ..facts()
        });
        let panels = dashboard["panels"].as_array().unwrap();
        let asked: HashSet<&str> = panels
            .iter()
            .flat_map(|panel| panel["targets"].as_array().unwrap())
            .flat_map(|target| {
                target["expr"].as_str().unwrap().split(|c: char| !c.is_alphanumeric() && c != '_')
            })
            .filter(|word| word.starts_with("blackbox_"))
            .collect();
        assert!(asked.len() > 10, "{asked:?}");
        for name in asked {
            assert!(text.contains(&format!("# TYPE {name} ")), "there is no {name}");
        }
    }
}
