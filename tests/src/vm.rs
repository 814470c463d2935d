//! The image in QEMU: a machine with a disk, a disc drive, a network card and a serial console.
//!
//! The box is reached as in [`crate::network::make_lan`].

mod bus;
mod media;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

pub use bus::Bus;
pub use media::Quality;
use serde_json::{Value, json};

use crate::api::Api;
use crate::image::{self, Disk};
use crate::network::BOX;
use crate::process::Process;
use crate::qmp::Qmp;
use crate::wait;

/// Time in which the box is ready, without hardware acceleration and with another machine running.
pub const READY: Duration = Duration::from_mins(4);

/// Time in which the box powers off.
pub const POWER_OFF: Duration = Duration::from_mins(1);

/// Time in which a small disc is read, published and given back.
pub const DISC: Duration = Duration::from_mins(2);

/// What the machine is made of.
#[derive(Debug, Clone)]
pub struct Hardware {
    /// What starts the boot loader.
    pub firmware: Firmware,
    /// Kernel and initramfs are handed over by the machine, which saves the time of firmware and boot loader.
    pub direct: bool,
    /// Megabytes.
    pub memory: u32,
    /// Whether anybody answers in the network; otherwise there is a cable, and silence.
    pub network: bool,
    /// Other network cards, at whose cables nobody answers.
    pub other_cards: u32,
    /// The host's end of the cable, if it is a device there: see [`crate::lan`].
    pub tap: Option<&'static str>,
    /// Where what the machine's speaker gives is recorded: see [`crate::sound`].
    pub speaker: Option<PathBuf>,
    /// What the machine's clock shows when it is switched on, as `2001-02-03T04:05:06`; otherwise the time that it is.
    pub clock: Option<&'static str>,
    /// Taken instead of the initramfs that was built, if `direct`.
    pub initramfs: Option<PathBuf>,
    /// Options for the kernel besides the usual ones, if `direct`.
    pub kernel_options: &'static str,
    /// Whether there is a watchdog on the board.
    pub watchdog: bool,
    /// Socket of a [`VolatileDisk`](crate::volatile_disk::VolatileDisk), through which the disk is used.
    pub volatile: Option<PathBuf>,
    /// What the disk hangs on.
    pub bus: Bus,
    /// Other disks, by their files.
    pub others: Vec<PathBuf>,
    /// What they hang on.
    pub others_bus: Bus,
}

/// What a machine has on its board.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Firmware {
    /// As PCs had it until about 2010.
    Bios,
    /// UEFI.
    Uefi,
    /// UEFI that starts nothing that is not signed.
    SecureBoot,
}

impl Firmware {
    /// The strictest that starts the image: what was made of sources is not signed.
    pub fn strictest() -> Self {
        if image::is_of_packages(&image::image()) { Self::SecureBoot } else { Self::Uefi }
    }
}

impl Default for Hardware {
    fn default() -> Self {
        Self {
            firmware: Firmware::Bios,
            direct: false,
            memory: 512,
            network: true,
            other_cards: 0,
            tap: None,
            speaker: None,
            clock: None,
            volatile: None,
            bus: Bus::default(),
            others: Vec::new(),
            others_bus: Bus::default(),
            initramfs: None,
            kernel_options: "",
            watchdog: false,
        }
    }
}

/// A running machine. It is killed with the value, which is a power cut.
#[derive(Debug)]
pub struct Vm {
    process: Process,
    qmp: Qmp,
    console: PathBuf,
    started: Instant,
    /// Discs and sticks so far, to give each a name.
    media: usize,
    /// The page.
    pub api: Api,
}

impl Vm {
    /// Switches a machine on.
    ///
    /// # Panics
    /// When QEMU can't be started.
    #[track_caller]
    pub fn start(disk: &Disk, hardware: &Hardware) -> Self {
        let folder = disk.path().parent().expect("a disk is in a folder");
        let (console, socket) = (folder.join("console.log"), folder.join("monitor.sock"));
        // Both belong to the run before.
        let _ = (fs::remove_file(&console), fs::remove_file(&socket));
        let mut process = Process::start(command(disk, hardware, folder, &console, &socket));
        let started = Instant::now();
        let qmp = wait::until("QEMU's monitor", Duration::from_secs(20), || {
            assert!(process.is_running(), "QEMU ended: {}", process.said().join("\n"));
            Qmp::connect(&socket).ok()
        });
        let api = Api::new(format!("{BOX}:80").parse().expect("an address"));
        Self { process, qmp, console, started, media: 0, api }
    }

