//! The disk of a machine: a copy of the image, which grows on its first boot.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use appliance::boot_state::{BLOCK_BYTES, Slot};
use appliance::{partitions, paths};

use crate::process::run;

/// Where the FAT partition begins in every image, in bytes.
const SYSTEM_OFFSET: &str = "2M";

/// The boot loader's file, and the beginning of the line in it that holds the kernel's options.
const BOOT_MENU: &str = "grub/grub.cfg";
const KERNEL_OPTIONS: &str = "set options=\"";

/// The image, as it is flashed.
///
/// # Panics
/// When it was not built.
pub fn image() -> PathBuf {
    let named =
        std::env::var_os("BLACKBOX_IMAGE").unwrap_or_else(|| "target/image/blackbox-x86_64.img".into());
    let path = crate::root().join(named);
    assert!(path.exists(), "{path:?} is missing: build it with scripts/build-image, or run scripts/test");
    path
}

/// The image that was made the other way, of sources or of packages; `None` if none is named.
pub fn other_image() -> Option<PathBuf> {
    std::env::var_os("BLACKBOX_OTHER_IMAGE").map(|named| crate::root().join(named))
}

/// Whether an image was made of a distribution's packages, and not of sources.
pub fn is_of_packages(image: &Path) -> bool {
    image.with_file_name("packages.tsv").exists()
}

/// A disk that holds a copy of the image.
#[derive(Debug)]
pub struct Disk {
    path: PathBuf,
}

impl Disk {
    /// A disk that something else has made.
    pub fn at(path: PathBuf) -> Self {
        Self { path }
    }

    /// Flashes the image to a new disk of `megabytes`; no room is taken on the host before it is written to.
    ///
    /// # Panics
    /// When there is no room.
    pub fn flash(folder: &Path, megabytes: u64) -> Self {
        let path = folder.join("disk.img");
        run("cp", ["--sparse=always".as_ref(), image().as_os_str(), path.as_os_str()]);
        File::options()
            .write(true)
            .open(&path)
            .and_then(|file| file.set_len(megabytes << 20))
            .expect("a file of ours");
        Self { path }
    }

