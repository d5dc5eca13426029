// SPDX-License-Identifier: GPL-2.0

//! What a suspend of the whole domain does to the core, step by step. `rxen_suspend` decides on the order, and what to do
//! when a step fails.
//!
//! All of this is for the native mode: in the hosted one the kernel's own Xen core handles suspends.

use crate::{
    bus,
    evtchn,
    grant,
    hypercall,
    platform,
    store::{
        self,
        native::NoIo, //
    }, //
};
use core::marker::PhantomData;
use kernel::{
    error::to_result,
    prelude::*, //
};
use rxen_bindings as bindings;

/// Whether suspends are ours to handle.
pub fn is_ours() -> bool {
    platform::is_native()
}

/// Has all devices come to rest. May sleep, for as long as the slowest takes.
///
/// # Errors
///
/// `ETIME`, after a line in the log that names the device, if one does not come to rest; then all go on. `EBUSY`, after a
/// line in the log, where the kernel would refuse [`Stopped::stop_timekeeping`].
pub fn park_devices() -> Result {
    ours()?;
    may_stop_timekeeping()?;
    bus::native::park_all()
}

/// Refuses where the kernel has noted that something woke it: that is the end of a sleep which is under way, but the note
/// stays after the sleep too, and the kernel gives no module a way to take it back.
fn may_stop_timekeeping() -> Result {
    // SAFETY: Called in process context.
    if !unsafe { bindings::rxen_wakeup_pending() } {
        return Ok(());
    }
    pr_err!(
        "no suspend: the kernel still notes what woke it from a sleep of its own, and refuses; a sleep that is only tried \
         (/sys/power/pm_test) takes the note away\n"
    );
    Err(EBUSY)
}

/// Has all devices go on as before. May sleep.
///
/// # Errors
///
/// `EOPNOTSUPP` in hosted mode, `ETIME` after a line in the log that names the devices that take long: they go on later.
pub fn unpark_devices() -> Result {
    ours()?;
    bus::native::unpark_all()
}

/// Has all devices connect anew after a restore. May sleep.
///
/// # Errors
///
/// As [`unpark_devices`].
pub fn restore_devices() -> Result {
    ours()?;
    bus::native::restore_all()
}

/// Waits until nothing is in flight to xenstored, and holds back what comes. May sleep.
///
/// # Errors
///
/// `ETIME` if xenstored does not answer; then nothing is held back.
pub fn hold_store() -> Result {
    ours()?;
    store::native::suspend()
}

/// Lets requests to xenstored go on; after a restore it does so over the new connection, and registers all watches
/// again. May sleep.
///
/// # Errors
///
/// `EIO` or what the hypervisor says where there is no ring after a restore, after a line in the log.
pub fn release_store(restored: bool) -> Result {
    ours()?;
    store::native::resume(restored)
}

/// Refuses in the hosted mode.
fn ours() -> Result {
    if is_ours() {
        Ok(())
    } else {
        Err(EOPNOTSUPP)
    }
}

/// Only there while all other CPUs stand still.
pub struct Stopped(PhantomData<*mut ()>);

/// Stops all other CPUs, runs `inside` once on the first one with interrupts off, and starts them again. May sleep.
///
/// # Errors
///
/// `ENOMEM`, `EBUSY`; then `inside` has not run.
pub fn with_cpus_stopped(inside: &mut (dyn FnMut(&Stopped) + Send)) -> Result {
    ours()?;
    let mut inside = inside;
    let data: *mut &mut (dyn FnMut(&Stopped) + Send) = &mut inside;
    // SAFETY: The function takes this very data, which outlives the call; it may run on another CPU.
    to_result(unsafe { bindings::rxen_stop_machine(Some(run_stopped), data.cast()) })
}

/// Called with all other CPUs stopped.
unsafe extern "C" fn run_stopped(inside: *mut c_void) -> c_int {
    // SAFETY: `with_cpus_stopped` passes this, and waits.
    let inside = unsafe { &mut *inside.cast::<&mut (dyn FnMut(&Stopped) + Send)>() };
    inside(&Stopped(PhantomData));
    0
}

/// What the suspend hypercall says when it returns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Returned {
    /// The domain goes on where it is.
    Cancelled,
    /// The domain was built anew.
    Restored,
}

impl Stopped {
    /// Stops timekeeping, and has the kernel save what it keeps in hardware.
    ///
    /// # Errors
    ///
    /// What one of the kernel's parts says that cannot be suspended; then those before it go on.
    pub fn stop_timekeeping(&self) -> Result {
        // SAFETY: Interrupts are off, and no other CPU runs.
        to_result(unsafe { bindings::syscore_suspend() })
    }

