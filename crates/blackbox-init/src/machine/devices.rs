//! Devices that come and go: modules, the power button, media.

use std::fs::{self, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::{Duration, Instant};

use super::{Machine, SYS};
use crate::block;
use crate::button;
use crate::children::Role;
use crate::log;
use crate::media::drive::{Drive, Input, Output};
use crate::media::finding::Finding;
use crate::media::{self, eject, look};
use crate::modules;
use crate::sys::{self, Received, Rights};
use crate::tools::{self, Tool};
use crate::uevent::{self, Action, Uevent};
use crate::update::Job;

/// `modprobe` may wait for slow hardware.
const MODPROBE_LIMIT: Duration = Duration::from_mins(2);

/// As there is nothing that it has to look for.
const SILENT_LIMIT: Duration = Duration::from_secs(10);

/// Uevents taken before others have their turn.
const MAX_AT_ONCE: usize = 256;

/// A disc that no event told of is found within this time.
const LOOK_INTERVAL: Duration = Duration::from_secs(10);

/// Drives and sticks looked after at once.
const MAX_DRIVES: usize = 64;

impl Machine {
    /// Loads what no device asks for by name: how warm SATA disks are, and what ntfs-3g works with, which may load nothing itself.
    pub fn load_silent_modules(&mut self) {
        if !modules::can_be_loaded() {
            return;
        }
        let modprobe = Tool::new(tools::MODPROBE, &["-q", "-a", "--", "drivetemp", "fuse"], SILENT_LIMIT);
        if let Err(error) = self.run(&modprobe) {
            log!("drivetemp, fuse: {error}");
        }
    }

    /// Loads modules for all devices there are; those that come later announce themselves.
    pub fn coldplug(&mut self) {
        for alias in modules::coldplug(Path::new(SYS)) {
            self.aliases.offer(&alias);
        }
        let inputs = fs::read_dir(Path::new(SYS).join("class/input"));
        for entry in inputs.into_iter().flatten().flatten() {
            self.watch_button(&entry.file_name().to_string_lossy());
        }
    }

    /// Looks after media from now on, and looks into every drive there is.
    pub fn enable_media(&mut self) {
        self.drives.get_or_insert_default();
        self.look_at_drives();
    }

    /// Has init fail when the power button is pressed, to show what comes of that.
    pub fn set_fault_on_button(&mut self, yes: bool) {
        self.fault_on_button = yes;
    }

    /// Keeps a disk that belongs to the box from being taken for a medium, and has it asked how sound it is.
    pub fn keep_disk(&mut self, disk: &str) {
        self.own_disks.insert(disk.to_owned());
        self.disks.came(disk, Instant::now());
    }

    pub(super) fn take_uevents(&mut self) {
        let mut buffer = [0; uevent::MAX_BYTES];
        for _ in 0..MAX_AT_ONCE {
            match self.uevents.receive(&mut buffer) {
                Received::Message(bytes) => {
                    if let Some(uevent) = Uevent::parse(&buffer[..bytes]) {
                        self.take_uevent(&uevent);
                    }
                }
                Received::Lost => {
                    log!("uevents were lost; looking at everything again");
                    self.coldplug();
                    self.look_at_drives();
                }
                Received::Nothing => return,
            }
        }
    }

    fn take_uevent(&mut self, uevent: &Uevent) {
        self.last_uevent = Instant::now();
        if uevent.action == Action::Add
            && let Some(alias) = uevent.get("MODALIAS")
        {
            self.aliases.offer(alias);
        }
        let name = uevent.name();
        if uevent.is_about("block") {
            match uevent.action {
                Action::Add => {
                    self.disk_came = Some(self.last_uevent);
                    self.look_at(name);
                }
                Action::Change if uevent.get("DISK_EJECT_REQUEST") == Some("1") => {
                    self.step(name, Input::ButtonPressed);
                }
                Action::Change if uevent.get("DISK_MEDIA_CHANGE") == Some("1") => self.look_at(name),
                Action::Remove => {
                    self.lose(name);
                    self.lose_disk(name);
                    // Another one may get its name.
                    self.own_disks.remove(name);
                }
                Action::Change | Action::Other => {}
            }
        } else if uevent.is_about("input") && uevent.action == Action::Add {
            self.watch_button(name);
        }
    }

    fn watch_button(&mut self, name: &str) {
        if !name.starts_with("event") || self.buttons.contains_key(name) {
            return;
        }
        let capabilities = Path::new(SYS).join("class/input").join(name).join("device/capabilities/key");
        if !fs::read_to_string(capabilities).is_ok_and(|text| button::is_button(&text)) {
            return;
        }
        let path = Path::new("/dev/input").join(name);
        match OpenOptions::new().read(true).custom_flags(sys::NONBLOCK).open(&path) {
            Ok(file) => drop(self.buttons.insert(name.to_owned(), file)),
            Err(error) => log!("{}: {error}", path.display()),
        }
    }

    pub(super) fn take_button(&mut self, name: &str) {
        let mut buffer = [0; button::EVENT_BYTES * 64];
        let Some(file) = self.buttons.get_mut(name) else { return };
        match file.read(&mut buffer) {
            Ok(bytes) if button::is_pressed(&buffer[..bytes]) => {
                assert!(!self.fault_on_button, "the kernel's command line demands this fault");
                self.halt(sys::Reboot::PowerOff, "the power button was pressed");
            }
            Ok(1..) => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            // The device is gone.
            Ok(0) | Err(_) => drop(self.buttons.remove(name)),
        }
    }

    pub(super) fn load_modules(&mut self) {
        let busy = self.children.pids().iter().any(|pid| self.children.role(*pid) == Some(&Role::Modprobe));
        if busy || self.aliases.is_empty() {
            return;
        }
        if !modules::can_be_loaded() {
            self.aliases = modules::Aliases::default();
            return;
        }
        let mut tool = Tool::new(tools::MODPROBE, &["-a", "-b", "-q", "--"], MODPROBE_LIMIT);
        tool.arguments.extend(self.aliases.batch());
        if let Err(error) = self.children.spawn(tool.command(), Role::Modprobe, "", Some(tool.limit)) {
            log!("{}: {error}", tool.program);
        }
    }

    fn look_at_drives(&mut self) {
        for device in block::scan(Path::new(SYS)) {
            self.look_at(&device.name);
        }
    }

    /// Looks into the optical drives when that was long ago.
    pub(super) fn look_routinely(&mut self, now: Instant) {
        if now < self.next_look {
            return;
        }
        self.next_look = now + LOOK_INTERVAL;
        let optical = |name: &&String| block::is_optical(name);
        let names: Vec<String> =
            self.drives.iter().flatten().map(|(name, _)| name).filter(optical).cloned().collect();
        for name in names {
            self.step(&name, Input::Routine);
        }
    }

    /// Looks into a drive, if it is one for media.
    fn look_at(&mut self, name: &str) {
        let Some(drives) = &mut self.drives else { return };
        let Some(device) = block::read(Path::new(SYS), name) else { return };
        let room = drives.len() < MAX_DRIVES || drives.contains_key(name);
        if room
            && device.can_hold_media()
            && media::is_drive_name(name)
            && !self.own_disks.contains(&device.disk)
        {
            drives.entry(name.to_owned()).or_insert_with(|| Drive::new(name));
            self.step(name, Input::Changed);
        }
    }

    fn lose(&mut self, name: &str) {
        self.step(name, Input::Gone);
        if let Some(drives) = &mut self.drives {
            drives.remove(name);
        }
    }

    pub(super) fn step(&mut self, name: &str, input: Input) {
        let Some(drive) = self.drives.as_mut().and_then(|drives| drives.get_mut(name)) else { return };
        for output in drive.step(input) {
            match output {
                Output::Tell(message) => {
                    log!("{name}: {message:?}");
                    self.daemon.tell(&message);
                }
                Output::Detach => media::detach(name),
                Output::Look { briefly } => self.start_look(name, briefly),
                Output::Eject => self.start_eject(name),
                Output::Update => self.request_update_job(Job::Medium(name.to_owned())),
            }
        }
    }

    fn start_look(&mut self, name: &str, briefly: bool) {
        let mut command = tools::own_child(&["media", name]);
        command.args(briefly.then_some("briefly"));
        sys::stay_root(&mut command, Rights::MEDIA);
        if let Err(error) = self.children.spawn(command, Role::Look(name.to_owned()), "", Some(look::LIMIT)) {
            log!("{name}: can't be looked into: {error}");
            self.step(name, Input::Looked(Finding::Unchanged));
        }
    }

    fn start_eject(&mut self, name: &str) {
        // A look that is still going on would mount again what is being unmounted.
        let look = Role::Look(name.to_owned());
        for pid in self.children.pids().into_iter().filter(|pid| self.children.role(*pid) == Some(&look)) {
            sys::kill_group(pid, true);
        }
        let mut command = tools::own_child(&["eject", name]);
        sys::stay_root(&mut command, Rights::DISKS);
        if let Err(error) = self.children.spawn(command, Role::Eject(name.to_owned()), "", Some(eject::LIMIT))
        {
            log!("{name}: can't be ejected: {error}");
            self.step(name, Input::Ejected);
        }
    }
}
