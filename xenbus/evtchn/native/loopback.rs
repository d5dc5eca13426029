// SPDX-License-Identifier: GPL-2.0

//! Events from this guest to itself: shows whether and how fast they arrive on each CPU, and that worthless ones are
//! slowed down, with nobody else involved.

use super::{
    cpu::Cpu,
    events,
    Events,
    Outcome, //
};
use crate::evtchn::{
    owner::Binding,
    Channel,
    Handler, //
};
use kernel::{
    debugfs,
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
const SELF: u16 = bindings::DOMID_SELF as u16;
/// Events that are sent to each CPU.
const EVENTS: u64 = 500;
/// How long each may take.
const LIMIT: Delta = Delta::from_secs(1);
/// For how long worthless events are sent.
const STORM: Delta = Delta::from_millis(200);

/// The receiving end.
struct Receiver {
    seen: Atomic<u64>,
    worthless: Atomic<bool>,
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
struct Pair {
    // Goes first: it is bound to the other.
    to: Channel,
    from: Channel,
    receiver: Arc<Receiver>,
}

impl Pair {
    fn new() -> Result<Self> {
        let receiver = Arc::new(
            Receiver {
                seen: Atomic::new(0),
                worthless: Atomic::new(false),
            },
            GFP_KERNEL,
        )?;
        let from = Channel::bind_unbound(SELF, "loopback-from", receiver.clone())?;
        let to = Channel::bind_interdomain(SELF, from.port(), "loopback-to", receiver.clone())?;
        let pair = Self { to, from, receiver };
        // The hypervisor raises one when two ports are bound to each other.
        pair.wait(0)?;
        Ok(pair)
    }

    /// Waits until more events than that have arrived.
    fn wait(&self, seen: u64) -> Result {
        let start = Instant::<Monotonic>::now();
        while self.receiver.seen.load(Acquire) <= seen {
            if start.elapsed() > LIMIT {
                return Err(ETIME);
            }
            cpu_relax();
        }
        Ok(())
    }

    /// Has the events handled on a CPU.
    fn move_to(&self, cpu: &Cpu) -> Result {
        match &self.to.binding {
            Some(Binding::Native(binding)) => binding.line.move_to(cpu),
            _ => Err(ENODEV),
        }
    }

    /// Sends one event after the other; the nanoseconds that each took.
    fn send_all(&self) -> Result<i64> {
        let start = Instant::<Monotonic>::now();
        for _ in 0..EVENTS {
            let seen = self.receiver.seen.load(Acquire);
            self.from.notify();
            self.wait(seen)?;
        }
        Ok(start.elapsed().as_nanos() / EVENTS as i64)
    }

    /// Sends worthless events for a while; how many were sent and how many were handled.
    fn storm(&self) -> (u64, u64) {
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
    let (sent, handled) = pair.storm();
    Ok(f.write_fmt(fmt!("worthless {} handled {}\n", sent, handled)))
}
