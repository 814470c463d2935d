//! What `smartctl --json` tells of a disk, in the few figures that say how sound it is. What is not as it should be counts as not
//! told: the figures are made by the disk's firmware.

use appliance::disk::{Disk, MAX_MODEL, Soundness};
use serde_json::Value;

use crate::lines::printable;

/// Bits of the exit status, as smartctl(8) has them: it could not be asked, or not all of it; it says that it is failing;
/// something that announces a failure is below its threshold now. The higher ones say what was once.
const UNANSWERED: u64 = 0b111;
const FAILING: u64 = 1 << 3;
const BELOW_THRESHOLD: u64 = 1 << 4;

/// The bit of `NVMe`'s critical warnings that tells of the temperature alone: such a disk is too hot, or was too cold.
const TEMPERATURE: u64 = 1 << 1;

/// What SCSI disks say (additional sense code and qualifier) when they are about to fail, and when they are told to try how it is
/// to say so. Others are of temperature and enclosure.
const SCSI_FAILING: u64 = 0x5d;
const SCSI_FALSE: u64 = 0xff;

/// Numbers of ATA's attributes.
const REALLOCATED: u64 = 5;
const PENDING: u64 = 197;

/// More hours than any disk runs: a number above that is none.
const MAX_HOURS: u64 = 1_000_000;

/// `NVMe` counts wear up to this, and spare blocks up to 100.
const MAX_WEAR: u64 = 255;
const MAX_SPARE: u64 = 100;

/// Longest reason (characters) why there is no answer.
const MAX_REASON: usize = 200;

/// Largest counter: ATA has 48 bits for one.
const MAX_COUNT: u64 = (1 << 48) - 1;

/// Reads the output about the disk of this name.
///
/// # Errors
/// Why there is nothing to be read: it is not JSON, or the disk did not answer.
pub fn read(name: &str, output: &[u8]) -> Result<Disk, String> {
    // Names are handed on as the disk has them.
    let output = serde_json::from_str(&String::from_utf8_lossy(output));
    let output: Value = output.map_err(|_| "smartctl's answer is not understood")?;
    let soundness = soundness(&output);
    let status = status(&output);
    if soundness == Soundness::Silent && status & UNANSWERED != 0 {
        let why = output.pointer("/smartctl/messages/0/string").and_then(Value::as_str);
        let why = why.and_then(|why| text(why, MAX_REASON)).unwrap_or_default();
        return Err(format!("smartctl got no answer (status {status}) {why}"));
    }
    let number = |path: &str, most: u64| output.pointer(path)?.as_u64().filter(|number| *number <= most);
    let nvme = |key: &str, most| number(&format!("/nvme_smart_health_information_log/{key}"), most);
    Ok(Disk {
        name: name.to_owned(),
        model: model(&output),
        soundness,
        power_on_hours: number("/power_on_time/hours", MAX_HOURS),
        // SCSI's list of grown defects is the same.
        reallocated_sectors: attribute(&output, REALLOCATED)
            .or_else(|| number("/scsi_grown_defect_list", MAX_COUNT)),
        pending_sectors: attribute(&output, PENDING),
        wear_percent: nvme("percentage_used", MAX_WEAR),
        spare_percent: nvme("available_spare", MAX_SPARE),
        media_errors: nvme("media_errors", MAX_COUNT),
    })
}

fn model(output: &Value) -> Option<String> {
    text(
        ["/model_name", "/scsi_model_name"].iter().find_map(|path| output.pointer(path)?.as_str())?,
        MAX_MODEL,
    )
}

/// At most so many characters of a text, if there is something to be seen.
fn text(text: &str, most: usize) -> Option<String> {
    let text: String = text.trim().chars().take(most).collect();
    Some(printable(&text)).filter(|text| !text.trim().is_empty())
}

/// Without a word of the disk's own it is silent, whatever the rest looks like.
fn soundness(output: &Value) -> Soundness {
    let Some(passed) = output.pointer("/smart_status/passed").and_then(Value::as_bool) else {
        return Soundness::Silent;
    };
    let number = |path: &str| output.pointer(path).and_then(Value::as_u64);
    let warnings = number("/nvme_smart_health_information_log/critical_warning");
    let sense = number("/smart_status/scsi/asc").zip(number("/smart_status/scsi/ascq"));
    let is_failing = match (warnings, sense) {
        (Some(warnings), _) => warnings & !TEMPERATURE != 0,
        (None, Some((code, qualifier))) => code == SCSI_FAILING && qualifier != SCSI_FALSE,
        (None, None) => !passed || status(output) & (FAILING | BELOW_THRESHOLD) != 0,
    };
    if is_failing { Soundness::Failing } else { Soundness::Sound }
}

/// What smartctl ended with.
fn status(output: &Value) -> u64 {
    output.pointer("/smartctl/exit_status").and_then(Value::as_u64).unwrap_or_default()
}

