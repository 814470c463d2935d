//! The system tests: one file for each behaviour. They need the tools that `scripts/test` installs.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking, its helpers too")]

mod announce_http;
mod announce_udp;
mod boot;
mod boot_loader;
mod boot_media;
mod boot_scripts;
mod boot_update;
mod command_line;
mod damage;
mod discovery;
mod flood;
mod foreign_maker;
mod full_disk;
mod hostile;
mod hostile_peers;
mod import;
mod import_mishaps;
mod interop;
mod kills;
mod many_peers;
mod members;
mod pictures;
mod port_mapping;
mod power_cut;
mod proof;
mod publish;
mod restart;
mod scale;
mod seed;
mod slow_disk;
mod tidy;
mod torture;
mod two_networks;
mod web;
