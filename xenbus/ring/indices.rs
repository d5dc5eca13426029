// SPDX-License-Identifier: GPL-2.0

//! The index arithmetic of a shared ring's front half: pure, tested on the build machine.
//!
//! The indices run freely over 32 bits, as in `include/xen/interface/io/ring.h`; a slot is an index modulo the size.
//! What the other end writes is never used without a check against what this end knows.

/// The other end's index cannot be true.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Corrupt {
    /// What it wrote.
    pub claimed: u32,
    /// How many responses it could have produced at the most.
    pub outstanding: u32,
}

/// The private indices of the front half.
///
/// # Invariants
///
/// `size` is a power of two; `request_producer - response_consumer <= size`, and `published` lies between the two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Indices {
    size: u32,
    request_producer: u32,
    published: u32,
    response_consumer: u32,
    response_producer: u32,
}

impl Indices {
    /// Indices of a fresh ring with `size` slots, rounded down to a power of two.
    pub const fn new(size: u32) -> Self {
        Self::starting_at(size, 0)
    }

    /// Indices that all start at `at`, as after many requests.
    pub const fn starting_at(size: u32, at: u32) -> Self {
        // INVARIANT: All indices are equal, and `prev_power_of_two` below gives a power of two.
        Self {
            size: prev_power_of_two(size),
            request_producer: at,
            published: at,
            response_consumer: at,
            response_producer: at,
        }
    }

    /// The number of slots.
    pub const fn size(&self) -> u32 {
        self.size
    }

    /// Requests that have no response yet, published or not.
    pub const fn unanswered(&self) -> u32 {
        self.request_producer.wrapping_sub(self.response_consumer)
    }

    /// Slots in which a request may be put.
    pub const fn free(&self) -> u32 {
        self.size.wrapping_sub(self.unanswered())
    }

    /// The slot of an index.
    pub const fn slot(&self, index: u32) -> u32 {
        index & (self.size - 1)
    }

    /// Claims the next slot for a request and returns its index; [`None`] if the ring is full.
    pub fn claim(&mut self) -> Option<u32> {
        if self.free() == 0 {
            return None;
        }
        let index = self.request_producer;
        self.request_producer = index.wrapping_add(1);
        Some(index)
    }

    /// The index that the next request gets.
    pub const fn request_producer(&self) -> u32 {
        self.request_producer
    }

    /// Requests that are not published yet.
    pub const fn unpublished(&self) -> u32 {
        self.request_producer.wrapping_sub(self.published)
    }

    /// The index up to which requests are published.
    pub const fn request_producer_published(&self) -> u32 {
        self.published
    }

    /// The producer index to publish; notes that it is.
    pub fn publish(&mut self) -> u32 {
        self.published = self.request_producer;
        self.published
    }

    /// Whether the other end asked, with `event`, to be notified of the requests from index `from` on.
    ///
    /// The comparison of `RING_PUSH_REQUESTS_AND_CHECK_NOTIFY`. `event` may be garbage: then there is a notification
    /// too many or too few, nothing worse.
    pub const fn wants_event(&self, from: u32, event: u32) -> bool {
        self.published.wrapping_sub(event) < self.published.wrapping_sub(from)
    }

    /// Responses that are known to be there and not taken yet.
    pub const fn known(&self) -> u32 {
        self.response_producer.wrapping_sub(self.response_consumer)
    }

    /// The index of the next response that is already known to be there.
    pub fn next_known(&mut self) -> Option<u32> {
        if self.response_consumer == self.response_producer {
            return None;
        }
        let index = self.response_consumer;
        self.response_consumer = index.wrapping_add(1);
        Some(index)
    }

    /// Takes note of the other end's response producer.
    ///
    /// # Errors
    ///
    /// [`Corrupt`] if it claims more responses than there are published requests, or fewer than it claimed before.
    pub fn learn(&mut self, claimed: u32) -> Result<(), Corrupt> {
        let outstanding = self.published.wrapping_sub(self.response_consumer);
        let available = claimed.wrapping_sub(self.response_consumer);
        if available > outstanding || available < self.known() {
            return Err(Corrupt {
                claimed,
                outstanding,
            });
        }
        self.response_producer = claimed;
        Ok(())
    }

    /// The index at which the other end is to send an event: when `count` more responses are there (1: the next).
    pub const fn event_index(&self, count: u32) -> u32 {
        let count = if count == 0 { 1 } else { count };
        self.response_consumer.wrapping_add(count)
    }
}

/// The largest power of two that is not above `value`, and 1 for 0.
const fn prev_power_of_two(value: u32) -> u32 {
    if value == 0 {
        return 1;
    }
    1 << value.ilog2()
}
