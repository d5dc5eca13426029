// SPDX-License-Identifier: GPL-2.0

//! Frames on their way to the backend.

mod layout;
mod slots;

pub(crate) use layout::{
    lay_out,
    Layout, //
};

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
        Skb, //
    },
    wire::{
        self,
        tx_flags,
        Segmentation,
        TxRequest,
        TxResponse,
        TxStatus,
        MAX_SLOTS, //
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
use slots::{
    InFlight,
    Slots, //
};

/// The transmit ring.
pub(crate) struct Protocol;

impl ring::Protocol for Protocol {
    type Request = [u32; wire::TX_REQUEST_WORDS];
    type Response = [u32; wire::TX_RESPONSE_WORDS];
}

/// Slots of the ring.
pub(crate) const RING: u32 = ring::Front::<Protocol>::SLOTS;
/// Slots that a frame takes at the most: payload and how it is to be cut up.
const FRAME_SLOTS: usize = MAX_SLOTS + 1;
/// The queue goes on when there is room for this many slots.
const WAKE_SLOTS: usize = 2 * FRAME_SLOTS;

/// Counters since the device appeared.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Counters {
    pub(crate) packets: u64,
    pub(crate) bytes: u64,
    pub(crate) errors: u64,
    pub(crate) dropped: u64,
    /// Frames that had to be copied to fit into the ring.
    pub(crate) copied: u64,
    /// How often the queue was stopped because the ring was full.
    pub(crate) stops: u64,
    /// How often the queue was stopped for so long that the stack complained.
    pub(crate) timeouts: u64,
}

/// What the transmit lock protects.
pub(crate) struct State {
    pub(crate) link: Link<Connected>,
    pub(crate) counters: Counters,
    /// Between park and unpark or the next connection no frame is taken.
    pub(crate) parked: bool,
}

impl State {
    /// Without a connection.
    pub(crate) fn new() -> Self {
        Self {
            link: Link::Absent,
            counters: Counters::default(),
            parked: false,
        }
    }
}

/// The transmit direction of a connection. Dropping it ends all grants; frames that the backend has count as lost.
pub(crate) struct Connected {
    pub(crate) channel: Arc<Channel>,
    pub(crate) ring: ring::Front<Protocol>,
    reserve: Reserve,
    slots: Slots,
}

impl Connected {
    /// A ring without frames. May sleep.
    pub(crate) fn new(device: &bus::Device, channel: Arc<Channel>) -> Result<Self> {
        Ok(Self {
            channel,
            ring: ring::Front::new(device)?,
            reserve: Reserve::new(device, RING as usize)?,
            slots: Slots::new(RING as u16)?,
        })
    }

    /// Slots that can be used now.
    fn room(&self) -> usize {
        (self.ring.free() as usize)
            .min(self.slots.vacant())
            .min(self.reserve.available())
    }

    /// Whether a frame may come, however many slots it takes.
    pub(crate) fn has_room(&self) -> bool {
        self.room() >= FRAME_SLOTS
    }

    /// Whether a stopped queue is to go on.
    pub(crate) fn may_wake(&self) -> bool {
        self.room() >= WAKE_SLOTS
    }

    /// Puts a frame on the ring, where there must be room for it.
    ///
    /// # Errors
    ///
    /// `ENOSPC`: nothing was put on the ring; the frame is lost.
    pub(crate) fn send(&mut self, frame: Skb, layout: &Layout) -> Result {
        let mut ids = [0; MAX_SLOTS];
        let mut grefs = [0; MAX_SLOTS];
        let segments = layout.segments();
        let bytes = frame.length();
        let (checksum, gso) = (frame.checksum(), frame.gso());
        let mut frame = Some(frame);
        for (index, (id, gref)) in ids
            .iter_mut()
            .zip(&mut grefs)
            .take(segments.len())
            .enumerate()
        {
            let last = index + 1 == segments.len();
            let added = self.add_part(&mut frame, layout, index, if last { bytes } else { 0 });
            match added {
                Ok(added) => (*id, *gref) = added,
                Err(error) => {
                    self.withdraw(ids.iter().take(index));
                    return Err(error);
                }
            }
        }
        let extra = segmentation(gso);
        let first_flags = checksum_flags(checksum, extra.is_some());
        for (index, ((id, gref), segment)) in ids.iter().zip(grefs).zip(segments).enumerate() {
            let more = index + 1 < segments.len();
            let request = TxRequest {
                gref,
                offset: segment.offset(),
                flags: if index == 0 { first_flags } else { 0 }
                    | if more { tx_flags::MORE_DATA } else { 0 },
                id: *id,
                // The layout has checked that the length fits.
                size: if index == 0 {
                    bytes as u16
                } else {
                    segment.length()
                },
            };
            self.ring.push(&request.words())?;
            if let (0, Some(extra)) = (index, extra) {
                self.ring.push(&extra.words())?;
            }
        }
        Ok(())
    }

