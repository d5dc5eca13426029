// SPDX-License-Identifier: GPL-2.0

//! The table of the requests that the backend has, by tag.

use crate::{
    connection::Issued,
    mq::{
        Late,
        Request, //
    }, //
};
use kernel::prelude::*;
use rxenbus::grant::Ref;

/// What the driver has of one tag.
pub(super) struct Slot {
    request: Option<(Request, Issued)>,
    // Room for the most segments of a request is made when a connection is negotiated.
    grants: KVec<Ref>,
    /// When it was issued, against the others.
    sequence: u64,
    next: u64,
}

impl Slot {
    /// The grants of the request that is being issued; empty at first.
    pub(super) fn grants(&mut self) -> &mut KVec<Ref> {
        &mut self.grants
    }

    /// The request was issued.
    pub(super) fn occupy(&mut self, request: Request, issued: Issued) {
        self.sequence = self.next;
        self.request = Some((request, issued));
    }
}

/// The table.
pub(super) struct Slots {
    slots: KVec<Slot>,
    sequence: u64,
}

impl Slots {
    /// A table of `depth` vacant slots, without room for grants yet.
    pub(super) fn new(depth: usize) -> Result<Self> {
        let mut slots = KVec::with_capacity(depth, GFP_KERNEL)?;
        for _ in 0..depth {
            slots.push(
                Slot {
                    request: None,
                    grants: KVec::new(),
                    sequence: 0,
                    next: 0,
                },
                GFP_KERNEL,
            )?;
        }
        Ok(Self { slots, sequence: 0 })
    }

    /// Room for the grants of `depth` requests with `segments` each.
    pub(super) fn room(depth: usize, segments: usize) -> Result<KVec<KVec<Ref>>> {
        let mut room = KVec::with_capacity(depth, GFP_KERNEL)?;
        for _ in 0..depth {
            room.push(KVec::with_capacity(segments, GFP_KERNEL)?, GFP_KERNEL)?;
        }
        Ok(room)
    }

    /// Gives the slots other room for their grants, and the former back.
    pub(super) fn exchange_room(&mut self, room: &mut KVec<KVec<Ref>>) {
        for (slot, grants) in self.slots.iter_mut().zip(room.iter_mut()) {
            core::mem::swap(&mut slot.grants, grants);
        }
    }

    /// The slot of a tag, if it is vacant.
    pub(super) fn vacant(&mut self, tag: usize) -> Option<&mut Slot> {
        let slot = self.slots.get_mut(tag)?;
        if slot.request.is_some() {
            return None;
        }
        self.sequence = self.sequence.wrapping_add(1);
        slot.next = self.sequence;
        Some(slot)
    }

    /// Takes the request out that a response names; [`None`] if there is none or the operation is another.
    pub(super) fn answered(
        &mut self,
        tag: usize,
        operation: u8,
    ) -> Option<(Request, Issued, &mut KVec<Ref>)> {
        let slot = self.slots.get_mut(tag)?;
        let (request, issued) = slot
            .request
            .take_if(|(_, issued)| issued.operation == operation)?;
        Some((request, issued, &mut slot.grants))
    }

    /// Takes the request out that was issued before all others.
    pub(super) fn take_oldest(&mut self) -> Option<(Request, &mut KVec<Ref>)> {
        let oldest = self
            .slots
            .iter_mut()
            .filter(|slot| slot.request.is_some())
            .min_by_key(|slot| slot.sequence)?;
        let (request, _) = oldest.request.take()?;
        Some((request, &mut oldest.grants))
    }

    /// Whether a request that is late is in the table.
    pub(super) fn holds(&self, late: &Late<'_>) -> bool {
        let slot = self.slots.get(late.tag());
        let request = slot.and_then(|slot| slot.request.as_ref());
        request.is_some_and(|(request, _)| request.is(late))
    }

    /// Requests in the table.
    pub(super) fn in_use(&self) -> usize {
        self.slots
            .iter()
            .filter(|slot| slot.request.is_some())
            .count()
    }
}
