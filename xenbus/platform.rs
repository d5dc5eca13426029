// SPDX-License-Identifier: GPL-2.0

//! What this machine is, and which of the two implementations below the safe API drives Xen on it.
//!
//! A domain has one grant table, one set of event channels and one xenstore ring, so exactly one owner can drive them:
//! the kernel's own Xen core where it is active (*hosted*), this project's where it is not (*native*).

use kernel::prelude::*;
#[cfg(CONFIG_XEN)]
use kernel::sync::atomic::{
    Atomic,
    Relaxed, //
};
use rxen_bindings as bindings;

pub mod decision;
pub(crate) mod native;
pub mod unplug;

pub use decision::{
    Guest,
    Mode, //
};

/// Set before anything else is started, and constant from then on.
#[cfg(CONFIG_XEN)]
static NATIVE: Atomic<bool> = Atomic::new(false);

/// Whether this project's own core drives Xen here, not the kernel's.
#[cfg(CONFIG_XEN)]
#[inline]
pub fn is_native() -> bool {
    NATIVE.load(Relaxed)
}

/// Whether this project's own core drives Xen here: always, in a kernel that has no other.
#[cfg(not(CONFIG_XEN))]
#[inline]
pub const fn is_native() -> bool {
    true
}

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
        // SAFETY: Looks through the list of PCI devices, which the PCI core locks.
        platform_device: unsafe { bindings::rxen_has_platform_device() },
    }
}

/// Decides which implementation serves this machine.
///
/// # Errors
///
/// `ENODEV`, after a line in the log that says why, where none does.
pub(crate) fn detect() -> Result<Mode> {
    let mode = decision::decide(observe()).map_err(|refusal| {
        pr_err!("not loaded: {}\n", refusal.reason());
        ENODEV
    })?;
    #[cfg(CONFIG_XEN)]
    NATIVE.store(mode == Mode::Native, Relaxed);
    Ok(mode)
}

/// Prints which implementation was chosen and why.
pub(crate) fn announce(mode: Mode) {
    match mode {
        Mode::Hosted(guest) => pr_info!(
            "hosted mode: {} guest, the kernel's own Xen core drives grants, channels and xenstore\n",
            guest.name()
        ),
        Mode::Native => pr_info!(
            "native mode: the kernel's own Xen core is {}, rxenbus drives grants, channels and xenstore\n",
            if cfg!(CONFIG_XEN) { "off" } else { "not there" }
        ),
    }
}

/// Whether paravirtual devices of a type may be driven here. False in an HVM guest that keeps the emulated ones, where
/// the same disk or card would be driven twice.
pub(crate) fn may_drive(kind: &CStr) -> bool {
    by_mode! {
        native: native::may_drive(kind),
        // SAFETY: Both read variables of the Xen core that are constant after boot.
        hosted: unsafe {
            match kind.to_bytes() {
                b"vbd" => bindings::rxen_has_pv_disks(),
                b"vif" => bindings::rxen_has_pv_nics(),
                _ => true,
            }
        },
    }
}

/// Whether the guest has a device model, which emulates the devices that it also has as paravirtual ones.
pub fn has_device_model() -> bool {
    is_native() || observe().core == Some(Guest::Hvm)
}

/// Whether the disk with a virtual device number is also there as an emulated one, which the guest keeps.
pub fn has_emulated_twin(number: u32) -> bool {
    by_mode! {
        native: native::has_emulated_twin(number),
        // The administrator says that xvd disks have no twins, by the kernel parameter that leads here.
        // SAFETY: Reads variables of the Xen core that are constant after boot.
        hosted: unsafe { bindings::rxen_has_emulated_disks() } && unplug::is_emulated(number, 0),
    }
}