/// The count in one of ATA's attributes: as it is shown, since some have other figures in the same number.
fn attribute(output: &Value, id: u64) -> Option<u64> {
    let table = output.pointer("/ata_smart_attributes/table")?.as_array()?;
    let attribute = table.iter().find(|attribute| attribute["id"] == id)?;
    let shown = attribute.pointer("/raw/string")?.as_str()?;
    shown.split_whitespace().next()?.parse().ok().filter(|value| *value <= MAX_COUNT)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    /// What smartctl 7.3 tells of QEMU's SATA disk, shortened; it keeps no count of pending sectors, which is added.
    const ATA: &str = r#"{
        "json_format_version": [1, 0],
        "smartctl": {"version": [7, 3], "drive_database_version": {"string": "7.3/5319"}, "exit_status": 0},
        "device": {"name": "/dev/sda", "info_name": "/dev/sda [SAT]", "type": "sat", "protocol": "ATA"},
        "model_name": "QEMU HARDDISK", "serial_number": "QM00011", "firmware_version": "2.5+",
        "smart_support": {"available": true, "enabled": true},
        "smart_status": {"passed": true},
        "ata_smart_attributes": {"revision": 1, "table": [
            {"id": 3, "name": "Spin_Up_Time", "value": 100, "worst": 100, "thresh": 0, "when_failed": "",
             "flags": {"value": 3, "string": "PO---- ", "prefailure": true}, "raw": {"value": 16, "string": "16"}},
            {"id": 5, "name": "Reallocated_Sector_Ct", "value": 100, "worst": 100, "thresh": 36, "when_failed": "",
             "flags": {"value": 3, "string": "PO---- ", "prefailure": true}, "raw": {"value": 0, "string": "0"}},
            {"id": 190, "name": "Airflow_Temperature_Cel", "value": 69, "worst": 69, "thresh": 50, "when_failed": "",
             "raw": {"value": 522125343, "string": "31 (Min/Max 31/31)"}},
            {"id": 197, "name": "Current_Pending_Sector", "value": 100, "worst": 100, "thresh": 0, "when_failed": "",
             "raw": {"value": 8, "string": "8"}}]},
        "power_on_time": {"hours": 1}, "power_cycle_count": 0, "temperature": {"current": 31}}"#;

    /// The same of its `NVMe` disk, which is told to be failing.
    const NVME: &str = r#"{
        "json_format_version": [1, 0],
        "smartctl": {"version": [7, 3], "exit_status": 8},
        "device": {"name": "/dev/nvme0n1", "info_name": "/dev/nvme0n1", "type": "nvme", "protocol": "NVMe"},
        "model_name": "QEMU NVMe Ctrl", "serial_number": "box", "firmware_version": "7.2.22",
        "smart_support": {"available": true, "enabled": true},
        "smart_status": {"passed": false, "nvme": {"value": 4, "reliability_degraded": true, "other": 0}},
        "nvme_smart_health_information_log": {"critical_warning": 4, "temperature": 50, "available_spare": 0,
            "available_spare_threshold": 0, "percentage_used": 0, "data_units_read": 1, "power_on_hours": 0,
            "unsafe_shutdowns": 0, "media_errors": 0, "num_err_log_entries": 0},
        "temperature": {"current": 50}, "power_cycle_count": 0, "power_on_time": {"hours": 0}}"#;

    /// The output with what is at these paths replaced.
    fn changed(output: &str, changes: &[(&str, Value)]) -> Disk {
        let mut output: Value = serde_json::from_str(output).unwrap();
        for (path, value) in changes {
            *output.pointer_mut(path).expect(path) = value.clone();
        }
        read("sda", output.to_string().as_bytes()).unwrap()
    }

    #[test]
    fn a_sata_disk_tells_of_its_sectors() {
        let disk = Disk {
            name: "sda".into(),
            model: Some("QEMU HARDDISK".into()),
            soundness: Soundness::Sound,
            power_on_hours: Some(1),
            reallocated_sectors: Some(0),
            pending_sectors: Some(8),
            ..Disk::default()
        };
        assert_eq!(read("sda", ATA.as_bytes()), Ok(disk));
        // More than the count in the number of sectors, and a serial number that is no text.
        let packed = ATA.replace(r#""value": 0, "string": "0""#, r#""value": 65538, "string": "2 (1 0)""#);
        let packed = packed.replace("QM00011", "QM\u{1}");
        let packed: Vec<u8> = packed.bytes().map(|byte| if byte == 1 { 0xff } else { byte }).collect();
        assert_eq!(read("sda", &packed).unwrap().reallocated_sectors, Some(2));
    }

    #[test]
    fn an_nvme_disk_tells_how_worn_it_is() {
        let disk = Disk {
            name: "nvme0n1".into(),
            model: Some("QEMU NVMe Ctrl".into()),
            soundness: Soundness::Failing,
            power_on_hours: Some(0),
            wear_percent: Some(0),
            spare_percent: Some(0),
            media_errors: Some(0),
            ..Disk::default()
        };
        assert_eq!(read("nvme0n1", NVME.as_bytes()), Ok(disk));
    }

    #[test]
    fn a_disk_is_failing_when_it_says_so_or_will_soon() {
        let (status, passed) = ("/smartctl/exit_status", "/smart_status/passed");
        let scsi = |asc, ascq| json!({ "passed": false, "scsi": { "asc": asc, "ascq": ascq } });
        for (changes, soundness) in [
            (vec![(passed, json!(false))], Soundness::Failing),
            (vec![(status, json!(FAILING))], Soundness::Failing),
            (vec![(status, json!(BELOW_THRESHOLD))], Soundness::Failing),
            // A command that it does not know, something that was below its threshold once, and its logs.
            (vec![(status, json!(0b1110_0100))], Soundness::Sound),
            (vec![(status, json!(-1))], Soundness::Sound),
            (vec![("/smart_status", json!(null))], Soundness::Silent),
            (vec![("/smart_status", scsi(0x5d, 0x10))], Soundness::Failing),
            (vec![("/smart_status", scsi(0x5d, 0xff))], Soundness::Sound),
            // It is too hot.
            (vec![("/smart_status", scsi(0x0b, 0x01)), (status, json!(FAILING))], Soundness::Sound),
            (vec![(passed, json!("false"))], Soundness::Silent),
        ] {
            assert_eq!(changed(ATA, &changes).soundness, soundness, "{changes:?}");
        }
        let warning = "/nvme_smart_health_information_log/critical_warning";
        for (value, soundness) in [
            (0, Soundness::Sound),
            // Which the exit status and `passed` call a failure.
            (TEMPERATURE, Soundness::Sound),
            (TEMPERATURE | 1, Soundness::Failing),
            (4, Soundness::Failing),
            (8, Soundness::Failing),
        ] {
            assert_eq!(changed(NVME, &[(warning, json!(value))]).soundness, soundness, "{value}");
        }
    }

    #[test]
    fn who_can_not_be_asked_is_silent() {
        // Disks that sleep, and virtual SCSI disks.
        let asleep = json!({ "smartctl": { "messages": [{ "string": "Device is in STANDBY mode, exit(0)" }],
            "exit_status": 0 }, "model_name": "X" });
        let without = json!({ "smartctl": { "exit_status": 0 }, "scsi_model_name": "QEMU QEMU HARDDISK",
            "smart_support": { "available": false }, "temperature": { "current": 0 } });
        for (output, model) in [(asleep, "X"), (without, "QEMU QEMU HARDDISK")] {
            let disk = read("sdb", output.to_string().as_bytes()).unwrap();
            assert_eq!(disk, Disk { model: Some(model.into()), ..Disk::silent("sdb") });
        }
        let gone = json!({ "smartctl": { "messages": [{ "string": "Read Device Identity failed" }], "exit_status": 2 } });
        let why = read("sdb", gone.to_string().as_bytes()).unwrap_err();
        assert!(why.contains("status 2") && why.contains("Read Device Identity failed"), "{why}");
        let sas = json!({ "smart_status": { "passed": true }, "scsi_grown_defect_list": 3 });
        assert_eq!(read("sdb", sas.to_string().as_bytes()).unwrap().reallocated_sectors, Some(3));
    }

    #[test]
    fn nonsense_is_not_taken_for_figures() {
        for output in ["", "smartctl: out of memory", "{", &"[".repeat(100_000), "\u{0}"] {
            assert!(read("sda", output.as_bytes()).is_err());
        }
        for output in
            ["null", "7", "[]", "{}", r#"{"ata_smart_attributes":{"table":[5,{},{"id":5,"raw":-1}]}}"#]
        {
            assert_eq!(read("sda", output.as_bytes()), Ok(Disk::silent("sda")), "{output}");
        }
        for value in
            [json!(-1), json!(1.5), json!("7"), json!(null), json!(u64::MAX), json!([1]), json!(1e300)]
        {
            assert_eq!(
                changed(ATA, &[("/power_on_time/hours", value.clone())]).power_on_hours,
                None,
                "{value}"
            );
            let log = ["percentage_used", "available_spare", "media_errors", "critical_warning"];
            let log = log.map(|key| format!("/nvme_smart_health_information_log/{key}"));
            let changes: Vec<_> = log.iter().map(|path| (path.as_str(), value.clone())).collect();
            let disk = changed(NVME, &changes);
            assert_eq!((disk.wear_percent, disk.spare_percent, disk.media_errors), (None, None, None));
        }
        for value in [json!(""), json!("-1"), json!("x7"), json!("0x7"), json!(7), json!("281474976710656")] {
            let disk = changed(ATA, &[("/ata_smart_attributes/table/1/raw/string", value.clone())]);
            assert_eq!(disk.reallocated_sectors, None, "{value}");
        }
        let model = |text: &str| changed(ATA, &[("/model_name", json!(text))]).model;
        assert_eq!(model(&"x".repeat(100_000)).unwrap().len(), MAX_MODEL);
        assert_eq!(model("a\u{1b}[2J\nb").as_deref(), Some("a [2J b"));
        assert_eq!(model(" \n\t "), None);
    }
}
