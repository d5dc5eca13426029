// SPDX-License-Identifier: GPL-2.0

//! The grant table of the native mode.

use super::{
    Access,
    Frame, //
};
use core::ptr::NonNull;
use free_list::FreeList;
use kernel::{
    cpu::CpuId,
    fmt,
    interrupt::local_interrupt_disable,
    prelude::*,
    sync::atomic::{
        Atomic,
        Relaxed, //
    }, //
};
use table::State;
use words::{
    SharedWord16,
    SharedWord32, //
};

// The pure parts are public for their tests, which compile them elsewhere.
#[allow(unreachable_pub)]
mod entry;
#[allow(unreachable_pub)]
mod free_list;
mod kunit;
mod table;
#[allow(unreachable_pub)]
mod version;
mod words;

pub(crate) use table::Table;

/// The entries of the table; null while there is none.
static ENTRIES: Atomic<*mut EntryV1> = Atomic::new(core::ptr::null_mut());
/// How many entries lie in frames that are there, from the first on. A restore on a host with fewer frames lowers it.
static LIMIT: Atomic<u32> = Atomic::new(0);
/// The status words of a table of version 2; null for version 1.
static STATUS: Atomic<*mut SharedWord16> = Atomic::new(core::ptr::null_mut());

/// An entry of version 1.
#[repr(C)]
struct EntryV1 {
    header: SharedWord32,
    frame: SharedWord32,
}

/// An entry of version 2.
#[repr(C)]
struct EntryV2 {
    header: SharedWord32,
    _pad: u32,
    frame: core::sync::atomic::AtomicU64,
}

/// An entry, by the version of the table.
enum Entry {
    V1(&'static EntryV1),
    V2(&'static EntryV2, &'static SharedWord16),
}

/// The entry of a reference; [`None`] where its frame was lost in a restore.
///
/// # Safety
///
/// The table must be there for as long as the entry is used.
#[inline]
unsafe fn entry(number: u32) -> Option<Entry> {
    if number >= LIMIT.load(Relaxed) {
        return None;
    }
    let entries = NonNull::new(ENTRIES.load(Relaxed))?;
    let status = NonNull::new(STATUS.load(Relaxed));
    // SAFETY: The reference is one of the table, as it is below the limit; its entry, and with version 2 its status, lie
    // in frames that are mapped as long as the table is there, which the caller promises. All fields are atomic words.
    unsafe {
        Some(match status {
            None => Entry::V1(entries.add(number as usize).as_ref()),
            Some(status) => Entry::V2(
                entries.cast::<EntryV2>().add(number as usize).as_ref(),
                status.add(number as usize).as_ref(),
            ),
        })
    }
}

/// Lends a frame.
#[inline]
pub(super) fn grant(number: u32, domid: u16, frame: Frame, access: Access) {
    use core::sync::atomic::Ordering;
    let read_only = access == Access::ReadOnly;
    // SAFETY: Nobody has references without the table.
    match unsafe { entry(number) } {
        Some(Entry::V1(entry)) => {
            // A frame that does not fit is none that a guest has with this version; the other end is refused.
            let frame = u32::try_from(frame.0).unwrap_or(u32::MAX);
            entry.frame.store(frame, Ordering::Relaxed);
            entry::begin(&entry.header, domid, read_only);
        }
        Some(Entry::V2(entry, _)) => {
            entry.frame.store(frame.0 as u64, Ordering::Relaxed);
            entry::begin(&entry.header, domid, read_only);
        }
        // The other end cannot map it, and says so.
        None => {}
    }
}

/// Ends an access; false if the other end still has the page mapped.
#[inline]
pub(super) fn end(number: u32) -> bool {
    // SAFETY: As in `grant`.
    match unsafe { entry(number) } {
        Some(Entry::V1(entry)) => entry::end_v1(&entry.header),
        Some(Entry::V2(entry, status)) => entry::end_v2(&entry.header, status),
        // What was lent on the former host is not lent here.
        None => true,
    }
}

/// Whether a reference can be used that this owner of the table has not used so far. A former owner has left it as it
/// was if the other end had the page mapped; that page is lost. The access is ended here if the other end has let go by
/// now, else the reference is out of use for as long as this module is loaded (`inherited` in debugfs).
fn is_usable(number: u32) -> bool {
    // SAFETY: Only called by the table, for references of frames that it has mapped.
    match unsafe { entry(number) } {
        Some(Entry::V1(entry)) => !entry::is_taken(&entry.header, None) || end(number),
        Some(Entry::V2(entry, status)) => {
            !entry::is_taken(&entry.header, Some(status)) || end(number)
        }
        None => false,
    }
}

/// The CPU whose cache is used. It does not matter if the task moves to another one meanwhile.
#[inline]
fn cpu() -> usize {
    CpuId::current().as_u32() as usize
}

/// Allocates `count` references into `free`, which must have the capacity. May sleep.
pub(super) fn allocate(count: usize, free: &mut KVVec<u32>) -> Result {
    let state = table::state().ok_or(ENODEV)?;
    let list = state.list();
    let wanted = u32::try_from(count).map_err(|_| EINVAL)?;
    if free.capacity() - free.len() < count {
        return Err(EINVAL);
    }
    let mut missing = wanted;
    loop {
        missing -= list.take(cpu(), missing, |number| {
            // There is room: checked above.
            let _ = free.push_within_capacity(number);
        });
        if missing == 0 {
            return Ok(());
        }
        if let Err(error) = state.grow(missing) {
            for _ in missing..wanted {
                if let Some(number) = free.pop() {
                    list.give(cpu(), number);
                }
            }
            return Err(error);
        }
    }
}

/// Ends an access and gives the reference back; false if the other end still has the page mapped. Any context.
pub(super) fn end_and_free(number: u32) -> bool {
    // A restore, which may set up another table, does not come in between: unlike a device, the worker that retries what
    // was deferred is not at rest in a suspend.
    let _off = local_interrupt_disable();
    let ended = end(number);
    if ended {
        free(number);
    }
    ended
}

/// Gives a reference back to the grant table. Any context.
pub(super) fn free(number: u32) {
    let Some(state) = table::state() else {
        return;
    };
    // A restore, which may lower the limit, does not come in between.
    let _off = local_interrupt_disable();
    if number < LIMIT.load(Relaxed) {
        state.list().give(cpu(), number);
    } else {
        state.set_aside(number);
    }
}

/// Whether so many references could be allocated now.
pub(super) fn could_allocate(count: usize) -> bool {
    table::state().is_some_and(|state| state.available() >= count)
}

/// Writes the figures of the table.
pub(super) fn report(f: &mut fmt::Formatter<'_>) -> fmt::Result {
    match table::state() {
        Some(state) => state.report(f),
        None => Ok(()),
    }
}

/// Called before the suspend hypercall, with all other CPUs stopped and interrupts off.
pub(crate) fn suspend() {}

/// Ends what is lent, at the end of this kernel: another one may have the memory next.
pub(crate) fn shutdown() {
    if let Some(state) = table::state() {
        state.references().for_each(|number| {
            end(number);
        });
    }
}

/// Sets the table up again after a restore: its version, then its frames. Called with all other CPUs stopped and
/// interrupts off, after the platform's; may be called again where it failed.
///
/// References keep their owners: what was lent before the save is not any more, and ends at once. Those of frames that
/// this host does not have lend nothing, and are set aside when they are given back, until a host has the frames again.
pub(crate) fn resume() -> Result {
    table::state().map_or(Ok(()), State::resume)
}
