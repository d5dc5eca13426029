// SPDX-License-Identifier: GPL-2.0

//! The grant table: lending pages to the other end.
//!
//! A [`Reserve`] holds a queue's grant references from the moment the queue is set up, so that nothing is allocated and
//! no lock is shared while requests run. A [`Ref`] is one page lent; it is given back with [`Reserve::end`]. A page
//! that the other end still has mapped then is not reused: [`Reserve::defer`] keeps it until the other end has let go
//! (XSA-396), in memory that was allocated with the reserve.

use crate::bus::Device;
use core::mem::ManuallyDrop;
use kernel::{
    prelude::*,
    sync::Arc, //
};
use rxen_bindings as bindings;

mod account;
mod deferred;
pub(crate) mod faults;
#[cfg(CONFIG_XEN)]
mod hosted;
pub(crate) mod native;
// Public for its tests, which compile it elsewhere.
#[allow(unreachable_pub)]
mod limit;
mod page;
pub(crate) mod waiting;

pub use account::Report;
pub use page::SharedPages;
pub use waiting::{
    Wait,
    Waiter, //
};

pub(crate) use account::forget_device;
pub(crate) use deferred::DeferredWorker;

use account::Account;
use deferred::{
    Batch,
    Entry, //
};

/// The grant table, by way of the implementation that serves this machine.
mod owner {
    #[cfg(CONFIG_XEN)]
    use super::hosted;
    use super::{
        native,
        Access,
        Frame, //
    };
    use kernel::prelude::*;

    /// Allocates `count` references into `free`, which must have the capacity.
    pub(super) fn allocate(count: usize, free: &mut KVVec<u32>) -> Result {
        let result = by_mode! {
            native: native::allocate(count, free),
            hosted: hosted::allocate(count, free),
        };
        // More may have been in hand meanwhile than are kept; who waits may have looked just then.
        super::waiting::something_is_free();
        result
    }

    /// Lends a frame.
    #[inline]
    pub(super) fn grant(number: u32, domid: u16, frame: Frame, access: Access) {
        by_mode! {
            native: native::grant(number, domid, frame, access),
            hosted: hosted::grant(number, domid, frame, access),
        }
    }

    /// Ends an access; false if the other end still has the page mapped.
    #[inline]
    pub(super) fn end(number: u32) -> bool {
        by_mode! {
            native: native::end(number),
            hosted: hosted::end(number),
        }
    }

    /// Ends an access that did not end before, and gives the reference back; false if the other end still has the page
    /// mapped. Says nothing in the log.
    pub(super) fn end_and_free(number: u32) -> bool {
        let ended = by_mode! {
            native: native::end_and_free(number),
            hosted: hosted::end_and_free(number),
        };
        if ended {
            super::waiting::something_is_free();
        }
        ended
    }

    /// Gives a reference back to the grant table.
    pub(super) fn free(number: u32) {
        by_mode! {
            native: native::free(number),
            hosted: hosted::free(number),
        }
        super::waiting::something_is_free();
    }

    /// Whether so many references could be allocated now.
    pub(super) fn could_allocate(count: usize) -> bool {
        by_mode! {
            native: native::could_allocate(count),
            hosted: hosted::could_allocate(count),
        }
    }
}

/// What the other end may do with a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Read it.
    ReadOnly,
    /// Read and write it.
    ReadWrite,
}

/// The number by which the other end's domain knows a page: a machine frame in a PV guest, a guest frame elsewhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame(usize);

impl Frame {
    /// The frame of a page.
    ///
    /// # Safety
    ///
    /// `page` must be a valid page of this guest.
    #[inline]
    pub unsafe fn of_page(page: *mut bindings::page) -> Self {
        // SAFETY: The caller promises a valid page.
        Self(unsafe { bindings::rxen_page_to_gfn(page) })
    }
}

/// A page that is lent to the other end.
///
/// It is meant to be given back to its [`Reserve`]. Dropped anywhere else it ends the access and is counted as leaked
/// if the other end still has the page mapped.
#[derive(Debug)]
pub struct Ref(u32);

