// SPDX-License-Identifier: GPL-2.0

//! Hypercalls of the native mode.
//!
//! The instruction is executed here, `vmcall` or `vmmcall` as the CPU's vendor has it, never through a page that the
//! hypervisor fills with code: an indirect call into such a page has no protection against speculation (XSA-466).

use core::{
    arch::asm,
    mem::size_of, //
};
use kernel::{
    debugfs,
    fmt,
    prelude::*,
    sync::atomic::{
        Atomic,
        Relaxed, //
    }, //
};
use rxen_bindings as bindings;

pub(crate) mod faults;
// Public for its tests, which compile it elsewhere.
#[allow(unreachable_pub)]
mod wish;

/// The hypercalls that are used, as they are counted.
#[derive(Clone, Copy)]
enum Kind {
    Memory,
    Version,
    GrantTable,
    Vcpu,
    Sched,
    EventChannel,
    Hvm,
}

impl Kind {
    /// All of them, in the order of the counters.
    const ALL: [Self; 7] = [
        Self::Memory,
        Self::Version,
        Self::GrantTable,
        Self::Vcpu,
        Self::Sched,
        Self::EventChannel,
        Self::Hvm,
    ];

    /// The hypervisor's number of it.
    const fn number(self) -> u32 {
        match self {
            Self::Memory => bindings::__HYPERVISOR_memory_op,
            Self::Version => bindings::__HYPERVISOR_xen_version,
            Self::GrantTable => bindings::__HYPERVISOR_grant_table_op,
            Self::Vcpu => bindings::__HYPERVISOR_vcpu_op,
            Self::Sched => bindings::__HYPERVISOR_sched_op,
            Self::EventChannel => bindings::__HYPERVISOR_event_channel_op,
            Self::Hvm => bindings::__HYPERVISOR_hvm_op,
        }
    }

    /// Its name in the report.
    const fn name(self) -> &'static str {
        match self {
            Self::Memory => "memory_op",
            Self::Version => "xen_version",
            Self::GrantTable => "grant_table_op",
            Self::Vcpu => "vcpu_op",
            Self::Sched => "sched_op",
            Self::EventChannel => "event_channel_op",
            Self::Hvm => "hvm_op",
        }
    }
}

// How often each kind was called is counted on each CPU, by C, since only there the kernel has static variables of a CPU.
const _: () = assert!(Kind::ALL.len() == bindings::RXEN_HYPERCALL_KINDS as usize);

/// How often one has failed, of each kind.
static FAILURES: [Atomic<u64>; Kind::ALL.len()] = [const { Atomic::new(0) }; Kind::ALL.len()];

/// The CPU is one of AMD's or Hygon's, which have `vmmcall`; the others have `vmcall`.
static AMD: Atomic<bool> = Atomic::new(false);

/// Chooses the instruction. To be called once, before the first hypercall.
pub(crate) fn start() {
    // SAFETY: Reads a variable that is constant after boot.
    AMD.store(unsafe { bindings::rxen_cpu_has_vmmcall() }, Relaxed);
}

/// Executes a hypercall with three arguments.
///
/// # Safety
///
/// What an argument points at must be what this hypercall takes there, and valid for what it does with it.
#[inline]
unsafe fn call(kind: Kind, first: u64, second: u64, third: u64) -> Result<i64> {
    if faults::strikes(kind) {
        FAILURES[kind as usize].add(1, Relaxed);
        return Err(EIO);
    }
    let mut result = u64::from(kind.number());
    // The hypervisor may change the registers of the arguments, and does so when it was built for debugging.
    macro_rules! execute {
        ($instruction:literal) => {
            // SAFETY: This code only runs on Xen, so the instruction enters it. What it writes is what the caller of
            // `call` has promised to be right; `asm!` takes it that any memory may have changed.
            unsafe {
                asm!(
                    $instruction,
                    inout("rax") result,
                    inout("rdi") first => _,
                    inout("rsi") second => _,
                    inout("rdx") third => _,
                    options(nostack),
                )
            }
        };
    }
    if AMD.load(Relaxed) {
        execute!("vmmcall");
    } else {
        execute!("vmcall");
    }
    // SAFETY: Adds to a counter of this CPU.
    unsafe { bindings::rxen_hypercall_count(kind as u32) };
    let result = result as i64;
    if result < 0 {
        FAILURES[kind as usize].add(1, Relaxed);
        // Xen's error numbers are those of Linux. A number out of range becomes EINVAL.
        return Err(Error::from_errno(c_int::try_from(result).unwrap_or(0)));
    }
    Ok(result)
}

/// The address of an argument, as the hypervisor takes it.
#[inline]
fn address<T>(argument: &mut T) -> u64 {
    core::ptr::from_mut(argument).addr() as u64
}

