// SPDX-License-Identifier: GPL-2.0

//! Whose a port is: pure, tested on the build machine.
//!
//! The hypervisor gives the number of a port that was closed to whoever asks next, and after a restore it gives all
//! numbers anew. So a number alone says nothing: it goes with the restore since which it is somebody's, and it is given
//! up once.

use core::sync::atomic::{
    AtomicU32,
    Ordering::Relaxed, //
};

/// Counts restores.
#[derive(Debug, Default)]
pub struct Restores(AtomicU32);

impl Restores {
    /// None yet.
    pub const fn new() -> Self {
        Self(AtomicU32::new(0))
    }

    /// How many there were.
    pub fn count(&self) -> u32 {
        self.0.load(Relaxed)
    }

    /// One more: all ports from before are others' now.
    pub fn add(&self) {
        self.0.fetch_add(1, Relaxed);
    }
}

/// A port in the hands of its owner.
///
/// A restore may come between an answer and what is done with it, unless the caller has interrupts off.
#[derive(Debug)]
pub struct Claim {
    port: u32,
    since: u32,
    ours: bool,
    held: bool,
}

impl Claim {
    /// A port that was got just now, with interrupts off since. `ours` if it is ours to close.
    pub fn new(port: u32, ours: bool, restores: &Restores) -> Self {
        Self {
            port,
            since: restores.count(),
            ours,
            held: true,
        }
    }

    /// Its number, which may be another's by now.
    pub const fn number(&self) -> u32 {
        self.port
    }

    /// The port, to send to or to publish; [`None`] if it is the owner's no more.
    pub fn port(&self, restores: &Restores) -> Option<u32> {
        (self.held && self.since == restores.count()).then_some(self.port)
    }

    /// The port is another one since a restore, bound again for the same owner.
    pub fn renew(&mut self, port: u32, restores: &Restores) {
        self.port = port;
        self.since = restores.count();
    }

    /// Gives the port up; returns it if it is to be closed. Never twice: the second time it may be another's.
    pub fn give_up(&mut self, restores: &Restores) -> Option<u32> {
        let port = self.port(restores).filter(|_| self.ours);
        self.held = false;
        port
    }
}
