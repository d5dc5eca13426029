// SPDX-License-Identifier: GPL-2.0

//! What debugfs shows of native event channels.

use super::{
    super::Counters,
    events,
    Events, //
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

/// How often what happened, since the module was loaded.
pub(super) struct Totals {
    /// Ports with an event that upcalls have found.
    pub(super) events: Atomic<u64>,
    /// Those that no channel is bound to.
    pub(super) ignored: Atomic<u64>,
    /// Those that came while one of the same port was being handled on another CPU.
    pub(super) reentered: Atomic<u64>,
    /// Interrupts whose end was put off.
    pub(super) put_off: Atomic<u64>,
    /// Ports that had an event when they were to be unmasked.
    pub(super) unmasked_by_hypervisor: Atomic<u64>,
    /// Queues whose head was no port.
    pub(super) bad_queues: Atomic<u64>,
    /// Events that the hypervisor did not send.
    pub(super) sends_refused: Atomic<u64>,
    /// Ports that the hypervisor did not close: they are lost.
    pub(super) closes_refused: Atomic<u64>,
    /// Ports that the hypervisor did not move away from a CPU without events.
    pub(super) moves_refused: Atomic<u64>,
    /// Times that the hypervisor did not unmask a port.
    pub(super) unmasks_refused: Atomic<u64>,
    /// Upcalls that were broken off: the CPU seemed to be called on and on, without an event.
    pub(super) endless: Atomic<u64>,
}

/// See [`Totals`].
pub(super) static COUNTERS: Totals = Totals {
    events: Atomic::new(0),
    ignored: Atomic::new(0),
    reentered: Atomic::new(0),
    put_off: Atomic::new(0),
    unmasked_by_hypervisor: Atomic::new(0),
    bad_queues: Atomic::new(0),
    sends_refused: Atomic::new(0),
    closes_refused: Atomic::new(0),
    moves_refused: Atomic::new(0),
    unmasks_refused: Atomic::new(0),
    endless: Atomic::new(0),
};

/// Counts what the hypervisor has refused, and has `warn` say so, unless that was said too often lately. Any context.
pub(super) fn refused(counter: &Atomic<u64>, warn: impl FnOnce()) {
    counter.add(1, Relaxed);
    // SAFETY: May be called in any context.
    if unsafe { bindings::rxen_event_may_warn() } {
        warn();
    }
}

/// The contents of the debugfs file `evtchn`.
pub(crate) struct Report;

impl debugfs::Writer for Report {
    fn write(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(events) = events() else {
            return Ok(());
        };
        writeln!(
            f,
            "abi {}",
            if events.is_fifo() { "fifo" } else { "2-level" }
        )?;
        let by_vector = events.vectors().is_some();
        writeln!(
            f,
            "upcall {}",
            if by_vector {
                "vector"
            } else {
                "platform device"
            }
        )?;
        writeln!(f, "restores {}", events.restores.count())?;
        writeln!(f, "channels {}", events.pool.lock().in_use())?;
        for (name, counter) in [
            ("events", &COUNTERS.events),
            ("ignored", &COUNTERS.ignored),
            ("reentered", &COUNTERS.reentered),
            ("put_off", &COUNTERS.put_off),
            ("unmasked_by_hypervisor", &COUNTERS.unmasked_by_hypervisor),
            ("bad_queues", &COUNTERS.bad_queues),
            ("sends_refused", &COUNTERS.sends_refused),
            ("closes_refused", &COUNTERS.closes_refused),
            ("moves_refused", &COUNTERS.moves_refused),
            ("unmasks_refused", &COUNTERS.unmasks_refused),
            ("endless", &COUNTERS.endless),
        ] {
            f.write_fmt(fmt!("{} {}\n", name, counter.load(Relaxed)))?;
        }
        processors(events, f)?;
        channels(events, f)
    }
}

/// A line for each CPU that has events.
fn processors(events: &Events, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    for cpu in events.cpus.iter().filter(|cpu| cpu.is_ready()) {
        f.write_fmt(fmt!(
            "cpu {} vcpu {} irq {} vector {} ports {} upcalls {}\n",
            cpu.number(),
            cpu.vcpu(),
            cpu.irq(),
            cpu.vector(),
            cpu.ports(),
            cpu.upcalls()
        ))?;
    }
    Ok(())
}

/// A line for each channel.
fn channels(events: &Events, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    for line in events.pool.lock().used() {
        // SAFETY: In use, with the pool's lock held.
        let target = unsafe { line.target() };
        let Counters {
            sent,
            received,
            spurious,
        } = &target.counters;
        f.write_fmt(fmt!(
            "channel {} irq {} cpu {} sent {} received {} spurious {} name {}\n",
            line.port(),
            line.irq(),
            line.cpu(),
            sent.load(Relaxed),
            received.load(Relaxed),
            spurious.load(Relaxed),
            target.name.to_str().unwrap_or_default()
        ))?;
    }
    Ok(())
}
