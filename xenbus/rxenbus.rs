// SPDX-License-Identifier: GPL-2.0

//! rxenbus: everything a Xen frontend in Rust stands on.
//!
//! | module       | what it gives a frontend                                                         |
//! |--------------|----------------------------------------------------------------------------------|
//! | [`platform`] | what this machine is and who drives Xen on it                                    |
//! | [`grant`]    | owned grants, reserves per queue, frees that wait until the other end has let go |
//! | [`evtchn`]   | event channels with late end of interrupt                                        |
//! | [`store`]    | xenstore: checked reads, writes, transactions, watches                           |
//! | [`bus`]      | the device bus: drivers, device states, suspend and restore                      |
//! | [`ring`]     | the front half of a shared ring                                                  |
//!
//! Each is a safe interface in one file; the folder of the same name holds what is below it: pure logic that also
//! compiles on the build machine, and `hosted`, the adapter over the C core of a kernel with `CONFIG_XEN`.

use kernel::{
    debugfs,
    prelude::*, //
};

pub mod bus;
pub mod evtchn;
pub mod grant;
pub mod platform;
pub mod ring;
pub mod store;

module! {
    type: Rxenbus,
    name: "rxenbus",
    authors: ["The rxen developers"],
    description: "Xen frontends in Rust: grant table, event channels, xenstore client, device bus",
    license: "GPL",
}

/// The loaded module.
#[pin_data]
struct Rxenbus {
    #[pin]
    grants: debugfs::File<grant::Report>,
    // After the file above, so that the folder outlives it.
    debugfs: debugfs::Dir,
    deferred: grant::DeferredWorker,
}

impl kernel::InPlaceModule for Rxenbus {
    fn init(_module: &'static ThisModule) -> impl PinInit<Self, Error> {
        let mode = platform::detect();
        let directory = debugfs::Dir::new(c"rxenbus");
        try_pin_init!(Self {
            _: {
                platform::announce(mode?);
            },
            deferred: grant::DeferredWorker::new(),
            grants <- directory.read_only_file(c"grants", grant::Report::new()),
            debugfs: directory.clone(),
        })
    }
}
