// SPDX-License-Identifier: GPL-2.0

//! A page that is shared with the other end for as long as a connection lasts, such as a ring.

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
    page::Page,
    prelude::*, //
};
use rxen_bindings as bindings;

/// A zeroed page that the other end may read and write. Dropping it ends the access; the page goes back to the
/// allocator only when the other end has let go.
pub struct SharedPage {
    // Gone only while `drop` runs.
    page: Option<Page>,
    grant: Option<Ref>,
    reserve: Reserve,
}

impl SharedPage {
    /// Allocates a page and lends it to the device's backend. May sleep.
    pub fn new(device: &Device) -> Result<Self> {
        let page = Page::alloc_page(GFP_KERNEL | __GFP_ZERO)?;
        let mut reserve = Reserve::new(device, 1)?;
        // SAFETY: The page was allocated above.
        let frame = unsafe { Frame::of_page(page.as_ptr()) };
        let grant = reserve.grant(frame, Access::ReadWrite)?;
        Ok(Self {
            page: Some(page),
            grant: Some(grant),
            reserve,
        })
    }

    /// The grant reference.
    pub fn gref(&self) -> u32 {
        self.grant.as_ref().map_or(0, Ref::number)
    }

    /// Where the page is mapped in this guest. The other end may change its contents at any time.
    pub(crate) fn address(&self) -> Result<NonNull<u8>> {
        let page = self.page.as_ref().ok_or(ENODEV)?;
        // SAFETY: A page of the kernel's own allocator is always mapped on the architectures that Xen runs on.
        NonNull::new(unsafe { bindings::rxen_page_address(page.as_ptr()) }.cast()).ok_or(EFAULT)
    }
}

impl Drop for SharedPage {
    fn drop(&mut self) {
        let (Some(grant), Some(page)) = (self.grant.take(), self.page.take()) else {
            return;
        };
        if let Err(still_mapped) = self.reserve.end(grant) {
            // SAFETY: The page is valid and owned here; its reference moves to the deferred grant, so it is not
            // dropped as a `Page`.
            let held = unsafe { HeldPage::from_owned(core::mem::ManuallyDrop::new(page).as_ptr()) };
            self.reserve.defer(still_mapped, Held::Page(held));
        }
    }
}
