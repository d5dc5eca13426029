// SPDX-License-Identifier: GPL-2.0

//! Upcalls: the hypervisor calls a CPU that has events.

use super::{
    cpu::Cpu,
    events,
    pace::Budget,
    Events,
    COUNTERS, //
};
use crate::platform;
use core::sync::atomic::Ordering::SeqCst;
use kernel::{
    error::to_result,
    prelude::*,
    sync::{
        atomic::Relaxed,
        rcu, //
    },
    time::{
        delay::fsleep,
        Delta,
        Instant,
        Monotonic, //
    }, //
};
use rxen_bindings as bindings;

/// Nanoseconds that an upcall may take before it puts off the end of all further interrupts: two ticks.
const LIMIT: u64 = 2 * 1_000_000_000 / bindings::HZ as u64;

/// Handles all events of a CPU; false if it was not called.
///
/// # Safety
///
/// Nobody else may be in here, or in [`rescue`], for the same CPU. In hard interrupt context.
pub(super) unsafe fn run(cpu: &Cpu) -> bool {
    let Some(events) = events() else {
        return false;
    };
    // A line that an event is on its way to keeps its interrupt until this ends.
    let _reader = rcu::read_lock();
    let mut budget = Budget::new(LIMIT);
    let event = |port| {
        COUNTERS.events.add(1, Relaxed);
        // SAFETY: Reads the clock.
        let busy = budget.exceeded(|| unsafe { bindings::ktime_get() } as u64);
        match events.table.get(port) {
            Some(line) => line.event(busy),
            // The port was closed, or is none of ours.
            None => COUNTERS.ignored.add(1, Relaxed),
        }
    };
    // SAFETY: The caller promises that nobody else is in there.
    unsafe { cpu.drain(&events.ports(), true, event) }
}

/// Has the events that a CPU has left behind raised where their ports are bound to now.
///
/// # Safety
///
/// Nobody else may be in here, or in [`run`], for the same CPU.
pub(super) unsafe fn rescue(events: &Events, cpu: &Cpu) {
    let Some(info) = super::memory::VcpuInfo::new(cpu.vcpu()) else {
        return;
    };
    // So that it is looked at in any case.
    info.upcall_pending().store(1, SeqCst);
    let event = |port| {
        if let Some(line) = events.table.get(port) {
            line.raise_again();
        }
    };
    // SAFETY: The caller promises that nobody else is in there.
    unsafe { cpu.drain(&events.ports(), false, event) };
}

/// How long the hypervisor has for a call.
const PATIENCE: Delta = Delta::from_secs(1);

/// Whether a CPU is called when the hypervisor finds, on the occasion of `ask`, that it is to be. May sleep.
pub(super) fn answers(cpu: &Cpu, ask: impl FnOnce() -> Result) -> Result<bool> {
    let info = super::memory::VcpuInfo::new(cpu.vcpu()).ok_or(ENODEV)?;
    let before = cpu.upcalls();
    info.upcall_pending().store(1, SeqCst);
    ask()?;
    let start = Instant::<Monotonic>::now();
    while cpu.upcalls() == before {
        if start.elapsed() > PATIENCE {
            return Ok(false);
        }
        fsleep(Delta::from_millis(1));
    }
    Ok(true)
}

/// The handler runs with interrupts off, where no restore can come, also if handlers of interrupts are threads.
const FLAGS: u32 = bindings::IRQF_SHARED | bindings::IRQF_NOBALANCING | bindings::IRQF_NO_THREAD;

/// Calling the guest by the interrupt of the platform device, whatever CPU that goes to. Only the first virtual CPU's
/// events come this way.
pub(super) struct Wire(&'static Cpu);

impl Wire {
    /// Requests the interrupt. May sleep.
    pub(super) fn new(cpu: &'static Cpu) -> Result<Self> {
        // SAFETY: The argument lives as long as native event channels run, and the interrupt is freed before they end.
        to_result(unsafe {
            bindings::request_threaded_irq(
                platform::native::interrupt(),
                Some(interrupt),
                None,
                FLAGS as c_ulong,
                c"rxen-upcall".as_char_ptr(),
                argument(cpu),
            )
        })?;
        Ok(Self(cpu))
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        // SAFETY: Requested with this argument in `new`. Waits for a running handler.
        unsafe { bindings::free_irq(platform::native::interrupt(), argument(self.0)) };
    }
}

/// What the handler gets.
fn argument(cpu: &'static Cpu) -> *mut c_void {
    core::ptr::from_ref(cpu).cast_mut().cast()
}

/// The handler. Called by the kernel's interrupt core.
unsafe extern "C" fn interrupt(_irq: c_int, cpu: *mut c_void) -> bindings::irqreturn_t {
    // SAFETY: The CPU was the argument with which the handler was requested; it outlives the handler.
    let cpu = unsafe { &*cpu.cast::<Cpu>() };
    // SAFETY: The interrupt core runs the handlers of an interrupt once at a time, and no other serves this CPU.
    if unsafe { run(cpu) } {
        bindings::irqreturn::IRQ_HANDLED
    } else {
        bindings::irqreturn::IRQ_NONE
    }
}
