// SPDX-License-Identifier: GPL-2.0

//! Reads what the backend published.

use crate::negotiate::Offers;
use kernel::prelude::*;
use rxenbus::store;

/// Reads all nodes of the backend's half. May sleep.
///
/// # Errors
///
/// `EINVAL`, after a line in the log that names the node, where one holds no number. Where one cannot be read, what the
/// store says: a flush that the backend offers must not be taken for one that it does not.
pub(crate) fn read(otherend: &CStr) -> Result<Offers> {
    let number = |node: &CStr| store::read_number(otherend, node, 0..=u64::MAX);
    let flag = |node: &CStr| store::read_flag(otherend, node);
    Offers::gather(number, flag)
}
