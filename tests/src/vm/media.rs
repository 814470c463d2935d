//! Discs and sticks, good ones and bad ones, slow ones, and people's hands.

use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};

use super::Vm;

/// How a disc or stick is read.
#[derive(Debug, Clone, Copy, Default)]
pub struct Quality {
    /// A sector (of 512 bytes) that can't be read, and how often it fails; `None` for always.
    pub scratch: Option<(u64, Option<u32>)>,
    /// Bytes a second; `None` for as fast as it goes.
    pub speed: Option<u64>,
}

impl Vm {
    /// Puts a disc into the drive, whose tray is opened for it if need be.
    ///
    /// # Panics
    /// When the drive refuses.
    #[track_caller]
    pub fn insert(&mut self, disc: &Path) {
        self.insert_of(disc, Quality::default());
    }

    /// As [`Vm::insert`], a disc of this quality.
    ///
    /// # Panics
    /// When the drive refuses.
    #[track_caller]
    pub fn insert_of(&mut self, disc: &Path, quality: Quality) {
        let node = self.add_node(disc, quality, true);
        self.qmp.execute("blockdev-open-tray", &json!({ "id": "cd0", "force": true }));
        self.qmp.execute("blockdev-remove-medium", &json!({ "id": "cd0" }));
        self.qmp.execute("blockdev-insert-medium", &json!({ "id": "cd0", "node-name": node }));
        self.qmp.execute("blockdev-close-tray", &json!({ "id": "cd0" }));
    }

    /// Plugs a stick in and returns the name by which it can be pulled out.
    ///
    /// # Panics
    /// When there is no free port.
    #[track_caller]
    pub fn plug(&mut self, stick: &Path, quality: Quality) -> String {
        let node = self.add_node(stick, quality, false);
        let device =
            json!({ "driver": "usb-storage", "id": node, "drive": node, "bus": "usb.0", "removable": true });
        self.qmp.execute("device_add", &device);
        node
    }

    /// Pulls a stick out.
    ///
    /// # Panics
    /// When it is not plugged in.
    #[track_caller]
    pub fn pull(&mut self, stick: &str) {
        self.qmp.execute("device_del", &json!({ "id": stick }));
    }

    /// Waits until the box opens the tray.
    ///
    /// # Panics
    /// When it does not in time.
    #[track_caller]
    pub fn wait_for_open_tray(&mut self, limit: Duration) {
        self.wait_until("the open tray", limit, Self::tray_is_open);
    }

    /// Whether the tray is open.
    pub fn tray_is_open(&mut self) -> bool {
        self.block("query-block", "cd0")["tray_open"] == true
    }

    /// Makes an image known to QEMU and returns its name there.
    #[track_caller]
    fn add_node(&mut self, image: &Path, quality: Quality, read_only: bool) -> String {
        self.media += 1;
        let name = format!("medium{}", self.media);
        let mut node = json!({ "driver": "file", "filename": image, "read-only": read_only });
        if let Some((sector, times)) = quality.scratch {
            // A fault goes with its rule, so as many rules as faults.
            let rule = json!({
                "event": "none", "iotype": "read", "errno": 5, "sector": sector, "once": times.is_some(),
            });
            let rules = vec![rule; times.unwrap_or(1) as usize];
            node = json!({ "driver": "blkdebug", "image": node, "inject-error": rules });
        }
        if let Some(speed) = quality.speed {
            let group = format!("speed-of-{name}");
            let limits = json!({ "bps-read": speed });
            let object = json!({ "qom-type": "throttle-group", "id": group, "limits": limits });
            self.qmp.execute("object-add", &object);
            node = json!({ "driver": "throttle", "throttle-group": group, "file": node });
        }
        let node: Value = json!({ "node-name": name, "driver": "raw", "read-only": read_only, "file": node });
        self.qmp.execute("blockdev-add", &node);
        name
    }
}
