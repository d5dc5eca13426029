// SPDX-License-Identifier: GPL-2.0

//! Both ends of a ring, moved by the macros of `ring.h`.

use core::ptr::NonNull;

/// `struct reference_ring` of ring.c.
#[repr(C)]
struct Raw {
    opaque: [u8; 0],
}

extern "C" {
    fn reference_ring_size_block() -> u32;
    fn reference_ring_size_transmit() -> u32;
    fn reference_ring_size_receive() -> u32;
    fn reference_ring_new(at: u32) -> *mut Raw;
    fn reference_ring_free(ring: *mut Raw);
    fn reference_ring_shared(ring: *mut Raw) -> *mut Shared;
    fn reference_front_free(ring: *const Raw) -> u32;
    fn reference_front_claim(ring: *mut Raw);
    fn reference_front_push(ring: *mut Raw) -> i32;
    fn reference_front_unconsumed(ring: *const Raw) -> u32;
    fn reference_front_consume(ring: *mut Raw);
    fn reference_front_final_check(ring: *mut Raw) -> i32;
    fn reference_back_unconsumed(ring: *const Raw) -> u32;
    fn reference_back_consume(ring: *mut Raw);
    fn reference_back_held(ring: *const Raw) -> u32;
    fn reference_back_respond(ring: *mut Raw, count: u32) -> i32;
    fn reference_back_final_check(ring: *mut Raw) -> i32;
}

/// The indices in the shared page.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shared {
    /// `req_prod`
    pub request_producer: u32,
    /// `req_event`
    pub request_event: u32,
    /// `rsp_prod`
    pub response_producer: u32,
    /// `rsp_event`
    pub response_event: u32,
}

/// How many slots the rings of one page have.
pub struct Slots {
    /// Block.
    pub block: u32,
    /// Network, to the backend.
    pub transmit: u32,
    /// Network, from the backend.
    pub receive: u32,
}

impl Slots {
    /// Asks the headers.
    pub fn of_a_page() -> Self {
        // SAFETY: The functions have no effects.
        unsafe {
            Self {
                block: reference_ring_size_block(),
                transmit: reference_ring_size_transmit(),
                receive: reference_ring_size_receive(),
            }
        }
    }
}

/// A block ring in one page.
pub struct Ring(NonNull<Raw>);

impl Ring {
    /// A ring whose indices are all at `at`.
    pub fn starting_at(at: u32) -> Self {
        // SAFETY: The function has no preconditions.
        Self(NonNull::new(unsafe { reference_ring_new(at) }).expect("it aborts without memory"))
    }

    /// The indices in the shared page.
    pub fn shared(&mut self) -> &mut Shared {
        // SAFETY: The page lives as long as the ring and has these four at its start.
        unsafe { &mut *reference_ring_shared(self.0.as_ptr()) }
    }

    /// The front end: `RING_FREE_REQUESTS`.
    pub fn front_free(&self) -> u32 {
        // SAFETY: The ring is valid; so in all methods below.
        unsafe { reference_front_free(self.0.as_ptr()) }
    }

    /// The front end puts a request in the next slot.
    pub fn front_claim(&mut self) {
        // SAFETY: See above.
        unsafe { reference_front_claim(self.0.as_ptr()) }
    }

    /// The front end: `RING_PUSH_REQUESTS_AND_CHECK_NOTIFY`.
    pub fn front_push(&mut self) -> bool {
        // SAFETY: See above.
        unsafe { reference_front_push(self.0.as_ptr()) != 0 }
    }

    /// The front end: `XEN_RING_NR_UNCONSUMED_RESPONSES`.
    pub fn front_unconsumed(&self) -> u32 {
        // SAFETY: See above.
        unsafe { reference_front_unconsumed(self.0.as_ptr()) }
    }

    /// The front end takes a response.
    pub fn front_consume(&mut self) {
        // SAFETY: See above.
        unsafe { reference_front_consume(self.0.as_ptr()) }
    }

    /// The front end: `RING_FINAL_CHECK_FOR_RESPONSES`.
    pub fn front_final_check(&mut self) -> bool {
        // SAFETY: See above.
        unsafe { reference_front_final_check(self.0.as_ptr()) != 0 }
    }

    /// The back end: `XEN_RING_NR_UNCONSUMED_REQUESTS`.
    pub fn back_unconsumed(&self) -> u32 {
        // SAFETY: See above.
        unsafe { reference_back_unconsumed(self.0.as_ptr()) }
    }

    /// The back end takes a request.
    pub fn back_consume(&mut self) {
        // SAFETY: See above.
        unsafe { reference_back_consume(self.0.as_ptr()) }
    }

    /// Requests that the back end has taken and not answered.
    pub fn back_held(&self) -> u32 {
        // SAFETY: See above.
        unsafe { reference_back_held(self.0.as_ptr()) }
    }

    /// The back end answers `count` requests: `RING_PUSH_RESPONSES_AND_CHECK_NOTIFY`.
    pub fn back_respond(&mut self, count: u32) -> bool {
        // SAFETY: See above.
        unsafe { reference_back_respond(self.0.as_ptr(), count) != 0 }
    }

    /// The back end: `RING_FINAL_CHECK_FOR_REQUESTS`.
    pub fn back_final_check(&mut self) -> bool {
        // SAFETY: See above.
        unsafe { reference_back_final_check(self.0.as_ptr()) != 0 }
    }
}

impl Drop for Ring {
    fn drop(&mut self) {
        // SAFETY: Nobody else has the ring.
        unsafe { reference_ring_free(self.0.as_ptr()) }
    }
}