impl Ref {
    /// The grant reference, as it goes into ring requests and xenstore.
    #[inline]
    pub fn number(&self) -> u32 {
        self.0
    }
}

impl Drop for Ref {
    fn drop(&mut self) {
        if owner::end(self.0) {
            owner::free(self.0);
        } else {
            account::count_leak();
        }
    }
}

/// A grant whose page the other end still has mapped. It must go to [`Reserve::defer`]; dropped, it is counted as
/// leaked, and its grant reference is never used again.
#[must_use = "the page must not be reused; hand this to Reserve::defer"]
#[derive(Debug)]
pub struct StillMapped(ManuallyDrop<Ref>);

impl StillMapped {
    /// The grant reference, for the log.
    pub fn number(&self) -> u32 {
        self.0.number()
    }

    /// Takes the number out without counting a leak.
    fn into_number(self) -> u32 {
        let number = self.0.number();
        core::mem::forget(self);
        number
    }
}

impl Drop for StillMapped {
    fn drop(&mut self) {
        account::count_leak();
    }
}

/// What is kept until the other end has let go of a page.
#[derive(Debug)]
pub enum Held {
    /// Only the grant reference; somebody else keeps the page, or nobody can.
    Nothing,
    /// One reference of a page, put when the access has ended.
    Page(HeldPage),
    /// One reference of a network buffer, for payload in memory that has no references of its own.
    Buffer(HeldBuffer),
}

/// One reference to a network buffer.
#[derive(Debug)]
pub struct HeldBuffer(*mut bindings::sk_buff);

// SAFETY: A reference to a network buffer belongs to no thread.
unsafe impl Send for HeldBuffer {}

impl HeldBuffer {
    /// Takes over a reference that the caller owns.
    ///
    /// # Safety
    ///
    /// `buffer` must be valid, and the caller must own one reference to it, which it gives up.
    pub unsafe fn from_owned(buffer: *mut bindings::sk_buff) -> Self {
        Self(buffer)
    }
}

impl Drop for HeldBuffer {
    fn drop(&mut self) {
        // SAFETY: This value owns one reference to the buffer.
        unsafe { bindings::rxen_buffer_put(self.0) }
    }
}

/// One reference to a page.
#[derive(Debug)]
pub struct HeldPage(*mut bindings::page);

// SAFETY: A page reference belongs to no thread.
unsafe impl Send for HeldPage {}

impl HeldPage {
    /// Takes over a reference that the caller owns.
    ///
    /// # Safety
    ///
    /// `page` must be valid, and the caller must own one reference to it, which it gives up.
    pub unsafe fn from_owned(page: *mut bindings::page) -> Self {
        Self(page)
    }

    /// Takes a new reference. [`None`] for memory of the slab allocators, which has no reference count.
    ///
    /// # Safety
    ///
    /// `page` must be valid.
    pub unsafe fn hold(page: *mut bindings::page) -> Option<Self> {
        // SAFETY: The caller promises a valid page.
        unsafe { bindings::rxen_page_hold(page) }.then_some(Self(page))
    }
}

impl Drop for HeldPage {
    fn drop(&mut self) {
        // SAFETY: This value owns one reference to the page.
        unsafe { bindings::rxen_page_put(self.0) }
    }
}

/// The grant references of one queue.
pub struct Reserve {
    domid: u16,
    free: KVVec<u32>,
    // Room for all grants of the reserve, so that deferring needs no allocation. Gone only while `drop` runs.
    deferred: Option<KBox<Batch>>,
    account: Arc<Account>,
}

