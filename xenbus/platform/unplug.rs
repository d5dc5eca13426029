// SPDX-License-Identifier: GPL-2.0

//! Which emulated devices are unplugged, and which paravirtual ones are then left alone: pure, tested on the build
//! machine.
//!
//! The device model of an HVM guest emulates each disk and card that the guest also has as a paravirtual one. What is
//! driven both ways is two views of one disk, each with a cache of its own: its contents are lost. The protocol is
//! Xen's `docs/misc/hvm-emulated-unplug`.

/// A kind of emulated device, by its bit in the protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// IDE, SATA and SCSI disks; not CD drives.
    Disks = 1 << 0,
    /// Network cards.
    Nics = 1 << 1,
    /// NVMe disks.
    Nvme = 1 << 3,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Disks, Self::Nics, Self::Nvme];

    /// Its bit in the protocol.
    pub const fn bit(self) -> u16 {
        self as u16
    }

    /// Its name in the module parameter and in the log.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Disks => "disks",
            Self::Nics => "nics",
            Self::Nvme => "nvme",
        }
    }
}

/// What the administrator wants: the value of the module parameter `unplug`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Request {
    /// Unplug what no driver has taken.
    Auto,
    /// Unplug nothing, and drive nothing twice.
    Never,
    /// Unplug nothing: the emulated devices are other ones than the paravirtual, says the administrator.
    Unnecessary,
    /// Unplug these kinds, also from drivers that have taken them but not from users.
    These(u16),
}

impl Request {
    /// Reads the parameter: `auto`, `never`, `unnecessary`, or `all` or a list such as `disks,nics`.
    pub fn parse(text: &[u8]) -> Option<Self> {
        match text {
            b"auto" => return Some(Self::Auto),
            b"never" => return Some(Self::Never),
            b"unnecessary" => return Some(Self::Unnecessary),
            b"all" => {
                return Some(Self::These(
                    Kind::ALL.iter().fold(0, |bits, kind| bits | kind.bit()),
                ))
            }
            _ => {}
        }
        let mut bits = 0;
        for word in text.split(|&byte| byte == b',') {
            let kind = Kind::ALL
                .iter()
                .find(|kind| kind.name().as_bytes() == word)?;
            bits |= kind.bit();
        }
        Some(Self::These(bits))
    }
}

/// How far the guest has gone with the emulated devices of a kind; of several, the one that is furthest.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Use {
    /// There is none.
    #[default]
    Absent,
    /// No driver has taken it.
    Unbound,
    /// A driver has taken it, but nobody uses what it offers.
    Idle,
    /// A disk is open or an interface is up.
    InUse,
}

/// What is done about the devices of a kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// There are none.
    Absent,
    /// They are unplugged.
    Unplugged,
    /// They stay, and their paravirtual twins are left alone.
    Kept,
    /// As [`Self::Kept`], although the administrator asked for the opposite: somebody uses them.
    Refused,
    /// They stay, and have no twins.
    Unrelated,
}

impl Fate {
    /// The fate of the devices of a kind.
    pub const fn of(request: Request, kind: Kind, found: Use) -> Self {
        match (request, found) {
            (_, Use::Absent) => Self::Absent,
            (Request::Unnecessary, _) => Self::Unrelated,
            (Request::Auto, Use::Unbound) => Self::Unplugged,
            (Request::These(kinds), Use::InUse) if kinds & kind.bit() != 0 => Self::Refused,
            (Request::These(kinds), _) if kinds & kind.bit() != 0 => Self::Unplugged,
            _ => Self::Kept,
        }
    }

    /// Whether devices of the kind are unplugged after a restore, which comes with a device model that has all of them
    /// again: where this guest has none, be it that they were unplugged now or by an earlier load of the module, unless
    /// the administrator wants none unplugged.
    pub const fn is_replayed(self, request: Request, kind: Kind) -> bool {
        match (self, request) {
            (Self::Unplugged, _) | (Self::Absent, Request::Auto) => true,
            (Self::Absent, Request::These(kinds)) => kinds & kind.bit() != 0,
            _ => false,
        }
    }

    /// Whether the paravirtual twins of these devices must be left alone.
    pub const fn keeps_twins_away(self) -> bool {
        matches!(self, Self::Kept | Self::Refused)
    }
}

/// How many of the first disks the device model emulates on an IDE and on a SATA controller.
pub const IDE_DISKS: u32 = 4;
/// See [`IDE_DISKS`].
pub const SATA_DISKS: u32 = 6;

/// Whether the device model emulates the disk with a virtual device number (see xen-vbd-interface(7)): every one that is
/// named as an IDE or SCSI disk, and the first `emulated` of the xvd disks, which it gives the places of `hda` and on.
pub const fn is_emulated(number: u32, emulated: u32) -> bool {
    const EXTENDED: u32 = 1 << 28;
    const XVD: u32 = 202;
    let index = if number & EXTENDED != 0 {
        (number & !EXTENDED) >> 8
    } else if number >> 8 == XVD {
        (number & 0xff) >> 4
    } else {
        return true;
    };
    index < emulated
}
