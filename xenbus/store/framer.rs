// SPDX-License-Identifier: GPL-2.0

//! Cuts a stream of bytes into messages: pure, tested and fuzzed on the build machine.
//!
//! A message may come in any number of pieces, cut anywhere, as the ring has room for them.

use super::wire::{
    Header,
    HEADER_SIZE, //
};
use core::ops::DerefMut;

/// A message claims a payload that is longer than the protocol allows. Where the next message begins is unknown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooLong {
    /// Its header.
    pub header: Header,
}

/// A whole message.
#[derive(Debug, PartialEq, Eq)]
pub struct Message<'a> {
    /// The header; its length is that of `payload`.
    pub header: Header,
    /// The payload.
    pub payload: &'a [u8],
}

/// What has come of the message that is not whole yet.
pub struct Framer<B: DerefMut<Target = [u8]>> {
    header: [u8; HEADER_SIZE],
    payload: B,
    // Bytes of header and payload that are here.
    here: usize,
}

impl<B: DerefMut<Target = [u8]>> Framer<B> {
    /// At the beginning of a message. The buffer's size is the longest payload.
    pub fn new(payload: B) -> Self {
        Self {
            header: [0; HEADER_SIZE],
            payload,
            here: 0,
        }
    }

    /// Whether the stream stands between two messages.
    pub fn is_idle(&self) -> bool {
        self.here == 0
    }

    /// Forgets the message that is not whole; the next byte begins a new one.
    pub fn reset(&mut self) {
        self.here = 0;
    }

    /// Takes bytes up to the end of a message. Returns how many were taken, and the message if it is whole now. Fewer
    /// than offered are taken only with a message.
    ///
    /// # Errors
    ///
    /// [`TooLong`], for good until [`Self::reset`].
    pub fn take(&mut self, bytes: &[u8]) -> Result<(usize, Option<Message<'_>>), TooLong> {
        let missing = self.header.get_mut(self.here..).unwrap_or_default();
        let taken = copy(missing, bytes);
        self.here += taken;
        if self.here < HEADER_SIZE {
            return Ok((taken, None));
        }
        let header = Header::decode(&self.header);
        let Some(payload) = self.payload.get_mut(..header.length as usize) else {
            return Err(TooLong { header });
        };
        let missing = payload
            .get_mut(self.here - HEADER_SIZE..)
            .unwrap_or_default();
        let wanted = missing.len();
        let more = copy(missing, bytes.get(taken..).unwrap_or_default());
        self.here += more;
        if more < wanted {
            return Ok((taken + more, None));
        }
        self.here = 0;
        Ok((taken + more, Some(Message { header, payload })))
    }
}

/// Copies as many bytes as there are and have room; returns their number.
fn copy(to: &mut [u8], from: &[u8]) -> usize {
    let count = to.len().min(from.len());
    for (to, from) in to.iter_mut().zip(from) {
        *to = *from;
    }
    count
}
