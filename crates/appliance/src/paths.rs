//! Where things are in the running appliance.

/// Mount point of the data partition.
pub const DATA: &str = "/data";

/// What is put in here is published: one item for each top-level file or folder.
pub const PUBLISH: &str = "/data/publish";

/// The daemon's own state (catalog). Rebuilt from [`PUBLISH`] when it is lost.
pub const STATE: &str = "/data/state";

/// Update files are put in here.
pub const UPDATE: &str = "/data/update";

/// The log (see [`crate::journal`]).
pub const LOG: &str = "/data/log";

/// The log while [`LOG`] can't be written.
pub const LOG_IN_MEMORY: &str = "/run/blackbox/log";

/// Copy of the last `blackbox.toml` that was free of errors.
pub const LAST_GOOD_CONFIG: &str = "/data/config/blackbox.toml";

/// Runtime files (tmpfs).
pub const RUN: &str = "/run/blackbox";

/// The configuration in force, put here by init: what the FAT partition holds, or the last good copy.
pub const CONFIG: &str = "/run/blackbox/blackbox.toml";

/// Below this folder init mounts inserted media, one folder for each drive (`/media/sr0`).
pub const MEDIA: &str = "/media";

/// The daemon's program.
pub const DAEMON: &str = "/usr/bin/blackboxd";

/// The public key by which update files are known to be good.
pub const UPDATE_KEY: &str = "/etc/blackbox/update.pub";

/// Names the release that runs.
pub const OS_RELEASE: &str = "/etc/os-release";

/// User and group id the daemon runs under.
pub const DAEMON_ID: u32 = 900;

/// User and group id of what speaks to the box's networks and needs no privileges for that.
pub const NETWORK_ID: u32 = 901;

/// Where what sets up the network writes.
pub const NETWORK_RUN: &str = "/run/network";

/// User and group id of what writes the log.
pub const LOG_ID: u32 = 902;

/// Environment variable that names the descriptor of the socket to init (see [`crate::message`]).
pub const INIT_FD_VAR: &str = "BLACKBOX_INIT_FD";

/// The configuration file's name on the FAT partition.
pub const CONFIG_NAME: &str = "blackbox.toml";
