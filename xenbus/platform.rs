// SPDX-License-Identifier: GPL-2.0

//! What this machine is, and which of the two implementations below the safe API drives Xen on it.
//!
//! A domain has one grant table, one set of event channels and one xenstore ring, so exactly one owner can drive them:
//! the kernel's own Xen core where it is active (*hosted*), this project's where it is not (*native*).

use kernel::prelude::*;
use rxen_bindings as bindings;

pub mod decision;

pub use decision::{
    Guest,
    Mode, //
};

/// Reads what the machine is.
fn observe() -> decision::Observed {
    // SAFETY: Reads CPUID only.
    let under_xen = unsafe { bindings::rxen_cpuid_base() } != 0;
    // SAFETY: Reads variables of the Xen core that are constant after boot.
    let guest = match unsafe { bindings::rxen_domain_type() } {
        bindings::rxen_domain_RXEN_DOMAIN_PV => Some(Guest::Pv),
        bindings::rxen_domain_RXEN_DOMAIN_PVH => Some(Guest::Pvh),
        bindings::rxen_domain_RXEN_DOMAIN_HVM => Some(Guest::Hvm),
        _ => None,
    };
    decision::Observed {
        under_xen,
        core: guest,
        core_compiled: cfg!(CONFIG_XEN),
    }
}

/// Decides which implementation serves this machine.
///
/// # Errors
///
/// `ENODEV`, after a line in the log that says why, where none does.
pub(crate) fn detect() -> Result<Mode> {
    decision::decide(observe()).map_err(|refusal| {
        pr_err!("not loaded: {}\n", refusal.reason());
        ENODEV
    })
}

/// Prints which implementation was chosen and why.
pub(crate) fn announce(mode: Mode) {
    match mode {
        Mode::Hosted(guest) => pr_info!(
            "hosted mode: {} guest, the kernel's own Xen core drives grants, channels and xenstore\n",
            guest.name()
        ),
    }
}

/// Whether paravirtual devices of a type may be driven here. False in an HVM guest that keeps the emulated ones, where
/// the same disk or card would be driven twice.
pub(crate) fn may_drive(kind: &CStr) -> bool {
    // SAFETY: Both read variables of the Xen core that are constant after boot.
    unsafe {
        match kind.to_bytes() {
            b"vbd" => bindings::rxen_has_pv_disks(),
            b"vif" => bindings::rxen_has_pv_nics(),
            _ => true,
        }
    }
}

/// Whether the guest has a device model, which emulates the devices that it also has as paravirtual ones.
pub fn has_device_model() -> bool {
    observe().core == Some(Guest::Hvm)
}

/// Whether there are emulated disks beside the paravirtual ones.
pub fn has_emulated_disks() -> bool {
    // SAFETY: Reads variables of the Xen core that are constant after boot.
    unsafe { bindings::rxen_has_emulated_disks() }
}
