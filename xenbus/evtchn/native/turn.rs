// SPDX-License-Identifier: GPL-2.0

//! One CPU at a time at the events of a port: pure, tested on the build machine.
//!
//! A port that moves to another CPU may bring an event there while the former one is still at the last. That event is
//! not lost: the port was masked for the first one, and is raised again when it is unmasked.

use super::port::{
    Ports,
    Reason,
    State, //
};
use core::sync::atomic::{
    AtomicBool,
    Ordering::{
        Acquire,
        Release, //
    },
};

/// A flag that CPUs pass to each other.
pub trait Flag {
    /// Sets it and returns what it was. What follows comes after that.
    fn set(&self) -> bool;

    /// Clears it. What precedes comes before that.
    fn clear(&self);
}

impl Flag for AtomicBool {
    #[inline]
    fn set(&self) -> bool {
        self.swap(true, Acquire)
    }

    #[inline]
    fn clear(&self) {
        self.store(false, Release);
    }
}

/// Whether a CPU is at an event of a port, or the end of that is put off.
#[derive(Debug)]
pub struct Turn<F>(F);

impl<F: Flag> Turn<F> {
    /// With a flag that is clear.
    pub const fn new(flag: F) -> Self {
        Self(flag)
    }

    /// An event has come in. False if another is being handled: then it is raised again when that ends.
    #[inline]
    pub fn begin(&self) -> bool {
        !self.0.set()
    }

    /// Nobody is at it.
    pub fn abandon(&self) {
        self.0.clear();
    }

    /// The event came in while the interrupt is disabled; the kernel remembers it.
    pub fn set_aside(&self, state: &mut State, ports: &impl Ports) {
        state.acknowledge(ports, Reason::Disabled);
        self.0.clear();
    }

    /// The event was handled. `state` is locked.
    pub fn end(&self, state: &mut State, ports: &impl Ports) {
        // First: from the unmasking on, the next event may come in.
        self.0.clear();
        state.unmask(ports, Reason::Handling);
    }
}
