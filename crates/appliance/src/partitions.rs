//! The disk layout: GPT with a BIOS boot partition, the FAT partition `BLACKBOX` and, made on first boot in the
//! free space, the data partition `BLACKBOX-DATA`.
//!
//! `image/board/x86_64/genimage.cfg` repeats these values because it can't read Rust; a test compares the two.

/// GPT name and FAT label of the partition that holds boot loader, slots and `blackbox.toml`.
pub const SYSTEM_NAME: &str = "BLACKBOX";

/// GPT name and ext4 label of the data partition.
pub const DATA_NAME: &str = "BLACKBOX-DATA";

/// GPT name of a data partition that is still being made; only a partition of this name is ever formatted. It
/// gets [`DATA_NAME`] when its file system is there.
pub const NEW_DATA_NAME: &str = "BLACKBOX-NEW";

/// Type of the FAT partition: EFI System Partition, because firmware only promises to boot from that type.
pub const SYSTEM_TYPE: &str = "c12a7328-f81f-11d2-ba4b-00a0c93ec93b";

/// Type of the BIOS boot partition, where GRUB's core image lives.
pub const BIOS_BOOT_TYPE: &str = "21686148-6449-6e6f-744e-656564454649";

/// Type of the data partition: Linux file system data.
pub const DATA_TYPE: &str = "0fc63daf-8483-4772-8e79-3d69d8477de4";

/// Less free space than this (bytes) is not worth a data partition.
pub const MIN_DATA_BYTES: u64 = 64 << 20;