/// `EVTCHNOP_*`.
///
/// # Safety
///
/// `T` must be the argument of `command`, and what it points at valid for what the hypervisor does with it.
#[inline]
pub(crate) unsafe fn event_channel_op<T>(command: u32, argument: &mut T) -> Result {
    // SAFETY: The caller promises the right argument, which is borrowed for the call.
    unsafe { call(Kind::EventChannel, command.into(), address(argument), 0) }.map(|_| ())
}

/// `XENMEM_*`; returns what the hypervisor returns where that is no error.
///
/// # Safety
///
/// As for [`event_channel_op`].
pub(crate) unsafe fn memory_op<T>(command: u32, argument: &mut T) -> Result<i64> {
    // SAFETY: As in `event_channel_op`.
    unsafe { call(Kind::Memory, command.into(), address(argument), 0) }
}

/// `HVMOP_*`.
///
/// # Safety
///
/// As for [`event_channel_op`].
pub(crate) unsafe fn hvm_op<T>(command: u32, argument: &mut T) -> Result {
    // SAFETY: As in `event_channel_op`.
    unsafe { call(Kind::Hvm, command.into(), address(argument), 0) }.map(|_| ())
}

/// `SCHEDOP_*`; returns what the hypervisor returns where that is no error: for `SCHEDOP_shutdown` with
/// `SHUTDOWN_suspend`, 1 if the suspend was cancelled and 0 after a restore.
///
/// # Safety
///
/// As for [`event_channel_op`].
pub(crate) unsafe fn sched_op<T>(command: u32, argument: &mut T) -> Result<i64> {
    // SAFETY: As in `event_channel_op`.
    unsafe { call(Kind::Sched, command.into(), address(argument), 0) }
}

/// `VCPUOP_*` for a virtual CPU, by the hypervisor's number (see [`crate::platform::native::vcpu_id`]).
///
/// # Safety
///
/// As for [`event_channel_op`].
pub(crate) unsafe fn vcpu_op<T>(command: u32, vcpu: u32, argument: &mut T) -> Result {
    // SAFETY: As in `event_channel_op`.
    unsafe { call(Kind::Vcpu, command.into(), vcpu.into(), address(argument)) }.map(|_| ())
}

/// `GNTTABOP_*` for several arguments. Each of them has a status of its own besides.
///
/// # Safety
///
/// As for [`event_channel_op`].
pub(crate) unsafe fn grant_table_op<T>(command: u32, arguments: &mut [T]) -> Result {
    let count = u32::try_from(arguments.len()).map_err(|_| EINVAL)?;
    let first = arguments.as_mut_ptr().addr() as u64;
    // SAFETY: As in `event_channel_op`; the hypervisor touches `count` arguments.
    unsafe { call(Kind::GrantTable, command.into(), first, count.into()) }.map(|_| ())
}

/// The version of the hypervisor: its major and its minor number.
pub(crate) fn xen_version() -> Result<(u32, u32)> {
    // SAFETY: This one takes no argument.
    let version = unsafe { call(Kind::Version, bindings::XENVER_version.into(), 0, 0) }?;
    let version = u32::try_from(version).map_err(|_| EINVAL)?;
    Ok((version >> 16, version & 0xffff))
}

/// Reads a parameter of this domain, such as the frame of the xenstore ring.
pub(crate) fn hvm_param(index: u32) -> Result<u64> {
    let mut parameter = bindings::xen_hvm_param {
        domid: bindings::DOMID_SELF as u16,
        index,
        ..Default::default()
    };
    // SAFETY: This is the argument of the command; it points at nothing.
    unsafe { hvm_op(bindings::HVMOP_get_param, &mut parameter) }?;
    Ok(parameter.value)
}

/// Sets a parameter of this domain.
pub(crate) fn set_hvm_param(index: u32, value: u64) -> Result {
    let mut parameter = bindings::xen_hvm_param {
        domid: bindings::DOMID_SELF as u16,
        index,
        value,
    };
    // SAFETY: This is the argument of the command; it points at nothing.
    unsafe { hvm_op(bindings::HVMOP_set_param, &mut parameter) }
}

/// The contents of the debugfs file `hypercalls`: each kind, how often it was called and how often it failed.
pub(crate) struct Report;

impl debugfs::Writer for Report {
    fn write(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (kind, failures) in Kind::ALL.iter().zip(&FAILURES) {
            // SAFETY: Reads counters.
            let count = unsafe { bindings::rxen_hypercall_sum(*kind as u32) };
            f.write_fmt(fmt!(
                "{} {} failed {}\n",
                kind.name(),
                count,
                failures.load(Relaxed)
            ))?;
        }
        Ok(())
    }
}

const _: () = assert!(size_of::<usize>() == size_of::<u64>());
