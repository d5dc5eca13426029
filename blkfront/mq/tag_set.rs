// SPDX-License-Identifier: GPL-2.0

//! A tag set: how many requests a disk takes at once, and what handles them.

use super::{
    Late,
    Request, //
};
use core::{
    marker::PhantomData,
    ptr::NonNull, //
};
use kernel::{
    error::to_result,
    prelude::*,
    types::Opaque, //
};
use rxen_bindings as bindings;

/// A request that is given back.
pub(crate) struct Refused(pub(crate) Request, pub(crate) Error);

/// What handles a disk's requests.
pub(crate) trait Operations: Send + Sync + 'static {
    /// Takes a request. Any context but hard interrupts; must not sleep. `last`: no more follow at once.
    ///
    /// # Errors
    ///
    /// A request that is refused ends with the error. With `ENOMEM` it comes again soon; with `EBUSY` when another one
    /// has ended, or the queue goes on after a rest.
    fn queue(&self, request: Request, last: bool) -> Result<(), Refused>;

    /// What was taken since the last notification is to be sent.
    fn commit(&self);

    /// A request has taken long; it may be ended at the same time. True if the driver still has it, false if it has ended
    /// it, or is about to. Process context that memory may wait for: must not sleep.
    fn overdue(&self, late: &Late<'_>) -> bool;
}

/// A tag set for disks whose queue data is a `T`.
///
/// # Invariants
///
/// `set` was set up by `blk_mq_alloc_tag_set`.
pub(crate) struct TagSet<T: Operations> {
    set: Pin<KBox<Opaque<bindings::blk_mq_tag_set>>>,
    _operations: PhantomData<fn(T)>,
}

// SAFETY: The block layer synchronises what it does with a tag set.
unsafe impl<T: Operations> Send for TagSet<T> {}
// SAFETY: As above; a shared reference gives the address only.
unsafe impl<T: Operations> Sync for TagSet<T> {}

impl<T: Operations> TagSet<T> {
    const CALLBACKS: bindings::blk_mq_ops = bindings::blk_mq_ops {
        queue_rq: Some(Self::queue_rq),
        commit_rqs: Some(Self::commit_rqs),
        timeout: Some(Self::timeout),
        ..pin_init::zeroed()
    };

    /// One hardware queue of `depth` requests.
    pub(crate) fn new(depth: u32) -> Result<Self> {
        let set = KBox::into_pin(KBox::new(
            Opaque::<bindings::blk_mq_tag_set>::zeroed(),
            GFP_KERNEL,
        )?);
        let raw = set.get();
        // SAFETY: Zeroed and not known to anybody else.
        unsafe {
            (*raw).ops = &Self::CALLBACKS;
            (*raw).nr_hw_queues = 1;
            (*raw).queue_depth = depth;
            (*raw).numa_node = bindings::NUMA_NO_NODE;
        }
        // SAFETY: Filled in above; pinned until `drop` has freed it.
        to_result(unsafe { bindings::blk_mq_alloc_tag_set(raw) })?;
        // INVARIANT: Set up just now.
        Ok(Self {
            set,
            _operations: PhantomData,
        })
    }

    /// The C structure.
    pub(super) fn as_raw(&self) -> *mut bindings::blk_mq_tag_set {
        self.set.get()
    }

    /// The queue data that a hardware queue belongs to.
    ///
    /// # Safety
    ///
    /// `hctx` must be a hardware queue of a `Disk<T>` that is not freed for `'a`.
    unsafe fn data<'a>(hctx: *mut bindings::blk_mq_hw_ctx) -> &'a T {
        // SAFETY: A `Disk<T>` sets the queue data to a reference of an `Arc<T>` that it keeps until the queue is gone.
        unsafe { &*bindings::rxen_mq_queue_data((*hctx).queue).cast::<T>() }
    }

    unsafe extern "C" fn queue_rq(
        hctx: *mut bindings::blk_mq_hw_ctx,
        bd: *const bindings::blk_mq_queue_data,
    ) -> bindings::blk_status_t {
        // SAFETY: The block layer calls this for queues of this tag set, which only `Disk<T>`s have, with a request
        // that is not started and that it hands over.
        let (data, request, last) = unsafe {
            let request = NonNull::new_unchecked((*bd).rq);
            (Self::data(hctx), Request::start(request), (*bd).last)
        };
        match data.queue(request, last) {
            Ok(()) => 0,
            Err(Refused(request, error)) => {
                request.release();
                // SAFETY: Only translates the number.
                unsafe { bindings::errno_to_blk_status(error.to_errno()) }
            }
        }
    }

    unsafe extern "C" fn commit_rqs(hctx: *mut bindings::blk_mq_hw_ctx) {
        // SAFETY: As in `queue_rq`.
        unsafe { Self::data(hctx) }.commit()
    }

    unsafe extern "C" fn timeout(request: *mut bindings::request) -> bindings::blk_eh_timer_return {
        // SAFETY: The block layer calls this for a started request of a queue of this tag set. It has a reference of
        // the request, and one of the queue, until this returns; the queue's data is as in `data`.
        let (data, late) = unsafe {
            let data: &T = &*bindings::rxen_mq_queue_data((*request).q).cast::<T>();
            (data, Late::new(NonNull::new_unchecked(request)))
        };
        if data.overdue(&late) {
            bindings::blk_eh_timer_return_BLK_EH_RESET_TIMER
        } else {
            bindings::blk_eh_timer_return_BLK_EH_DONE
        }
    }
}

impl<T: Operations> Drop for TagSet<T> {
    fn drop(&mut self) {
        // SAFETY: Set up by the invariant; the disks that used it are gone, because they own it.
        unsafe { bindings::blk_mq_free_tag_set(self.set.get()) }
    }
}
