// SPDX-License-Identifier: GPL-2.0

//! CPUs that come and go.

use super::{
    cpu::Cpu,
    events,
    upcall,
    Events, //
};
use crate::platform;
use kernel::{
    interrupt::local_interrupt_disable,
    prelude::*, //
};
use rxen_bindings as bindings;

/// The callbacks of CPU hotplug; dropping this ends them.
pub(super) struct Hotplug {
    online: c_int,
    dead: c_int,
}

impl Hotplug {
    /// Brings up all CPUs that are there, and has those that come later brought up. May sleep.
    pub(super) fn new() -> Result<Self> {
        // SAFETY: The callbacks are removed before native event channels end.
        let dead = state(unsafe { bindings::rxen_hotplug_dead(Some(dead)) })?;
        // SAFETY: As above.
        let online = state(unsafe { bindings::rxen_hotplug_online(Some(online), Some(offline)) });
        match online {
            Ok(online) => Ok(Self { online, dead }),
            Err(error) => {
                // SAFETY: Added above.
                unsafe { bindings::rxen_hotplug_remove(dead) };
                Err(error)
            }
        }
    }
}

impl Drop for Hotplug {
    fn drop(&mut self) {
        // SAFETY: Added by `new`.
        unsafe {
            bindings::rxen_hotplug_remove(self.online);
            bindings::rxen_hotplug_remove(self.dead);
        }
    }
}

/// A state of CPU hotplug, or the error.
fn state(result: c_int) -> Result<c_int> {
    if result < 0 {
        return Err(Error::from_errno(result));
    }
    Ok(result)
}

/// Called on a CPU that has come up; may sleep.
unsafe extern "C" fn online(number: c_uint) -> c_int {
    let Some((events, cpu)) = events().and_then(|events| Some((events, events.cpu(number)?)))
    else {
        return 0;
    };
    match bring_up(events, cpu) {
        Ok(ready) => cpu.set_ready(ready),
        // The guest does without: no port is bound to this CPU.
        Err(error) => pr_warn!("CPU {}: gets no events ({})\n", number, error.to_errno()),
    }
    0
}

/// Sets up a CPU, which is this one; true if it can have events.
fn bring_up(events: &'static Events, cpu: &'static Cpu) -> Result<bool> {
    cpu.identify(platform::native::vcpu_id(cpu.number()))?;
    if events.is_fifo() {
        cpu.register()?;
    }
    {
        let _off = local_interrupt_disable();
        // SAFETY: Its upcalls come as interrupts of this very CPU, which are off; or they do not come yet.
        unsafe { upcall::rescue(events, cpu) };
    }
    match events.vectors() {
        Some(domain) => domain.attach(cpu).map(|()| true),
        // The interrupt of the platform device is raised for the first virtual CPU only.
        None => Ok(cpu.vcpu() == 0),
    }
}

/// Called on a CPU that is about to go. The interrupt core moves its ports elsewhere after that.
unsafe extern "C" fn offline(number: c_uint) -> c_int {
    if let Some(cpu) = events().and_then(|events| events.cpu(number)) {
        cpu.set_ready(false);
    }
    0
}

/// Called when a CPU is gone.
unsafe extern "C" fn dead(number: c_uint) -> c_int {
    if let Some((events, cpu)) = events().and_then(|events| Some((events, events.cpu(number)?))) {
        // SAFETY: A CPU that is gone is in no upcall.
        unsafe { upcall::rescue(events, cpu) };
    }
    0
}
