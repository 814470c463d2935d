//! A LAN with a machine in it that is a box in QEMU: a switch, a computer beside the box, and, when a test wants one, somebody
//! who gives addresses (dnsmasq). The computer finds the box by a foreign resolver (Avahi).

use std::fs;
use std::net::IpAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::network;
use crate::process::{Process, run};
use crate::rooms::{Room, succeeds};
use crate::wait;

/// The box's end of its cable, for [`Hardware::tap`](crate::vm::Hardware::tap).
pub const TAP: &str = "box";

/// The switch, which is also the machine that gives addresses.
pub const SWITCH: &str = "192.168.7.254";

/// The computer, once there are addresses to be had.
pub const COMPUTER: &str = "192.168.7.9";

/// The computer without anybody who gives addresses.
pub const COMPUTER_ALONE: &str = "169.254.7.9";

/// Time in which who is there is found.
const FIND: Duration = Duration::from_secs(10);

/// Two rooms and a bridge.
#[derive(Debug)]
pub struct Lan {
    /// Where the box's cable ends; QEMU is started there.
    pub switch: Room,
    /// The one beside the box.
    pub computer: Room,
}

impl Lan {
    /// Lays it out; the calling thread is at the computer then.
    ///
    /// # Errors
    /// What this machine lacks.
    pub fn new() -> Result<Self, &'static str> {
        if !network::make_private() {
            return Err("no network of its own");
        }
        let computer = Room::here();
        if !network::make_private() {
            return Err("no network of its own");
        }
        let switch = Room::here();
        if !succeeds("ip", &["link", "add", "name", "lan", "type", "bridge", "mcast_snooping", "0"]) {
            return Err("no bridges");
        }
        if !succeeds("ip", &["tuntap", "add", "dev", TAP, "mode", "tap"]) {
            return Err("no tap devices");
        }
        run(
            "ip",
            [
                "link",
                "add",
                "name",
                "port",
                "type",
                "veth",
                "peer",
                "name",
                "eth0",
                "netns",
                &computer.path(),
            ],
        );
        for device in ["port", TAP] {
            run("ip", ["link", "set", device, "master", "lan"]);
            run("ip", ["link", "set", device, "up"]);
        }
        run("ip", ["link", "set", "lan", "up"]);
        run("ip", ["address", "add", &format!("{SWITCH}/24"), "dev", "lan"]);
        run("ip", ["address", "add", "fd00:7::fe/64", "dev", "lan", "nodad"]);
        computer.enter();
        run("ip", ["address", "add", &format!("{COMPUTER_ALONE}/16"), "dev", "eth0"]);
        run("ip", ["address", "add", &format!("{COMPUTER}/24"), "dev", "eth0"]);
        run("ip", ["address", "add", "fd00:7::9/64", "dev", "eth0", "nodad"]);
        run("ip", ["link", "set", "eth0", "up"]);
        Ok(Self { switch, computer })
    }

    /// Has somebody at the switch tell the time (chrony). `None` where it is not installed.
    pub fn tell_time(&self, folder: &Path) -> Option<Process> {
        if !is_installed("chronyd") {
            return None;
        }
        let config = folder.join("chrony.conf");
        let text = format!(
            "local stratum 5\nallow\ncmdport 0\nbindcmdaddress /\npidfile {}\n",
            folder.join("chrony.pid").display()
        );
        fs::write(&config, text).expect("new file");
        let mut command = Command::new("chronyd");
        // It leaves this machine's clock alone.
        command.args(["-d", "-x", "-u", "root", "-f"]).arg(&config);
        Some(self.switch.visit(|| Process::start(command)))
    }

    /// Has addresses given from `first` to `last`, renewed every 20 seconds, and networks of IPv6 told.
    pub fn give_addresses(&self, folder: &Path, first: &str, last: &str, more: &[&str]) -> Giver {
        let leases = folder.join("leases");
        // What it gave before it does not know.
        let _ = fs::remove_file(&leases);
        let mut command = Command::new("dnsmasq");
        command.args([
            "--keep-in-foreground",
            "--conf-file=/dev/null",
            "--user=root",
            "--port=0",
            "--pid-file=",
        ]);
        command.args([
            "--interface=lan",
            "--bind-interfaces",
            "--no-ping",
            "--dhcp-authoritative",
            "--enable-ra",
        ]);
        command.args([
            "--log-dhcp",
            "--log-facility=-",
            "--dhcp-option=option:T1,20",
            "--dhcp-option=option:T2,60",
        ]);
        command.arg(format!("--dhcp-range={first},{last},255.255.255.0,2m"));
        command.args(["--dhcp-range=fd00:7::,ra-only", &format!("--dhcp-leasefile={}", leases.display())]);
        command.args(more);
        Giver(self.switch.visit(|| Process::start(command)))
    }
}

