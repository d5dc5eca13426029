// SPDX-License-Identifier: GPL-2.0

//! rxen_suspend: what the toolstack asks of a guest in the native mode - to shut down, to reboot, to be suspended.
//!
//! | module      | what it does                                                   |
//! |-------------|----------------------------------------------------------------|
//! | [`control`] | hears and acknowledges requests, says which are understood     |
//! | [`request`] | what a request says (pure)                                     |
//! | [`phases`]  | the order of a suspend, and what undoes what (pure)            |
//! | [`fault`]   | faults that are asked for, in text (pure)                      |
//! | [`guest`]   | the phases, carried out                                        |
//! | [`recent`]  | the median of durations (pure)                                 |
//! | [`report`]  | how long each phase took, and faults that are asked for        |
//!
//! No task is frozen: only the devices come to rest, and then all CPUs stop at once.

#![deny(unsafe_code)]

use kernel::{
    debugfs,
    prelude::*, //
};

mod control;
pub mod fault;
mod guest;
pub mod phases;
pub mod recent;
mod report;
pub mod request;

module! {
    type: Module,
    name: "rxen_suspend",
    authors: ["The rxen developers"],
    description: "Shutdown and suspend of Xen guests, in Rust",
    license: "GPL",
}

/// The loaded module.
#[pin_data]
struct Module {
    // Goes first: it waits until no request is being carried out.
    _control: control::Control,
    #[pin]
    _phases: debugfs::File<report::PhasesFile>,
    #[pin]
    _fail: debugfs::File<report::FailFile>,
    // After the files above, so that the folder outlives them.
    _debugfs: debugfs::Dir,
}

impl kernel::InPlaceModule for Module {
    fn init(_module: &'static ThisModule) -> impl PinInit<Self, Error> {
        let directory = debugfs::Dir::new(c"rxen_suspend");
        let report = refuse_hosted().and_then(|()| report::Report::new());
        try_pin_init!(Self {
            _phases <- directory.read_only_file(c"phases", report::PhasesFile(report.clone()?)),
            _fail <- directory.read_write_file(c"fail", report::FailFile(report.clone()?)),
            _debugfs: directory.clone(),
            _control: control::Control::start(report?)?,
        })
    }
}

/// Refuses where the kernel has its own way.
fn refuse_hosted() -> Result {
    if rxenbus::suspend::is_ours() {
        return Ok(());
    }
    pr_err!("not loaded: the kernel's own Xen core handles suspends and shutdowns in this guest\n");
    Err(EBUSY)
}
