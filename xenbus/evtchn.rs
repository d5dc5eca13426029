// SPDX-License-Identifier: GPL-2.0

//! Event channels.
//!
//! A frontend allocates an unbound port for its backend and handles the events in hard interrupt context. The end of
//! interrupt is late: only after the handler has said what the event was worth is the channel unmasked, at once for a
//! useful event, with growing delay for spurious ones, so that a backend cannot keep a CPU busy with events (XSA-332).
//!
//! Over a restore all ports end. A channel from before one is inert: it sends nothing, gets nothing, and dropping it
//! closes nothing.

use crate::{
    bus::Device,
    grant::faults, //
};
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

#[cfg(CONFIG_XEN)]
mod hosted;
pub mod native;

/// A bound port, by way of the implementation that serves this machine.
mod owner {
    #[cfg(CONFIG_XEN)]
    use super::hosted;
    use super::{
        native,
        Source,
        Target, //
    };
    use kernel::prelude::*;

    /// A port with an interrupt handler.
    pub(super) enum Binding {
        Native(native::Binding),
        #[cfg(CONFIG_XEN)]
        Hosted(hosted::Binding),
    }

    impl Binding {
        /// Gets a port and binds the handler.
        ///
        /// The caller keeps `target` alive until the binding is dropped (see the field order of `Channel`).
        pub(super) fn new(source: Source<'_>, target: Pin<&Target>) -> Result<Self> {
            by_mode! {
                native: native::Binding::new(source, target).map(Self::Native),
                hosted: hosted::Binding::new(source, target).map(Self::Hosted),
            }
        }

        /// The port.
        pub(super) fn port(&self) -> u32 {
            match self {
                Self::Native(binding) => binding.port(),
                #[cfg(CONFIG_XEN)]
                Self::Hosted(binding) => binding.port(),
            }
        }

        /// Sends an event.
        #[inline]
        pub(super) fn notify(&self) {
            match self {
                Self::Native(binding) => binding.notify(),
                #[cfg(CONFIG_XEN)]
                Self::Hosted(binding) => binding.notify(),
            }
        }
    }
}

/// Where a port comes from.
#[derive(Clone, Copy)]
enum Source<'a> {
    /// A new one that the device's backend binds to.
    Device(&'a Device),
    /// A new one that a domain binds to.
    Unbound(u16),
    /// A new one, bound to a port that a domain has made for this one.
    Interdomain(u16, u32),
    /// One that the toolstack has made and bound. It is not closed when the channel is dropped.
    Existing(u32),
    /// A virtual interrupt of the hypervisor, on a CPU of this guest.
    Virq(u32, u32),
}

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
        let node = device.nodename();
        let full_name = CString::try_from_fmt(fmt!("{}-{}", DashedPath(node), name))?;
        let result = if faults::CHANNEL.strikes(node) {
            Err(ENOSPC)
        } else {
            Self::bind_source(Source::Device(device), full_name, handler)
        };
        result.inspect_err(|error| {
            pr_err!(
                "{}: no event channel can be had for {} ({:?})\n",
                node,
                name,
                error
            )
        })
    }

    /// Binds a handler to a port that exists already, such as xenstore's. The port is not closed when the channel is
    /// dropped; it can be bound again. Native mode only. May sleep.
    ///
    /// # Errors
    ///
    /// `EINVAL` where there is no such port, `EBUSY` where it has a handler already; what the hypervisor says.
    pub(crate) fn bind_port(port: u32, name: &str, handler: Arc<dyn Handler>) -> Result<Self> {
        Self::bind_source(Source::Existing(port), named(name)?, handler)
    }

    /// Allocates an unbound port for a domain and binds a handler to it. Native mode only. May sleep.
    ///
    /// # Errors
    ///
    /// As for [`Self::bind`].
    pub(crate) fn bind_unbound(domid: u16, name: &str, handler: Arc<dyn Handler>) -> Result<Self> {
        Self::bind_source(Source::Unbound(domid), named(name)?, handler)
    }

    /// Allocates a port bound to one that another domain has made for this domain, and binds a handler to it. Native
    /// mode only. May sleep.
    ///
    /// # Errors
    ///
    /// As for [`Self::bind`]; `EINVAL` where the other domain has no such port.
    pub(crate) fn bind_interdomain(
        domid: u16,
        port: u32,
        name: &str,
        handler: Arc<dyn Handler>,
    ) -> Result<Self> {
        Self::bind_source(Source::Interdomain(domid, port), named(name)?, handler)
    }

    /// Binds a handler to a virtual interrupt of the hypervisor on a CPU, which for the interrupts of the whole domain
    /// is CPU 0. Native mode only. May sleep.
    ///
    /// # Errors
    ///
    /// `EEXIST` where it is bound already; what the hypervisor says.
    pub(crate) fn bind_virq(
        virq: u32,
        cpu: u32,
        name: &str,
        handler: Arc<dyn Handler>,
    ) -> Result<Self> {
        Self::bind_source(Source::Virq(virq, cpu), named(name)?, handler)
    }

    /// Binds a handler to a port.
    fn bind_source(source: Source<'_>, name: CString, handler: Arc<dyn Handler>) -> Result<Self> {
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
        let binding = owner::Binding::new(source, target.as_ref())?;
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

/// The name of a channel that belongs to no device.
fn named(name: &str) -> Result<CString> {
    CString::try_from_fmt(fmt!("{name}"))
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
