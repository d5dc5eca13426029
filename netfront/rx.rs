// SPDX-License-Identifier: GPL-2.0

//! Frames from the backend.

use crate::{
    link::{
        Link,
        Violation, //
    },
    net::{
        Checksum,
        Device,
        Gso,
        Operations,
        ReceivePage,
        Skb, //
    },
    parser::{
        self,
        Parser, //
    },
    wire::{
        self,
        RxRequest,
        Segmentation, //
    },
};
use kernel::{
    prelude::*,
    sync::Arc, //
};
use rxenbus::{
    bus,
    evtchn::Channel,
    grant::{
        Access,
        Ref,
        Reserve, //
    },
    ring, //
};

/// The receive ring.
pub(crate) struct Protocol;

impl ring::Protocol for Protocol {
    type Request = [u32; wire::RX_REQUEST_WORDS];
    type Response = [u32; wire::RX_RESPONSE_WORDS];
}

/// Slots of the ring, and pages that are lent to the backend.
pub(crate) const RING: u32 = ring::Front::<Protocol>::SLOTS;

/// Counters since the device appeared.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Counters {
    pub(crate) packets: u64,
    pub(crate) bytes: u64,
    /// Frames that made no sense.
    pub(crate) errors: u64,
    /// Frames for which there was no memory.
    pub(crate) dropped: u64,
    /// Large frames whose checksum was not blank, as it has to be.
    pub(crate) checksum_fixups: u64,
}

/// What the receive lock protects.
pub(crate) struct State {
    pub(crate) link: Link<Connected>,
    pub(crate) counters: Counters,
}

impl State {
    /// Without a connection.
    pub(crate) fn new() -> Self {
        Self {
            link: Link::Absent,
            counters: Counters::default(),
        }
    }
}

/// A page that the backend has.
struct Buffer {
    page: ReceivePage,
    grant: Ref,
}

/// The receive direction of a connection. Dropping it ends all grants.
pub(crate) struct Connected {
    pub(crate) channel: Arc<Channel>,
    pub(crate) ring: ring::Front<Protocol>,
    reserve: Reserve,
    // By the slot that they were posted in.
    buffers: KVec<Option<Buffer>>,
    parser: Parser,
    // The frame whose end has not come yet.
    frame: Option<Skb>,
    // There was no memory for a part of it.
    lost: bool,
    // There was no memory for all pages when the ring was last filled.
    starved: bool,
}

/// A frame that has come, not yet checked against its own headers.
pub(crate) struct Received {
    frame: Skb,
    checksum: Checksum,
    gso: Gso,
}

impl Connected {
    /// A ring without pages. May sleep.
    pub(crate) fn new(device: &bus::Device, channel: Arc<Channel>) -> Result<Self> {
        let mut buffers = KVec::with_capacity(RING as usize, GFP_KERNEL)?;
        for _ in 0..RING {
            buffers.push(None, GFP_KERNEL)?;
        }
        Ok(Self {
            channel,
            ring: ring::Front::new(device)?,
            reserve: Reserve::new(device, RING as usize)?,
            buffers,
            parser: Parser::default(),
            frame: None,
            lost: false,
            starved: false,
        })
    }

    /// Lends pages to the backend until the ring is full. False if there is no memory for more now.
    pub(crate) fn fill(&mut self) -> bool {
        self.starved = false;
        while self.ring.free() > 0 && !self.starved {
            self.starved = self.post().is_none();
        }
        if self.ring.publish() {
            self.channel.notify();
        }
        !self.starved
    }

    /// Whether pages are missing although nothing may ever come that reminds of it: there may be none at all.
    pub(crate) fn is_starved(&self) -> bool {
        self.starved
    }

    /// Lends one page to the backend.
    fn post(&mut self) -> Option<()> {
        let position = self.ring.next_index() & (RING - 1);
        let place = self.buffers.get_mut(position as usize)?;
        if self.reserve.available() == 0 {
            return None;
        }
        let page = ReceivePage::new()?;
        let grant = self.reserve.grant(page.frame(), Access::ReadWrite).ok()?;
        let request = RxRequest {
            id: position as u16,
            gref: grant.number(),
        };
        *place = Some(Buffer { page, grant });
        self.ring.push(&request.words()).ok()?;
        Some(())
    }

