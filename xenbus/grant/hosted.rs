// SPDX-License-Identifier: GPL-2.0

//! The grant table by way of the kernel's C core (`include/xen/grant_table.h`).

use super::{
    Access,
    Frame, //
};
use kernel::{
    error::to_result,
    prelude::*, //
};
use rxen_bindings as bindings;

/// Allocates `count` references into `free`, which must have the capacity.
pub(super) fn allocate(count: usize, free: &mut KVVec<u32>) -> Result {
    let wanted = u16::try_from(count).map_err(|_| EINVAL)?;
    let mut head: bindings::grant_ref_t = 0;
    // SAFETY: `head` is valid for the write.
    to_result(unsafe { bindings::gnttab_alloc_grant_references(wanted, &mut head) })?;
    for _ in 0..wanted {
        // SAFETY: `head` is the private list allocated above; it has an entry left in each of the rounds.
        let number = unsafe { bindings::gnttab_claim_grant_reference(&mut head) };
        let Ok(number) = u32::try_from(number) else {
            break;
        };
        if free.push_within_capacity(number).is_err() {
            self::free(number);
        }
    }
    // SAFETY: What is left of the private list (nothing, if all went well) is given back.
    unsafe { bindings::gnttab_free_grant_references(head) };
    if free.len() < count {
        for number in free.drain_all() {
            self::free(number);
        }
        return Err(ENOSPC);
    }
    Ok(())
}

/// Lends a frame.
#[inline]
pub(super) fn grant(number: u32, domid: u16, frame: Frame, access: Access) {
    let read_only = c_int::from(access == Access::ReadOnly);
    // SAFETY: The reference was allocated and is not in use; the frame is one of this guest's.
    unsafe { bindings::gnttab_grant_foreign_access_ref(number, domid, frame.0, read_only) }
}

/// Ends an access; false if the other end still has the page mapped.
#[inline]
pub(super) fn end(number: u32) -> bool {
    // SAFETY: The reference was allocated and is in use.
    unsafe { bindings::gnttab_end_foreign_access_ref(number) != 0 }
}

/// Ends an access and gives the reference back; false if the other end still has the page mapped. Unlike [`end`] it does
/// not have the C core write a line for each try.
pub(super) fn end_and_free(number: u32) -> bool {
    // SAFETY: The reference was allocated and is in use; where it ends, the caller does not use it again.
    unsafe { bindings::gnttab_try_end_foreign_access(number) != 0 }
}

/// Gives a reference back to the grant table.
pub(super) fn free(number: u32) {
    // SAFETY: The reference was allocated, is not in use, and is not used again by the caller.
    unsafe { bindings::gnttab_free_grant_reference(number) }
}

/// Whether so many references could be allocated now: tried, because the C core does not tell.
pub(super) fn could_allocate(count: usize) -> bool {
    let Ok(mut free) = KVVec::with_capacity(count, GFP_KERNEL) else {
        return false;
    };
    if allocate(count, &mut free).is_err() {
        return false;
    }
    free.into_iter().for_each(self::free);
    true
}
