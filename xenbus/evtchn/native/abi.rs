// SPDX-License-Identifier: GPL-2.0

//! Which of the two ABIs, and getting into and out of FIFO.

use super::{
    calls,
    cpu::Cpu,
    fifo,
    keep::{
        self,
        Failure,
        Kept, //
    },
    Events, //
};
use crate::platform;
use kernel::{
    prelude::*,
    sync::atomic::Relaxed, //
};
use rxen_bindings as bindings;

/// Ports that are kept over a reset at most: two of the toolstack, those of the device model (one for each virtual CPU
/// and a few), and some to spare.
const KEPT: usize = 512;

/// A frame that no guest has.
const NO_FRAME: u64 = u64::MAX >> 12;

/// Puts an ABI in force: 1 for the 2-level one, 2 for FIFO, any other number for the best that there is.
pub(super) fn choose(events: &Events, wish: u32) -> Result {
    let first = events.cpu(0).ok_or(ENODEV)?;
    first.identify(platform::native::vcpu_id(0))?;
    if wish == 1 {
        return two_level(events);
    }
    let error = match fifo(events, first) {
        Ok(()) => {
            events.fifo.store(true, Relaxed);
            return Ok(());
        }
        Err(error) => error,
    };
    if wish == 2 {
        pr_err!(
            "this Xen refuses the FIFO ABI of event channels ({}); load without event_abi=2\n",
            error.to_errno()
        );
        return Err(error);
    }
    pr_notice!("no FIFO ABI of event channels ({})\n", error.to_errno());
    two_level(events)
}

/// Goes over to the FIFO ABI, with the control block of the first CPU and room for the ports that there are.
fn fifo(events: &Events, first: &Cpu) -> Result {
    let mut result = first.register();
    if result == Err(EINVAL) {
        // It is in force already, with frames of somebody who is gone.
        reset(events)?;
        result = first.register();
    }
    result?;
    let mut pool = events.pool.lock();
    events.array.reach(1, &mut pool.pages)
}

/// Makes sure that the 2-level ABI is in force.
fn two_level(events: &Events) -> Result {
    // The hypervisor says that the other one is not before it looks at the frame.
    let is_fifo = match calls::expand_array(NO_FRAME) {
        Ok(()) => true,
        Err(error) => {
            let number = error.to_errno();
            number != -(bindings::EOPNOTSUPP as i32) && number != -(bindings::ENOSYS as i32)
        }
    };
    if is_fifo {
        reset(events)?;
    }
    Ok(())
}

/// Closes all ports of this guest and goes back to the 2-level ABI. What the toolstack has given this guest is as before.
pub(super) fn reset(events: &Events) -> Result {
    let mut room = KVec::new();
    room.extend_with(KEPT, Kept::NONE, GFP_KERNEL)?;
    let result = keep::reset(&calls::Ports, fifo::PORTS, &mut room);
    if matches!(result, Ok(_) | Err(Failure::Lost(_))) {
        events.array.forget();
        events.cpus.iter().for_each(Cpu::unregister);
    }
    match result {
        Ok(_) => Ok(()),
        Err(Failure::TooMany) => {
            pr_err!("event channels were not reset: there are too many ports\n");
            Err(ENOSPC)
        }
        Err(Failure::Unknown(port, error)) => {
            pr_err!(
                "event channels were not reset: Xen does not say what port {} is ({})\n",
                port,
                error.to_errno()
            );
            Err(error)
        }
        Err(Failure::Reset(error)) => {
            pr_err!(
                "Xen refuses to reset event channels ({})\n",
                error.to_errno()
            );
            Err(error)
        }
        Err(Failure::Lost(kept)) => {
            pr_err!(
                "port {} was lost in a reset of event channels; xenstore or the console need a reboot\n",
                kept.port()
            );
            Ok(())
        }
    }
}

/// Puts the FIFO ABI in force after a restore, with the first CPU's control block and all pages of the event array but
/// for those that the hypervisor has from an earlier attempt. With all other CPUs stopped and interrupts off.
///
/// # Errors
///
/// What the hypervisor says of a page. The ports that the pages before it have work, and binding one that they do not
/// have tries it again.
pub(super) fn restore(events: &Events) -> Result {
    let first = events.cpu(0).ok_or(ENODEV)?;
    if let Err(error) = first.restore() {
        pr_err!(
            "this Xen refuses the FIFO ABI of event channels ({}); going on with the 2-level one\n",
            error.to_errno()
        );
        events.fifo.store(false, Relaxed);
        return Ok(());
    }
    events.array.restore()
}

/// Goes back to the 2-level ABI, so that the hypervisor has none of our frames.
pub(super) fn leave(events: &Events) {
    // The first one is what puts the FIFO ABI in force.
    if !events.cpu(0).is_some_and(Cpu::is_registered) || reset(events).is_ok() {
        return;
    }
    pr_err!("Xen keeps some pages of event channels: they are lost until the guest reboots\n");
    events.cpus.iter().for_each(Cpu::lose_page);
    for page in &events.pool.lock().pages {
        // SAFETY: The page is valid. The reference that this takes is never given back.
        unsafe { bindings::rxen_page_hold(page.as_ptr()) };
    }
}
