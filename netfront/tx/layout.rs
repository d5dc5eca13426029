// SPDX-License-Identifier: GPL-2.0

//! How a frame is spread over the slots of the ring.

use crate::{
    net::{
        Gso,
        Segment,
        Skb, //
    },
    wire::{
        MAX_SLOTS,
        MAX_TX_BYTES, //
    },
};
use kernel::prelude::*;

/// The first part must hold an Ethernet header, or backends refuse the frame.
const FIRST_BYTES: u16 = 14;

/// The parts of a frame, each in one page.
pub(crate) struct Layout {
    segments: [Segment; MAX_SLOTS],
    count: usize,
}

impl Layout {
    /// The parts, in order; at least one.
    pub(crate) fn segments(&self) -> &[Segment] {
        self.segments.get(..self.count).unwrap_or_default()
    }

    /// Of a frame as it is, if a backend accepts that.
    fn of(frame: &Skb, most: usize) -> Result<Self> {
        let mut layout = Self {
            segments: [const { Segment::EMPTY }; MAX_SLOTS],
            count: 0,
        };
        let room = layout.segments.get_mut(..most).ok_or(EINVAL)?;
        layout.count = frame.segments(room)?;
        match layout.segments().first() {
            Some(first) if first.length() >= FIRST_BYTES => Ok(layout),
            _ => Err(EINVAL),
        }
    }
}

/// Lays a frame out over `most` slots, after copying it together where it must be; true then.
///
/// # Errors
///
/// The frame cannot be sent, or there is no memory for a copy now.
pub(crate) fn lay_out(frame: &mut Skb, most: usize) -> Result<(Layout, bool)> {
    let length = frame.length();
    if length < FIRST_BYTES.into() || length > MAX_TX_BYTES || frame.gso() == Gso::Other {
        return Err(EINVAL);
    }
    if let Ok(layout) = Layout::of(frame, most) {
        return Ok((layout, false));
    }
    frame.linearize()?;
    if let Ok(layout) = Layout::of(frame, most) {
        return Ok((layout, true));
    }
    // The head of the frame is at the very end of a page.
    *frame = frame.copy().ok_or(ENOMEM)?;
    Ok((Layout::of(frame, most)?, true))
}
