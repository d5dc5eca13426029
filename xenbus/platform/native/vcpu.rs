// SPDX-License-Identifier: GPL-2.0

//! The hypervisor's numbers of the CPUs. They need not be the kernel's.

use kernel::{
    prelude::*,
    sync::atomic::{
        Atomic,
        Relaxed, //
    }, //
};
use rxen_bindings as bindings;

/// More virtual CPUs than the hypervisor gives an HVM guest.
const MAX: usize = 512;

/// The number of each CPU that is or was online, plus one; 0 for one that never was.
static NUMBERS: [Atomic<u32>; MAX] = [const { Atomic::new(0) }; MAX];

/// The hypervisor's number of a CPU: what CPUID says there, and the kernel's number before the CPU was ever online or
/// where the hypervisor does not tell.
#[inline]
pub(crate) fn vcpu_id(cpu: u32) -> u32 {
    let known = NUMBERS
        .get(cpu as usize)
        .map_or(0, |number| number.load(Relaxed));
    known.checked_sub(1).unwrap_or(cpu)
}

/// Asks CPUID on the CPU that has just come online.
unsafe extern "C" fn online(cpu: c_uint) -> c_int {
    let leaf = super::hvm_leaf();
    if leaf.features & bindings::XEN_HVM_CPUID_VCPU_ID_PRESENT != 0 {
        if let (Some(number), Some(id)) = (NUMBERS.get(cpu as usize), leaf.vcpu.checked_add(1)) {
            number.store(id, Relaxed);
        }
    }
    0
}

/// Has each CPU asked, also those that come online later. Dropping it ends that.
pub(super) struct Watch(bindings::cpuhp_state);

impl Watch {
    /// Asks the CPUs that are online, and those that will be before later states of the hotplug code are told.
    pub(super) fn new() -> Result<Self> {
        // SAFETY: The callback lives until the state is removed by `drop`, before the module's code goes.
        let state = unsafe {
            bindings::__cpuhp_setup_state(
                bindings::cpuhp_state_CPUHP_AP_ONLINE_DYN,
                c"xen/rxenbus:vcpu".as_char_ptr(),
                true,
                Some(online),
                None,
                false,
            )
        };
        if state < 0 {
            return Err(Error::from_errno(state));
        }
        Ok(Self(state))
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        // SAFETY: The state was set up by `new`.
        unsafe { bindings::__cpuhp_remove_state(self.0, false) }
    }
}
