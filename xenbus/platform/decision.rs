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
}

/// What was seen of the machine.
#[derive(Clone, Copy, Debug)]
pub struct Observed {
    /// CPUID (or the PV interface, by way of the C core) names Xen.
    pub under_xen: bool,
    /// The guest type, where the kernel's C core is active.
    pub core: Option<Guest>,
    /// The kernel was compiled with `CONFIG_XEN`.
    pub core_compiled: bool,
}

/// Why the module does not load.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// No Xen below this kernel.
    NotOnXen,
    /// Xen, but the kernel's support for it is switched off (`nopv`).
    CoreOff,
    /// Xen, but the kernel has no support for it.
    CoreAbsent,
}

impl Refusal {
    /// What the log says: the cause and what to do.
    pub const fn reason(self) -> &'static str {
        match self {
            Self::NotOnXen => "this machine does not run on Xen",
            Self::CoreOff => {
                "this guest runs on Xen, but the kernel's Xen core is switched off (kernel parameter nopv, xen_nopv or \
                 xen_no_vector_callback?) and the native mode does not exist yet; boot without that parameter"
            }
            Self::CoreAbsent => {
                "this guest runs on Xen, but the kernel was built without CONFIG_XEN and the native mode does not \
                 exist yet; use a kernel with CONFIG_XEN"
            }
        }
    }
}

/// Decides.
pub const fn decide(observed: Observed) -> Result<Mode, Refusal> {
    match observed {
        Observed {
            core: Some(guest), ..
        } => Ok(Mode::Hosted(guest)),
        Observed {
            under_xen: false, ..
        } => Err(Refusal::NotOnXen),
        Observed {
            core_compiled: true,
            ..
        } => Err(Refusal::CoreOff),
        _ => Err(Refusal::CoreAbsent),
    }
}
