// SPDX-License-Identifier: GPL-2.0

//! Events from this guest to itself and from the hypervisor's timers: shows whether and how fast they arrive on each CPU,
//! and that worthless ones are slowed down, with nobody else involved.

use super::{
    cpu::Cpu,
    events,
    Events,
    Outcome, //
};
use crate::{
    evtchn::{
        owner::Binding,
        Channel,
        Handler, //
    },
    hypercall, //
};
use kernel::{
    debugfs,
    error::to_result,
    fmt,
    prelude::*,
    processor::cpu_relax,
    sync::{
        atomic::{
            Acquire,
            Atomic,
            Relaxed,
            Release, //
        },
        Arc, //
    },
    time::{
        Delta,
        Instant,
        Monotonic, //
    }, //
};
use rxen_bindings as bindings;

/// This domain.
pub(super) const SELF: u16 = bindings::DOMID_SELF as u16;
/// Events that are sent to each CPU.
const EVENTS: u64 = 500;
/// How long each may take.
const LIMIT: Delta = Delta::from_secs(1);
/// For how long worthless events are sent.
const STORM: Delta = Delta::from_millis(200);

/// The receiving end.
pub(super) struct Receiver {
    seen: Atomic<u64>,
    worthless: Atomic<bool>,
}

impl Receiver {
    /// One that has seen nothing.
    pub(super) fn new() -> Result<Arc<Self>> {
        let new = Self {
            seen: Atomic::new(0),
            worthless: Atomic::new(false),
        };
        Ok(Arc::new(new, GFP_KERNEL)?)
    }

    /// Waits until more events than that have arrived.
    fn wait(&self, seen: u64) -> Result {
        let start = Instant::<Monotonic>::now();
        while self.seen.load(Acquire) <= seen {
            if start.elapsed() > LIMIT {
                return Err(ETIME);
            }
            cpu_relax();
        }
        Ok(())
    }
}

impl Handler for Receiver {
    fn event(&self) -> Outcome {
        self.seen.fetch_add(1, Release);
        if self.worthless.load(Relaxed) {
            Outcome::Spurious
        } else {
            Outcome::Handled
        }
    }

    fn stopped(&self) {}
}

/// Two ports of this guest that are bound to each other.
pub(super) struct Pair {
    // Goes first: it is bound to the other.
    pub(super) to: Channel,
    pub(super) from: Channel,
    receiver: Arc<Receiver>,
}

impl Pair {
    pub(super) fn new() -> Result<Self> {
        let receiver = Receiver::new()?;
        let from = Channel::bind_unbound(SELF, "loopback-from", receiver.clone())?;
        let to = Channel::bind_interdomain(SELF, from.port(), "loopback-to", receiver.clone())?;
        let pair = Self { to, from, receiver };
        // The hypervisor raises one when two ports are bound to each other.
        pair.receiver.wait(0)?;
        Ok(pair)
    }

    /// Has the events handled on a CPU.
    pub(super) fn move_to(&self, cpu: &Cpu) -> Result {
        move_to(&self.to, cpu)
    }

    /// Has an event raised that only the hypervisor can raise, and waits for it.
    #[cfg(CONFIG_KUNIT = "y")]
    pub(super) fn raise_by_hypervisor(&self) -> Result {
        let seen = self.receiver.seen.load(Acquire);
        match &self.to.binding {
            Some(Binding::Native(binding)) if binding.line.retrigger() => self.receiver.wait(seen),
            _ => Err(ENODEV),
        }
    }

    /// Sends one event after the other; the nanoseconds that each took.
    pub(super) fn send_all(&self) -> Result<i64> {
        let start = Instant::<Monotonic>::now();
        for _ in 0..EVENTS {
            let seen = self.receiver.seen.load(Acquire);
            self.from.notify();
            self.receiver.wait(seen)?;
        }
        Ok(start.elapsed().as_nanos() / EVENTS as i64)
    }