/// Who gives addresses.
#[derive(Debug)]
pub struct Giver(Process);

impl Giver {
    /// Waits until so many addresses were given or renewed.
    ///
    /// # Panics
    /// When they were not in time.
    #[track_caller]
    pub fn wait_for_leases(&self, count: usize, limit: Duration) {
        let given = || self.0.said().iter().filter(|line| line.contains("DHCPACK")).count();
        let found = wait::try_until(limit, || (given() >= count).then_some(()));
        assert!(
            found.is_some(),
            "{} leases of {count} within {limit:?}:\n{}",
            given(),
            self.0.said().join("\n")
        );
    }
}

/// Avahi at the computer, which has a name itself.
#[derive(Debug)]
pub struct Avahi {
    bus: String,
    _bus: Process,
    daemon: Process,
}

impl Avahi {
    /// Starts it in the calling thread's room; it calls the computer `name`. `None` where it is not installed.
    ///
    /// # Panics
    /// When it does not start.
    pub fn start(folder: &Path, name: &str) -> Option<Self> {
        if !["avahi-daemon", "avahi-resolve", "dbus-daemon"].iter().all(|program| is_installed(program)) {
            return None;
        }
        let socket = folder.join("bus");
        let bus = format!("unix:path={}", socket.display());
        let config = folder.join("bus.conf");
        let text = format!(
            "<busconfig><type>session</type><listen>{bus}</listen><auth>EXTERNAL</auth><policy context=\"default\">\
             <allow send_destination=\"*\" eavesdrop=\"true\"/><allow eavesdrop=\"true\"/><allow own=\"*\"/></policy></busconfig>"
        );
        fs::write(&config, text).expect("new file");
        let mut command = Command::new("dbus-daemon");
        command.args(["--nofork", "--nopidfile", &format!("--config-file={}", config.display())]);
        let bus_process = Process::start(command);
        wait::until_holds("the bus", FIND, || socket.exists());
        // Its own folder for runtime files, whoever else runs one on this machine.
        let config = folder.join("avahi.conf");
        let text = format!(
            "[server]\nhost-name={name}\nallow-interfaces=eth0\nenable-dbus=yes\n[publish]\npublish-workstation=no\n"
        );
        fs::write(&config, text).expect("new file");
        let script = folder.join("avahi.sh");
        let text = format!(
            "#!/bin/sh\nmkdir -p /run/avahi-daemon && mount -t tmpfs tmpfs /run/avahi-daemon &&\nexec avahi-daemon --no-drop-root \
             --no-chroot --no-rlimits --file={}\n",
            config.display()
        );
        fs::write(&script, text).expect("new file");
        fs::set_permissions(&script, fs::Permissions::from_mode(0o700)).expect("a file of ours");
        let mut command = Command::new("unshare");
        command.arg("--mount").arg(&script).env("DBUS_SYSTEM_BUS_ADDRESS", &bus);
        let mut daemon = Process::start(command);
        daemon.wait_for_line("Avahi", FIND, |line| line.contains("Server startup complete").then_some(()));
        Some(Self { bus, _bus: bus_process, daemon })
    }

    /// The address of a name.
    pub fn resolve(&self, name: &str, option: &str) -> Option<IpAddr> {
        let said = self.ask("avahi-resolve", &[option, "-n", name]);
        said.iter().find_map(|line| line.strip_prefix(name)?.trim().parse().ok())
    }

    /// The pages in this network: name, host, address and port, as the program prints them.
    pub fn pages(&self) -> Vec<String> {
        self.ask("avahi-browse", &["-rtp", "_http._tcp"])
    }

    fn ask(&self, program: &str, arguments: &[&str]) -> Vec<String> {
        let mut command = Command::new("timeout");
        command.arg("8").arg(program).args(arguments).env("DBUS_SYSTEM_BUS_ADDRESS", &self.bus);
        let mut process = Process::start(command);
        // That nobody has the name is an answer too.
        process.wait(FIND);
        process.said()
    }

    /// What it has said so far.
    pub fn said(&self) -> Vec<String> {
        self.daemon.said()
    }
}

fn is_installed(program: &str) -> bool {
    let places = ["/usr/bin", "/usr/sbin"].map(PathBuf::from);
    places.iter().any(|place| place.join(program).exists())
}
