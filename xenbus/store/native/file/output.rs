// SPDX-License-Identifier: GPL-2.0

//! What a program has to read: replies and events in order.

use super::super::report::COUNTERS;
use kernel::prelude::*;

/// Bytes of unread messages from which on events are merged.
const MERGE_FROM: usize = 256 * 1024;

/// Bytes of unread messages from which on nothing more is taken of the program.
const CLOGGED_FROM: usize = 1024 * 1024;

/// The messages.
pub(super) struct Output {
    messages: KVec<KVec<u8>>,
    // Messages that are read, and bytes of the next that are.
    read: usize,
    offset: usize,
    // Bytes of all that is not read.
    bytes: usize,
    // One event for each watch of which events had no room, to follow when all else is read.
    merged: KVec<KVec<u8>>,
}

impl Output {
    /// Nothing to read.
    pub(super) const fn new() -> Self {
        Self {
            messages: KVec::new(),
            read: 0,
            offset: 0,
            bytes: 0,
            merged: KVec::new(),
        }
    }

    /// Whether there is nothing to read.
    pub(super) fn is_empty(&self) -> bool {
        self.bytes == 0
    }

    /// Whether the program has to read before it may ask for more.
    pub(super) fn is_clogged(&self) -> bool {
        self.bytes >= CLOGGED_FROM
    }

    /// Adds a message.
    pub(super) fn push(&mut self, message: KVec<u8>) -> Result {
        let length = message.len();
        self.messages.push(message, GFP_KERNEL)?;
        self.bytes += length;
        Ok(())
    }

    /// Adds an event. Where the program does not read, the watch gets one event for many, which `merged` makes.
    pub(super) fn push_event(
        &mut self,
        event: KVec<u8>,
        merged: impl FnOnce() -> Result<KVec<u8>>,
    ) -> Result {
        if self.bytes < MERGE_FROM {
            return self.push(event);
        }
        COUNTERS.merged.count();
        let merged = merged()?;
        if !self.merged.iter().any(|other| **other == *merged) {
            self.merged.push(merged, GFP_KERNEL)?;
        }
        Ok(())
    }

    /// Copies the next bytes, of one message; returns how many.
    pub(super) fn peek(&self, buffer: &mut [u8]) -> usize {
        let message = self.messages.get(self.read);
        let rest = message.and_then(|message| message.get(self.offset..));
        let mut count = 0;
        for (to, from) in buffer.iter_mut().zip(rest.unwrap_or_default()) {
            *to = *from;
            count += 1;
        }
        count
    }

    /// So many bytes that were seen by [`Self::peek`] are read.
    pub(super) fn advance(&mut self, count: usize) {
        self.offset += count;
        self.bytes = self.bytes.saturating_sub(count);
        let Some(message) = self.messages.get_mut(self.read) else {
            return;
        };
        if self.offset < message.len() {
            return;
        }
        *message = KVec::new();
        self.read += 1;
        self.offset = 0;
        if self.read == self.messages.len() {
            self.messages = core::mem::take(&mut self.merged);
            self.read = 0;
            self.bytes = self.messages.iter().map(|event| event.len()).sum();
        } else if self.read >= 64 && self.read * 2 > self.messages.len() {
            self.messages.retain(|message| !message.is_empty());
            self.read = 0;
        }
    }
}
