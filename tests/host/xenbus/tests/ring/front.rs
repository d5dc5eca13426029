// SPDX-License-Identifier: GPL-2.0

//! A front end as xenbus/ring.rs has it: the indices under test, on the page that the C back end shares.

use pure_xenbus::indices::{
    Corrupt,
    Indices, //
};
use reference::Shared;

/// Slots of a block ring, which the C side uses.
pub(crate) const SLOTS: u32 = 32;

/// Each method does to the shared indices what the method of the same name in xenbus/ring.rs does, in that order.
pub(crate) struct Front {
    pub(crate) indices: Indices,
}

impl Front {
    /// A front end whose indices are all at `at`.
    pub(crate) fn starting_at(at: u32) -> Self {
        Self {
            indices: Indices::starting_at(SLOTS, at),
        }
    }

    /// Publishes; true if the back end wants an event.
    pub(crate) fn publish(&mut self, shared: &mut Shared) -> bool {
        if self.indices.unpublished() == 0 {
            return false;
        }
        let from = self.indices.request_producer_published();
        shared.request_producer = self.indices.publish();
        self.indices.wants_event(from, shared.request_event)
    }

    /// Takes the next response.
    pub(crate) fn next_response(&mut self, shared: &Shared) -> Result<Option<u32>, Corrupt> {
        if let Some(index) = self.indices.next_known() {
            return Ok(Some(index));
        }
        self.indices.learn(shared.response_producer)?;
        Ok(self.indices.next_known())
    }

    /// Asks for an event; true if there are responses already.
    pub(crate) fn rearm_after(&mut self, shared: &mut Shared, count: u32) -> Result<bool, Corrupt> {
        shared.response_event = self.indices.event_index(count);
        self.indices.learn(shared.response_producer)?;
        Ok(self.indices.known() >= count.max(1))
    }
}
