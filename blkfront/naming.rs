// SPDX-License-Identifier: GPL-2.0

//! Virtual device numbers and what they are called: pure, tested on the build machine.
//!
//! The number in a device's path (`device/vbd/51712`) encodes major and minor of the disk that the toolstack's user
//! asked for; see xen-vbd-interface(7). Names and minors are those of the C driver, so that a system finds its disks
//! whichever of the two it runs.

/// The major number of xvd disks (`XENVBD_MAJOR`).
pub const MAJOR: u32 = 202;
/// The flag of the extended scheme.
const EXTENDED: u32 = 1 << 28;
/// Minors of a disk in the classic schemes, and in the extended one.
const MINORS: u32 = 16;
const MINORS_EXTENDED: u32 = 256;
/// The largest minor number (`MINORBITS`).
const MAX_MINOR: u32 = (1 << 20) - 1;
/// Bytes of a disk's name (`DISK_NAME_LEN`).
pub const NAME_LENGTH: usize = 32;

/// The number has no disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadNumber(pub u32);

/// Where a disk stands among the xvd disks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// The first minor number.
    pub minor: u32,
    /// How many minors it has: 1 for a disk that stands for a partition.
    pub minors: u32,
    /// 0 for xvda, 1 for xvdb, ...
    pub index: u32,
    /// The partition that the number stands for; 0 for a whole disk.
    pub partition: u32,
}

impl Place {
    /// The place of a virtual device number.
    pub const fn of(number: u32) -> Result<Self, BadNumber> {
        let (minor, index, minors) = match number & EXTENDED {
            0 => {
                let (minor, index) = match classic(number >> 8, number & 0xff) {
                    Some(place) => place,
                    None => return Err(BadNumber(number)),
                };
                (minor, index, MINORS)
            }
            _ => {
                let minor = number & !EXTENDED;
                (minor, minor / MINORS_EXTENDED, MINORS_EXTENDED)
            }
        };
        if minor > MAX_MINOR {
            return Err(BadNumber(number));
        }
        let partition = minor % minors;
        Ok(Self {
            minor,
            minors: if partition == 0 { minors } else { 1 },
            index,
            partition,
        })
    }

    /// The disk's name, padded with NULs.
    pub fn name(&self) -> [u8; NAME_LENGTH] {
        let mut name = Name {
            bytes: [0; NAME_LENGTH],
            length: 0,
        };
        for byte in *b"xvd" {
            name.push(byte);
        }
        name.push_letters(self.index);
        if self.partition != 0 {
            name.push_number(self.partition);
        }
        name.bytes
    }
}

/// Minor and index of a number of the classic schemes: xvd, and the numbers of hd and sd disks.
const fn classic(major: u32, minor: u32) -> Option<(u32, u32)> {
    // What an emulated IDE disk, of 64 minors, takes; and the group that a SCSI major is.
    let (base, per_disk) = match major {
        MAJOR | 8 => (0, MINORS),
        3 => (0, 64),
        22 => (2, 64),
        65..=71 => ((major - 65 + 1) * 16, MINORS),
        128..=135 => ((major - 128 + 8) * 16, MINORS),
        _ => return None,
    };
    let index = base + minor / per_disk;
    // The C driver maps all of an IDE disk's minors to the disk itself.
    let within = if per_disk == MINORS {
        minor % MINORS
    } else {
        0
    };
    Some((index * MINORS + within, index))
}

/// A name that is being put together; what does not fit is cut off.
struct Name {
    bytes: [u8; NAME_LENGTH],
    length: usize,
}

impl Name {
    fn push(&mut self, byte: u8) {
        // The last byte stays NUL.
        if self.length + 1 < NAME_LENGTH {
            if let Some(place) = self.bytes.get_mut(self.length) {
                *place = byte;
                self.length += 1;
            }
        }
    }

    /// a ... z, aa ... zz, aaa ...
    fn push_letters(&mut self, index: u32) {
        if index >= 26 {
            self.push_letters(index / 26 - 1);
        }
        self.push(b'a' + (index % 26) as u8);
    }

    fn push_number(&mut self, number: u32) {
        if number >= 10 {
            self.push_number(number / 10);
        }
        self.push(b'0' + (number % 10) as u8);
    }
}
