// SPDX-License-Identifier: GPL-2.0

//! Pages that frames are received into.

use core::{
    mem::ManuallyDrop,
    ptr::NonNull, //
};
use rxen_bindings as bindings;
use rxenbus::grant::{
    Frame,
    Held,
    HeldPage, //
};

/// A page that was zeroed when it was allocated.
///
/// # Invariants
///
/// The value owns one reference of a valid page.
pub(crate) struct ReceivePage(NonNull<bindings::page>);

// SAFETY: A page belongs to no thread.
unsafe impl Send for ReceivePage {}

impl ReceivePage {
    /// Allocates one. Any context but hard interrupts. [`None`] if there is no memory now.
    pub(crate) fn new() -> Option<Self> {
        // SAFETY: No requirements.
        let page = unsafe { bindings::rxen_net_alloc_page() };
        // INVARIANT: Allocated just now.
        NonNull::new(page).map(Self)
    }

    /// The frame, for a grant.
    pub(crate) fn frame(&self) -> Frame {
        // SAFETY: Valid by the invariant.
        unsafe { Frame::of_page(self.0.as_ptr()) }
    }

    /// Moves the reference to a grant that has not ended.
    pub(crate) fn into_held(self) -> Held {
        let page = ManuallyDrop::new(self);
        // SAFETY: Valid by the invariant; the reference moves.
        Held::Page(unsafe { HeldPage::from_owned(page.0.as_ptr()) })
    }

    /// The C structure; the caller takes the reference over.
    pub(super) fn into_raw(self) -> *mut bindings::page {
        ManuallyDrop::new(self).0.as_ptr()
    }
}

impl Drop for ReceivePage {
    fn drop(&mut self) {
        // SAFETY: Valid by the invariant, and the reference is owned.
        unsafe { bindings::rxen_net_put_page(self.0.as_ptr()) }
    }
}
