// SPDX-License-Identifier: GPL-2.0

//! Socket buffers: frames on their way through the stack.

use super::{
    Device,
    Operations,
    ReceivePage, //
};
use core::{
    mem::ManuallyDrop,
    ptr::NonNull, //
};
use kernel::{
    error::to_result,
    prelude::*, //
};
use rxen_bindings as bindings;
use rxenbus::grant::{
    Frame,
    Held,
    HeldBuffer, //
};

/// How much of a frame's checksums is known to be right.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Checksum {
    /// Nothing.
    None,
    /// They are.
    Unnecessary,
    /// The one of the transport header is blank but for the pseudo header's.
    Partial,
}

/// How a large frame is to be cut up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Gso {
    /// Not at all.
    None,
    /// TCP over IPv4, with this many bytes of payload in each piece.
    TcpV4(u16),
    /// TCP over IPv6.
    TcpV6(u16),
    /// In a way that the protocol has no word for.
    Other,
}

/// A part of a frame in one page.
#[repr(transparent)]
pub(crate) struct Segment(bindings::rxen_net_segment);

impl Segment {
    /// No payload; a place to fill.
    pub(crate) const EMPTY: Self = Self(bindings::rxen_net_segment {
        page: core::ptr::null_mut(),
        offset: 0,
        length: 0,
    });

    /// Bytes from the page's start; below 4096.
    pub(crate) fn offset(&self) -> u16 {
        self.0.offset as u16
    }

    /// Bytes; 4096 at the most.
    pub(crate) fn length(&self) -> u16 {
        self.0.length as u16
    }
}

/// One reference of a frame. Dropped, the frame counts as lost.
///
/// # Invariants
///
/// The value owns one reference of a valid buffer.
pub(crate) struct Skb(NonNull<bindings::sk_buff>);

// SAFETY: A buffer may be used and freed by any thread.
unsafe impl Send for Skb {}

impl Skb {
    /// Takes a reference over.
    ///
    /// # Safety
    ///
    /// The caller must own a reference of a valid buffer, which it gives up.
    pub(super) unsafe fn from_owned(skb: NonNull<bindings::sk_buff>) -> Self {
        // INVARIANT: The caller promises it.
        Self(skb)
    }

    /// Gives the reference back to the stack, if this is still the buffer that it handed over; else drops it.
    pub(super) fn give_back_as(self, handed_over: NonNull<bindings::sk_buff>) -> bool {
        let same = self.0 == handed_over;
        if same {
            let _ = ManuallyDrop::new(self);
        }
        same
    }

    /// Bytes.
    pub(crate) fn length(&self) -> u32 {
        // SAFETY: Valid by the invariant.
        unsafe { bindings::rxen_net_length(self.0.as_ptr()) }
    }

    /// Lists the frame as parts of single pages; returns how many there are.
    ///
    /// # Errors
    ///
    /// `ENOSPC` where they are more than `segments` holds.
    pub(crate) fn segments(&self, segments: &mut [Segment]) -> Result<usize> {
        let most = c_uint::try_from(segments.len()).unwrap_or(c_uint::MAX);
        // SAFETY: Valid by the invariant; the helper writes `most` segments at the most.
        let count = unsafe {
            bindings::rxen_net_segments(self.0.as_ptr(), segments.as_mut_ptr().cast(), most)
        };
        match usize::try_from(count) {
            Ok(count) => Ok(count),
            Err(_) => Err(Error::from_errno(count)),
        }
    }

    /// The frame of one of this buffer's segments, for a grant.
    pub(crate) fn frame(&self, segment: &Segment) -> Frame {
        // SAFETY: `segments` has filled it in for a buffer, which keeps the page.
        unsafe { Frame::of_page(segment.0.page) }
    }

    /// Another reference.
    pub(crate) fn hold(&self) -> Self {
        // SAFETY: Valid by the invariant; the result is never null.
        let skb = unsafe { bindings::rxen_net_hold(self.0.as_ptr()) };
        // INVARIANT: The reference was taken just now.
        Self(NonNull::new(skb).unwrap_or(self.0))
    }

    /// Moves the reference to a grant that has not ended.
    pub(crate) fn into_held(self) -> Held {
        let skb = ManuallyDrop::new(self);
        // SAFETY: Valid by the invariant; the reference moves.
        Held::Buffer(unsafe { HeldBuffer::from_owned(skb.0.as_ptr()) })
    }

    /// Ends the reference of a frame that was sent. Any context.
    pub(crate) fn consume(self) {
        let skb = ManuallyDrop::new(self);
        // SAFETY: Valid by the invariant, and the reference is owned.
        unsafe { bindings::rxen_net_consume(skb.0.as_ptr()) }
    }

    /// Moves all payload into one piece of memory. Nobody else may have a reference.
    pub(crate) fn linearize(&mut self) -> Result {
        // SAFETY: Valid by the invariant.
        to_result(unsafe { bindings::rxen_net_linearize(self.0.as_ptr()) })
    }

    /// A copy in one piece of memory. [`None`] if there is no memory now.
    pub(crate) fn copy(&self) -> Option<Self> {
        // SAFETY: Valid by the invariant.
        let skb = unsafe { bindings::rxen_net_copy(self.0.as_ptr()) };
        // INVARIANT: Made just now.
        NonNull::new(skb).map(Self)
    }

