//! The boot as data: phases in order, each logged with its time. One that fails says what is wrong, and the boot
//! goes on: a box that shows its problem is worth more than one that stands still.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use appliance::boot_state::BootState;
use appliance::paths;

use crate::cmdline::Cmdline;
use crate::daemon::make_temporary_state;
use crate::data::{self, Data};
use crate::machine::Machine;
use crate::problems::Source;
use crate::settings::Found;
use crate::sys::{self, Access};
use crate::{alarm, log};
use crate::{kernel, screen, system, update};

/// Name of the machine.
pub const HOST_NAME: &str = "blackbox";

/// The daemon's state when the data partition can't hold it.
const TEMPORARY_STATE: &str = "/run/blackbox/state";

/// Seconds since 1970 when this was built: the clock is never before that.
const BUILD_TIME: Option<&str> = option_env!("SOURCE_DATE_EPOCH");

/// What later phases need to know of earlier ones.
#[derive(Debug, Default)]
pub struct Facts {
    /// What the boot loader said.
    pub cmdline: Cmdline,
    /// The disk that holds the system partition.
    pub system_disk: Option<String>,
    /// Node of the system partition, if there is one only.
    pub system_node: Option<String>,
    /// The boot state in it, unless it is nonsense.
    pub boot_state: Option<BootState>,
    /// `blackbox.toml` as it stands there.
    pub settings: Option<Found>,
    /// The UUID of the data partition's file system, if that is noted to be on another disk.
    pub data_disk: Option<String>,
    /// Whether that disk is missing.
    pub waits_for_disk: bool,
    /// What became of the data partition.
    pub data: Data,
}

/// One step of the boot.
struct Phase {
    name: &'static str,
    source: Source,
    run: fn(&mut Machine, &mut Facts) -> Result<(), String>,
}

/// In the order of need: the settings may come from the data partition, and the network needs the settings.
const PHASES: [Phase; 13] = [
    Phase { name: "file systems", source: Source::Boot, run: mount_kernel_file_systems },
    Phase {
        name: "kernel settings",
        source: Source::Boot,
        run: |_, _| {
            set_up_kernel();
            Ok(())
        },
    },
    Phase {
        name: "modules",
        source: Source::Boot,
        run: |machine, _| {
            machine.coldplug();
            Ok(())
        },
    },
    Phase { name: "system disk", source: Source::System, run: system::find },
    Phase { name: "data partition", source: Source::Data, run: data::prepare },
    Phase { name: "log", source: Source::Data, run: start_journal },
    Phase { name: "updates", source: Source::Update, run: update::begin },
    Phase { name: "settings", source: Source::Settings, run: system::choose_settings },
    Phase {
        name: "watchdog",
        source: Source::Boot,
        run: |machine, facts| {
            machine.set_patience(facts.cmdline.patience);
            machine.start_watchdog();
            Ok(())
        },
    },
    Phase {
        name: "network",
        source: Source::Network,
        run: |machine, _| {
            machine.enable_network();
            Ok(())
        },
    },
    Phase { name: "daemon", source: Source::Daemon, run: start_daemon },
    Phase {
        name: "media",
        source: Source::Boot,
        run: |machine, _| {
            machine.load_silent_modules();
            machine.enable_media();
            Ok(())
        },
    },
    Phase {
        name: "disks",
        source: Source::Disks,
        run: |machine, _| {
            machine.enable_disks();
            Ok(())
        },
    },
];

/// What is done when a data disk that was missing comes.
const LATE: [Phase; 4] = [
    Phase { name: "data partition", source: Source::Data, run: data::prepare },
    Phase { name: "log", source: Source::Data, run: start_journal },
    Phase {
        name: "updates",
        source: Source::Update,
        run: |machine, facts| {
            update::watch_folder(machine, facts);
            Ok(())
        },
    },
    Phase { name: "daemon", source: Source::Daemon, run: start_daemon },
];

