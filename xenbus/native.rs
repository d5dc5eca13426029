// SPDX-License-Identifier: GPL-2.0

//! The native mode, in the order in which it is brought up and taken down.
//!
//! Memory that the hypervisor writes too (the shared info page, grant entries, event words) is accessed with
//! `core::sync::atomic`, not with the kernel's atomics: those lack the lock prefix in a kernel without `CONFIG_SMP`,
//! while the hypervisor writes from another CPU of the host. For the same reason the barriers towards the hypervisor are
//! `rxen_virt_mb` and its like or a `fence`, never `smp_mb`.

use crate::{
    bus,
    evtchn,
    grant,
    hypercall,
    module_parameters,
    platform,
    store, //
};
use kernel::{
    debugfs,
    prelude::*, //
};
use shutdown::Shutdown;

mod shutdown;

/// All that drives Xen in the native mode.
///
/// The fields are dropped in their order, the reverse of the order of [`Core::new`]: each stands on the ones below it.
#[pin_data]
pub(crate) struct Core {
    // Made last: a program that has it open keeps the module, but not one that fails to load.
    _programs: Pin<KBox<store::native::Device>>,
    bus: bus::native::Bus,
    _shutdown: Shutdown,
    #[pin]
    store_report: debugfs::File<store::native::Report>,
    store: store::native::Client,
    #[pin]
    event_loopback: debugfs::File<evtchn::native::Loopback>,
    _debug: evtchn::native::Debug,
    #[pin]
    event_report: debugfs::File<evtchn::native::Report>,
    events: evtchn::native::Running,
    grants: grant::native::Table,
    #[pin]
    hypercalls: debugfs::File<hypercall::Report>,
    #[pin]
    fail_hypercall: debugfs::File<hypercall::faults::Knob>,
    platform: platform::native::Platform,
}

impl Core {
    /// Brings it up.
    pub(crate) fn new<'a>(
        module: &'static ThisModule,
        debugfs: &'a debugfs::Dir,
    ) -> impl PinInit<Self, Error> + 'a {
        try_pin_init!(Self {
            platform: platform::native::Platform::start(module)?,
            hypercalls <- debugfs.read_only_file(c"hypercalls", hypercall::Report),
            fail_hypercall <- debugfs.read_write_file(c"fail_hypercall", hypercall::faults::Knob),
            grants: grant::native::Table::start()?,
            events: evtchn::native::Running::start(evtchn::native::Wishes {
                abi: module_parameters::event_abi.value(),
                vectors: module_parameters::event_vectors.value(),
            })?,
            _debug: evtchn::native::Debug::start()?,
            event_report <- debugfs.read_only_file(c"evtchn", evtchn::native::Report),
            event_loopback <- debugfs.read_only_file(c"evtchn_loopback", evtchn::native::Loopback),
            store: store::native::Client::start(module_parameters::store_timeout.value())?,
            store_report <- debugfs.read_only_file(c"store", store::native::Report),
            _shutdown: Shutdown::new(),
            bus: bus::native::Bus::start()?,
            _programs: store::native::Device::register()?,
        })
    }
}