    /// Undoes [`Self::stop_timekeeping`].
    pub fn start_timekeeping(&self) {
        // SAFETY: As in `stop_timekeeping`.
        unsafe { bindings::syscore_resume() }
    }

    /// Has the core do what it has to do before it is saved. It needs not be undone.
    pub fn save(&self) {
        evtchn::native::suspend();
        grant::native::suspend();
        platform::native::suspend();
    }

    /// The suspend hypercall: the domain is saved, and this returns when it runs again.
    ///
    /// # Errors
    ///
    /// What the hypervisor says; then the domain was not suspended.
    pub fn suspend(&self) -> Result<Returned> {
        let mut argument = bindings::sched_shutdown {
            reason: bindings::SHUTDOWN_suspend,
        };
        // SAFETY: This is the argument of the command; it points at nothing.
        match unsafe { hypercall::sched_op(bindings::SCHEDOP_shutdown, &mut argument) } {
            Ok(0) => Ok(Returned::Restored),
            Ok(_) => Ok(Returned::Cancelled),
            Err(error) => Err(error),
        }
    }

    /// After a restore: the pages that are shared with the hypervisor. Comes first.
    ///
    /// # Errors
    ///
    /// What the hypervisor says; to be tried again.
    pub fn resume_platform(&self) -> Result {
        platform::native::resume()
    }

    /// After a restore: the grant table.
    ///
    /// # Errors
    ///
    /// As [`Self::resume_platform`].
    pub fn resume_grants(&self) -> Result {
        grant::native::resume()
    }

    /// After a restore: event channels.
    ///
    /// # Errors
    ///
    /// As [`Self::resume_platform`].
    pub fn resume_events(&self) -> Result {
        evtchn::native::resume()
    }
}

/// A hypercall that fails without being made, for tests. Dropping it ends that.
pub struct FailingHypercall(hypercall::faults::Failing);

impl FailingHypercall {
    /// Of those that this task makes from now on, the one of this number; the first is 1. Any context.
    pub fn new(number: u32) -> Self {
        Self(hypercall::faults::Failing::any(number))
    }
}

/// Has each CPU look at its timers again: what it programmed into its hardware before may come late or never. To be
/// called once all CPUs run again. May sleep.
pub fn wake_timers() {
    // SAFETY: Called in process context, with interrupts on.
    unsafe { bindings::rxen_wake_timers() }
}

/// A clock for durations, in nanoseconds, that also runs while timekeeping is stopped.
pub fn clock() -> u64 {
    // SAFETY: Reads a clock.
    unsafe { bindings::rxen_clock() }
}

/// The tracepoint `rxen:rxen_suspend_phase`: a phase has run. Any context.
pub fn trace_phase(name: &CStr, nanoseconds: u64, failed: bool) {
    // SAFETY: The name ends with a NUL; the tracepoint copies it.
    unsafe { bindings::rxen_suspend_trace(name.as_char_ptr(), nanoseconds, failed) }
}

/// Has user space shut the machine down and power it off, as its power button would.
pub fn power_off() {
    // SAFETY: Called in process context.
    unsafe { bindings::rxen_power_off() }
}

/// Has user space shut the machine down and start it anew.
pub fn reboot() {
    // SAFETY: Called in process context.
    unsafe { bindings::rxen_reboot() }
}

/// Carries out a magic system request, where the kernel has these.
pub fn sysrq(key: u8) {
    // SAFETY: Called in process context.
    unsafe { bindings::rxen_sysrq(key) }
}

/// Keeps the kernel's own suspend and hibernation away as long as it lives, and CPUs from coming and going (who tries gets
/// `EBUSY`), and has this thread allocate memory without waiting for a disk, which may be at rest.
pub struct Alone {
    _memory: NoIo,
    flags: c_uint,
}

impl Alone {
    /// Waits until no other suspend is under way, and no CPU on its way.
    pub fn new() -> Self {
        Self {
            // SAFETY: Called in process context; undone in `drop`.
            flags: unsafe { bindings::rxen_lock_sleep() },
            _memory: NoIo::begin(),
        }
    }
}

impl Default for Alone {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for Alone {
    fn drop(&mut self) {
        // SAFETY: Undoes what `new` did.
        unsafe { bindings::rxen_unlock_sleep(self.flags) }
    }
}
