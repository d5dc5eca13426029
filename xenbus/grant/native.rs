// SPDX-License-Identifier: GPL-2.0

//! The grant table of the native mode.

use super::{
    Access,
    Frame, //
};
use kernel::prelude::*;

/// Allocates `count` references into `free`, which must have the capacity. May sleep.
pub(super) fn allocate(_count: usize, _free: &mut KVec<u32>) -> Result {
    Err(ENOSPC)
}

/// Lends a frame.
#[inline]
pub(super) fn grant(_number: u32, _domid: u16, _frame: Frame, _access: Access) {}

/// Ends an access; false if the other end still has the page mapped.
#[inline]
pub(super) fn end(_number: u32) -> bool {
    false
}

/// Gives a reference back to the grant table.
pub(super) fn free(_number: u32) {}

/// Called before the suspend hypercall, with all other CPUs stopped and interrupts off.
pub(crate) fn suspend() {}

/// Sets the table up again after a restore: its version, then its frames. Called with all other CPUs stopped and
/// interrupts off, after the platform's.
pub(crate) fn resume() -> Result {
    Err(ENOSYS)
}

/// The grant table in our hands. Dropping it takes its frames out of the guest's memory map, so that the next load
/// finds it as the first one did.
pub(crate) struct Table(());

impl Table {
    /// Sets the table up.
    pub(crate) fn start() -> Result<Self> {
        Err(ENOSYS)
    }
}
