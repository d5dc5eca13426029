// SPDX-License-Identifier: GPL-2.0

//! A connection to the backend, from the offer of a ring to its end.
//!
//! [`Offered`] has a ring and a channel and waits for the backend; once that is connected and says what it can,
//! [`Offered::accept`] makes it [`Connected`]. Dropping either unbinds the channel, ends the grants and frees the pages.
//! Requests do not belong to a connection: they outlive it, see `queue`.

use crate::{
    mq::{
        Limits,
        Request,
        Segment, //
    },
    negotiate::{
        Flush,
        Negotiated,
        DIRECT_SEGMENTS,
        INDIRECT_SEGMENTS_PER_PAGE, //
    },
    wire::{
        self,
        operation, //
    },
};
use kernel::{
    fmt,
    prelude::*,
    sync::Arc, //
};
use rxenbus::{
    bus::Device,
    evtchn,
    grant::{
        Access,
        Held,
        Ref,
        Reserve,
        SharedPages, //
    },
    ring,
    store, //
};

/// The block ring.
pub(crate) struct Protocol;

impl ring::Protocol for Protocol {
    type Request = [u64; wire::REQUEST_WORDS];
    type Response = [u64; wire::RESPONSE_WORDS];
}

/// Requests at once: a ring slot each.
pub(crate) const DEPTH: u32 = ring::Front::<Protocol>::SLOTS;

/// The grant references of a connection, at the most; `wanted_segments` as for `negotiate`.
pub(crate) fn references(wanted_segments: u32) -> usize {
    let segments = wanted_segments.clamp(DIRECT_SEGMENTS, INDIRECT_SEGMENTS_PER_PAGE);
    // The ring; for each request its segments and a page that lists them.
    1 + DEPTH as usize * (segments as usize + 1)
}

/// The limits of a disk with what was negotiated.
pub(crate) fn limits(negotiated: &Negotiated) -> Limits {
    Limits {
        logical_block: negotiated.sector_size,
        physical_block: negotiated.physical_sector_size,
        segments: u16::try_from(negotiated.max_segments).unwrap_or(u16::MAX),
        flush: negotiated.flush != Flush::None,
        fua: negotiated.flush == Flush::Barrier,
        discard: negotiated
            .discard
            .map(|discard| (discard.granularity, discard.alignment)),
        secure_erase: negotiated.discard.is_some_and(|discard| discard.secure),
    }
}

/// A ring that the backend was told of.
pub(crate) struct Offered {
    // The channel goes first: its handler uses what is below.
    channel: evtchn::Channel,
    ring: ring::Front<Protocol>,
}

impl Offered {
    /// Sets a ring up and publishes it. May sleep.
    pub(crate) fn publish(device: &Device, handler: Arc<dyn evtchn::Handler>) -> Result<Self> {
        let ring = ring::Front::new(device)?;
        let channel = evtchn::Channel::bind(device, "ring", handler)?;
        let node = device.nodename();
        store::transaction(|open| {
            let write =
                |name, value: fmt::Arguments<'_>| store::write(Some(open), node, name, value);
            write(c"ring-ref", fmt!("{}", ring.gref()))?;
            write(c"event-channel", fmt!("{}", channel.port()))?;
            write(c"protocol", fmt!("x86_64-abi"))?;
            write(c"feature-persistent", fmt!("0"))
        })?;
        Ok(Self { channel, ring })
    }

    /// Goes into operation with what was negotiated. May sleep.
    pub(crate) fn accept(
        self,
        device: &Device,
        handle: u16,
        negotiated: Negotiated,
    ) -> Result<Connected> {
        let segments = negotiated.max_segments as usize;
        let indirect = if negotiated.indirect() {
            Some(SharedPages::new(device, DEPTH as usize, Access::ReadOnly)?)
        } else {
            None
        };
        Ok(Connected {
            channel: self.channel,
            ring: self.ring,
            reserve: Reserve::new(device, segments * DEPTH as usize)?,
            indirect,
            scratch: KVec::from_elem(Segment::EMPTY, segments, GFP_KERNEL)?,
            negotiated,
            handle,
        })
    }
}

/// A connection in operation.
pub(crate) struct Connected {
    // The channel goes first: its handler uses what is below.
    pub(crate) channel: evtchn::Channel,
    pub(crate) ring: ring::Front<Protocol>,
    reserve: Reserve,
    // One page for each tag, lent for as long as the connection lasts.
    indirect: Option<SharedPages>,
    // Where a request's segments are listed; under the queue's lock as all of this.
    scratch: KVec<Segment>,
    negotiated: Negotiated,
    handle: u16,
}

/// A request that is on its way to the backend.
pub(crate) struct Issued {
    /// The operation that the response must repeat.
    pub(crate) operation: u8,
    /// Bytes of the payload that this round carries; the rest of the request follows when it is back.
    pub(crate) bytes: u32,
}

