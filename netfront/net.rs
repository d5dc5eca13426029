// SPDX-License-Identifier: GPL-2.0

//! What the `kernel` crate lacks of the network stack: a network device with one queue each way, NAPI, socket buffers,
//! ethtool statistics.
//!
//! All of this driver's `unsafe` is here. `helpers.c` has the C macros and inline functions that it needs.

mod device;
mod ethtool;
mod operations;
mod page;
mod registration;
mod skb;

pub(crate) use device::{
    Device,
    MacAddress, //
};
pub(crate) use operations::{
    Features,
    LinkStatistics,
    Operations,
    Transmit, //
};
pub(crate) use page::ReceivePage;
pub(crate) use registration::Registration;
pub(crate) use skb::{
    Checksum,
    Gso,
    Segment,
    Skb, //
};