    /// Waits until the box is ready, and says how long that took.
    ///
    /// # Panics
    /// When it is not in time.
    #[track_caller]
    pub fn wait_until_ready(&mut self) -> Duration {
        self.wait_for_ready_lines(1);
        self.started.elapsed()
    }

    /// As [`Vm::wait_until_ready`]; `None` if the box is not ready in time.
    pub fn ready_within(&mut self, limit: Duration) -> Option<Duration> {
        let is_ready = || self.console().contains("ready web=").then_some(());
        wait::try_until(limit, is_ready).map(|()| self.started.elapsed())
    }

    /// Waits until the daemon was ready so many times since the machine was switched on.
    ///
    /// # Panics
    /// When it was not in time.
    #[track_caller]
    pub fn wait_for_ready_lines(&mut self, count: usize) {
        // Init repeats them in its log, where they stand behind the time.
        let ready =
            |vm: &mut Self| vm.console().lines().filter(|line| line.starts_with("ready web=")).count();
        self.wait_until("the ready line", READY, |vm| ready(vm) >= count);
    }

    /// Waits until the box has been started so many times since the machine was switched on.
    ///
    /// # Panics
    /// When it was not in time.
    #[track_caller]
    pub fn wait_for_starts(&mut self, count: usize) {
        let starts = |vm: &mut Self| vm.console().matches("] P2P Black Box ").count() >= count;
        self.wait_until(&format!("start {count}"), READY, starts);
    }

    /// Waits until the console shows this text; line breaks in it count as spaces.
    ///
    /// # Panics
    /// When it does not in time.
    #[track_caller]
    pub fn wait_for_console(&mut self, text: &str, limit: Duration) {
        self.wait_for_story(&[text], limit);
    }

    /// Waits until the console has shown these texts one after the other, whatever else in between and before.
    ///
    /// # Panics
    /// When it does not in time.
    #[track_caller]
    pub fn wait_for_story(&mut self, texts: &[&str], limit: Duration) {
        self.wait_until(&texts.join(" ... "), limit, |vm| {
            let shown = vm.console().split_whitespace().collect::<Vec<_>>().join(" ");
            let mut rest = shown.as_str();
            texts.iter().all(|text| {
                let found = rest.split_once(text);
                found.is_some_and(|(_, after)| {
                    rest = after;
                    true
                })
            })
        });
    }

    /// Everything that was written to the serial console.
    pub fn console(&self) -> String {
        String::from_utf8_lossy(&fs::read(&self.console).unwrap_or_default()).into_owned()
    }

    /// Bytes that the box has read from its disc drive since the machine was switched on.
    ///
    /// # Panics
    /// When QEMU does not say.
    pub fn disc_bytes_read(&mut self) -> u64 {
        self.block("query-blockstats", "cd0")["stats"]["rd_bytes"].as_u64().expect("rd_bytes")
    }

    /// Bytes that the box has read from its disk since the machine was switched on.
    ///
    /// # Panics
    /// When QEMU does not say.
    pub fn disk_bytes_read(&mut self) -> u64 {
        self.block("query-blockstats", "disk0")["stats"]["rd_bytes"].as_u64().expect("rd_bytes")
    }

    /// Where its processors are, and what it has read from its disk, for somebody who wonders why it stands still.
    ///
    /// # Panics
    /// When QEMU does not say.
    pub fn describe(&mut self) -> String {
        let tell = |line: &str| json!({ "command-line": line });
        let registers = self.qmp.execute("human-monitor-command", &tell("info registers -a"));
        let of_interest = ["CPU#", "RIP=", "EIP=", "CR0="];
        let lines = registers.as_str().unwrap_or_default().lines();
        let lines: Vec<_> = lines.filter(|line| of_interest.iter().any(|word| line.contains(word))).collect();
        format!("{} bytes read\n{}\n{}", self.disk_bytes_read(), lines.join("\n"), self.console())
    }

