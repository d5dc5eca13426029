// SPDX-License-Identifier: GPL-2.0

//! The atomic words that the pure parts of the grant table are made of, as the kernel has them. The build machine's
//! tests put others in their place.

use kernel::sync::atomic::{
    Acquire,
    Atomic,
    Full,
    Relaxed, //
};

/// The first word of a grant entry and its status, which the hypervisor writes too.
pub(super) use core::sync::atomic::{
    fence,
    AtomicU16 as SharedWord16,
    AtomicU32 as SharedWord32,
    Ordering, //
};

/// A word of 32 bits that no order is asked of.
pub(super) struct Word32(Atomic<u32>);

impl Word32 {
    /// A word with a value.
    pub(super) const fn new(value: u32) -> Self {
        Self(Atomic::new(value))
    }

    /// Its value.
    #[inline]
    pub(super) fn load(&self) -> u32 {
        self.0.load(Relaxed)
    }

    /// Sets its value.
    #[inline]
    pub(super) fn store(&self, value: u32) {
        self.0.store(value, Relaxed);
    }

    /// Adds to its value, or subtracts what is the complement of `value`.
    #[inline]
    pub(super) fn add(&self, value: u32) {
        self.0.add(value, Relaxed);
    }
}

/// A word of 64 bits that orders what is written before it is set and read after it was read.
pub(super) struct Word64(Atomic<u64>);

impl Word64 {
    /// A word with a value.
    pub(super) const fn new(value: u64) -> Self {
        Self(Atomic::new(value))
    }

    /// Its value.
    #[inline]
    pub(super) fn load(&self) -> u64 {
        self.0.load(Acquire)
    }

    /// Sets its value if it still is the one that is expected; false if not.
    #[inline]
    pub(super) fn exchange(&self, expected: u64, value: u64) -> bool {
        self.0.cmpxchg(expected, value, Full).is_ok()
    }
}