    /// Grants one part of a frame and enters it. The last part, the one with `bytes`, gets the frame itself.
    fn add_part(
        &mut self,
        frame: &mut Option<Skb>,
        layout: &Layout,
        index: usize,
        bytes: u32,
    ) -> Result<(u16, u32)> {
        let segment = layout.segments().get(index).ok_or(EINVAL)?;
        let owned = frame.as_ref().ok_or(EINVAL)?;
        let grant = self.reserve.grant(owned.frame(segment), Access::ReadOnly)?;
        let gref = grant.number();
        let held = if bytes > 0 {
            frame.take().ok_or(EINVAL)?
        } else {
            owned.hold()
        };
        let part = InFlight {
            grant,
            frame: held,
            bytes,
        };
        match self.slots.add(part) {
            Ok(id) => Ok((id, gref)),
            Err(part) => {
                self.end(part.grant, part.frame);
                Err(ENOSPC)
            }
        }
    }

    /// Takes parts back that the backend was not told of.
    fn withdraw<'a>(&mut self, ids: impl Iterator<Item = &'a u16>) {
        for id in ids {
            if let Some(part) = self.slots.take(*id) {
                self.end(part.grant, part.frame);
            }
        }
    }

    /// Ends a grant. Gives the frame back, unless the backend has it mapped: then it is kept until that has let go.
    fn end(&mut self, grant: Ref, frame: Skb) -> Option<Skb> {
        match self.reserve.end(grant) {
            Ok(()) => Some(frame),
            Err(still_mapped) => {
                self.reserve.defer(still_mapped, frame.into_held());
                None
            }
        }
    }

    /// Shows the backend what is on the ring, and sends an event if it waits for one.
    pub(crate) fn publish(&mut self) {
        if self.ring.publish() {
            self.channel.notify();
        }
    }

    /// Takes the next response. [`None`] if there is none.
    pub(crate) fn next_done(&mut self) -> Result<Option<Done>, Violation> {
        while let Some((_, words)) = self.ring.next_response()? {
            let response = TxResponse::from_words(words);
            if response.status == TxStatus::Null {
                continue;
            }
            let part = self.slots.take(response.id).ok_or(Violation::Response)?;
            let frame = self.end(part.grant, part.frame).ok_or(Violation::Grant)?;
            return Ok(Some(Done {
                frame,
                bytes: part.bytes,
                status: response.status,
            }));
        }
        Ok(None)
    }

    /// Whether the backend has all that it was sent answered.
    pub(crate) fn is_idle(&self) -> bool {
        self.ring.unanswered() == 0
    }
}

impl Drop for Connected {
    fn drop(&mut self) {
        while let Some(part) = self.slots.take_any() {
            drop(self.end(part.grant, part.frame));
        }
    }
}

/// A part of a frame that the backend has answered.
pub(crate) struct Done {
    pub(crate) frame: Skb,
    /// Bytes of the whole frame if this was its last part, else 0.
    pub(crate) bytes: u32,
    pub(crate) status: TxStatus,
}

impl Done {
    /// Counts what became of the frame.
    pub(crate) fn count<T: Operations>(&self, counters: &mut Counters, device: &Device<T>) {
        match self.status {
            TxStatus::Okay | TxStatus::Null => {}
            TxStatus::Dropped => counters.dropped += 1,
            TxStatus::Error => counters.errors += 1,
        }
        if self.bytes > 0 {
            counters.packets += 1;
            counters.bytes += u64::from(self.bytes);
            device.completed(1, self.bytes);
        }
    }
}

/// The extra slot of a large frame.
fn segmentation(gso: Gso) -> Option<Segmentation> {
    match gso {
        Gso::TcpV4(size) => Some(Segmentation::TcpV4(size)),
        Gso::TcpV6(size) => Some(Segmentation::TcpV6(size)),
        Gso::None | Gso::Other => None,
    }
}

/// The flags of a frame's first request.
fn checksum_flags(checksum: Checksum, extra: bool) -> u16 {
    let flags = match checksum {
        Checksum::Partial => tx_flags::CHECKSUM_BLANK | tx_flags::DATA_VALIDATED,
        Checksum::Unnecessary => tx_flags::DATA_VALIDATED,
        Checksum::None => 0,
    };
    if extra {
        flags | tx_flags::EXTRA_INFO
    } else {
        flags
    }
}
