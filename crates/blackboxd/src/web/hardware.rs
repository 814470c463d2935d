//! How warm the machine is, and what its kernel has noted of the disk that is published from. All of it is in `/sys`, for
//! everybody to read.

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Where the kernel tells.
const SYS: &str = "/sys";

/// A disk is not asked for its temperature more often: it may have to do something for it.
const REST: Duration = Duration::from_secs(30);

/// Chips with sensors, and sensors of each, that are looked at.
const MAX_CHIPS: usize = 32;
const MAX_SENSORS: u32 = 32;

/// Bytes of a file there; all that are read here are short.
const MAX_TEXT: usize = 4096;

/// What was found last, and when.
static LAST: Mutex<Option<(Instant, Hardware)>> = Mutex::new(None);

/// What the kernel tells of the machine.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Hardware {
    pub(super) temperatures: Vec<Temperature>,
    pub(super) disk: Disk,
}

/// The hottest of a chip's sensors.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Temperature {
    /// What it is in: the model of a disk, or the name of the chip.
    of: String,
    /// In thousandths of a degree Celsius.
    value: i64,
    /// Too much, in the same unit, where the chip knows.
    limit: Option<i64>,
}

/// A disk.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Disk {
    /// `None` where it has none.
    model: Option<String>,
    /// Errors that the file system has noted since it was made.
    errors: Option<u64>,
    /// How much of its life a card has behind it, in tenths.
    worn: Option<u64>,
}

impl Hardware {
    /// As it was at most half a minute ago; `publish` is on the disk that is meant.
    pub(super) async fn now(publish: &Path) -> Self {
        let publish = publish.to_owned();
        // A disk that is about to fail answers late.
        tokio::task::spawn_blocking(move || Self::cached(&publish)).await.unwrap_or_default()
    }

    fn cached(publish: &Path) -> Self {
        // Others wait: they would ask the same disk.
        let mut last = LAST.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((at, hardware)) = &*last
            && at.elapsed() < REST
        {
            return hardware.clone();
        }
        let device = fs::metadata(publish).map(|metadata| metadata.dev()).unwrap_or_default();
        let hardware = Self::read(Path::new(SYS), device);
        *last = Some((Instant::now(), hardware.clone()));
        hardware
    }

    fn read(sys: &Path, device: u64) -> Self {
        Self { temperatures: temperatures(sys), disk: disk(sys, device) }
    }
}

/// A short file's text, if there is any.
fn text(path: PathBuf) -> Option<String> {
    let text = fs::read_to_string(path).ok()?;
    let text = text.trim();
    let visible: String = text.chars().filter(|char| !char.is_control()).take(MAX_TEXT).collect();
    (!visible.is_empty()).then_some(visible)
}

fn number<T: std::str::FromStr>(path: PathBuf) -> Option<T> {
    text(path)?.parse().ok()
}

/// One for each chip that has any, by name.
fn temperatures(sys: &Path) -> Vec<Temperature> {
    let Ok(chips) = fs::read_dir(sys.join("class/hwmon")) else { return Vec::new() };
    let mut found = BTreeMap::new();
    for chip in chips.flatten().take(MAX_CHIPS).filter_map(|chip| hottest(&chip.path())) {
        // Of several chips of one kind it is the hottest again.
        let known = found.entry(chip.of.clone()).or_insert_with(|| chip.clone());
        if chip.value > known.value {
            *known = chip;
        }
    }
    found.into_values().collect()
}

fn hottest(chip: &Path) -> Option<Temperature> {
    let name = match text(chip.join("name"))?.as_str() {
        "coretemp" | "k10temp" | "k8temp" | "cpu_thermal" | "via_cputemp" => "processor".to_owned(),
        "acpitz" => "board".to_owned(),
        other => other.to_owned(),
    };
    // Of a disk, its model.
    let of = text(chip.join("device/model")).unwrap_or(name);
    let sensors = (1..=MAX_SENSORS).filter_map(|index| {
        let file = |what: &str| chip.join(format!("temp{index}_{what}"));
        let value = number::<i64>(file("input"))?;
        let limit = number::<i64>(file("crit")).or_else(|| number(file("max")));
        Some(Temperature { of: of.clone(), value, limit: limit.filter(|limit| *limit > 0) })
    });
    sensors.max_by_key(|sensor| sensor.value)
}