    /// What QEMU says of a drive.
    fn block(&mut self, query: &str, device: &str) -> Value {
        let answer = self.qmp.execute(query, &json!({}));
        let is_it = |entry: &&Value| {
            let id = entry["qdev"].as_str().unwrap_or_default();
            entry["device"] == device || id.split('/').any(|part| part == device)
        };
        answer
            .as_array()
            .and_then(|all| all.iter().find(is_it))
            .unwrap_or_else(|| panic!("{device}: {answer}"))
            .clone()
    }

    /// Pulls or plugs the network cable.
    pub fn set_cable(&mut self, plugged: bool) {
        self.qmp.execute("set_link", &json!({ "name": "net0", "up": plugged }));
    }

    /// The year that the clock on the machine's board shows.
    ///
    /// # Panics
    /// When QEMU does not say.
    pub fn clock_year(&mut self) -> u64 {
        let time = self.qmp.execute("qom-get", &json!({ "path": "/machine", "property": "rtc-time" }));
        1900 + time["tm_year"].as_u64().unwrap_or_else(|| panic!("{time}"))
    }

    /// Presses keys at once, by QEMU's names.
    pub fn press(&mut self, keys: &[&str]) {
        let keys: Vec<_> = keys.iter().map(|key| json!({ "type": "qcode", "data": key })).collect();
        self.qmp.execute("send-key", &json!({ "keys": keys, "hold-time": 300 }));
    }

    /// Takes a picture of the screen.
    pub fn photograph(&mut self, png: &Path) {
        self.qmp.execute("screendump", &json!({ "filename": png, "format": "png" }));
    }

    /// Presses the power button.
    pub fn press_power_button(&mut self) {
        self.qmp.execute("system_powerdown", &json!({}));
    }

    /// Presses the power button and waits until the machine is off.
    ///
    /// # Panics
    /// When it is not in time.
    #[track_caller]
    pub fn power_off(mut self) {
        self.press_power_button();
        let ended = wait::try_until(POWER_OFF, || (!self.process.is_running()).then_some(()));
        assert!(ended.is_some(), "the box is not off within {POWER_OFF:?}; console:\n{}", self.console());
    }

    #[track_caller]
    fn wait_until(&mut self, what: &str, limit: Duration, mut holds: impl FnMut(&mut Self) -> bool) {
        let found = wait::try_until(limit, || {
            assert!(self.process.is_running(), "the machine went off before {what}:\n{}", self.console());
            holds(self).then_some(())
        });
        assert!(found.is_some(), "{what}: not within {limit:?}; console:\n{}", self.console());
    }
}