    /// Sends worthless events for a while; how many were sent and how many were handled.
    pub(super) fn storm(&self) -> (u64, u64) {
        self.receiver.worthless.store(true, Relaxed);
        let (sent, seen) = (self.from.sent(), self.receiver.seen.load(Acquire));
        let start = Instant::<Monotonic>::now();
        while start.elapsed() < STORM {
            self.from.notify();
        }
        self.receiver.worthless.store(false, Relaxed);
        (
            self.from.sent() - sent,
            self.receiver.seen.load(Acquire) - seen,
        )
    }
}

/// Has the events of a channel handled on a CPU.
pub(super) fn move_to(channel: &Channel, cpu: &Cpu) -> Result {
    match &channel.binding {
        Some(Binding::Native(binding)) => {
            // SAFETY: The interrupt is the channel's as long as that is bound.
            to_result(unsafe { bindings::rxen_irq_move(binding.line.irq(), cpu.number()) })
        }
        _ => Err(ENODEV),
    }
}

/// Has the hypervisor's timer of a CPU go off and its virtual interrupt arrive.
pub(super) fn ring_timer(cpu: &Cpu) -> Result {
    let receiver = Receiver::new()?;
    let _timer = Channel::bind_virq(
        bindings::VIRQ_TIMER,
        cpu.number(),
        "loopback-timer",
        receiver.clone(),
    )?;
    let mut started = Err(EIO);
    let mut start = (cpu.vcpu(), &mut started);
    let data: *mut (u32, &mut Result) = &mut start;
    // SAFETY: The function takes this very data, which outlives the call.
    to_result(unsafe { bindings::rxen_on_cpu(cpu.number(), Some(start_timer), data.cast()) })?;
    started?;
    receiver.wait(0)
}

/// Starts the timer of this CPU, which only the CPU itself may.
unsafe extern "C" fn start_timer(data: *mut c_void) {
    // SAFETY: `ring_timer` passes this, and waits.
    let (vcpu, started) = unsafe { &mut *data.cast::<(u32, &mut Result)>() };
    // Long past, so it goes off at once.
    let mut argument = bindings::vcpu_set_singleshot_timer {
        timeout_abs_ns: 1,
        flags: 0,
    };
    // SAFETY: This is the argument of the operation; it points at nothing.
    let result =
        unsafe { hypercall::vcpu_op(bindings::VCPUOP_set_singleshot_timer, *vcpu, &mut argument) };
    **started = result;
}

/// The contents of the debugfs file `evtchn_loopback`.
pub(crate) struct Loopback;

impl debugfs::Writer for Loopback {
    fn write(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(events) = events() else {
            return Ok(());
        };
        match run(events, f) {
            Ok(outcome) => outcome,
            Err(error) => writeln!(f, "failed {}", error.to_errno()),
        }
    }
}

/// Does it all; the outer result is about events, the inner one about writing.
fn run(events: &Events, f: &mut fmt::Formatter<'_>) -> Result<fmt::Result> {
    let pair = Pair::new()?;
    for cpu in events.cpus.iter().filter(|cpu| cpu.is_ready()) {
        pair.move_to(cpu)?;
        let nanoseconds = pair.send_all()?;
        let written = f.write_fmt(fmt!(
            "cpu {} events {} nanoseconds {}\n",
            cpu.number(),
            EVENTS,
            nanoseconds
        ));
        if written.is_err() {
            return Ok(written);
        }
    }
    for cpu in events.cpus.iter().filter(|cpu| cpu.is_ready()) {
        ring_timer(cpu)?;
        let written = f.write_fmt(fmt!("timer {} arrived\n", cpu.number()));
        if written.is_err() {
            return Ok(written);
        }
    }
    let (sent, handled) = pair.storm();
    Ok(f.write_fmt(fmt!("worthless {} handled {}\n", sent, handled)))
}