impl Connected {
    /// What was negotiated.
    pub(crate) fn negotiated(&self) -> &Negotiated {
        &self.negotiated
    }

    /// Puts a read or write, or as much of it as one ring request carries, on the ring. The grants go into `grants`.
    pub(crate) fn issue_data(
        &mut self,
        request: &mut Request,
        write: bool,
        grants: &mut KVec<Ref>,
    ) -> Result<Issued> {
        let barrier = write && request.is_fua() && self.negotiated.flush == Flush::Barrier;
        let operation = match (write, barrier) {
            (false, _) => operation::READ,
            (true, false) => operation::WRITE,
            (true, true) => operation::WRITE_BARRIER,
        };
        // A barrier cannot be indirect.
        let most = if barrier {
            self.scratch.len().min(DIRECT_SEGMENTS as usize)
        } else {
            self.scratch.len()
        };
        let room = self.scratch.get_mut(..most).ok_or(EIO)?;
        let mut count = request.segments(room);
        let access = if write {
            Access::ReadOnly
        } else {
            Access::ReadWrite
        };
        let mut bytes: u32 = 0;
        for (index, segment) in self.scratch.iter().take(count).enumerate() {
            // Checks what the block layer promises; the number is filled in below.
            wire::Segment::new(0, segment.offset(), segment.length()).ok_or(EIO)?;
            let frame = match request.frame(index, segment, write) {
                // The rest follows when this much is back.
                Err(_) if index > 0 => {
                    count = index;
                    break;
                }
                frame => frame?,
            };
            let grant = self.reserve.grant(frame, access)?;
            grants.push_within_capacity(grant).map_err(|_| EIO)?;
            bytes = bytes.saturating_add(segment.length());
        }
        if count == 0 {
            return Err(EIO);
        }
        self.push_data(request, operation, count, grants)?;
        Ok(Issued { operation, bytes })
    }

    /// The ring request of a payload whose segments are listed in `scratch` and granted in `grants`.
    fn push_data(
        &mut self,
        request: &Request,
        operation: u8,
        count: usize,
        grants: &KVec<Ref>,
    ) -> Result {
        let tag = request.tag();
        let segments = self
            .scratch
            .iter()
            .zip(grants.iter())
            .take(count)
            .filter_map(|(segment, grant)| {
                wire::Segment::new(grant.number(), segment.offset(), segment.length())
            });
        let slot = if count <= DIRECT_SEGMENTS as usize {
            wire::Request::direct(
                operation,
                self.handle,
                tag as u64,
                request.sector(),
                segments,
            )
        } else {
            let pages = self.indirect.as_mut().ok_or(EIO)?;
            pages.write(tag, segments.map(|segment| segment.word()));
            wire::Request::indirect(
                operation,
                self.handle,
                tag as u64,
                request.sector(),
                count as u16,
                pages.gref(tag).ok_or(EIO)?,
            )
        };
        self.ring.push(slot.words()).map(|_| ())
    }

    /// Puts a flush on the ring.
    pub(crate) fn issue_flush(&mut self, request: &Request) -> Result<Issued> {
        let operation = match self.negotiated.flush {
            Flush::Cache => operation::FLUSH,
            Flush::Barrier => operation::WRITE_BARRIER,
            Flush::None => return Err(EOPNOTSUPP),
        };
        // The position means nothing, but backends check it against the disk's size.
        let slot = wire::Request::direct(
            operation,
            self.handle,
            request.tag() as u64,
            0,
            core::iter::empty(),
        );
        self.ring.push(slot.words())?;
        Ok(Issued {
            operation,
            bytes: 0,
        })
    }

    /// Puts a discard on the ring.
    pub(crate) fn issue_discard(&mut self, request: &Request, secure: bool) -> Result<Issued> {
        let slot = wire::Request::discard(
            request.tag() as u64,
            request.sector(),
            u64::from(request.bytes()) / 512,
            secure,
        );
        self.ring.push(slot.words())?;
        Ok(Issued {
            operation: operation::DISCARD,
            bytes: request.bytes(),
        })
    }

    /// Ends the grants of a request; true if the backend had let go of all of them. Pages that it still has mapped are
    /// kept until it does.
    pub(crate) fn end_grants(&mut self, request: &Request, grants: &mut KVec<Ref>) -> bool {
        let mut all = true;
        let mut listed = false;
        for (index, grant) in grants.drain_all().enumerate() {
            if let Err(still_mapped) = self.reserve.end(grant) {
                if !listed {
                    request.segments(&mut self.scratch);
                    listed = true;
                }
                let held = match self.scratch.get(index) {
                    Some(segment) => request.hold(index, segment),
                    None => Held::Nothing,
                };
                self.reserve.defer(still_mapped, held);
                all = false;
            }
        }
        all
    }

    /// Makes what was put on the ring visible, and sends an event if the backend waits for one.
    pub(crate) fn publish(&mut self) {
        if self.ring.publish() {
            self.channel.notify();
        }
    }
}
