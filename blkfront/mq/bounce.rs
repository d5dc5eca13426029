// SPDX-License-Identifier: GPL-2.0

//! Payload that is copied, because its pages cannot be lent.
//!
//! A page of the slab allocators has other users' objects beside the payload, which a backend could then read and, in a
//! read request, write. And such a page has no reference by which it could be kept while a backend has it mapped that
//! should not. File systems send requests with such payload for blocks that are smaller than a page.

use super::request::Segment;
use kernel::{
    page::Page,
    prelude::*, //
};
use rxen_bindings as bindings;
use rxenbus::grant::{
    Frame,
    HeldPage, //
};

/// A page in the place of one segment's.
struct Copy {
    page: Page,
    /// The segment's place in the list of the request.
    index: usize,
    segment: Segment,
}

/// The copies of one request; not more than a pointer for most, which have none.
#[derive(Default)]
pub(super) struct Bounced(Option<KBox<KVec<Copy>>>);

impl Bounced {
    /// Puts a page in the place of a segment's, with its payload if that is to be written and else with zeroes. Any
    /// context.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    ///
    /// # Safety
    ///
    /// The segment's page must be valid.
    pub(super) unsafe fn add(
        &mut self,
        index: usize,
        segment: &Segment,
        write: bool,
    ) -> Result<Frame> {
        let flags = GFP_ATOMIC | __GFP_NOWARN;
        let page = Page::alloc_page(flags | __GFP_ZERO)?;
        // SAFETY: Allocated above.
        let frame = unsafe { Frame::of_page(page.as_ptr()) };
        if write {
            // SAFETY: The caller promises the one page, and the other was allocated above.
            unsafe { copy(page.as_ptr(), segment.page(), segment) }
        }
        let copy = Copy {
            page,
            index,
            segment: segment.clone(),
        };
        match &mut self.0 {
            Some(copies) => copies.push(copy, flags)?,
            none => {
                let mut copies = KBox::new(KVec::new(), flags)?;
                copies.push(copy, flags)?;
                *none = Some(copies);
            }
        }
        Ok(frame)
    }

    /// All of them.
    fn copies(&self) -> &[Copy] {
        self.0.as_ref().map_or(&[], |copies| copies.as_slice())
    }

    /// Copies what was read to where it is wanted.
    ///
    /// # Safety
    ///
    /// The pages of all segments must still be valid.
    pub(super) unsafe fn copy_back(&self) {
        for done in self.copies() {
            // SAFETY: The caller promises the one page, and the other is owned.
            unsafe { copy(done.segment.page(), done.page.as_ptr(), &done.segment) }
        }
    }

    /// A hold on the page that took the place of a segment's; [`None`] if none did.
    pub(super) fn hold(&self, index: usize) -> Option<HeldPage> {
        let copy = self.copies().iter().find(|copy| copy.index == index)?;
        // SAFETY: Valid as long as the copy.
        unsafe { HeldPage::hold(copy.page.as_ptr()) }
    }
}

/// Copies the bytes of a segment from one page to the same place of another. One of the two may be changing: the other
/// end of a grant has it.
///
/// # Safety
///
/// Both pages must be valid.
unsafe fn copy(to: *mut bindings::page, from: *mut bindings::page, segment: &Segment) {
    // SAFETY: A segment lies within a page. The caller promises the rest.
    unsafe { bindings::rxen_mq_copy(to, from, segment.offset(), segment.length()) }
}
