//! The system tests: one file for each behaviour. They need the tools that `scripts/test` installs.

mod announce_http;
mod announce_udp;
mod boot;
mod command_line;
mod foreign_maker;
mod hostile;
mod import;
mod interop;
mod publish;
mod restart;
mod seed;
mod tidy;
mod web;
