// SPDX-License-Identifier: GPL-2.0

//! The parts of frames that the backend has, by the number that its responses repeat.

use crate::net::Skb;
use kernel::prelude::*;
use rxenbus::grant::Ref;

/// A part of a frame that the backend has.
pub(super) struct InFlight {
    pub(super) grant: Ref,
    pub(super) frame: Skb,
    /// Bytes of the whole frame for its last part, else 0: what the queue's byte limit is told when it is back.
    pub(super) bytes: u32,
}

/// As many parts as the ring has slots.
pub(super) struct Slots {
    parts: KVec<Option<InFlight>>,
    // The numbers that are free; has capacity for all.
    free: KVec<u16>,
}

impl Slots {
    /// All free. May sleep.
    pub(super) fn new(count: u16) -> Result<Self> {
        let mut parts = KVec::with_capacity(count.into(), GFP_KERNEL)?;
        let mut free = KVec::with_capacity(count.into(), GFP_KERNEL)?;
        for number in 0..count {
            parts.push(None, GFP_KERNEL)?;
            free.push(number, GFP_KERNEL)?;
        }
        Ok(Self { parts, free })
    }

    /// How many parts can be added.
    pub(super) fn vacant(&self) -> usize {
        self.free.len()
    }

    /// Adds a part and returns its number. Gives it back where all are taken.
    pub(super) fn add(&mut self, part: InFlight) -> Result<u16, InFlight> {
        let Some(number) = self.free.pop() else {
            return Err(part);
        };
        match self.parts.get_mut(usize::from(number)) {
            Some(place) => *place = Some(part),
            None => return Err(part),
        }
        Ok(number)
    }

    /// Takes a part out; [`None`] where there is none of that number.
    pub(super) fn take(&mut self, number: u16) -> Option<InFlight> {
        let part = self.parts.get_mut(usize::from(number))?.take()?;
        // There is capacity for all numbers.
        let _ = self.free.push_within_capacity(number);
        Some(part)
    }

    /// Takes any part out, until none is left.
    pub(super) fn take_any(&mut self) -> Option<InFlight> {
        let number = self.parts.iter().position(Option::is_some)?;
        self.take(u16::try_from(number).ok()?)
    }
}
