//! Kernel modules by modalias: the devices there are (coldplug) and those that come (hotplug).

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

/// Deeper than any device tree; sysfs has no loops of real directories, but nothing here relies on that.
const MAX_DEPTH: usize = 32;

/// Aliases remembered. Beyond that devices are looked up again when they come back, which only costs time.
const MAX_KNOWN: usize = 4096;

/// Longest alias (bytes): the kernel's uevents are shorter.
const MAX_ALIAS: usize = 2048;

/// Aliases handed to one call of `modprobe`.
const MAX_BATCH: usize = 256;

/// Whether this kernel loads modules; one that does not has all its drivers in it.
pub fn can_be_loaded() -> bool {
    Path::new("/proc/modules").exists()
}

/// Which aliases `modprobe` has still to look up.
#[derive(Debug, Default)]
pub struct Aliases {
    known: BTreeSet<String>,
    waiting: Vec<String>,
}

impl Aliases {
    /// Takes an alias, unless it was looked up before.
    pub fn offer(&mut self, alias: &str) {
        // A module that is loaded stays loaded, so once is enough.
        let plain = !alias.is_empty() && alias.len() <= MAX_ALIAS && !alias.starts_with('-');
        if plain && !self.known.contains(alias) {
            if self.known.len() < MAX_KNOWN {
                self.known.insert(alias.to_owned());
            }
            self.waiting.push(alias.to_owned());
        }
    }

    /// Whether [`Self::batch`] would return something.
    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// The aliases for the next call.
    pub fn batch(&mut self) -> Vec<String> {
        self.waiting.drain(..self.waiting.len().min(MAX_BATCH)).collect()
    }
}

/// The modaliases of all devices there are; `sys` is where sysfs is mounted.
pub fn coldplug(sys: &Path) -> BTreeSet<String> {
    let mut aliases = BTreeSet::new();
    walk(&sys.join("devices"), MAX_DEPTH, &mut aliases);
    aliases
}

fn walk(directory: &Path, depth: usize, aliases: &mut BTreeSet<String>) {
    let Ok(entries) = fs::read_dir(directory) else { return };
    for entry in entries.flatten() {
        match entry.file_type() {
            Ok(kind) if kind.is_dir() && depth > 0 => walk(&entry.path(), depth - 1, aliases),
            Ok(kind) if kind.is_file() && entry.file_name() == "modalias" => {
                let text = fs::read_to_string(entry.path()).unwrap_or_default();
                aliases.extend(Some(text.trim().to_owned()).filter(|alias| !alias.is_empty()));
            }
            // Links lead back into the tree.
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_device_is_found_once() {
        let sys = tempfile::tempdir().unwrap();
        for (path, alias) in [
            ("devices/pci0/0000:00:01.0", "pci:v1\n"),
            ("devices/pci0/0000:00:02.0", "pci:v2\n"),
            ("devices/pci0/0000:00:02.0/virtio0", "virtio:d1\n"),
            ("devices/platform/same", "pci:v1\n"),
            ("devices/platform/none", "\n"),
        ] {
            fs::create_dir_all(sys.path().join(path)).unwrap();
            fs::write(sys.path().join(path).join("modalias"), alias).unwrap();
        }
        std::os::unix::fs::symlink(sys.path().join("devices"), sys.path().join("devices/pci0/subsystem"))
            .unwrap();
        let found: Vec<_> = coldplug(sys.path()).into_iter().collect();
        assert_eq!(found, ["pci:v1", "pci:v2", "virtio:d1"]);
    }

    #[test]
    fn an_alias_is_looked_up_once() {
        let mut aliases = Aliases::default();
        for alias in ["a", "b", "a", "", "--remove"] {
            aliases.offer(alias);
        }
        assert_eq!(aliases.batch(), ["a", "b"]);
        aliases.offer("a");
        assert!(aliases.is_empty());
        (0..MAX_KNOWN * 2).for_each(|n| aliases.offer(&n.to_string()));
        assert_eq!(aliases.batch().len(), MAX_BATCH);
        assert!(aliases.known.len() <= MAX_KNOWN);
    }
}
