// SPDX-License-Identifier: GPL-2.0

//! Virtual interrupts of the hypervisor over a restore.
//!
//! A device gets a new channel when it connects anew. A virtual interrupt has no other end that would ask for that: its
//! line is bound again here, to the port that the hypervisor gives it now.

use super::{
    calls,
    line::Line,
    Events, //
};
use kernel::{
    prelude::*,
    sync::atomic::{
        Atomic,
        Relaxed, //
    }, //
};

/// Virtual interrupts that can be bound at a time. The hypervisor has 24 kinds, of which few are for guests.
const COUNT: usize = 32;

/// A virtual interrupt that a line is bound to.
struct Slot {
    line: Atomic<*const Line>,
    virq: Atomic<u32>,
    cpu: Atomic<u32>,
}

/// The virtual interrupts that are bound. Changed with the pool's lock held and interrupts off, so that a restore does not
/// come in between.
///
/// # Invariants
///
/// Each line that is set is one of the pool's, which stay until native event channels end.
pub(super) struct Virqs([Slot; COUNT]);

impl Virqs {
    /// None is bound.
    pub(super) const fn new() -> Self {
        // INVARIANT: No lines.
        Self(
            [const {
                Slot {
                    line: Atomic::new(core::ptr::null()),
                    virq: Atomic::new(0),
                    cpu: Atomic::new(0),
                }
            }; COUNT],
        )
    }

    /// Has a line bound to a virtual interrupt again after each restore.
    ///
    /// # Errors
    ///
    /// `ENOSPC` where there are too many.
    pub(super) fn add(&self, line: &'static Line, virq: u32, cpu: u32) -> Result {
        let mut slots = self.0.iter();
        let slot = slots.find(|slot| slot.line.load(Relaxed).is_null());
        let slot = slot.ok_or(ENOSPC)?;
        slot.virq.store(virq, Relaxed);
        slot.cpu.store(cpu, Relaxed);
        // INVARIANT: A line that has this lifetime is one of the pool's.
        slot.line.store(line, Relaxed);
        Ok(())
    }

    /// Has it not bound again any more; false if it was for something else.
    pub(super) fn remove(&self, line: &Line) -> bool {
        let mut slots = self.0.iter();
        let slot = slots.find(|slot| core::ptr::eq(slot.line.load(Relaxed), line));
        slot.inspect(|slot| slot.line.store(core::ptr::null(), Relaxed))
            .is_some()
    }

    /// Binds all again that are without a port. With all other CPUs stopped and interrupts off.
    ///
    /// # Errors
    ///
    /// The first one, after a line in the log for each. Those that can be bound are.
    pub(super) fn restore(&self, events: &'static Events) -> Result {
        let mut result = Ok(());
        for slot in &self.0 {
            // SAFETY: Null or a line of the pool by the invariant.
            let Some(line) = (unsafe { slot.line.load(Relaxed).as_ref() }) else {
                continue;
            };
            if line.port() != 0 {
                continue;
            }
            let (virq, cpu) = (slot.virq.load(Relaxed), slot.cpu.load(Relaxed));
            if let Err(error) = bind_again(events, line, virq, cpu) {
                pr_err!(
                    "virtual interrupt {} of CPU {} does not come any more after the restore ({})\n",
                    virq,
                    cpu,
                    error.to_errno()
                );
                result = result.and(Err(error));
            }
        }
        result
    }
}

/// Binds a line to a virtual interrupt again. It goes to that CPU, wherever its affinity had moved it.
fn bind_again(events: &Events, line: &'static Line, virq: u32, cpu: u32) -> Result {
    let cpu = events.cpu(cpu).ok_or(EINVAL)?;
    let port = calls::bind_virq(virq, cpu.vcpu())?;
    // Nothing can be allocated here. The hypervisor gives the lowest number that is free, so there is room where there
    // was before.
    if !events.has_room(port) {
        // With an error of its own it would still be without a line.
        let _ = calls::close(port);
        return Err(ENOSPC);
    }
    events.table.set(port, Some(line));
    line.rebind(port, cpu);
    Ok(())
}