/// QEMU's command line; as in `scripts/boot`, apart from addresses.
fn command(disk: &Disk, hardware: &Hardware, folder: &Path, console: &Path, socket: &Path) -> Command {
    let mut command = Command::new("qemu-system-x86_64");
    let accelerator = std::env::var("BLACKBOX_ACCELERATOR").unwrap_or_else(|_| "tcg,thread=multi".into());
    let mut machine = if hardware.firmware == Firmware::SecureBoot { "q35,smm=on" } else { "q35" }.to_owned();
    if let Some(wave) = &hardware.speaker {
        command.args(["-audiodev", &format!("wav,id=speaker,path={}", wave.display())]);
        machine.push_str(",pcspk-audiodev=speaker");
    }
    command.args(["-name", "blackbox", "-machine", &machine, "-accel", &accelerator, "-smp", "2"]);
    command.args(["-m", &hardware.memory.to_string(), "-nodefaults", "-display", "none", "-vga", "std"]);
    let boots = if hardware.direct { "" } else { ",bootindex=0" };
    command.args(["-device", &format!("{}{boots}", hardware.bus.device("disk0"))]);
    command.args(["-device", "ide-cd,id=cd0,drive=drive-cd0"]);
    let file = match &hardware.volatile {
        None => format!("file={}", disk.path().display()),
        Some(socket) => {
            format!("file.driver=nbd,file.server.type=unix,file.server.path={}", socket.display())
        }
    };
    command.args(["-drive", &format!("if=none,id=disk0,format=raw,discard=unmap,{file}")]);
    for (number, other) in hardware.others.iter().enumerate() {
        let drive = format!("if=none,id=other{number},format=raw,discard=unmap,file={}", other.display());
        let device = hardware.others_bus.device(&format!("other{number}"));
        command.args(["-drive", &drive, "-device", &device]);
    }
    command.args(["-drive", "if=none,id=drive-cd0,media=cdrom,readonly=on"]);
    command.args(["-netdev", &network(hardware), "-device", "virtio-net-pci,netdev=net0,id=nic0,romfile="]);
    for card in 1..=hardware.other_cards {
        command.args(["-netdev", &format!("hubport,id=net{card},hubid={card}")]);
        command.args(["-device", &format!("virtio-net-pci,netdev=net{card},romfile=")]);
    }
    command.args(["-device", "virtio-rng-pci", "-device", "qemu-xhci,id=usb"]);
    command.args(["-serial", &format!("file:{}", console.display())]);
    command.args(["-qmp", &format!("unix:{},server=on,wait=off", socket.display())]);
    if let Some(clock) = hardware.clock {
        command.args(["-rtc", &format!("base={clock}")]);
    }
    if hardware.direct {
        let folder = image::image().with_file_name("");
        let initramfs = hardware.initramfs.clone().unwrap_or_else(|| folder.join("rootfs.cpio.zst"));
        command.arg("-kernel").arg(folder.join("bzImage")).arg("-initrd").arg(initramfs);
        let options = [&disk.kernel_options(), "blackbox.slot=a", hardware.kernel_options].join(" ");
        command.args(["-append", &options]);
    }
    if hardware.watchdog {
        command.args(["-device", "i6300esb", "-action", "watchdog=reset"]);
    }
    add_firmware(&mut command, folder, hardware.firmware);
    command
}

/// Adds UEFI, with its variables in `folder`; a BIOS is there already.
fn add_firmware(command: &mut Command, folder: &Path, firmware: Firmware) {
    let (code, known) = match firmware {
        Firmware::Bios => return,
        Firmware::Uefi => ("OVMF_CODE_4M.fd", "OVMF_VARS_4M.fd"),
        Firmware::SecureBoot => ("OVMF_CODE_4M.secboot.fd", "OVMF_VARS_4M.ms.fd"),
    };
    let variables = folder.join(known);
    if !variables.exists() {
        fs::copy(format!("/usr/share/OVMF/{known}"), &variables).expect("package ovmf");
    }
    command.args(["-drive", &format!("if=pflash,format=raw,unit=0,readonly=on,file=/usr/share/OVMF/{code}")]);
    command.args(["-drive", &format!("if=pflash,format=raw,unit=1,file={}", variables.display())]);
    if firmware == Firmware::SecureBoot {
        command.args(["-global", "driver=cfi.pflash01,property=secure,value=on"]);
    }
}

/// The box gets the address at which its ports are forwarded, so that it is as if it were in the network itself. Clients are
/// outside of its small subnet, because QEMU's network answers for nobody but itself there.
fn network(hardware: &Hardware) -> String {
    if let Some(device) = hardware.tap {
        return format!("tap,id=net0,ifname={device},script=no,downscript=no");
    }
    if !hardware.network {
        return "hubport,id=net0,hubid=0".into();
    }
    let forwards = [("tcp", 80), ("tcp", 6969), ("udp", 6969), ("tcp", 6881)]
        .map(|(protocol, port)| format!(",hostfwd={protocol}:{BOX}:{port}-{BOX}:{port}"));
    format!(
        "user,id=net0,net=192.168.7.0/29,host=192.168.7.2,dns=192.168.7.3,dhcpstart={BOX}{}",
        forwards.concat()
    )
}