impl Reserve {
    /// Sets grant references aside for a queue of `device`. May sleep.
    ///
    /// # Errors
    ///
    /// After a line in the log `ENOSPC`, where the grant table has not that many left, or `EBUSY`, where the other end has
    /// too many pages of former connections mapped; `ENOMEM`.
    pub fn new(device: &Device, capacity: usize) -> Result<Self> {
        let deferred = account::deferred_of(device.nodename());
        if !limit::may_lend(deferred) {
            report_excess(device, deferred);
            return Err(EBUSY);
        }
        let free = KVVec::with_capacity(capacity, GFP_KERNEL)?;
        let deferred = Batch::new(capacity)?;
        // From here on dropping it closes the account.
        let mut reserve = Self {
            domid: device.otherend_id(),
            free,
            deferred: Some(deferred),
            account: account::open(device.nodename())?,
        };
        let result = if faults::RESERVE.strikes(device.nodename()) {
            Err(ENOSPC)
        } else {
            owner::allocate(capacity, &mut reserve.free)
        };
        match result {
            Ok(()) => Ok(reserve),
            Err(error) => {
                report_shortage(device, capacity, error);
                Err(error)
            }
        }
    }

    /// How many pages can be lent now.
    #[inline]
    pub fn available(&self) -> usize {
        self.free.len()
    }

    /// Lends a page to the other end. Any context; the caller's queue lock is the only one needed.
    ///
    /// # Errors
    ///
    /// `ENOSPC` where all references of the reserve are in use.
    #[inline]
    pub fn grant(&mut self, frame: Frame, access: Access) -> Result<Ref> {
        if faults::GRANT.strikes(self.account.device()) {
            return Err(ENOSPC);
        }
        let number = self.free.pop().ok_or(ENOSPC)?;
        owner::grant(number, self.domid, frame, access);
        self.account.granted();
        Ok(Ref(number))
    }

    /// Ends the access to a page; the page may be reused afterwards.
    ///
    /// # Errors
    ///
    /// [`StillMapped`] where the other end still has the page mapped. The page must not be reused.
    #[inline]
    pub fn end(&mut self, grant: Ref) -> Result<(), StillMapped> {
        let grant = ManuallyDrop::new(grant);
        if !owner::end(grant.number()) {
            return Err(StillMapped(grant));
        }
        self.give_back(grant.number());
        self.account.ended();
        Ok(())
    }

    /// Keeps what the other end still has mapped until it lets go. Any context; does not allocate.
    pub fn defer(&mut self, grant: StillMapped, held: Held) {
        let Some(batch) = self.deferred.as_mut() else {
            // Cannot be: only while it is dropped. The page is kept for good; `grant` counts itself as leaked.
            core::mem::forget(held);
            return;
        };
        match batch.push(Entry::new(grant.into_number(), held)) {
            Ok(()) => self.account.deferred(),
            // Cannot be: there is room for every reference of the reserve. The page is kept for good.
            Err(entry) => {
                core::mem::forget(entry);
                account::count_leak();
            }
        }
    }

    /// Puts a reference back that is not in use any more.
    #[inline]
    fn give_back(&mut self, number: u32) {
        // There is capacity for all references that came from here; one from another reserve may find none.
        if self.free.push_within_capacity(number).is_err() {
            owner::free(number);
        }
    }
}

impl Drop for Reserve {
    fn drop(&mut self) {
        for number in self.free.drain_all() {
            owner::free(number);
        }
        self.account.close();
        if let Some(batch) = self.deferred.take() {
            deferred::take_over(batch, self.account.clone());
        }
    }
}

/// Says in the log that a device lends nothing more for now.
fn report_excess(device: &Device, deferred: usize) {
    pr_err!(
        "{}: domain {} still has {} pages of former connections mapped: no new one until it lets go of them\n",
        device.nodename(),
        device.otherend_id(),
        deferred
    );
}

/// Says in the log that a device does not get the references that it needs.
fn report_shortage(device: &Device, count: usize, error: Error) {
    let node = device.nodename();
    if error == ENOSPC {
        pr_err!(
            "{}: the grant table has no {} references left; raise gnttab_max_frames of Xen or max_grant_frames of the \
             guest\n",
            node,
            count
        );
    } else {
        pr_err!(
            "{}: cannot allocate {} grant references ({:?})\n",
            node,
            count,
            error
        );
    }
}
