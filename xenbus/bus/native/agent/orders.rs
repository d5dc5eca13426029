// SPDX-License-Identifier: GPL-2.0

//! What an agent is told to do.

use kernel::sync::atomic::{
    Acquire,
    Atomic,
    Full,
    Relaxed, //
};

/// What an agent can be told to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) enum Order {
    /// Find out whether the device is there.
    Look,
    /// Tell the driver of the other end's state.
    Meet,
    /// Bring the device to rest, and begin nothing new.
    Park,
    /// Go on.
    Unpark,
    /// Go on after a restore.
    Restore,
}

impl Order {
    /// What it is called in a sentence.
    pub(in super::super) const fn name(self) -> &'static str {
        match self {
            Self::Look => "look",
            Self::Meet => "meet",
            Self::Park => "park",
            Self::Unpark => "unpark",
            Self::Restore => "restore",
        }
    }

    /// Its bit in [`Orders`].
    pub(super) const fn bit(self) -> u32 {
        1 << self as u32
    }

    /// The bits of those that are given to all agents.
    pub(super) const TO_ALL: u32 = Self::Park.bit() | Self::Unpark.bit() | Self::Restore.bit();
}

/// Orders that have not been carried out.
pub(super) struct Orders(Atomic<u32>);

impl Orders {
    /// None.
    pub(super) const fn none() -> Self {
        Self(Atomic::new(0))
    }

    /// Adds some.
    pub(super) fn add(&self, orders: u32) {
        let mut old = self.0.load(Relaxed);
        while let Err(now) = self.0.cmpxchg(old, old | orders, Full) {
            old = now;
        }
    }

    /// Takes all of them.
    pub(super) fn take(&self) -> u32 {
        self.0.xchg(0, Full)
    }

    /// Whether there are any of these.
    pub(super) fn has(&self, orders: u32) -> bool {
        self.0.load(Acquire) & orders != 0
    }

    /// Whether there are any.
    pub(super) fn any(&self) -> bool {
        self.has(u32::MAX)
    }
}
