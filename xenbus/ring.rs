// SPDX-License-Identifier: GPL-2.0

//! The front half of a shared ring (`include/xen/interface/io/ring.h`).
//!
//! The page is shared with a backend that may change it at any time. Nothing outside this file has a pointer into it:
//! requests are copied in, each response is copied out exactly once, and the other end's index is checked before it is
//! used. What the copy says is for the frontend to check.

use crate::{
    bus::Device,
    grant::{
        Access,
        SharedPages, //
    }, //
};
use core::{
    marker::PhantomData,
    ptr::NonNull, //
};
use kernel::{
    page::PAGE_SIZE,
    prelude::*,
    transmute::{
        AsBytes,
        FromBytes, //
    }, //
};
use rxen_bindings as bindings;

pub mod indices;

pub use indices::Corrupt;
use indices::Indices;

/// Bytes before the first slot: the four indices and padding (`union __name##_sring`).
const HEADER: usize = 64;

/// Where the shared indices lie in the page.
#[repr(usize)]
#[derive(Clone, Copy)]
enum Field {
    RequestProducer = 0,
    RequestEvent = 4,
    ResponseProducer = 8,
    ResponseEvent = 12,
}

/// What travels on a ring: plain data, which the bounds make sure of, whose alignment divides 64.
pub trait Protocol {
    /// What this end writes. Has no padding, so nothing else of this guest's memory gets into the shared page.
    type Request: AsBytes + Copy;
    /// What the other end writes. Every bit pattern is valid.
    type Response: FromBytes + Copy;
}

/// The front half of a ring in one shared page.
///
/// Not synchronised: its owner keeps it under the queue's lock.
///
/// # Invariants
///
/// `base` is the address of `page`, which is `PAGE_SIZE` bytes that stay mapped as long as `page` lives.
pub struct Front<P: Protocol> {
    indices: Indices,
    base: NonNull<u8>,
    page: SharedPages,
    protocol: PhantomData<P>,
}

// SAFETY: The page belongs to no thread; all access needs the exclusive reference or reads private fields only.
unsafe impl<P: Protocol> Send for Front<P> {}
// SAFETY: A shared reference reads private fields only.
unsafe impl<P: Protocol> Sync for Front<P> {}

impl<P: Protocol> Front<P> {
    /// Bytes of a slot: a request and its response share it.
    const SLOT: usize = {
        let (request, response) = (size_of::<P::Request>(), size_of::<P::Response>());
        assert!(HEADER % align_of::<P::Request>() == 0 && HEADER % align_of::<P::Response>() == 0);
        if request > response {
            request
        } else {
            response
        }
    };

    /// The number of slots.
    pub const SLOTS: u32 = {
        let slots = (PAGE_SIZE - HEADER) / Self::SLOT;
        1 << slots.ilog2()
    };

    /// Allocates a zeroed ring and lends it to the device's backend. May sleep.
    ///
    /// # Errors
    ///
    /// As [`SharedPages::new`].
    pub fn new(device: &Device) -> Result<Self> {
        let page = SharedPages::new(device, 1, Access::ReadWrite)?;
        // INVARIANT: This is the page's own address.
        let mut ring = Self {
            indices: Indices::new(Self::SLOTS),
            base: page.address(0)?,
            page,
            protocol: PhantomData,
        };
        // As SHARED_RING_INIT: both ends want an event for the first entry.
        ring.store(Field::RequestEvent, 1);
        ring.store(Field::ResponseEvent, 1);
        Ok(ring)
    }

    /// The grant reference of the ring's page.
    pub fn gref(&self) -> u32 {
        self.page.gref(0).unwrap_or_default()
    }

    /// Slots in which a request may be put.
    #[inline]
    pub fn free(&self) -> u32 {
        self.indices.free()
    }

    /// Requests that have no response yet.
    #[inline]
    pub fn unanswered(&self) -> u32 {
        self.indices.unanswered()
    }

    /// The index that the next request gets.
    #[inline]
    pub fn next_index(&self) -> u32 {
        self.indices.request_producer()
    }

    /// Copies a request into the next slot and returns its index, which modulo [`Self::SLOTS`] is the slot. The other
    /// end sees it with the next [`Self::publish`].
    ///
    /// # Errors
    ///
    /// `ENOSPC` if the ring is full.
    #[inline]
    pub fn push(&mut self, request: &P::Request) -> Result<u32> {
        let index = self.indices.claim().ok_or(ENOSPC)?;
        let slot = self.slot(index).cast::<P::Request>();
        // SAFETY: The slot lies in the page and is aligned (see `slot`). The other end may write it at the same time,
        // which at worst garbles this request for itself; volatile keeps the compiler from assuming otherwise.
        unsafe { slot.write_volatile(*request) };
        Ok(index)
    }