/// The disk with this device number.
fn disk(sys: &Path, device: u64) -> Disk {
    let (major, minor) = (nix::sys::stat::major(device), nix::sys::stat::minor(device));
    let Ok(volume) = fs::canonicalize(sys.join(format!("dev/block/{major}:{minor}"))) else {
        return Disk::default();
    };
    let errors =
        volume.file_name().and_then(|name| number(sys.join("fs/ext4").join(name).join("errors_count")));
    let is_partition = volume.join("partition").exists();
    let disk = if is_partition { volume.parent().unwrap_or(&volume) } else { &volume };
    let device = disk.join("device");
    // Two kinds of cells, each in tenths from 1 on, in hexadecimal digits.
    let worn = text(device.join("life_time")).and_then(|text| {
        let tenths =
            text.split(' ').filter_map(|part| u64::from_str_radix(part.trim_start_matches("0x"), 16).ok());
        tenths.max().filter(|tenths| *tenths > 0)
    });
    Disk { model: text(device.join("model")).or_else(|| text(device.join("name"))), errors, worn }
}

impl fmt::Display for Temperature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} \u{b0}C", self.of, self.value / 1000)?;
        match self.limit {
            Some(limit) => write!(f, " (at most {})", limit / 1000),
            None => Ok(()),
        }
    }
}

impl fmt::Display for Disk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.model.as_deref().unwrap_or("of no known model"))?;
        match self.errors {
            Some(0) => f.write_str("; no errors in its file system")?,
            Some(errors) => write!(f, "; its file system has noted {errors} errors since it was made")?,
            None => {}
        }
        match self.worn {
            Some(worn) if worn > 10 => f.write_str("; it has outlived its life"),
            Some(worn) => write!(f, "; {} to {} % of its life is behind it", (worn - 1) * 10, worn * 10),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    /// A `/sys` with these files.
    fn sys(files: &[(&str, &str)]) -> tempfile::TempDir {
        let sys = tempfile::tempdir().unwrap();
        for (path, text) in files {
            let path = sys.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        sys
    }

    #[test]
    fn the_hottest_sensor_of_each_chip_is_told() {
        let sys = sys(&[
            ("class/hwmon/hwmon0/name", "coretemp\n"),
            ("class/hwmon/hwmon0/temp1_input", "51000\n"),
            ("class/hwmon/hwmon0/temp2_input", "53500\n"),
            ("class/hwmon/hwmon0/temp2_crit", "100000\n"),
            ("class/hwmon/hwmon1/name", "nvme\n"),
            ("class/hwmon/hwmon1/device/model", "Samsung SSD 980 PRO 1TB                 \n"),
            ("class/hwmon/hwmon1/temp1_input", "-273150\n"),
            ("class/hwmon/hwmon1/temp1_crit", "84850\n"),
            ("class/hwmon/hwmon2/name", "BAT0\n"),
            ("class/hwmon/hwmon3/name", "nouveau\n"),
            ("class/hwmon/hwmon3/temp1_input", "nonsense\n"),
        ]);
        let told: Vec<_> = temperatures(sys.path()).iter().map(ToString::to_string).collect();
        let expected =
            ["Samsung SSD 980 PRO 1TB -273 \u{b0}C (at most 84)", "processor 53 \u{b0}C (at most 100)"];
        assert_eq!(told, expected);
        assert_eq!(temperatures(Path::new("/nonexistent")), []);
    }

    #[test]
    fn a_disk_is_told_with_what_has_been_noted_of_it() {
        let files = [
            ("devices/pci/ata1/block/sda/device/model", "WDC WD40EFRX-68N\n"),
            ("devices/pci/ata1/block/sda/sda3/partition", "3\n"),
            ("fs/ext4/sda3/errors_count", "2\n"),
            ("devices/mmc/block/mmcblk0/device/name", "DG4016\n"),
            ("devices/mmc/block/mmcblk0/device/life_time", "0x01 0x03\n"),
        ];
        let sys = sys(&files);
        fs::create_dir_all(sys.path().join("dev/block")).unwrap();
        symlink("../../devices/pci/ata1/block/sda/sda3", sys.path().join("dev/block/8:3")).unwrap();
        symlink("../../devices/mmc/block/mmcblk0", sys.path().join("dev/block/179:0")).unwrap();
        let told = |major, minor| disk(sys.path(), nix::sys::stat::makedev(major, minor)).to_string();
        assert_eq!(told(8, 3), "WDC WD40EFRX-68N; its file system has noted 2 errors since it was made");
        assert_eq!(told(179, 0), "DG4016; 20 to 30 % of its life is behind it");
        assert_eq!(told(0, 42), "of no known model");
    }
}
