//! How disks are connected.

/// What a disk hangs on, and so what it can tell of itself.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Bus {
    /// The way of virtual machines; such a disk knows no SMART.
    #[default]
    Virtio,
    /// SATA, with room for one; the disk says that it is sound.
    Sata,
    /// An `NVMe` disk that says its reliability is degraded.
    FailingNvme,
}

impl Bus {
    /// QEMU's option for the disk with this drive.
    pub(super) fn device(self, drive: &str) -> String {
        match self {
            Self::Virtio => format!("virtio-blk-pci,drive={drive}"),
            // Not where the disc drive goes.
            Self::Sata => format!("ide-hd,drive={drive},bus=ide.1"),
            Self::FailingNvme => format!("nvme,drive={drive},serial={drive},smart_critical_warning=4"),
        }
    }
}
