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
//! | [`suspend`]  | the steps of a suspend of the domain                                             |
//! | [`worker`]   | work in process context that can be asked for from anywhere                      |
//!
//! Each is a safe interface in one file; the folder of the same name holds what is below it: pure logic that also
//! compiles on the build machine, `hosted`, the adapter over the C core of a kernel with `CONFIG_XEN`, and `native`, this
//! project's own. Which of the two serves is chosen when the module is loaded; [`native`] has the order in which the
//! latter is brought up, and `hypercall` what it stands on.

use kernel::{
    debugfs,
    prelude::*, //
};
use platform::Mode;

/// Evaluates to what the implementation says that serves this machine. In a kernel without `CONFIG_XEN` nothing is left
/// of the hosted one.
#[cfg(CONFIG_XEN)]
macro_rules! by_mode {
    (native: $native:expr, hosted: $hosted:expr $(,)?) => {
        if $crate::platform::is_native() {
            $native
        } else {
            $hosted
        }
    };
}
#[cfg(not(CONFIG_XEN))]
macro_rules! by_mode {
    (native: $native:expr, hosted: $hosted:expr $(,)?) => {
        $native
    };
}

pub mod bus;
pub mod evtchn;
pub mod grant;
mod hypercall;
mod native;
pub mod platform;
pub mod ring;
pub mod store;
pub mod suspend;
pub mod worker;

module! {
    type: Rxenbus,
    name: "rxenbus",
    authors: ["The rxen developers"],
    description: "Xen frontends in Rust: grant table, event channels, xenstore client, device bus",
    license: "GPL",
    params: {
        grant_version: u32 {
            default: 0,
            description: "Grant table version in native mode: 1, 2, or 0 for what frame numbers need (the default)",
        },
        event_abi: u32 {
            default: 0,
            description: "Native mode: ABI of event channels: 0 the best there is, 1 2-level, 2 FIFO",
        },
        event_vectors: bool {
            default: true,
            description: "Native mode: an interrupt vector for each CPU where Xen offers it, not the platform device",
        },
        store_timeout: u32 {
            default: 30,
            description: "Native mode: seconds that xenstored has for a reply",
        },
    },
}

/// The loaded module.
#[pin_data]
struct Rxenbus {
    #[pin]
    grants: debugfs::File<grant::Report>,
    #[pin]
    fail_reserve: debugfs::File<grant::faults::Knob>,
    #[pin]
    fail_grant: debugfs::File<grant::faults::Knob>,
    #[pin]
    fail_channel: debugfs::File<grant::faults::Knob>,
    // After the files above, so that the folder outlives them.
    debugfs: debugfs::Dir,
    deferred: grant::DeferredWorker,
    waiting: grant::waiting::Worker,
    // Last: all of the above may still use it. [`None`] in hosted mode.
    native: Option<Pin<KBox<native::Core>>>,
}

impl kernel::InPlaceModule for Rxenbus {
    fn init(module: &'static ThisModule) -> impl PinInit<Self, Error> {
        let mode = platform::detect();
        let directory = debugfs::Dir::new(c"rxenbus");
        try_pin_init!(Self {
            _: {
                platform::announce(mode?);
            },
            deferred: grant::DeferredWorker::new(),
            waiting: grant::waiting::Worker::new(),
            grants <- directory.read_only_file(c"grants", grant::Report::new()),
            fail_reserve <- directory
                .read_write_file(c"fail_grant_reserve", grant::faults::Knob::reserve()),
            fail_grant <- directory.read_write_file(c"fail_grant", grant::faults::Knob::grant()),
            fail_channel <- directory
                .read_write_file(c"fail_channel", grant::faults::Knob::channel()),
            debugfs: directory.clone(),
            native: match mode? {
                Mode::Native => Some(KBox::pin_init(
                    native::Core::new(module, &directory),
                    GFP_KERNEL,
                )?),
                Mode::Hosted(_) => None,
            },
        })
    }
}