    /// Notes the time for those who want to know when the frame was sent.
    pub(crate) fn timestamp(&self) {
        // SAFETY: Valid by the invariant.
        unsafe { bindings::rxen_net_timestamp(self.0.as_ptr()) }
    }

    /// What is to be said of its checksums.
    pub(crate) fn checksum(&self) -> Checksum {
        // SAFETY: Valid by the invariant.
        match unsafe { bindings::rxen_net_checksum(self.0.as_ptr()) } {
            bindings::rxen_net_checksum_RXEN_NET_CHECKSUM_PARTIAL => Checksum::Partial,
            bindings::rxen_net_checksum_RXEN_NET_CHECKSUM_UNNECESSARY => Checksum::Unnecessary,
            _ => Checksum::None,
        }
    }

    /// How it is to be cut up.
    pub(crate) fn gso(&self) -> Gso {
        let mut size = 0;
        // SAFETY: Valid by the invariant; the size is valid for the write.
        match unsafe { bindings::rxen_net_gso(self.0.as_ptr(), &mut size) } {
            bindings::rxen_net_gso_RXEN_NET_GSO_NONE => Gso::None,
            bindings::rxen_net_gso_RXEN_NET_GSO_TCPV4 => Gso::TcpV4(size),
            bindings::rxen_net_gso_RXEN_NET_GSO_TCPV6 => Gso::TcpV6(size),
            _ => Gso::Other,
        }
    }
}

/// Receiving.
impl Skb {
    /// An empty frame. [`None`] if there is no memory now.
    pub(crate) fn start<T: Operations>(device: &Device<T>) -> Option<Self> {
        // SAFETY: The device is valid.
        let skb = unsafe { bindings::rxen_net_receive_start(device.as_raw()) };
        // INVARIANT: Made just now.
        NonNull::new(skb).map(Self)
    }

    /// Adds a part of a page. `offset + length` must not be above a page.
    ///
    /// # Errors
    ///
    /// `ENOMEM`, or `EMSGSIZE` where the frame has too many parts.
    pub(crate) fn add(&mut self, page: ReceivePage, offset: u16, length: u16) -> Result {
        if usize::from(offset) + usize::from(length) > kernel::page::PAGE_SIZE {
            return Err(EINVAL);
        }
        let page = page.into_raw();
        // SAFETY: Valid by the invariant and under construction, so nobody else has a reference; the part lies in the
        // page, whose reference the helper takes over if it succeeds.
        let result = unsafe {
            bindings::rxen_net_receive_page(
                self.0.as_ptr(),
                page,
                c_uint::from(offset),
                c_uint::from(length),
            )
        };
        if result != 0 {
            // SAFETY: The reference was not taken over.
            unsafe { bindings::rxen_net_put_page(page) };
        }
        to_result(result)
    }

    /// Completes a frame: its headers, what is known of its checksums, how it may be cut up.
    ///
    /// # Errors
    ///
    /// `EINVAL` or `EPROTO` where the headers do not allow what the other end claims.
    pub(crate) fn complete<T: Operations>(
        &mut self,
        device: &Device<T>,
        checksum: Checksum,
        gso: Gso,
    ) -> Result {
        // A large frame must have a blank checksum. Some backends forget to say so: then it is made blank.
        let large = gso != Gso::None;
        let recalculate = large && checksum != Checksum::Partial;
        let checksum = match checksum {
            _ if large => bindings::rxen_net_checksum_RXEN_NET_CHECKSUM_PARTIAL,
            Checksum::Partial => bindings::rxen_net_checksum_RXEN_NET_CHECKSUM_PARTIAL,
            Checksum::Unnecessary => bindings::rxen_net_checksum_RXEN_NET_CHECKSUM_UNNECESSARY,
            Checksum::None => bindings::rxen_net_checksum_RXEN_NET_CHECKSUM_NONE,
        };
        let gso = match gso {
            Gso::TcpV4(size) => Some((bindings::rxen_net_gso_RXEN_NET_GSO_TCPV4, size)),
            Gso::TcpV6(size) => Some((bindings::rxen_net_gso_RXEN_NET_GSO_TCPV6, size)),
            Gso::None | Gso::Other => None,
        };
        let skb = self.0.as_ptr();
        // SAFETY: Valid by the invariant and under construction; the device is valid.
        unsafe {
            to_result(bindings::rxen_net_receive_head(skb, device.as_raw()))?;
            if let Some((kind, size)) = gso {
                bindings::rxen_net_set_gso(skb, kind, size);
            }
            to_result(bindings::rxen_net_set_checksum(skb, checksum, recalculate))
        }
    }

    /// Hands a completed frame to the stack. In the device's poll only.
    pub(crate) fn deliver<T: Operations>(self, device: &Device<T>) {
        let skb = ManuallyDrop::new(self);
        // SAFETY: Valid by the invariant; the stack takes the reference over.
        unsafe { bindings::rxen_net_receive(device.as_raw(), skb.0.as_ptr()) }
    }
}

impl Drop for Skb {
    fn drop(&mut self) {
        // SAFETY: Valid by the invariant, and the reference is owned.
        unsafe { bindings::rxen_net_free(self.0.as_ptr()) }
    }
}
