// SPDX-License-Identifier: GPL-2.0

//! Names and minors of the C block driver.

/// `struct reference_place` of naming.c.
#[repr(C)]
struct Raw {
    minor: u32,
    minors: u32,
    index: u32,
    name: [u8; 32],
}

extern "C" {
    fn reference_place(number: u32, to: *mut Raw) -> i32;
}

/// Where the C driver puts a disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The first minor number.
    pub minor: u32,
    /// How many there are.
    pub minors: u32,
    /// 0 for xvda.
    pub index: u32,
    /// The name in /dev.
    pub name: String,
}

/// Asks the C driver; [`None`] where it refuses the number.
pub fn place(number: u32) -> Option<Place> {
    let mut raw = Raw {
        minor: 0,
        minors: 0,
        index: 0,
        name: [0; 32],
    };
    // SAFETY: `raw` has the layout of the structure that the function writes.
    if unsafe { reference_place(number, &mut raw) } != 0 {
        return None;
    }
    let length = raw.name.iter().position(|byte| *byte == 0)?;
    Some(Place {
        minor: raw.minor,
        minors: raw.minors,
        index: raw.index,
        name: String::from_utf8(raw.name[..length].to_vec()).ok()?,
    })
}
