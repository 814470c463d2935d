//! The facts that init, the daemon and the image agree on, each written once.
//!
//! Pure: bytes in, values out. No socket, no file, no clock.
//!
//! - [`boot_state`]: which slot is started, and what of an update
//! - [`update`]: the update file
//! - [`config`]: the grammar of `blackbox.toml`
//! - [`journal`]: the log as files
//! - [`message`]: what PID 1 and the daemon say to each other
//! - [`partitions`]: names and type GUIDs of the disk's partitions
//! - [`paths`]: mount points, folders and user ids
//! - [`disk`]: what disks tell of themselves
//! - [`exit`]: exit codes

pub mod boot_state;
mod cidr;
pub mod config;
pub mod disk;
pub mod exit;
pub mod journal;
pub mod message;
pub mod partitions;
mod passkey;
pub mod paths;
mod rate;
mod release;
pub mod update;

pub use config::Config;
pub use passkey::{MAX_PASSKEY, MIN_PASSKEY, Passkey};
pub use rate::ByteRate;
pub use release::Release;