    /// Makes all requests visible to the other end. True if it asked for an event: send one.
    #[inline]
    #[must_use = "the other end waits for an event"]
    pub fn publish(&mut self) -> bool {
        if self.indices.unpublished() == 0 {
            return false;
        }
        let from = self.indices.request_producer_published();
        // The requests before the index.
        // SAFETY: A memory barrier.
        unsafe { bindings::rxen_virt_wmb() };
        let producer = self.indices.publish();
        self.store(Field::RequestProducer, producer);
        // The index before the look at what the other end waits for.
        // SAFETY: A memory barrier.
        unsafe { bindings::rxen_virt_mb() };
        self.indices
            .wants_event(from, self.load(Field::RequestEvent))
    }

    /// Takes the next response, if there is one, with its index.
    ///
    /// # Errors
    ///
    /// [`Corrupt`] if the other end claims responses that cannot be.
    #[inline]
    pub fn next_response(&mut self) -> Result<Option<(u32, P::Response)>, Corrupt> {
        let index = match self.indices.next_known() {
            Some(index) => index,
            None => {
                self.learn()?;
                match self.indices.next_known() {
                    Some(index) => index,
                    None => return Ok(None),
                }
            }
        };
        let slot = self.slot(index).cast::<P::Response>();
        // SAFETY: The slot lies in the page and is aligned (see `slot`); every bit pattern is a valid response. This is
        // the only read of the slot.
        Ok(Some((index, unsafe { slot.read_volatile() })))
    }

    /// Whether there are responses, without asking for an event.
    ///
    /// # Errors
    ///
    /// [`Corrupt`] if the other end claims responses that cannot be.
    pub fn has_responses(&mut self) -> Result<bool, Corrupt> {
        self.learn()?;
        Ok(self.indices.known() > 0)
    }

    /// Asks the other end for an event at the next response. True if there are responses already: take them first.
    ///
    /// # Errors
    ///
    /// [`Corrupt`] if the other end claims responses that cannot be.
    #[inline]
    pub fn rearm(&mut self) -> Result<bool, Corrupt> {
        self.rearm_after(1)
    }

    /// Asks for an event only when `count` more responses are there (1 for the next). True if they are there already.
    ///
    /// # Errors
    ///
    /// [`Corrupt`] if the other end claims responses that cannot be.
    #[inline]
    pub fn rearm_after(&mut self, count: u32) -> Result<bool, Corrupt> {
        self.store(Field::ResponseEvent, self.indices.event_index(count));
        // The request for an event before the look whether one is needed.
        // SAFETY: A memory barrier.
        unsafe { bindings::rxen_virt_mb() };
        self.learn()?;
        Ok(self.indices.known() >= count.max(1))
    }

    /// Reads and checks the other end's producer index.
    fn learn(&mut self) -> Result<(), Corrupt> {
        let claimed = self.load(Field::ResponseProducer);
        self.indices.learn(claimed)?;
        // The index before the responses.
        // SAFETY: A memory barrier.
        unsafe { bindings::rxen_virt_rmb() };
        Ok(())
    }

    /// The address of an index's slot.
    #[inline]
    fn slot(&self, index: u32) -> *mut u8 {
        let offset = HEADER + self.indices.slot(index) as usize * Self::SLOT;
        // SAFETY: The slot number is below `SLOTS`, so the slot lies in the page; the header and the size of a slot are
        // multiples of the alignment.
        unsafe { self.base.as_ptr().add(offset) }
    }

    /// Reads one of the shared indices.
    #[inline]
    fn load(&self, field: Field) -> u32 {
        // SAFETY: The field lies in the page and is aligned. The other end may write it at the same time: volatile.
        unsafe {
            self.base
                .as_ptr()
                .add(field as usize)
                .cast::<u32>()
                .read_volatile()
        }
    }

    /// Writes one of the shared indices.
    #[inline]
    fn store(&mut self, field: Field, value: u32) {
        // SAFETY: As in `load`.
        unsafe {
            self.base
                .as_ptr()
                .add(field as usize)
                .cast::<u32>()
                .write_volatile(value)
        }
    }
}
