// SPDX-License-Identifier: GPL-2.0

//! Event channels of the native mode.

use super::{
    Source,
    Target, //
};
use kernel::prelude::*;

/// A port with an interrupt handler.
pub(super) struct Binding(());

impl Binding {
    /// Gets a port and binds the handler.
    ///
    /// The caller keeps `target` alive until the binding is dropped (see the field order of `Channel`).
    pub(super) fn new(_source: Source<'_>, _target: Pin<&Target>) -> Result<Self> {
        Err(ENOSYS)
    }

    /// The port.
    pub(super) fn port(&self) -> u32 {
        0
    }

    /// Sends an event; nothing after a restore, when the port may be another's.
    #[inline]
    pub(super) fn notify(&self) {}
}

/// Called before the suspend hypercall, with all other CPUs stopped and interrupts off. A suspend that is cancelled
/// needs nothing more: all ports are as before.
pub(crate) fn suspend() {}

/// Makes event channels work again after a restore: all ports from before are gone, new ones can be bound. Called with
/// all other CPUs stopped and interrupts off, after the platform's.
pub(crate) fn resume() -> Result {
    Err(ENOSYS)
}

/// The event channels in our hands. Dropping it, when all channels have been dropped, leaves them as the next load wants
/// to find them.
pub(crate) struct Events(());

impl Events {
    /// Chooses the ABI and the way of delivery and sets both up.
    pub(crate) fn start() -> Result<Self> {
        Err(ENOSYS)
    }
}
