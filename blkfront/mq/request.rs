// SPDX-License-Identifier: GPL-2.0

//! A request of the block layer.

use super::bounce::Bounced;
use core::{
    marker::PhantomData,
    mem::ManuallyDrop,
    ptr::NonNull, //
};
use kernel::prelude::*;
use rxen_bindings as bindings;
use rxenbus::grant::{
    Frame,
    Held,
    HeldPage, //
};

/// What a request asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Operation {
    Read,
    Write,
    Flush,
    Discard,
    SecureErase,
    Other,
}

/// A part of a request's payload in one page.
#[repr(transparent)]
pub(crate) struct Segment(bindings::rxen_mq_segment);

// SAFETY: The page that a segment names is kept by the request that it came from, whatever the thread.
unsafe impl Send for Segment {}

impl Clone for Segment {
    fn clone(&self) -> Self {
        Self(bindings::rxen_mq_segment { ..self.0 })
    }
}

impl Segment {
    /// No payload; a place to fill.
    pub(crate) const EMPTY: Self = Self(bindings::rxen_mq_segment {
        page: core::ptr::null_mut(),
        offset: 0,
        length: 0,
        is_slab: false,
    });

    /// The page. It belongs to the request that the segment is of.
    pub(super) fn page(&self) -> *mut bindings::page {
        self.0.page
    }

    /// Bytes from the page's start.
    pub(crate) fn offset(&self) -> u32 {
        self.0.offset
    }

    /// Bytes.
    pub(crate) fn length(&self) -> u32 {
        self.0.length
    }
}

/// A started request, owned by the driver until it is ended or given back. Dropped, it ends with an error.
///
/// # Invariants
///
/// The pointer is a request that was started and is not ended; nobody else ends it. What is bounced are segments of it.
pub(crate) struct Request {
    raw: NonNull<bindings::request>,
    bounced: Bounced,
}

// SAFETY: A request may be ended by any thread.
unsafe impl Send for Request {}

/// A request that has taken longer than the queue allows for. Whoever has it may end it meanwhile; the block layer keeps
/// its memory.
///
/// # Invariants
///
/// The pointer is a request that stays valid for `'a`.
pub(crate) struct Late<'a>(NonNull<bindings::request>, PhantomData<&'a ()>);

impl Late<'_> {
    /// A request that the block layer finds late.
    ///
    /// # Safety
    ///
    /// `request` must come from a `timeout` callback that runs for `'a`.
    pub(super) unsafe fn new(request: NonNull<bindings::request>) -> Self {
        // INVARIANT: The caller promises it.
        Self(request, PhantomData)
    }

    /// Its number, as [`Request::tag`]; one that no request has where it is back in its queue.
    pub(crate) fn tag(&self) -> usize {
        // SAFETY: Valid by the invariant.
        unsafe { bindings::rxen_mq_tag(self.0.as_ptr()) as usize }
    }

    /// After how many seconds it counts as late.
    pub(crate) fn seconds(&self) -> u32 {
        // SAFETY: Valid by the invariant.
        unsafe { bindings::rxen_mq_timeout_seconds(self.0.as_ptr()) }
    }
}

impl Request {
    /// Starts a request that the block layer hands over.
    ///
    /// # Safety
    ///
    /// `request` must come from a `queue_rq` callback that is running, and nobody else may use it as its owner.
    pub(super) unsafe fn start(request: NonNull<bindings::request>) -> Self {
        // SAFETY: The caller promises a request that is not started.
        unsafe { bindings::blk_mq_start_request(request.as_ptr()) };
        // INVARIANT: Started just now; the caller gives it up. Nothing is bounced yet.
        Self {
            raw: request,
            bounced: Bounced::default(),
        }
    }

    /// Takes the C request out, for who ends it.
    fn into_raw(mut self) -> *mut bindings::request {
        self.bounced = Bounced::default();
        ManuallyDrop::new(self).raw.as_ptr()
    }

    /// Gives it back to the block layer without ending it; for a `queue_rq` that refuses it.
    pub(super) fn release(self) {
        let _ = self.into_raw();
    }

    /// What it asks for.
    pub(crate) fn operation(&self) -> Operation {
        // SAFETY: Valid by the invariant.
        match unsafe { bindings::rxen_mq_op(self.raw.as_ptr()) } {
            bindings::req_op_REQ_OP_READ => Operation::Read,
            bindings::req_op_REQ_OP_WRITE => Operation::Write,
            bindings::req_op_REQ_OP_FLUSH => Operation::Flush,
            bindings::req_op_REQ_OP_DISCARD => Operation::Discard,
            bindings::req_op_REQ_OP_SECURE_ERASE => Operation::SecureErase,
            _ => Operation::Other,
        }
    }

    /// Whether its data must be on stable storage when it ends.
    pub(crate) fn is_fua(&self) -> bool {
        // SAFETY: Valid by the invariant.
        unsafe { bindings::rxen_mq_is_fua(self.raw.as_ptr()) }
    }