    /// Takes the next slot. [`None`] if there is none.
    pub(crate) fn next_slot<T: Operations>(
        &mut self,
        device: &Device<T>,
        counters: &mut Counters,
    ) -> Result<Option<Slot>, Violation> {
        let Some((index, words)) = self.ring.next_response()? else {
            return Ok(None);
        };
        let position = index & (RING - 1);
        let buffer = self
            .buffers
            .get_mut(position as usize)
            .and_then(Option::take)
            .ok_or(Violation::Response)?;
        // Before anything else can fail: nobody else knows the grant.
        let page = self.end(buffer).ok_or(Violation::Grant)?;
        let step = self
            .parser
            .feed(words, position as u16)
            .map_err(|_| Violation::Response)?;
        if let Some((offset, length)) = step.data {
            self.add(device, page, offset, length);
        }
        match step.end {
            None => Ok(Some(Slot::Part)),
            Some(end) => Ok(Some(self.end_frame(end, counters))),
        }
    }

    /// Adds a page to the frame.
    fn add<T: Operations>(
        &mut self,
        device: &Device<T>,
        page: ReceivePage,
        offset: u16,
        length: u16,
    ) {
        if self.frame.is_none() && !self.lost {
            self.frame = Skb::start(device);
        }
        let added = match &mut self.frame {
            Some(frame) => frame.add(page, offset, length).is_ok(),
            None => false,
        };
        self.lost |= !added;
    }

    /// The frame has come to its end.
    fn end_frame(
        &mut self,
        end: Result<parser::Frame, parser::Fault>,
        counters: &mut Counters,
    ) -> Slot {
        let frame = self.frame.take();
        let lost = core::mem::take(&mut self.lost);
        match (end, frame) {
            (Err(_), _) => {
                counters.errors += 1;
                Slot::Part
            }
            (Ok(end), Some(frame)) if !lost => Slot::Frame(Received::new(frame, &end)),
            (Ok(_), _) => {
                counters.dropped += 1;
                Slot::Part
            }
        }
    }

    /// Takes a page back. [`None`] if the backend has it mapped: then it is kept until that has let go.
    fn end(&mut self, buffer: Buffer) -> Option<ReceivePage> {
        match self.reserve.end(buffer.grant) {
            Ok(()) => Some(buffer.page),
            Err(still_mapped) => {
                self.reserve.defer(still_mapped, buffer.page.into_held());
                None
            }
        }
    }
}

/// What a slot brought.
pub(crate) enum Slot {
    /// A part of a frame, or the end of one that is dropped and counted.
    Part,
    /// The end of a frame.
    Frame(Received),
}

impl Drop for Connected {
    fn drop(&mut self) {
        for position in 0..self.buffers.len() {
            if let Some(buffer) = self.buffers.get_mut(position).and_then(Option::take) {
                drop(self.end(buffer));
            }
        }
    }
}

impl Received {
    /// With what the backend says of the frame.
    fn new(frame: Skb, end: &parser::Frame) -> Self {
        Self {
            frame,
            checksum: match (end.blank, end.validated) {
                (true, _) => Checksum::Partial,
                (false, true) => Checksum::Unnecessary,
                (false, false) => Checksum::None,
            },
            gso: match end.segmentation {
                Some(Segmentation::TcpV4(size)) => Gso::TcpV4(size),
                Some(Segmentation::TcpV6(size)) => Gso::TcpV6(size),
                None => Gso::None,
            },
        }
    }

    /// Checks the frame against its headers, counts it and hands it to the stack. In the poll, without the lock.
    pub(crate) fn deliver<T: Operations>(mut self, device: &Device<T>, counters: &mut Counters) {
        let bytes = self.frame.length();
        if self.gso != Gso::None && self.checksum != Checksum::Partial {
            counters.checksum_fixups += 1;
        }
        match self.frame.complete(device, self.checksum, self.gso) {
            Ok(()) => {
                counters.packets += 1;
                counters.bytes += u64::from(bytes);
                self.frame.deliver(device);
            }
            Err(_) => counters.errors += 1,
        }
    }
}

impl core::ops::AddAssign for Counters {
    fn add_assign(&mut self, more: Self) {
        self.packets += more.packets;
        self.bytes += more.bytes;
        self.errors += more.errors;
        self.dropped += more.dropped;
        self.checksum_fixups += more.checksum_fixups;
    }
}
