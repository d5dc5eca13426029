// SPDX-License-Identifier: GPL-2.0

//! Event channels.
//!
//! A frontend allocates an unbound port for its backend and handles the events in hard interrupt context. The end of
//! interrupt is late: only after the handler has said what the event was worth is the channel unmasked, at once for a
//! useful event, with growing delay for spurious ones, so that a backend cannot keep a CPU busy with events (XSA-332).

use crate::bus::Device;
use kernel::{
    fmt,
    prelude::*,
    str::CString,
    sync::{
        atomic::{
            Atomic,
            Relaxed, //
        },
        Arc, //
    },
    types::Opaque, //
};
use rxen_bindings as bindings;

mod hosted;

use hosted as owner;

/// What an event was worth.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// There was something to do.
    Handled,
    /// There was nothing to do; too many of these slow the channel down.
    Spurious,
    /// The other end broke the protocol: the channel stays masked until it is dropped, and [`Handler::stopped`] is
    /// called.
    Stop,
}

// SAFETY: The work is only touched by the kernel's work queue code, which synchronises by itself.
unsafe impl Send for Target {}
// SAFETY: As above.
unsafe impl Sync for Target {}

/// What handles the events of a channel.
pub trait Handler: Send + Sync + 'static {
    /// One event, or several that came as one. Hard interrupt context: must not sleep.
    fn event(&self) -> Outcome;

    /// Called once in process context after [`Self::event`] said [`Outcome::Stop`] or after [`Channel::stop`]. Must not
    /// drop the channel: that waits for this call.
    fn stopped(&self);
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
/// Pinned, because the kernel keeps pointers to it and to the name while the channel is bound.
#[repr(C)]
struct Target {
    stopped: Opaque<bindings::work_struct>,
    handler: Arc<dyn Handler>,
    counters: Counters,
    name: CString,
}

impl Target {
    /// Runs the handler for one interrupt.
    fn event(&self) -> Outcome {
        let outcome = self.handler.event();
        self.counters.count(outcome);
        if outcome == Outcome::Stop {
            self.schedule_stopped();
        }
        outcome
    }

    /// Has `Handler::stopped` called in process context.
    fn schedule_stopped(&self) {
        // SAFETY: The work was initialised when the channel was bound and is cancelled before this value is freed.
        unsafe { bindings::rxen_work_schedule(self.stopped.get()) }
    }
}

/// Called by the kernel's work queue.
unsafe extern "C" fn stopped(work: *mut bindings::work_struct) {
    // SAFETY: Only the works of targets, of which they are the first field, have this function; a target cancels its
    // work before it is freed.
    let target = unsafe { &*work.cast::<Target>() };
    target.handler.stopped();
}

/// A bound event channel. Dropping it waits for a running handler, then closes the port; it must be dropped in process
/// context.
pub struct Channel {
    // Ends before what its handler works on is freed; gone only while `drop` runs.
    binding: Option<owner::Binding>,
    target: Pin<KBox<Target>>,
}

impl Channel {
    /// Allocates an unbound port for the device's backend and binds a handler to it.
    ///
    /// The handler may be called before this function returns. `/proc/interrupts` shows the device's path and `name`,
    /// with dashes: slashes would be folders in `/proc/irq`. May sleep.
    ///
    /// # Errors
    ///
    /// `ENOSPC` or what the hypervisor says where there is no port or no interrupt left.
    pub fn bind(device: &Device, name: &str, handler: Arc<dyn Handler>) -> Result<Self> {
        let name = CString::try_from_fmt(fmt!("{}-{}", DashedPath(device.nodename()), name))?;
        let target = KBox::into_pin(KBox::new(
            Target {
                stopped: Opaque::zeroed(),
                handler,
                counters: Counters::new(),
                name,
            },
            GFP_KERNEL,
        )?);
        // SAFETY: The work is zeroed memory that nobody else knows yet, pinned until it is cancelled in `drop`.
        unsafe { bindings::rxen_work_init(target.stopped.get(), Some(stopped)) };
        let binding = owner::Binding::new(device, target.as_ref())?;
        Ok(Self {
            binding: Some(binding),
            target,
        })
    }

    /// The port, as the backend needs it.
    pub fn port(&self) -> u32 {
        self.binding.as_ref().map_or(0, owner::Binding::port)
    }

    /// Sends an event to the backend. Any context.
    #[inline]
    pub fn notify(&self) {
        self.target.counters.sent.add(1, Relaxed);
        if let Some(binding) = &self.binding {
            binding.notify();
        }
    }

    /// Has [`Handler::stopped`] called in process context, for a protocol violation that was not found in an event. Any
    /// context.
    pub fn stop(&self) {
        self.target.schedule_stopped();
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

/// Shows a path such as `device/vif/0` as `vif-0`.
struct DashedPath<'a>(&'a CStr);

impl fmt::Display for DashedPath<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = self.0.to_str().unwrap_or("device");
        let mut parts = path.strip_prefix("device/").unwrap_or(path).split('/');
        f.write_str(parts.next().unwrap_or_default())?;
        parts.try_for_each(|part| write!(f, "-{part}"))
    }
}

impl Drop for Channel {
    fn drop(&mut self) {
        self.binding = None;
        // SAFETY: Initialised in `bind`; nothing schedules it any more, now that the handler is unbound.
        unsafe { bindings::cancel_work_sync(self.target.stopped.get()) };
    }
}
