// SPDX-License-Identifier: GPL-2.0

//! Which implementation serves a machine: pure, tested on the build machine.

/// The kind of guest that the kernel's Xen core says this is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Guest {
    /// Paravirtualised: no hardware virtualisation, page tables kept by Xen.
    Pv,
    /// Hardware virtualisation without emulated devices.
    Pvh,
    /// Hardware virtualisation with emulated devices.
    Hvm,
}

impl Guest {
    /// Its name in logs.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Pv => "PV",
            Self::Pvh => "PVH",
            Self::Hvm => "HVM",
        }
    }
}

/// Who drives Xen's interfaces in this guest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// The kernel's own C core; this project adapts to its exported functions.
    Hosted(Guest),
    /// This project, in an HVM guest whose kernel has no Xen support of its own, or has it switched off.
    Native,
}

/// What was seen of the machine.
#[derive(Clone, Copy, Debug)]
pub struct Observed {
    /// CPUID (or the PV interface, by way of the C core) names Xen.
    pub under_xen: bool,
    /// The guest type, where the kernel's C core is active.
    pub core: Option<Guest>,
    /// The platform PCI device 5853:0001 is there: the way in for the native mode.
    pub platform_device: bool,
}

/// Why the module does not load.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// No Xen below this kernel.
    NotOnXen,
    /// Xen, but neither a C core that is active nor the device by which the native mode enters.
    NoPlatformDevice,
}

impl Refusal {
    /// What the log says: the cause and what to do.
    pub const fn reason(self) -> &'static str {
        match self {
            Self::NotOnXen => "this machine does not run on Xen",
            Self::NoPlatformDevice => {
                "this guest runs on Xen, but the kernel's own Xen core is not active and there is no platform PCI \
                 device 5853:0001 for the native mode; for an HVM guest set xen_platform_pci=1, a PVH guest needs a \
                 kernel with CONFIG_XEN_PVH that is booted without nopv"
            }
        }
    }
}

/// Decides.
///
/// # Errors
///
/// [`Refusal`]: neither mode fits.
pub const fn decide(observed: Observed) -> Result<Mode, Refusal> {
    match observed {
        Observed {
            core: Some(guest), ..
        } => Ok(Mode::Hosted(guest)),
        Observed {
            under_xen: false, ..
        } => Err(Refusal::NotOnXen),
        Observed {
            platform_device: true,
            ..
        } => Ok(Mode::Native),
        _ => Err(Refusal::NoPlatformDevice),
    }
}
