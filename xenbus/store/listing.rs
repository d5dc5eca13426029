// SPDX-License-Identifier: GPL-2.0

//! Lists of a node's children: pure, tested on the build machine.
//!
//! A list is a row of names, each with its ending NUL. One that does not fit into a message is fetched in parts, each
//! from an offset on, with a number that changes when the node does; the list ends with an empty name.

/// Bytes that a list may have at the most, in all its parts.
pub const LIST_MAX: usize = 1 << 20;

/// Parts that are fetched of a list at the most, those before the node changed as well. xenstored fills a part as far as
/// whole names go, so the longest list has fewer than 600; this is enough for some new beginnings.
pub const PARTS_MAX: u32 = 4096;

/// The list is not one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Malformed;

/// Splits a list into names. Names that no node can have are left out and counted by [`bad_names`].
///
/// # Errors
///
/// [`Malformed`] if the last name does not end.
pub fn names(list: &[u8]) -> Result<impl Iterator<Item = &[u8]>, Malformed> {
    Ok(all(list)?.filter(|name| is_name(name)))
}

/// How many names of a list no node can have.
pub fn bad_names(list: &[u8]) -> usize {
    all(list).map_or(0, |names| names.filter(|name| !is_name(name)).count())
}

/// All names, good and bad.
fn all(list: &[u8]) -> Result<impl Iterator<Item = &[u8]>, Malformed> {
    let (list, some) = match list {
        [] => (list, 0),
        [names @ .., 0] => (names, usize::MAX),
        _ => return Err(Malformed),
    };
    Ok(list.split(|byte| *byte == 0).take(some))
}

/// Whether a node can have this name: not empty, the protocol's characters, not longer than a path may be.
fn is_name(name: &[u8]) -> bool {
    (1..=2048).contains(&name.len())
        && name
            .iter()
            .all(|byte| byte.is_ascii_alphanumeric() || b"+-_@:.".contains(byte))
        && name != b"."
        && name != b".."
}

/// What a part of a list means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part<'a> {
    /// These names, and there are more.
    More(&'a [u8]),
    /// These names, and that is all.
    Last(&'a [u8]),
    /// The node has changed since the first part: begin again.
    Changed,
}

/// How far a list has been fetched.
#[derive(Default)]
pub struct Parts {
    // Digits, as xenstored gave them.
    generation: Option<([u8; 20], usize)>,
    offset: usize,
    count: u32,
}

impl Parts {
    /// At the beginning of the list.
    pub const fn new() -> Self {
        Self {
            generation: None,
            offset: 0,
            count: 0,
        }
    }

    /// The offset to ask for.
    pub fn offset(&self) -> usize {
        self.offset
    }

    /// Takes the reply for that offset.
    ///
    /// # Errors
    ///
    /// [`Malformed`] if it is none, is empty without being the last, or the list gets longer than [`LIST_MAX`] or has
    /// more parts than [`PARTS_MAX`].
    pub fn add<'a>(&mut self, payload: &'a [u8]) -> Result<Part<'a>, Malformed> {
        if self.count >= PARTS_MAX {
            return Err(Malformed);
        }
        self.count += 1;
        let end = payload.iter().position(|byte| *byte == 0);
        let (number, rest) = end
            .and_then(|end| payload.split_at_checked(end))
            .ok_or(Malformed)?;
        let names = rest.get(1..).ok_or(Malformed)?;
        if !self.same_generation(number)? {
            *self = Self {
                count: self.count,
                ..Self::new()
            };
            return Ok(Part::Changed);
        }
        // The list ends with an empty name, which is no part of it.
        let (names, last) = match names {
            [names @ .., 0] if names.is_empty() || names.ends_with(&[0]) => (names, true),
            [.., 0] => (names, false),
            _ => return Err(Malformed),
        };
        self.offset += names.len();
        if self.offset > LIST_MAX {
            return Err(Malformed);
        }
        Ok(if last {
            Part::Last(names)
        } else {
            Part::More(names)
        })
    }

    /// Compares with the number of the first part, or keeps this one as the first.
    fn same_generation(&mut self, number: &[u8]) -> Result<bool, Malformed> {
        if let Some((digits, length)) = &self.generation {
            return Ok(digits.get(..*length) == Some(number));
        }
        let mut digits = [0; 20];
        let place = digits.get_mut(..number.len()).ok_or(Malformed)?;
        if number.is_empty() || !number.iter().all(u8::is_ascii_digit) {
            return Err(Malformed);
        }
        place.copy_from_slice(number);
        self.generation = Some((digits, number.len()));
        Ok(true)
    }
}
