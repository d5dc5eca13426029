// SPDX-License-Identifier: GPL-2.0

//! What is written to a file of faults: `N`, or `N device/vbd/51712` for the allocations of one device. Pure, tested on
//! the build machine.

/// Any device.
pub const ANY: u64 = 0;

/// Which allocation is to fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wish {
    /// The one of so many times from now; 0 for none.
    pub times: u32,
    /// The [`digest`] of the device whose allocations count, or [`ANY`].
    pub device: u64,
}

impl Wish {
    /// From text. [`None`] where it cannot be understood.
    pub fn parse(text: &[u8]) -> Option<Self> {
        let text = core::str::from_utf8(text).ok()?;
        let mut words = text.split_ascii_whitespace();
        let times = words.next()?.parse().ok()?;
        let device = words.next().map_or(ANY, |path| digest(path.as_bytes()));
        words.next().is_none().then_some(Self { times, device })
    }

    /// Whether the allocations of a device count.
    pub fn concerns(device: u64, path: &[u8]) -> bool {
        device == ANY || device == digest(path)
    }
}

/// A number for a device's path (FNV-1a), so that it fits into one atomic word. Never [`ANY`].
pub fn digest(path: &[u8]) -> u64 {
    let hash = path.iter().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    });
    hash.max(ANY + 1)
}
