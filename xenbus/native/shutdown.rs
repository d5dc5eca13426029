// SPDX-License-Identifier: GPL-2.0

//! The end of this kernel: another one may take its place (kexec) without the module having been unloaded. What the
//! hypervisor and other domains know of this kernel's memory is taken back.

use crate::{
    evtchn,
    grant,
    store::native::NoIo, //
};
use rxen_bindings as bindings;

/// Called by `helpers.c` when the machine is shut down, after all devices. Process context. A device whose backend did not
/// close in time may still be at work; it gets no events any more, and what it lends from now on is not seen here.
#[no_mangle]
extern "C" fn rxen_native_shutdown() {
    // There may be no disk any more.
    let _memory = NoIo::begin();
    evtchn::native::shutdown();
    grant::native::shutdown();
}

/// Has the kernel call [`rxen_native_shutdown`]. Dropping it ends that.
pub(super) struct Shutdown(());

impl Shutdown {
    /// To be called once, when grant table and event channels are there.
    pub(super) fn new() -> Self {
        // SAFETY: Undone in `drop`, before the module's code goes.
        unsafe { bindings::rxen_shutdown_register() };
        Self(())
    }
}

impl Drop for Shutdown {
    fn drop(&mut self) {
        // SAFETY: Registered in `new`. Waits for a call in progress.
        unsafe { bindings::rxen_shutdown_unregister() };
    }
}
