// SPDX-License-Identifier: GPL-2.0

//! What travels on a block ring, byte by byte (`include/xen/interface/io/blkif.h`, the x86_64 layout): pure, tested on
//! the build machine.
//!
//! A request is built from zeroes, so nothing of this guest's memory leaks through padding.

/// 64-bit words of a request in its slot.
pub const REQUEST_WORDS: usize = 14;
/// 64-bit words of a response in its slot.
pub const RESPONSE_WORDS: usize = 2;

/// The operations (`BLKIF_OP_*`).
pub mod operation {
    /// Read.
    pub const READ: u8 = 0;
    /// Write.
    pub const WRITE: u8 = 1;
    /// Write, after all before and before all after it are on stable storage.
    pub const WRITE_BARRIER: u8 = 2;
    /// Flush the cache.
    pub const FLUSH: u8 = 3;
    /// Discard.
    pub const DISCARD: u8 = 5;
    /// Read or write with its segments in other pages.
    pub const INDIRECT: u8 = 6;
}

/// A request as it lies in its slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Request([u64; REQUEST_WORDS]);

/// A response as it lies in its slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Response([u64; RESPONSE_WORDS]);

/// A part of the payload, in one page that is lent to the backend.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Segment {
    /// The grant.
    pub gref: u32,
    /// The first sector in the page.
    pub first: u8,
    /// The last sector in the page, inclusive.
    pub last: u8,
}

impl Segment {
    /// Of a part of a page, in bytes; [`None`] if it is empty, not of whole sectors, or leaves the page.
    pub const fn new(gref: u32, offset: u32, length: u32) -> Option<Self> {
        if length == 0 || offset % 512 != 0 || length % 512 != 0 {
            return None;
        }
        match offset.checked_add(length) {
            Some(end) if end <= 4096 => Some(Self {
                gref,
                first: (offset / 512) as u8,
                last: (end / 512 - 1) as u8,
            }),
            _ => None,
        }
    }

    /// As it lies in a request or in an indirect page.
    pub const fn word(&self) -> u64 {
        self.gref as u64 | (self.first as u64) << 32 | (self.last as u64) << 40
    }
}

impl Request {
    /// A request without payload: what all have in common.
    const fn new(operation: u8, id: u64, sector: u64) -> Self {
        let mut words = [0; REQUEST_WORDS];
        words[0] = operation as u64;
        words[1] = id;
        words[2] = sector;
        Self(words)
    }

    /// A read, write, barrier write or flush with up to 11 segments; more are left out.
    pub fn direct(
        operation: u8,
        handle: u16,
        id: u64,
        sector: u64,
        segments: impl Iterator<Item = Segment>,
    ) -> Self {
        let Self(mut words) = Self::new(operation, id, sector);
        let mut count: u64 = 0;
        if let Some(places) = words.get_mut(3..) {
            for (place, segment) in places.iter_mut().zip(segments) {
                *place = segment.word();
                count += 1;
            }
        }
        words[0] |= count << 8 | u64::from(handle) << 16;
        Self(words)
    }

    /// A read or write whose segments are in one other page.
    pub fn indirect(
        operation: u8,
        handle: u16,
        id: u64,
        sector: u64,
        segments: u16,
        page_gref: u32,
    ) -> Self {
        let Self(mut words) = Self::new(operation::INDIRECT, id, sector);
        words[0] |= u64::from(operation) << 8 | u64::from(segments) << 16;
        // Two bytes handle, two of padding, then the references of the pages.
        words[3] = u64::from(handle) | u64::from(page_gref) << 32;
        Self(words)
    }

    /// A discard.
    pub fn discard(id: u64, sector: u64, sectors: u64, secure: bool) -> Self {
        let Self(mut words) = Self::new(operation::DISCARD, id, sector);
        words[0] |= u64::from(secure) << 8;
        words[3] = sectors;
        Self(words)
    }

    /// As it goes onto the ring.
    pub const fn words(&self) -> &[u64; REQUEST_WORDS] {
        &self.0
    }
}

/// How a request ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// Well.
    Okay,
    /// The backend cannot do this operation.
    NotSupported,
    /// Badly; also every status that the protocol does not have.
    Error,
}

impl Response {
    /// As it came from the ring.
    pub const fn from_words(words: [u64; RESPONSE_WORDS]) -> Self {
        Self(words)
    }

    /// The number that the request had.
    pub const fn id(&self) -> u64 {
        self.0[0]
    }

    /// The operation that the request had.
    pub const fn operation(&self) -> u8 {
        self.0[1] as u8
    }

    /// How it ended.
    pub const fn status(&self) -> Status {
        match (self.0[1] >> 16) as i16 {
            0 => Status::Okay,
            -2 => Status::NotSupported,
            _ => Status::Error,
        }
    }
}
