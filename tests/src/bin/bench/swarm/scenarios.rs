//! What is measured.

/// Who gives the item first.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum SeedKind {
    /// `blackboxd`.
    Box,
    /// Without and with super-seeding (BEP 16).
    Qbittorrent {
        /// With it.
        super_seeding: bool,
    },
    /// transmission-daemon
    Transmission,
}

impl SeedKind {
    /// For the table.
    pub fn name(self) -> &'static str {
        match self {
            Self::Box => "box",
            Self::Qbittorrent { super_seeding: false } => "qBittorrent",
            Self::Qbittorrent { super_seeding: true } => "qBittorrent, super-seeding",
            Self::Transmission => "transmission",
        }
    }
}

/// Who else wants the item.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum CompanyKind {
    /// Nobody.
    Nobody,
    /// So many of one kind of `tests/clients/bad_leechers.py`.
    Bad(&'static str, u32),
    /// So many aria2.
    Aria2(u32),
    /// So many transmission.
    Transmission(u32),
}

impl CompanyKind {
    /// How many of them are to have the item in the end.
    pub fn that_complete(self) -> u32 {
        match self {
            Self::Nobody | Self::Bad(..) => 0,
            Self::Aria2(count) | Self::Transmission(count) => count,
        }
    }
}

/// A swarm.
pub struct Scenario {
    /// For the command line.
    pub name: &'static str,
    /// For the table.
    pub what: &'static str,
    /// Who has the item.
    pub seed: SeedKind,
    /// How many stock clients want it.
    pub leechers: u32,
    /// What each can upload in bytes a second; 0: no limit.
    pub upload_rate: u64,
    /// How many peers each uploads to at a time; -1: no limit.
    pub unchoke_slots: i32,
    /// How many of them leave and come back, twice.
    pub leavers: u32,
    /// Who else wants it.
    pub company: CompanyKind,
    /// The time that is wanted of the box, as a multiple of the bound.
    pub wanted: Option<f64>,
}

const PLAIN: Scenario = Scenario {
    name: "plain",
    what: "20 libtorrent",
    seed: SeedKind::Box,
    leechers: 20,
    upload_rate: 0,
    unchoke_slots: -1,
    leavers: 0,
    company: CompanyKind::Nobody,
    wanted: Some(1.05),
};

const MIXED: Scenario = Scenario { leechers: 15, wanted: Some(1.10), ..PLAIN };

const FOREIGN: Scenario = Scenario { wanted: None, ..PLAIN };

/// All of them.
pub const ALL: [Scenario; 14] = [
    PLAIN,
    Scenario {
        name: "limited",
        what: "20 libtorrent, 2 MiB/s up each",
        upload_rate: 2 << 20,
        wanted: Some(1.06),
        ..PLAIN
    },
    Scenario {
        name: "slots",
        what: "20 libtorrent, 8 unchoke slots each",
        unchoke_slots: 8,
        wanted: Some(1.10),
        ..PLAIN
    },
    Scenario {
        name: "takers",
        what: "15 libtorrent, 5 that take and say nothing",
        company: CompanyKind::Bad("taker", 5),
        ..MIXED
    },
    Scenario {
        name: "announcers",
        what: "15 libtorrent, 5 that take and give nothing",
        company: CompanyKind::Bad("announcer", 5),
        ..MIXED
    },
    Scenario {
        name: "tricklers",
        what: "15 libtorrent, 5 that take 32 KiB/s",
        company: CompanyKind::Bad("trickler", 5),
        ..MIXED
    },
    Scenario { name: "aria2", what: "15 libtorrent, 5 aria2", company: CompanyKind::Aria2(5), ..MIXED },
    Scenario {
        name: "transmission",
        what: "15 libtorrent, 5 transmission",
        company: CompanyKind::Transmission(5),
        ..MIXED
    },
    Scenario { name: "lone", what: "1 libtorrent", leechers: 1, ..PLAIN },
    Scenario {
        name: "leavers",
        what: "20 libtorrent, 5 of which leave and come back",
        leavers: 5,
        wanted: Some(1.10),
        ..PLAIN
    },
    Scenario {
        name: "fifty",
        what: "50 libtorrent, 2 MiB/s up each",
        leechers: 50,
        upload_rate: 2 << 20,
        wanted: Some(1.06),
        ..PLAIN
    },
    Scenario { name: "qbittorrent-seed", seed: SeedKind::Qbittorrent { super_seeding: false }, ..FOREIGN },
    Scenario {
        name: "qbittorrent-super-seed",
        seed: SeedKind::Qbittorrent { super_seeding: true },
        ..FOREIGN
    },
    Scenario { name: "transmission-seed", seed: SeedKind::Transmission, ..FOREIGN },
];
