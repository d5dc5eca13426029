// SPDX-License-Identifier: GPL-2.0

//! rxen_netfront: virtual network cards of Xen guests.
//!
//! | module         | what it does                                                                    |
//! |----------------|---------------------------------------------------------------------------------|
//! | [`frontend`]   | a device of the bus: connecting, suspend and restore, removal                   |
//! | [`offers`]     | reads what the backend published                                                |
//! | [`negotiate`]  | what comes of it (pure)                                                         |
//! | [`connection`] | rings and channels, published to the backend                                    |
//! | [`link`]       | one direction of a connection: absent, live or failed                           |
//! | [`card`]       | the network device: what the stack and the event channels call                  |
//! | [`tx`]         | frames on their way to the backend                                              |
//! | [`rx`]         | frames from the backend                                                         |
//! | [`parser`]     | makes frames of receive slots (pure)                                            |
//! | [`wire`]       | ring slots byte by byte (pure)                                                  |
//! | [`net`]        | the part of the network stack that the `kernel` crate lacks; has `unsafe`  |

#![deny(unsafe_code)]

mod card;
mod connection;
mod frontend;
mod link;
pub mod negotiate;
#[allow(unsafe_code)]
mod net;
mod offers;
pub mod parser;
mod rx;
mod tx;
pub mod wire;

rxenbus::module_frontend_driver! {
    type: frontend::Vif,
    name: "rxen_netfront",
    authors: ["The rxen developers"],
    description: "Xen virtual network cards, in Rust",
    license: "GPL",
    alias: ["xen:vif", "xennet"],
}
