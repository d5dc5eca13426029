// SPDX-License-Identifier: GPL-2.0

//! rxen_blkfront: virtual disks of Xen guests.
//!
//! | module         | what it does                                                                    |
//! |----------------|---------------------------------------------------------------------------------|
//! | [`frontend`]   | a device of the bus: connecting, suspend and restore, removal                   |
//! | [`offers`]     | reads what the backend published                                                |
//! | [`negotiate`]  | what comes of it (pure)                                                         |
//! | [`connection`] | a ring, a channel and grants, from the offer to the end                         |
//! | [`queue`]      | requests between the block layer and the backend                                |
//! | [`wire`]       | ring slots byte by byte (pure)                                                  |
//! | [`naming`]     | virtual device numbers, names and minors (pure)                                 |
//! | [`mq`]         | the part of the block layer that the `kernel` crate lacks; has all the `unsafe` |

#![deny(unsafe_code)]

use kernel::prelude::*;
use rxenbus::bus;

mod connection;
mod frontend;
mod identity;
#[allow(unsafe_code)]
mod mq;
pub mod naming;
pub mod negotiate;
mod offers;
mod queue;
pub mod wire;

module! {
    type: Module,
    name: "rxen_blkfront",
    authors: ["The rxen developers"],
    description: "Xen virtual disks, in Rust",
    license: "GPL",
    alias: ["xen:vbd", "xenblk"],
    params: {
        max_indirect_segments: u32 {
            default: 32,
            description: "Maximum amount of segments in indirect requests (default is 32)",
        },
    },
}

/// The loaded module.
#[pin_data]
struct Module {
    #[pin]
    _driver: bus::Registration<frontend::Disk>,
    // After the driver, whose disks use it.
    _major: mq::Major,
}

impl kernel::InPlaceModule for Module {
    fn init(module: &'static ThisModule) -> impl PinInit<Self, Error> {
        let major = mq::Major::register(naming::MAJOR, c"xvd").inspect_err(|_| {
            pr_err!(
                "not loaded: another driver has major number {}; unload xen_blkfront first\n",
                naming::MAJOR
            );
        });
        try_pin_init!(Self {
            _major: major?,
            _driver <- bus::Registration::new(module),
        })
    }
}