/// Boots, and serves until the box is to be switched off or started again.
pub fn live(machine: &mut Machine) -> sys::Reboot {
    let mut facts = Facts::default();
    go_through(machine, &mut facts, &PHASES);
    loop {
        if let Some(how) = machine.serve(facts.waits_for_disk) {
            return how;
        }
        machine.problems.set(Source::Data, Vec::new());
        go_through(machine, &mut facts, &LATE[..1]);
        if facts.data != Data::Missing {
            go_through(machine, &mut facts, &LATE[1..]);
        }
        machine.activity = None;
    }
}

/// Goes through phases, unless the box is switched off in between.
fn go_through(machine: &mut Machine, facts: &mut Facts, phases: &[Phase]) {
    for phase in phases {
        if machine.is_halting() {
            return;
        }
        let start = Instant::now();
        let result = (phase.run)(machine, facts);
        log!("boot: {}: {} ms", phase.name, start.elapsed().as_millis());
        if let Err(sentence) = result {
            alarm!("boot: {}: {sentence}", phase.name);
            machine.problems.add(phase.source, sentence);
        }
    }
}

fn mount_kernel_file_systems(machine: &mut Machine, facts: &mut Facts) -> Result<(), String> {
    // Memory for files is bounded, so that no leak in a temporary folder can starve the daemon.
    let mounts = [
        ("/proc", "proc", Access::Write, ""),
        ("/sys", "sysfs", Access::Write, ""),
        ("/dev", "devtmpfs", Access::Devices, "mode=0755"),
        ("/run", "tmpfs", Access::Write, "mode=0755,size=20%"),
        ("/tmp", "tmpfs", Access::Write, "mode=1777,size=10%"),
    ];
    let mut failed = Vec::new();
    for (target, kind, access, options) in mounts {
        let mounted = fs::create_dir_all(target)
            .and_then(|()| sys::mount(kind, Path::new(target), kind, access, options));
        failed.extend(mounted.err().map(|error| format!("{target} ({error})")));
    }
    facts.cmdline = Cmdline::parse(&fs::read_to_string("/proc/cmdline").unwrap_or_default());
    machine.set_fault_on_button(facts.cmdline.fault_on_button);
    log::open(&facts.cmdline.serial);
    machine.open_console();
    let slot = facts.cmdline.slot.map_or("unknown".into(), |slot| slot.to_string());
    log!("{} {}, slot {slot}", screen::NAME, update::running_version());
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    machine.set_fact("Kernel", kernel.trim().to_owned());
    if failed.is_empty() { Ok(()) } else { Err(format!("Mounting failed: {}.", failed.join(", "))) }
}

/// The time since 1970 when this was built; 0 if that is not known.
pub fn build_time() -> Duration {
    Duration::from_secs(BUILD_TIME.and_then(|text| text.parse().ok()).unwrap_or_default())
}

/// Failures are logged only.
fn set_up_kernel() {
    match sys::set_clock_floor(build_time()) {
        Ok(false) => {}
        Ok(true) => log!("the clock was before the time of the build and is set to that"),
        Err(error) => log!("the clock can't be set: {error}"),
    }
    for (what, result) in [
        ("host name", sys::set_host_name(HOST_NAME)),
        ("Ctrl-Alt-Del", sys::catch_keyboard_reboot()),
        ("loopback", crate::net::loopback_up()),
    ] {
        if let Err(error) = result {
            log!("{what}: {error}");
        }
    }
    kernel::set();
}

fn start_journal(machine: &mut Machine, facts: &mut Facts) -> Result<(), String> {
    let started = machine.enable_journal(facts.data == Data::Writable);
    started.map_err(|error| format!("The log can't be written ({error})."))
}

fn start_daemon(machine: &mut Machine, facts: &mut Facts) -> Result<(), String> {
    machine.activity = None;
    if facts.data == Data::Writable {
        machine.enable_daemon(paths::STATE);
        return Ok(());
    }
    machine.enable_daemon(TEMPORARY_STATE);
    make_temporary_state(Path::new(TEMPORARY_STATE)).map_err(|error| format!("{TEMPORARY_STATE}: {error}."))
}
