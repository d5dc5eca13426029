// SPDX-License-Identifier: GPL-2.0

//! Makes frames of receive responses: pure, tested on the build machine.
//!
//! A frame is a response with payload, extra slots if its flags say so, then more responses with payload. The backend
//! may say anything: a frame that makes no sense is taken to its end and refused as a whole, so that the next one is
//! found again.

use crate::wire::{
    extra,
    rx_flags,
    RxResponse,
    Segmentation,
    MAX_SLOTS,
    RX_RESPONSE_WORDS, //
};

/// Bytes of the page that a response's payload lies in.
const PAGE_BYTES: u32 = 4096;
/// The shortest frame: an Ethernet header.
const SHORTEST: u32 = 14;
/// Extra slots of a frame: one of each type at the most.
const MAX_EXTRAS: u32 = extra::END as u32 - 1;

/// What is wrong with a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The backend reported an error.
    Status,
    /// The payload leaves its page.
    Bounds,
    /// It has more slots than the protocol allows.
    Slots,
    /// An extra slot of no known type, one too many, or one that makes no sense.
    Extra,
    /// It is shorter than an Ethernet header.
    Short,
}

/// The response is not for the slot that it lies in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mismatch;

/// A frame that has come to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame {
    /// The data is known to be right.
    pub validated: bool,
    /// The transport checksum is blank.
    pub blank: bool,
    /// How it is to be cut up.
    pub segmentation: Option<Segmentation>,
    /// Bytes.
    pub length: u32,
}

/// What a slot brought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step {
    /// Payload in the slot's page: offset and length in bytes, within 4096 and not empty.
    pub data: Option<(u16, u16)>,
    /// The frame is complete, or complete and refused.
    pub end: Option<Result<Frame, Fault>>,
}

/// Where in a frame the next slot is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Expect {
    #[default]
    Data,
    Extra,
}

/// The state between slots.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Parser {
    expect: Expect,
    slots: u32,
    extras: u32,
    length: u32,
    first_flags: u16,
    more_data: bool,
    segmentation: Option<Segmentation>,
    fault: Option<Fault>,
}

impl Parser {
    /// Takes the next slot, which was posted with `id`.
    ///
    /// # Errors
    ///
    /// [`Mismatch`] if it answers another request. Nothing that follows can be trusted.
    pub fn feed(&mut self, words: [u32; RX_RESPONSE_WORDS], id: u16) -> Result<Step, Mismatch> {
        match self.expect {
            Expect::Extra => Ok(self.extra(words)),
            Expect::Data => {
                let response = RxResponse::from_words(words);
                if response.id != id {
                    return Err(Mismatch);
                }
                Ok(self.data(&response))
            }
        }
    }

    /// A response with payload.
    fn data(&mut self, response: &RxResponse) -> Step {
        let first = self.slots == 0;
        self.slots = self.slots.saturating_add(1);
        if first {
            self.first_flags = response.flags;
        }
        if self.slots > MAX_SLOTS as u32 {
            self.refuse(Fault::Slots);
        }
        let data = self.payload(response);
        self.more_data = response.flags & rx_flags::MORE_DATA != 0;
        let extra = response.flags & rx_flags::EXTRA_INFO != 0;
        if extra && first {
            self.expect = Expect::Extra;
            return Step { data, end: None };
        }
        if extra {
            self.refuse(Fault::Extra);
        }
        self.step(data)
    }

    /// The payload of a response, if it has any that is within its page.
    fn payload(&mut self, response: &RxResponse) -> Option<(u16, u16)> {
        let Ok(length) = u16::try_from(response.status) else {
            self.refuse(Fault::Status);
            return None;
        };
        if u32::from(response.offset) + u32::from(length) > PAGE_BYTES {
            self.refuse(Fault::Bounds);
            return None;
        }
        self.length = self.length.saturating_add(length.into());
        (length > 0 && self.fault.is_none()).then_some((response.offset, length))
    }

    /// An extra slot.
    fn extra(&mut self, words: [u32; RX_RESPONSE_WORDS]) -> Step {
        let (kind, flags) = (words[0] as u8, (words[0] >> 8) as u8);
        self.extras = self.extras.saturating_add(1);
        if self.extras > MAX_EXTRAS || kind == 0 || kind >= extra::END {
            self.refuse(Fault::Extra);
        } else if kind == extra::GSO {
            let segmentation = Segmentation::from_words(words);
            if segmentation.is_none() || self.segmentation.is_some() {
                self.refuse(Fault::Extra);
            }
            self.segmentation = segmentation;
        }
        if flags & extra::MORE != 0 {
            return Step {
                data: None,
                end: None,
            };
        }
        self.expect = Expect::Data;
        self.step(None)
    }

    /// Goes on with the next slot of payload, or ends the frame.
    fn step(&mut self, data: Option<(u16, u16)>) -> Step {
        if self.more_data {
            return Step { data, end: None };
        }
        if self.length < SHORTEST {
            self.refuse(Fault::Short);
        }
        let end = match self.fault {
            Some(fault) => Err(fault),
            None => Ok(Frame {
                validated: self.first_flags & rx_flags::DATA_VALIDATED != 0,
                blank: self.first_flags & rx_flags::CHECKSUM_BLANK != 0,
                segmentation: self.segmentation,
                length: self.length,
            }),
        };
        *self = Self::default();
        Step {
            data,
            end: Some(end),
        }
    }

    /// Notes what is wrong with the frame; the first reason counts.
    fn refuse(&mut self, fault: Fault) {
        self.fault.get_or_insert(fault);
    }
}
