// SPDX-License-Identifier: GPL-2.0

//! Pages that are shared with the other end for as long as a connection lasts, such as a ring.

use super::{
    Access,
    Frame,
    Held,
    HeldPage,
    Ref,
    Reserve, //
};
use crate::bus::Device;
use core::ptr::NonNull;
use kernel::{
    page::{
        Page,
        PAGE_SIZE, //
    },
    prelude::*, //
};
use rxen_bindings as bindings;

/// Zeroed pages that the other end may use. Dropping them ends the access; a page goes back to the allocator only when
/// the other end has let go of it.
pub struct SharedPages {
    pages: KVec<(Page, Ref)>,
    reserve: Reserve,
}

impl SharedPages {
    /// Allocates pages and lends them to the device's backend. May sleep.
    ///
    /// # Errors
    ///
    /// As [`Reserve::new`]; `ENOMEM`.
    pub fn new(device: &Device, count: usize, access: Access) -> Result<Self> {
        let mut shared = Self {
            pages: KVec::with_capacity(count, GFP_KERNEL)?,
            reserve: Reserve::new(device, count)?,
        };
        for _ in 0..count {
            let page = Page::alloc_page(GFP_KERNEL | __GFP_ZERO)?;
            // SAFETY: The page was allocated above.
            let frame = unsafe { Frame::of_page(page.as_ptr()) };
            let grant = shared.reserve.grant(frame, access).inspect_err(|error| {
                pr_err!("{}: cannot lend a page ({:?})\n", device.nodename(), error)
            })?;
            shared.pages.push((page, grant), GFP_KERNEL)?;
        }
        Ok(shared)
    }

    /// The grant reference of a page; [`None`] where there is no such page.
    #[inline]
    pub fn gref(&self, index: usize) -> Option<u32> {
        self.pages.get(index).map(|(_, grant)| grant.number())
    }

    /// Writes 64-bit words into a page, from its start. What does not fit is left out.
    #[inline]
    pub fn write(&mut self, index: usize, words: impl Iterator<Item = u64>) {
        let Ok(base) = self.address(index) else {
            return;
        };
        for (at, word) in words.take(PAGE_SIZE / size_of::<u64>()).enumerate() {
            // SAFETY: The word lies in the page, which is mapped as long as `self` lives. The other end may read or
            // write it at the same time: volatile.
            unsafe { base.as_ptr().cast::<u64>().add(at).write_volatile(word) };
        }
    }

    /// Where a page is mapped in this guest. The other end may change its contents at any time.
    pub(crate) fn address(&self, index: usize) -> Result<NonNull<u8>> {
        let (page, _) = self.pages.get(index).ok_or(EINVAL)?;
        // SAFETY: A page of the kernel's own allocator is always mapped on the architectures that Xen runs on.
        NonNull::new(unsafe { bindings::rxen_page_address(page.as_ptr()) }.cast()).ok_or(EFAULT)
    }
}

impl Drop for SharedPages {
    fn drop(&mut self) {
        for (page, grant) in self.pages.drain_all() {
            if let Err(still_mapped) = self.reserve.end(grant) {
                let page = core::mem::ManuallyDrop::new(page);
                // SAFETY: The page is valid and its reference, which was owned here, moves to the deferred grant.
                let held = unsafe { HeldPage::from_owned(page.as_ptr()) };
                self.reserve.defer(still_mapped, Held::Page(held));
            }
        }
    }
}
