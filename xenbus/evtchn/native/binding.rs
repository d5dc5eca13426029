// SPDX-License-Identifier: GPL-2.0

//! Ports with a handler: from where they come, and that they are let go of once.

use super::{
    calls,
    chip,
    events,
    generation::Claim,
    keep,
    line::Line,
    report,
    Events,
    Source,
    Target,
    COUNTERS, //
};
use crate::store::native::NoIo;
use kernel::{
    error::to_result,
    interrupt::local_interrupt_disable,
    prelude::*,
    types::ScopeGuard, //
};
use rxen_bindings as bindings;

/// Gets a port from where it is to come from; also the CPU that its events go to.
fn open(events: &Events, source: Source<'_>) -> Result<(u32, u32)> {
    Ok(match source {
        Source::Device(device) => (calls::alloc_unbound(device.otherend_id())?, 0),
        Source::Unbound(domid) => (calls::alloc_unbound(domid)?, 0),
        Source::Interdomain(domid, port) => (calls::bind_interdomain(domid, port)?, 0),
        Source::Existing(port) => {
            if events.table.get(port).is_some() {
                return Err(EBUSY);
            }
            match calls::status(port)? {
                keep::Status::Unbound(_) | keep::Status::Interdomain(..) => {}
                keep::Status::Closed | keep::Status::Own => return Err(EINVAL),
            }
            // It may have been another's, on another CPU.
            calls::bind_vcpu(port, events.cpu(0).ok_or(EINVAL)?.vcpu())?;
            (port, 0)
        }
        Source::Virq(virq, number) => {
            let cpu = events.cpu(number).filter(|cpu| cpu.is_ready());
            (calls::bind_virq(virq, cpu.ok_or(EINVAL)?.vcpu())?, number)
        }
    })
}

/// A port with an interrupt handler.
///
/// # Invariants
///
/// The handler of `line` is requested, with `line` as its argument. As long as the claim has its port, the line is bound
/// to that.
pub(in crate::evtchn) struct Binding {
    events: &'static Events,
    pub(super) line: &'static Line,
    // The line's place in the pool.
    index: usize,
    claim: Claim,
}

impl Binding {
    /// Gets a port and binds the handler.
    ///
    /// The caller keeps `target` alive until the binding is dropped (see the field order of `Channel`).
    pub(in crate::evtchn) fn new(source: Source<'_>, target: Pin<&Target>) -> Result<Self> {
        let events = events().ok_or(ENODEV)?;
        let ours = !matches!(source, Source::Existing(_));
        // A disk at rest in a suspend must not be waited for under the pool's lock, which the restore of xenstore needs.
        let _memory = NoIo::begin();
        let mut pool = events.pool.lock();
        let (claim, cpu) = {
            // A restore does not come in between: it would be unknown which side of it the port is from.
            let _off = local_interrupt_disable();
            let (port, cpu) = open(events, source)?;
            (Claim::new(port, ours, &events.restores), cpu)
        };
        let mut claim = ScopeGuard::new_with_data(claim, |mut claim| close(events, &mut claim));
        events.reach(claim.number(), &mut pool)?;
        let (index, line) = pool.take(events)?;
        if let Err(error) = publish(events, source, &claim, line, cpu, target.get_ref()) {
            pool.give_back(index);
            return Err(error);
        }
        let line_pointer: *const Line = line;
        // SAFETY: The name lives as long as the target, and that and the line until `drop` has freed the interrupt; the
        // handler is the one of lines.
        let result = to_result(unsafe {
            bindings::request_threaded_irq(
                line.irq(),
                Some(chip::interrupt),
                None,
                flags(source),
                target.get_ref().name.as_char_ptr(),
                line_pointer.cast_mut().cast(),
            )
        });
        if let Err(error) = result {
            retract(events, line, &mut claim);
            pool.give_back(index);
            return Err(error);
        }
        // INVARIANT: Requested and bound above.
        Ok(Self {
            events,
            line,
            index,
            claim: claim.dismiss(),
        })
    }

    /// The port; that of a virtual interrupt may be another one since a restore.
    pub(in crate::evtchn) fn port(&self) -> u32 {
        self.claim.number()
    }

    /// Sends an event; nothing after a restore, when the port may be another's.
    pub(in crate::evtchn) fn notify(&self) {
        // A restore stops this CPU only where it has interrupts on, so not between the question and the call.
        let _off = local_interrupt_disable();
        let Some(port) = self.claim.port(&self.events.restores) else {
            return;
        };
        match calls::send(port) {
            // A port whose other end is gone: there is nobody to tell.
            Ok(()) => {}
            Err(error) if calls::is_final(error) => {}
            Err(error) => report::refused(&COUNTERS.sends_refused, || {
                pr_warn!(
                    "port {}: Xen does not send its event ({})\n",
                    port,
                    error.to_errno()
                );
            }),
        }
    }
}

impl Drop for Binding {
    fn drop(&mut self) {
        let line: *const Line = self.line;
        // SAFETY: Requested with this argument by the invariant. Waits for a running handler.
        unsafe { bindings::free_irq(self.line.irq(), line.cast_mut().cast()) };
        self.line.quiesce();
        let mut pool = self.events.pool.lock();
        retract(self.events, self.line, &mut self.claim);
        close(self.events, &mut self.claim);
        pool.give_back(self.index);
    }
}

/// Binds a line to a port, so that upcalls find it.
fn publish(
    events: &Events,
    source: Source<'_>,
    claim: &Claim,
    line: &'static Line,
    cpu: u32,
    target: &Target,
) -> Result {
    // A restore does not come in between.
    let _off = local_interrupt_disable();
    let port = claim.port(&events.restores).ok_or(EAGAIN)?;
    if let Source::Virq(virq, number) = source {
        events.virqs.add(line, virq, number)?;
    }
    line.bind(port, cpu, target);
    events.table.set(port, Some(line));
    Ok(())
}

/// Takes a line's port from it, so that upcalls do not find it any more.
fn retract(events: &Events, line: &Line, claim: &mut Claim) {
    let _off = local_interrupt_disable();
    let port = line.unbind();
    if port != 0 {
        events.table.set(port, None);
    }
    if events.virqs.remove(line) && port != 0 {
        claim.renew(port, &events.restores);
    }
}

/// The flags of the interrupt.
fn flags(source: Source<'_>) -> c_ulong {
    match source {
        // Those of a CPU stay with it, and those of the domain are rare.
        Source::Virq(..) => bindings::IRQF_NOBALANCING as c_ulong,
        _ => 0,
    }
}

/// Closes a port that is ours.
fn close(events: &Events, claim: &mut Claim) {
    let _off = local_interrupt_disable();
    let Some(port) = claim.give_up(&events.restores) else {
        return;
    };
    if let Err(error) = calls::close(port) {
        report::refused(&COUNTERS.closes_refused, || {
            pr_warn!(
                "port {} stays open: Xen refuses to close it ({})\n",
                port,
                error.to_errno()
            );
        });
    }
}