    /// Whether it is the one that is late.
    pub(crate) fn is(&self, late: &Late<'_>) -> bool {
        self.raw == late.0
    }

    /// Its first sector, in units of 512 bytes.
    pub(crate) fn sector(&self) -> u64 {
        // SAFETY: Valid by the invariant.
        unsafe { bindings::rxen_mq_sector(self.raw.as_ptr()) }
    }

    /// Its length in bytes; what is left, once a part of it was completed.
    pub(crate) fn bytes(&self) -> u32 {
        // SAFETY: Valid by the invariant.
        unsafe { bindings::rxen_mq_bytes(self.raw.as_ptr()) }
    }

    /// Its number, below the tag set's depth.
    pub(crate) fn tag(&self) -> usize {
        // SAFETY: Valid by the invariant.
        unsafe { bindings::rxen_mq_tag(self.raw.as_ptr()) as usize }
    }

    /// Lists the payload from its start, as much as `segments` holds; returns how many there are.
    pub(crate) fn segments(&self, segments: &mut [Segment]) -> usize {
        let most = c_uint::try_from(segments.len()).unwrap_or(c_uint::MAX);
        // SAFETY: Valid by the invariant; the helper writes `most` segments at the most.
        let count = unsafe {
            bindings::rxen_mq_segments(self.raw.as_ptr(), segments.as_mut_ptr().cast(), most)
        };
        usize::try_from(count).unwrap_or(0).min(segments.len())
    }

    /// The frame to lend for one of this request's segments, to be written to the disk or read from it: that of its page,
    /// or of another one where that page cannot be lent. `index` is its place in the list of [`Self::segments`]. Any
    /// context.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub(crate) fn frame(&mut self, index: usize, segment: &Segment, write: bool) -> Result<Frame> {
        if segment.0.is_slab {
            // INVARIANT: A segment of this request.
            // SAFETY: `segments` has filled it in for a request, which keeps the page until it is ended.
            return unsafe { self.bounced.add(index, segment, write) };
        }
        // SAFETY: As above.
        Ok(unsafe { Frame::of_page(segment.0.page) })
    }

    /// A hold on the page that [`Self::frame`] gave for a segment, for a grant that the backend does not let go of.
    pub(crate) fn hold(&self, index: usize, segment: &Segment) -> Held {
        let page = self.bounced.hold(index).or_else(|| {
            // SAFETY: As in `frame`.
            unsafe { HeldPage::hold(segment.0.page) }
        });
        match page {
            Some(page) => Held::Page(page),
            None => Held::Nothing,
        }
    }

    /// Makes the block layer send no discards or secure erases any more, whichever this was. Any context.
    pub(crate) fn disable_discard(&self) {
        let secure = self.operation() == Operation::SecureErase;
        // SAFETY: Valid by the invariant, and its queue as long.
        unsafe {
            let queue = (*self.raw.as_ptr()).q;
            if secure {
                bindings::rxen_mq_disable_secure_erase(queue);
            } else {
                bindings::rxen_mq_disable_discard(queue);
            }
        }
    }

    /// Has what was read into other pages where it belongs.
    fn copy_back(&self) {
        if self.operation() == Operation::Read {
            // SAFETY: By the invariant they are segments of this request, which is not ended.
            unsafe { self.bounced.copy_back() }
        }
    }

    /// Ends `bytes` of it, which were carried out. What is left, if anything, goes back to the queue.
    pub(crate) fn end_part(self, bytes: u32) {
        self.copy_back();
        let request = self.into_raw();
        // SAFETY: Valid by the invariant; zero is the status of success. The helpers of the block layer that end or
        // requeue it take it over.
        unsafe {
            if bindings::blk_update_request(request, 0, bytes) {
                bindings::blk_mq_requeue_request(request, true);
            } else {
                bindings::__blk_mq_end_request(request, 0);
            }
        }
    }

    /// Ends it.
    pub(crate) fn end(self, result: Result) {
        let errno = match result {
            Ok(()) => {
                self.copy_back();
                0
            }
            Err(error) => error.to_errno(),
        };
        let request = self.into_raw();
        // SAFETY: Valid by the invariant; the block layer takes it over.
        unsafe { bindings::blk_mq_end_request(request, bindings::errno_to_blk_status(errno)) };
    }

    /// Puts it back into its queue, which does not issue it again before `Disk::resume`.
    pub(crate) fn requeue(self) {
        let request = self.into_raw();
        // SAFETY: Valid by the invariant; the block layer takes it over.
        unsafe { bindings::blk_mq_requeue_request(request, false) };
    }
}

impl Drop for Request {
    fn drop(&mut self) {
        // SAFETY: Valid by the invariant; ended by nobody else, because all other ways take the value apart.
        unsafe {
            bindings::blk_mq_end_request(
                self.raw.as_ptr(),
                bindings::errno_to_blk_status(EIO.to_errno()),
            )
        };
    }
}
