// SPDX-License-Identifier: GPL-2.0

//! What is written to the file of failing hypercalls: `N kind`, or `N kind M` for M in a row; `0` for none. Pure, tested
//! on the build machine.

/// Which hypercalls are to fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wish<'a> {
    /// The name of the kind; [`None`] where none is to fail.
    pub kind: Option<&'a str>,
    /// The last one to fail, of those of its kind from now on; 0 for none.
    pub last: u32,
    /// How many fail, up to that one.
    pub row: u32,
}

impl<'a> Wish<'a> {
    /// That none fails.
    pub const NONE: Self = Self {
        kind: None,
        last: 0,
        row: 0,
    };

    /// From text. [`None`] where it cannot be understood.
    pub fn parse(text: &'a [u8]) -> Option<Self> {
        let text = core::str::from_utf8(text).ok()?;
        let mut words = text.split_ascii_whitespace();
        let first: u32 = words.next()?.parse().ok()?;
        let kind = words.next();
        let row: u32 = words.next().map_or(Some(1), |row| row.parse().ok())?;
        if words.next().is_some() {
            return None;
        }
        if first == 0 {
            return Some(Self::NONE);
        }
        Some(Self {
            kind: Some(kind?),
            last: first.checked_add(row.checked_sub(1)?)?,
            row,
        })
    }
}
