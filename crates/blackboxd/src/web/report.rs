//! `/admin/report`: one text with what the box knows of itself, to be sent to somebody who helps. It has what `/admin` shows,
//! for the same people, with secrets masked as there; and the daemon's last lines of log.

use std::fmt::Write;

use super::admin::AdminPage;

/// The text.
pub(super) fn render(page: &AdminPage, log: &[String]) -> String {
    let mut text = String::from("P2P Black Box: report\n");
    let glance = format!("{}: {}", page.glance.level.word(), page.glance.sentence);
    section(&mut text, "At a glance", [one_line(&glance)].into_iter());
    section(&mut text, "Problems", page.problems.iter().map(|problem| one_line(problem)));
    for (title, facts) in [
        ("Box", &page.box_facts),
        ("Machine", &page.machine),
        ("Network", &page.network),
        ("Settings in force", &page.config),
    ] {
        section(&mut text, title, facts.iter().map(|(name, value)| format!("{name}: {}", one_line(value))));
    }
    let items = page.items.iter().map(|item| {
        let line = format!("{}: {}, {}. {}", item.name, item.state, item.size, item.standing);
        one_line(&line)
    });
    section(&mut text, "Items", items);
    if page.hidden > 0 {
        let _ = writeln!(text, "and {} more", page.hidden);
    }
    let events = page.events.iter().map(|event| one_line(&format!("{} {}", event.when(), event.sentence())));
    section(&mut text, "Events", events);
    section(&mut text, "Log", log.iter().map(|line| one_line(line)));
    text
}

fn section(text: &mut String, title: &str, lines: impl Iterator<Item = String>) {
    // Writing to a string does not fail, here and above.
    let _ = writeln!(text, "\n== {title}");
    let before = text.len();
    for line in lines {
        text.push_str(&line);
        text.push('\n');
    }
    if text.len() == before {
        text.push_str("none\n");
    }
}

/// Names of files can hold anything, and shall not look like other lines.
fn one_line(text: &str) -> String {
    text.chars().map(|char| if char.is_control() { ' ' } else { char }).collect()
}
