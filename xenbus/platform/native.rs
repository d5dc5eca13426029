// SPDX-License-Identifier: GPL-2.0

//! The platform PCI device 5853:0001, by which Xen shows itself to an HVM guest, and what the native mode has of it: an
//! interrupt, guest frame numbers that no memory lies at, the shared info page that is mapped at one of them, and the
//! ports by which emulated devices are unplugged.

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

mod device;
mod emulated;
mod memory;
mod vcpu;

pub(super) use emulated::has_emulated_twin;
pub(crate) use memory::{
    frames,
    frames_left,
    Frames, //
};
pub(crate) use vcpu::vcpu_id;

/// Where the shared info page is mapped; null until it is.
static SHARED_INFO: Atomic<*mut bindings::shared_info> = Atomic::new(core::ptr::null_mut());
/// The guest frame number of the shared info page.
static SHARED_GFN: Atomic<usize> = Atomic::new(0);
/// See [`interrupt`].
static INTERRUPT: Atomic<u32> = Atomic::new(0);
/// See [`callback_via`].
static CALLBACK_VIA: Atomic<u64> = Atomic::new(0);
/// See [`cpuid_features`].
static FEATURES: Atomic<u32> = Atomic::new(0);

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
    INTERRUPT.load(Relaxed)
}

/// The value of `HVM_PARAM_CALLBACK_IRQ` by which Xen raises that INTx for event channels.
pub(crate) fn callback_via() -> u64 {
    CALLBACK_VIA.load(Relaxed)
}

/// The feature bits of the HVM leaf of CPUID, such as `XEN_HVM_CPUID_UPCALL_VECTOR`.
pub(crate) fn cpuid_features() -> u32 {
    FEATURES.load(Relaxed)
}

/// The HVM leaf of CPUID, as the CPU has it that reads it.
struct HvmLeaf {
    features: u32,
    vcpu: u32,
}

/// Reads it; all zero where the hypervisor does not have it.
fn hvm_leaf() -> HvmLeaf {
    const HVM: u32 = 4;
    let mut registers = [0; 4];
    // SAFETY: Reads CPUID only; the array has room for the four registers.
    unsafe {
        let base = bindings::rxen_cpuid_base();
        bindings::rxen_cpuid(base, registers.as_mut_ptr());
        let [largest, ..] = registers;
        registers = [0; 4];
        if largest >= base.saturating_add(HVM) {
            bindings::rxen_cpuid(base.saturating_add(HVM), registers.as_mut_ptr());
        }
    }
    let [features, vcpu, ..] = registers;
    HvmLeaf { features, vcpu }
}

/// See [`super::may_drive`].
pub(super) fn may_drive(kind: &CStr) -> bool {
    // Of the disks each is asked for: the device model emulates the first few only.
    kind.to_bytes() != b"vif" || emulated::may_drive_nics()
}

/// The mapped shared info page. Dropping it takes the page out of the guest's memory map.
struct SharedInfo(Frames);

impl SharedInfo {
    /// Has the hypervisor place the page.
    fn new() -> Result<Self> {
        let frame = frames(1)?;
        frame.place(0, bindings::XENMAPSPACE_shared_info, 0)?;
        SHARED_GFN.store(frame.gfn(0)?, Relaxed);
        SHARED_INFO.store(frame.address().as_ptr().cast(), Relaxed);
        Ok(Self(frame))
    }
}

impl Drop for SharedInfo {
    fn drop(&mut self) {
        SHARED_INFO.store(core::ptr::null_mut(), Relaxed);
        if let Err(error) = self.0.clear(0) {
            pr_warn!("the shared info page stays mapped: {:?}\n", error);
        }
    }
}

/// Called before the suspend hypercall, with all other CPUs stopped and interrupts off.
pub(crate) fn suspend() {}

/// Maps the shared info page again after a restore and replays the unplugging of emulated devices. Called with all
/// other CPUs stopped and interrupts off, before everything else that resumes.
pub(crate) fn resume() -> Result {
    emulated::resume();
    memory::place(
        SHARED_GFN.load(Relaxed),
        bindings::XENMAPSPACE_shared_info,
        0,
    )
}

/// The platform device in our hands. Dropping it gives all of it back.
pub(crate) struct Platform {
    // Dropped in this order, which is the reverse of that of `start`.
    _vcpus: vcpu::Watch,
    _shared_info: SharedInfo,
    _memory: memory::Mapping,
    _registration: device::Registration,
}

impl Platform {
    /// Takes the platform device, maps the shared info page and unplugs emulated devices.
    pub(crate) fn start(module: &'static ThisModule) -> Result<Self> {
        hypercall::start();
        let (major, minor) = hypercall::xen_version()?;
        let (registration, offer) = device::Registration::new(module)?;
        let (start, size) = offer.memory;
        let memory = memory::Mapping::new(start, size)?;
        let shared_info = SharedInfo::new()?;
        INTERRUPT.store(offer.interrupt, Relaxed);
        CALLBACK_VIA.store(offer.callback_via, Relaxed);
        FEATURES.store(hvm_leaf().features, Relaxed);
        let vcpus = vcpu::Watch::new()?;
        emulated::start()?;
        pr_info!(
            "Xen {}.{}, platform device with interrupt {} and {} frames\n",
            major,
            minor,
            offer.interrupt,
            frames_left()
        );
        Ok(Self {
            _vcpus: vcpus,
            _shared_info: shared_info,
            _memory: memory,
            _registration: registration,
        })
    }
}
