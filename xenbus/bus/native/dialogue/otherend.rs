// SPDX-License-Identifier: GPL-2.0

//! Who is at the other end of a device, as the nodes `backend-id` and `backend` say: pure, tested on the build machine.

use crate::store::value::{
    self,
    BadValue, //
};
use core::ops::RangeInclusive;

/// The numbers that a domain can have. Those from `DOMID_FIRST_RESERVED` on mean something else, such as "itself".
pub const DOMIDS: RangeInclusive<u64> = 0..=0x7fef;

/// The longest path that xenstored takes, `XENSTORE_ABS_PATH_MAX`.
pub const PATH_MAX: usize = 3072;

/// The node below the other end's half that is read the most.
const STATE: &[u8] = b"/state";

/// Reads the domain of the other end.
///
/// # Errors
///
/// [`BadValue`] for anything but the number of a domain.
pub fn domid(value: &[u8]) -> Result<u16, BadValue> {
    let number = value::number(value, &DOMIDS)?;
    u16::try_from(number).map_err(|_| BadValue::OutOfRange)
}

/// Reads the path of the other end's half.
///
/// # Errors
///
/// [`BadValue`] for what is no path: empty, with a NUL, not UTF-8, or so long that it has no room for nodes.
pub fn path(value: &[u8]) -> Result<&str, BadValue> {
    if value.is_empty() || value.contains(&0) {
        return Err(BadValue::Malformed);
    }
    if value.len() > PATH_MAX - STATE.len() {
        return Err(BadValue::OutOfRange);
    }
    core::str::from_utf8(value).map_err(|_| BadValue::Malformed)
}
