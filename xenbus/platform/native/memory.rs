// SPDX-License-Identifier: GPL-2.0

//! The platform device's memory: guest frame numbers that no memory lies at, at which the hypervisor places pages of its
//! own.

use crate::hypercall;
use core::ptr::NonNull;
use kernel::{
    page::{
        PAGE_SHIFT,
        PAGE_SIZE, //
    },
    prelude::*,
    sync::atomic::{
        Atomic,
        Full,
        Relaxed, //
    }, //
};
use rxen_bindings as bindings;

/// Where the memory is mapped; null while it is not.
static ADDRESS: Atomic<*mut u8> = Atomic::new(core::ptr::null_mut());
/// Its first guest frame number.
static FIRST: Atomic<usize> = Atomic::new(0);
/// How many there are.
static COUNT: Atomic<usize> = Atomic::new(0);
/// How many of them are given out.
static GIVEN: Atomic<usize> = Atomic::new(0);

/// Guest frame numbers that no memory lies at, and where they are mapped.
///
/// They are not given back before the platform device is.
///
/// # Invariants
///
/// `address` is the start of `count` pages of kernel addresses that lead to the guest frames from `first` on, as long
/// as the native mode runs.
pub(crate) struct Frames {
    address: NonNull<u8>,
    first: usize,
    count: usize,
}

// SAFETY: The mapping belongs to no thread.
unsafe impl Send for Frames {}
// SAFETY: As above; what is done with the mapping is up to who has the address.
unsafe impl Sync for Frames {}

impl Frames {
    /// Where the first of them is mapped; the others follow.
    pub(crate) fn address(&self) -> NonNull<u8> {
        self.address
    }

    /// How many they are.
    pub(crate) fn count(&self) -> usize {
        self.count
    }

    /// The guest frame number of one of them.
    pub(crate) fn gfn(&self, index: usize) -> Result<usize> {
        if index >= self.count {
            return Err(EINVAL);
        }
        self.first.checked_add(index).ok_or(EINVAL)
    }

    /// Has the hypervisor place a page of its own at one of them; see [`place`].
    pub(crate) fn place(&self, index: usize, space: u32, source: usize) -> Result {
        place(self.gfn(index)?, space, source)
    }

    /// Takes away again what was placed at one of them. Nothing may use it any more.
    pub(crate) fn clear(&self, index: usize) -> Result {
        let mut place = bindings::xen_remove_from_physmap {
            domid: bindings::DOMID_SELF as u16,
            gpfn: self.gfn(index)?,
        };
        // SAFETY: As in `place`.
        unsafe { hypercall::memory_op(bindings::XENMEM_remove_from_physmap, &mut place) }
            .map(|_| ())
    }
}

/// Has the hypervisor place a page of its own at one of the guest frame numbers of a [`Frames`]: `source` of the space
/// `space` (`XENMAPSPACE_*`). What was there before goes. Any context.
pub(crate) fn place(gfn: usize, space: u32, source: usize) -> Result {
    let mut place = bindings::xen_add_to_physmap {
        domid: bindings::DOMID_SELF as u16,
        size: 0,
        space,
        idx: source,
        gpfn: gfn,
    };
    // SAFETY: This is the argument of the command; it points at nothing. No memory of the kernel's is replaced: the
    // frame number is one of the platform device's.
    unsafe { hypercall::memory_op(bindings::XENMEM_add_to_physmap, &mut place) }.map(|_| ())
}

/// How many guest frame numbers are left.
pub(crate) fn frames_left() -> usize {
    COUNT.load(Relaxed).saturating_sub(GIVEN.load(Relaxed))
}

/// Takes guest frame numbers from the platform device's memory.
///
/// # Errors
///
/// `ENOSPC` where there are not that many left.
pub(crate) fn frames(count: usize) -> Result<Frames> {
    let base = NonNull::new(ADDRESS.load(Relaxed)).ok_or(ENODEV)?;
    loop {
        let given = GIVEN.load(Relaxed);
        let end = given.checked_add(count).ok_or(ENOSPC)?;
        if end > COUNT.load(Relaxed) {
            return Err(ENOSPC);
        }
        if GIVEN.cmpxchg(given, end, Full).is_err() {
            continue;
        }
        // INVARIANT: The whole memory is mapped, and nobody else got this part of it.
        return Ok(Frames {
            // SAFETY: The part lies in the mapping, whose size is `COUNT` pages.
            address: unsafe { base.add(given * PAGE_SIZE) },
            first: FIRST.load(Relaxed) + given,
            count,
        });
    }
}

/// The mapped memory. Dropping it unmaps it; nothing may use any [`Frames`] any more.
pub(super) struct Mapping(NonNull<c_void>);

// SAFETY: A mapping belongs to no thread.
unsafe impl Send for Mapping {}
// SAFETY: Nothing is reachable through a shared reference.
unsafe impl Sync for Mapping {}

impl Mapping {
    /// Maps the memory at a guest physical address.
    pub(super) fn new(start: u64, size: u64) -> Result<Self> {
        let first = usize::try_from(start)? >> PAGE_SHIFT;
        let count = usize::try_from(size)? >> PAGE_SHIFT;
        if start % PAGE_SIZE as u64 != 0 || count == 0 {
            pr_err!(
                "the platform device's memory at {:#x} is not usable\n",
                start
            );
            return Err(ENXIO);
        }
        // SAFETY: The region is the platform device's, and reserved for this module.
        let address = unsafe {
            bindings::memremap(start, count * PAGE_SIZE, bindings::MEMREMAP_WB as c_ulong)
        };
        let address = NonNull::new(address).ok_or(ENOMEM)?;
        FIRST.store(first, Relaxed);
        COUNT.store(count, Relaxed);
        ADDRESS.store(address.as_ptr().cast(), Relaxed);
        Ok(Self(address))
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        ADDRESS.store(core::ptr::null_mut(), Relaxed);
        COUNT.store(0, Relaxed);
        GIVEN.store(0, Relaxed);
        // SAFETY: Mapped by `new` and unmapped once, here.
        unsafe { bindings::memunmap(self.0.as_ptr()) }
    }
}