    /// Flashes the image once more.
    pub fn flash_again(&self) {
        let (from, to) = (format!("if={}", image().display()), format!("of={}", self.path.display()));
        run("dd", [&from, &to, "bs=1M", "conv=notrunc", "status=none"]);
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Writes `blackbox.toml`, as somebody does who plugs the disk into a PC.
    pub fn write_settings(&self, text: &str) {
        self.write_file(paths::CONFIG_NAME, text);
    }

    /// Deletes `blackbox.toml`.
    pub fn remove_settings(&self) {
        let partition = format!("{}@@{SYSTEM_OFFSET}", self.path.display());
        run("mdel", ["-i", &partition, &format!("::{}", paths::CONFIG_NAME)]);
    }

    /// The text of `blackbox.toml`.
    pub fn read_settings(&self) -> String {
        self.read_file(paths::CONFIG_NAME)
    }

    /// Adds an option to the kernel's command line.
    ///
    /// # Panics
    /// When the boot loader's file is not as expected.
    pub fn add_kernel_option(&self, option: &str) {
        let text = self.read_file(BOOT_MENU);
        assert!(text.contains(KERNEL_OPTIONS), "{text}");
        self.write_file(BOOT_MENU, text.replace(KERNEL_OPTIONS, &format!("{KERNEL_OPTIONS}{option} ")));
    }

    /// The options that the boot loader gives the kernel, but for the slot.
    ///
    /// # Panics
    /// When the boot loader's file is not as expected.
    pub fn kernel_options(&self) -> String {
        let text = self.read_file(BOOT_MENU);
        let options = text.lines().find_map(|line| line.strip_prefix(KERNEL_OPTIONS)?.strip_suffix('"'));
        options.unwrap_or_else(|| panic!("no options in {text}")).to_owned()
    }

    /// Says whether the data file system was unmounted and holds no mistake.
    ///
    /// # Panics
    /// When there is no data partition.
    pub fn data_is_clean(&self) -> bool {
        let device = format!("{}?offset={}", self.path.display(), self.data_offset());
        let header = self.data_header();
        let clean =
            header.iter().any(|line| line.starts_with("Filesystem state:") && line.ends_with(" clean"));
        let journal = header.iter().any(|line| line.contains("needs_recovery"));
        // Fails, and with it the test, when there is something to mend.
        run("e2fsck", ["-f", "-n", &device]);
        clean && !journal
    }

    /// Demands that the file system of the system partition was unmounted and holds no mistake.
    ///
    /// # Panics
    /// When it is otherwise.
    pub fn assert_system_is_clean(&self) {
        let copy = self.path.with_file_name("system.vfat");
        let (from, to) = (format!("if={}", self.path.display()), format!("of={}", copy.display()));
        run("dd", [&from, &to, "bs=1M", "skip=2", "count=256", "status=none"]);
        // Fails, and with it the test, when there is something to mend.
        run("fsck.fat", ["-n".as_ref(), copy.as_os_str()]);
    }

    /// Whether there is a data partition.
    pub fn has_data_partition(&self) -> bool {
        self.find_data().is_some()
    }

    /// What tells the data file system from one that is made in its place.
    ///
    /// # Panics
    /// When there is none.
    pub fn data_identity(&self) -> String {
        let uuid = self.data_header().into_iter().find(|line| line.starts_with("Filesystem UUID:"));
        uuid.expect("a file system has a UUID")
    }

    /// The first bytes of the data partition.
    ///
    /// # Panics
    /// When there are less.
    pub fn read_data(&self, bytes: usize) -> Vec<u8> {
        let mut read = vec![0; bytes];
        File::open(&self.path)
            .and_then(|file| file.read_exact_at(&mut read, self.data_offset()))
            .expect("a disk");
        read
    }

    /// Writes to the beginning of the data partition.
    ///
    /// # Panics
    /// When there is none.
    pub fn write_data(&self, bytes: &[u8]) {
        let file = File::options().write(true).open(&self.path);
        file.and_then(|file| file.write_all_at(bytes, self.data_offset())).expect("a disk");
    }

    /// Spoils a file of the data partition in such a way that what checks the file system leaves it to a human.
    ///
    /// # Panics
    /// When there is no such file.
    pub fn spoil_file(&self, path: &str) {
        let number = |text: &str| u64::from_str_radix(text.trim_start_matches("0x"), 16).ok();
        let block_bytes =
            self.data_header().iter().find_map(|line| line.strip_prefix("Block size:")?.trim().parse().ok());
        let block_bytes: u64 = block_bytes.expect("a file system has blocks");
        // Inode 13 is part of block group 0, located at block 101, offset 0x0c00
        let place = self.debugfs(&format!("imap {path}"), false).join(" ");
        let (_, place) = place.split_once("located at block ").unwrap_or_else(|| panic!("{path}: {place}"));
        let (block, offset) = place.split_once(", offset ").expect("as above");
        let block: u64 = block.parse().expect("a number");
        // What debugfs says of itself may come before or after.
        let offset = offset.split_whitespace().next().and_then(number);
        let at = self.data_offset() + block * block_bytes + offset.expect("a number");
        let file = File::options().write(true).open(&self.path);
        file.and_then(|file| file.write_all_at(&[0xa5; 128], at)).expect("a disk");
        self.debugfs("set_super_value state 2", true);
    }

    fn data_header(&self) -> Vec<String> {
        run("dumpe2fs", ["-h", &format!("{}?offset={}", self.path.display(), self.data_offset())])
    }

    /// Where the data partition begins, in bytes.
    fn data_offset(&self) -> u64 {
        self.find_data().expect("a data partition")
    }

    fn find_data(&self) -> Option<u64> {
        // Warnings go to the same place as the table.
        let is_json = |line: &String| line.trim_start().starts_with(['{', '}', '[', ']', '"']);
        let lines = run("sfdisk", ["--json".as_ref(), self.path.as_os_str()]);
        let json: String = lines.into_iter().filter(is_json).collect();
        let table: serde_json::Value = serde_json::from_str(&json).expect("JSON");
        let partitions = table["partitiontable"]["partitions"].as_array().expect("partitions");
        let data = partitions.iter().find(|partition| partition["name"] == partitions::DATA_NAME)?;
        data["start"].as_u64().map(|sector| sector * 512)
    }

    /// Puts a file into the data partition's folder for updates, as somebody does who plugs the disk into a PC.
    ///
    /// # Panics
    /// When there is no data partition, or no room in it.
    pub fn drop_update(&self, file: &Path) {
        let name = file.file_name().expect("a file").to_string_lossy();
        self.debugfs(&format!("write {} update/{name}", file.display()), true);
        assert!(self.updates().iter().any(|known| *known == name), "{name} is not there");
    }

    /// The names in the data partition's folder for updates.
    pub fn updates(&self) -> Vec<String> {
        let listed = self.debugfs("ls -p update", false);
        // /INODE/MODE/UID/GID/NAME/SIZE/
        let names = listed.iter().filter_map(|line| line.split('/').nth(5));
        names.filter(|name| !["", ".", ".."].contains(name)).map(str::to_owned).collect()
    }

    /// The text of a file in the data partition's folder for updates.
    pub fn read_update_text(&self, name: &str) -> String {
        self.debugfs(&format!("cat update/{name}"), false).join("\n")
    }

    /// Has a command done to the data partition.
    fn debugfs(&self, request: &str, writes: bool) -> Vec<String> {
        let device = format!("{}?offset={}", self.path.display(), self.data_offset());
        let mut arguments = vec!["-R", request, &device];
        if writes {
            arguments.insert(0, "-w");
        }
        run("debugfs", arguments)
    }

    /// The text of the boot loader's file.
    pub fn read_boot_menu(&self) -> String {
        self.read_file(BOOT_MENU)
    }

    /// Replaces the boot loader's file.
    pub fn write_boot_menu(&self, text: &str) {
        self.write_file(BOOT_MENU, text);
    }

    /// Replaces the kernel in a slot.
    pub fn write_kernel(&self, slot: Slot, bytes: &[u8]) {
        self.write_file(&format!("slots/{slot}/vmlinuz"), bytes);
    }

    /// Replaces the initramfs in a slot.
    pub fn write_initramfs(&self, slot: Slot, bytes: &[u8]) {
        self.write_file(&format!("slots/{slot}/initrd.img"), bytes);
    }

    /// Replaces a file of the boot state.
    pub fn write_boot_state(&self, name: &str, bytes: &[u8; BLOCK_BYTES]) {
        self.write_file(name, bytes);
    }

    /// Puts a file of zeros on the system partition, as somebody does who takes it for a stick, and leaves so many bytes free.
    ///
    /// # Panics
    /// When there are less.
    pub fn fill_system_partition(&self, free: usize) {
        let listing = run("mdir", ["-i", &self.system()]).join("\n");
        let (before, _) = listing.split_once(" bytes free").expect("mdir says how much is free");
        let digits: String = before.lines().last().unwrap_or_default().split_whitespace().collect();
        let bytes = digits.parse::<usize>().expect("a number").checked_sub(free).expect("so much is free");
        self.write_file("FILM.BIN", vec![0; bytes]);
    }

    /// The text of a file of the boot state.
    pub fn read_boot_state(&self, name: &str) -> String {
        self.read_file(name)
    }

    fn read_file(&self, name: &str) -> String {
        run("mtype", ["-i".to_owned(), self.system(), format!("::{name}")]).join("\n")
    }

    fn write_file(&self, name: &str, bytes: impl AsRef<[u8]>) {
        let file = self.path.with_file_name("to-be-copied");
        fs::write(&file, bytes).expect("new file");
        let (system, target) = (self.system(), format!("::{name}"));
        let arguments: [&OsStr; 5] =
            ["-o".as_ref(), "-i".as_ref(), system.as_ref(), file.as_ref(), target.as_ref()];
        run("mcopy", arguments);
    }

    fn system(&self) -> String {
        format!("{}@@{SYSTEM_OFFSET}", self.path.display())
    }
}
