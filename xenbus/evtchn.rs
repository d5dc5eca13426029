// SPDX-License-Identifier: GPL-2.0

//! Event channels.
//!
//! A frontend allocates an unbound port for its backend and handles the events in hard interrupt context. The end of
//! interrupt is late: only after the handler has said what the event was worth is the channel unmasked, at once for a
//! useful event, with growing delay for spurious ones, so that a backend cannot keep a CPU busy with events (XSA-332).

use crate::bus::Device;
use kernel::{
    prelude::*,
    str::CString,
    sync::{
        atomic::{
            Atomic,
            Relaxed, //
        },
        Arc, //
    }, //
};

mod hosted;

use hosted as owner;

/// What an event was worth.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// There was something to do.
    Handled,
    /// There was nothing to do; too many of these slow the channel down.
    Spurious,
    /// The other end broke the protocol: the channel stays masked until it is dropped.
    Stop,
}

/// What handles the events of a channel.
pub trait Handler: Send + Sync + 'static {
    /// One event, or several that came as one. Hard interrupt context: must not sleep.
    fn event(&self) -> Outcome;
}

/// The counters of a channel since it was bound.
struct Counters {
    sent: Atomic<u64>,
    received: Atomic<u64>,
    spurious: Atomic<u64>,
}

impl Counters {
    /// All zero.
    const fn new() -> Self {
        Self {
            sent: Atomic::new(0),
            received: Atomic::new(0),
            spurious: Atomic::new(0),
        }
    }

    /// Counts one event that came in and what it was worth.
    fn count(&self, outcome: Outcome) {
        self.received.add(1, Relaxed);
        if outcome == Outcome::Spurious {
            self.spurious.add(1, Relaxed);
        }
    }
}

/// What the interrupt handler works on.
///
/// Pinned, because the kernel keeps a pointer to it and to the name while the channel is bound.
struct Target {
    handler: Arc<dyn Handler>,
    counters: Counters,
    name: CString,
}

impl Target {
    /// Runs the handler for one interrupt.
    fn event(&self) -> Outcome {
        let outcome = self.handler.event();
        self.counters.count(outcome);
        outcome
    }
}

/// A bound event channel. Dropping it waits for a running handler, then closes the port; it must be dropped in process
/// context.
pub struct Channel {
    // The order matters: the binding ends before what its handler works on is freed.
    binding: owner::Binding,
    target: Pin<KBox<Target>>,
}

impl Channel {
    /// Allocates an unbound port for the device's backend and binds a handler to it.
    ///
    /// The handler may be called before this function returns. `name` is what `/proc/interrupts` shows. May sleep.
    ///
    /// # Errors
    ///
    /// `ENOSPC` or what the hypervisor says where there is no port or no interrupt left.
    pub fn bind(device: &Device, name: &CStr, handler: Arc<dyn Handler>) -> Result<Self> {
        let target = KBox::into_pin(KBox::new(
            Target {
                handler,
                counters: Counters::new(),
                name: CString::try_from(name)?,
            },
            GFP_KERNEL,
        )?);
        let binding = owner::Binding::new(device, target.as_ref())?;
        Ok(Self { binding, target })
    }

    /// The port, as the backend needs it.
    pub fn port(&self) -> u32 {
        self.binding.port()
    }

    /// Sends an event to the backend. Any context.
    #[inline]
    pub fn notify(&self) {
        self.target.counters.sent.add(1, Relaxed);
        self.binding.notify();
    }

    /// Events sent.
    pub fn sent(&self) -> u64 {
        self.target.counters.sent.load(Relaxed)
    }

    /// Events received.
    pub fn received(&self) -> u64 {
        self.target.counters.received.load(Relaxed)
    }

    /// Events received that were spurious.
    pub fn spurious(&self) -> u64 {
        self.target.counters.spurious.load(Relaxed)
    }
}
