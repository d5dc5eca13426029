// SPDX-License-Identifier: GPL-2.0

//! The platform PCI device 5853:0001, by which Xen shows itself to an HVM guest, and what the native mode has of it:
//! an interrupt, guest frame numbers that no memory lies at, and the shared info page that is mapped at one of them.

use crate::hypercall;
use core::ptr::NonNull;
use kernel::{
    prelude::*,
    sync::atomic::{
        Atomic,
        Relaxed, //
    }, //
};
use rxen_bindings as bindings;

/// Where the shared info page is mapped; null until it is.
static SHARED_INFO: Atomic<*mut bindings::shared_info> = Atomic::new(core::ptr::null_mut());

/// The page that this domain shares with the hypervisor.
///
/// It is mapped from [`Platform::start`] on, also over a restore, as long as the native mode runs: all that calls this
/// is brought up later and goes earlier.
#[inline]
pub(crate) fn shared_info() -> NonNull<bindings::shared_info> {
    NonNull::new(SHARED_INFO.load(Relaxed)).unwrap_or(NonNull::dangling())
}

/// The Linux interrupt number of the platform device's INTx.
pub(crate) fn interrupt() -> u32 {
    0
}

/// The value of `HVM_PARAM_CALLBACK_IRQ` by which Xen raises that INTx for event channels.
pub(crate) fn callback_via() -> u64 {
    0
}

/// The feature bits of the HVM leaf of CPUID, such as `XEN_HVM_CPUID_UPCALL_VECTOR`.
pub(crate) fn cpuid_features() -> u32 {
    0
}

/// The hypervisor's number of a CPU.
#[inline]
pub(crate) fn vcpu_id(cpu: u32) -> u32 {
    cpu
}

/// Guest frame numbers that no memory lies at, and where they are mapped.
///
/// Something is placed at them with `XENMEM_add_to_physmap`. They are not given back before the platform device is.
pub(crate) struct Frames {
    address: NonNull<u8>,
    first: u64,
    count: usize,
}

// SAFETY: The mapping belongs to no thread.
unsafe impl Send for Frames {}
// SAFETY: As above; what is done with the mapping is up to who has the address.
unsafe impl Sync for Frames {}

impl Frames {
    /// Where the first of them is mapped; the others follow.
    pub(crate) fn address(&self) -> NonNull<u8> {
        self.address
    }

    /// How many they are.
    pub(crate) fn count(&self) -> usize {
        self.count
    }

    /// The guest frame number of one of them.
    pub(crate) fn gfn(&self, index: usize) -> Option<u64> {
        if index >= self.count {
            return None;
        }
        self.first.checked_add(index as u64)
    }
}

/// Takes guest frame numbers from the platform device's memory. May sleep.
///
/// # Errors
///
/// `ENOSPC` where there are not that many left.
pub(crate) fn frames(_count: usize) -> Result<Frames> {
    Err(ENOSYS)
}

/// See [`super::may_drive`].
pub(super) fn may_drive(_kind: &CStr) -> bool {
    true
}

/// See [`super::has_emulated_disks`].
pub(super) fn has_emulated_disks() -> bool {
    false
}

/// Called before the suspend hypercall, with all other CPUs stopped and interrupts off.
pub(crate) fn suspend() {}

/// Maps the shared info page again after a restore and replays the unplugging of emulated devices. Called with all
/// other CPUs stopped and interrupts off, before everything else that resumes.
pub(crate) fn resume() -> Result {
    Err(ENOSYS)
}

/// The platform device in our hands. Dropping it gives all of it back.
pub(crate) struct Platform(());

impl Platform {
    /// Takes the platform device and maps the shared info page.
    pub(crate) fn start(_module: &'static ThisModule) -> Result<Self> {
        hypercall::start();
        Err(ENOSYS)
    }
}
