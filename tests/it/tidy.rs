//! Rules of the repository that no compiler checks.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use appliance::{Config, partitions};
use system_tests::root;

/// A crate, those of ours that it may use, and for a pure one the only foreign ones.
type Arrows = (&'static str, &'static [&'static str], Option<&'static [&'static str]>);

const ARROWS: [Arrows; 8] = [
    ("torrent", &[], Some(&["percent-encoding", "sha1", "sha2", "thiserror", "unicode-normalization"])),
    ("seeder", &["torrent"], Some(&["crypto-bigint", "sha1", "thiserror"])),
    ("tracker", &["torrent"], Some(&["siphasher", "thiserror"])),
    ("discovery", &["torrent", "tracker"], Some(&[])),
    ("appliance", &[], Some(&["serde", "serde_json", "thiserror", "toml"])),
    ("confine", &[], None),
    ("blackboxd", &["torrent", "seeder", "tracker", "discovery", "appliance", "confine"], None),
    ("blackbox-init", &["appliance", "confine"], None),
];

/// Longest file, without its tests, in lines.
const MAX_LINES: usize = 400;

fn read(path: impl AsRef<Path>) -> String {
    let path = root().join(path);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path:?}: {error}"))
}

/// Files of the repository below `folder`, by their paths in it; what is built or downloaded is not of it.
fn files(folder: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut todo = vec![root().join(folder)];
    while let Some(path) = todo.pop() {
        let name = path.file_name().unwrap().to_str().unwrap();
        if path.is_dir() && !["target", "__pycache__"].contains(&name) {
            todo.extend(fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
        } else if path.is_file() {
            found.push(path.strip_prefix(root()).unwrap().to_owned());
        }
    }
    assert!(!found.is_empty(), "{folder} is empty");
    found
}

#[test]
fn imports_run_one_way() {
    let crates: BTreeSet<_> =
        fs::read_dir(root().join("crates")).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    let named: BTreeSet<_> = ARROWS.iter().map(|(name, ..)| (*name).into()).collect();
    assert_eq!(crates, named);
    for (name, ours, foreign) in ARROWS {
        let manifest: toml::Table = read(format!("crates/{name}/Cargo.toml")).parse().unwrap();
        let tables = ["dependencies", "build-dependencies"]
            .iter()
            .filter_map(|table| manifest.get(*table)?.as_table());
        for dependency in tables.flat_map(toml::Table::keys) {
            let known = ARROWS.iter().any(|(ours, ..)| ours == dependency);
            let allowed = if known {
                ours.contains(&dependency.as_str())
            } else {
                foreign.is_none_or(|f| f.contains(&dependency.as_str()))
            };
            assert!(allowed, "{name} may not depend on {dependency}");
        }
    }
}

#[test]
fn pure_crates_may_not_name_clock_file_and_socket() {
    for (name, _, foreign) in ARROWS {
        if foreign.is_some() {
            let rules: toml::Table = read(format!("crates/{name}/clippy.toml")).parse().unwrap();
            for (key, value) in
                [("disallowed-methods", "std::time::Instant::now"), ("disallowed-types", "std::fs::File")]
            {
                let list = rules[key].as_array().unwrap();
                assert!(list.iter().any(|entry| entry.as_str() == Some(value)), "{name}: {value} in {key}");
            }
        }
    }
}

#[test]
fn the_image_has_the_partitions_that_init_looks_for() {
    let layout = read("image/board/x86_64/genimage.cfg");
    let words: Vec<&str> = layout
        .lines()
        .filter(|line| !line.trim_start().starts_with('#'))
        .flat_map(str::split_whitespace)
        .collect();
    let follows = |first: &str, second: &str| words.windows(2).any(|pair| pair == [first, second]);
    assert!(follows("partition", partitions::SYSTEM_NAME), "{layout}");
    // init makes the data partition, behind all others.
    assert!(!follows("partition", partitions::DATA_NAME), "{layout}");
    for (partition, kind) in
        [(partitions::SYSTEM_NAME, partitions::SYSTEM_TYPE), ("BIOS-BOOT", partitions::BIOS_BOOT_TYPE)]
    {
        let from = words.windows(2).position(|pair| pair == ["partition", partition]).unwrap();
        let to = words[from..].iter().position(|word| *word == "}").unwrap();
        assert!(
            words[from..from + to].contains(&format!("\"{kind}\"").as_str()),
            "{partition} is not of type {kind}"
        );
    }
}

#[test]
fn every_setting_that_is_explained_can_be_set() {
    let text = read("image/board/x86_64/system-partition/blackbox.toml");
    assert_eq!(Config::parse(text.as_bytes()).unwrap(), Config::default(), "as it is it changes nothing");
    // What looks like a setting or a heading behind "# " is one.
    let is_setting = |line: &str| {
        let key = line.split('=').next().unwrap_or_default().trim_end();
        line.starts_with('[')
            || line.contains('=')
                && !key.is_empty()
                && key.chars().all(|c| c.is_ascii_lowercase() || c == '_')
    };
    let set: String = text
        .lines()
        .map(|line| line.strip_prefix("# ").filter(|rest| is_setting(rest)).unwrap_or(line).to_owned() + "\n")
        .collect();
    let config = Config::parse(set.as_bytes()).unwrap_or_else(|error| panic!("{error}\n{set}"));
    let default = Config::default();
    assert_ne!(config.public_host, default.public_host);
    assert_ne!(config.limits, default.limits);
    assert_ne!(config.members, default.members);
    assert_ne!(config.admin, default.admin);
    assert_ne!(config.network, default.network);
    for heading in [
        "name = ",
        "ntp = ",
        "port_mapping = ",
        "[import]",
        "mode = ",
        "eject = ",
        "from_folder = ",
        "[tracker]",
        "open = ",
        "[scrub]",
        "days = ",
        "[discovery]",
        "dht = ",
        "dht_nodes = ",
        "local = ",
        "exchange = ",
    ] {
        assert!(set.lines().any(|line| line.starts_with(heading)), "{heading} is not explained");
    }
}

#[test]
fn files_are_small_and_finished() {
    // Spelled in two parts, or this file would break its own rule.
    let unfinished = [["to", "do!("], ["db", "g!("], ["unimple", "mented!("], ["FIX", "ME"], ["XX", "X"]]
        .map(|[a, b]| a.to_owned() + b);
    for path in ["crates", "tests", "scripts", "image"].into_iter().flat_map(files) {
        let Ok(text) = fs::read_to_string(root().join(&path)) else { continue };
        // The names of the kernel's drivers are not ours.
        let is_ours = path.extension().is_none_or(|extension| extension != "config");
        for word in unfinished.iter().filter(|_| is_ours) {
            assert!(!text.contains(word), "{path:?} holds {word}");
        }
        let is_test = path.ends_with("tests.rs")
            || path.starts_with("crates") && path.iter().any(|part| part == "tests");
        if path.extension().is_some_and(|extension| extension == "rs") && !is_test {
            let lines = text.lines().take_while(|line| !line.starts_with("#[cfg(test)]")).count();
            assert!(lines <= MAX_LINES, "{path:?} has {lines} lines before its tests");
        }
    }
}

#[test]
fn the_overlay_holds_text_only() {
    for path in files("buildroot-overlay") {
        assert!(
            fs::read_to_string(root().join(&path)).is_ok_and(|text| !text.contains('\0')),
            "{path:?} is not a text"
        );
        let below = path.strip_prefix("buildroot-overlay").unwrap();
        let top = below.components().next().unwrap().as_os_str();
        assert!(
            !["bin", "sbin", "lib"].iter().any(|name| top == *name),
            "{path:?} would replace a link of a merged /usr"
        );
    }
}

#[test]
fn links_in_the_documentation_lead_somewhere() {
    for page in ["README.md", "image/README.md"] {
        let text = read(page);
        let folder = Path::new(page).parent().unwrap();
        for (start, _) in text.match_indices("](") {
            let link = text[start + 2..].split([')', '#']).next().unwrap();
            assert!(
                link.is_empty() || link.starts_with("http") || root().join(folder).join(link).exists(),
                "{page}: {link}"
            );
        }
    }
}
