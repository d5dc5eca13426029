// SPDX-License-Identifier: GPL-2.0

//! Words in memory that the hypervisor changes at the same time: pure, tested on the build machine.
//!
//! The kernel's own atomics will not do: without `CONFIG_SMP` they lack the lock prefix, while the hypervisor works on
//! the same word from another CPU of the machine. On x86 an operation that changes the word is a full barrier, which the
//! protocols count on.

use core::sync::atomic::{
    AtomicU32,
    AtomicU64,
    Ordering::SeqCst, //
};

/// A word that somebody else may change at any time.
pub trait Shared<T> {
    /// Reads it.
    fn load(&self) -> T;

    /// Writes another value; returns the old one.
    fn swap(&self, value: T) -> T;

    /// Sets bits; returns the old value.
    fn set(&self, bits: T) -> T;

    /// Clears bits; returns the old value.
    fn clear(&self, bits: T) -> T;

    /// Writes `new` if the word still is `old`.
    ///
    /// # Errors
    ///
    /// The value that the word has instead.
    fn exchange(&self, old: T, new: T) -> Result<(), T>;
}

macro_rules! impl_shared {
    ($atomic:ty, $value:ty) => {
        impl Shared<$value> for $atomic {
            #[inline]
            fn load(&self) -> $value {
                self.load(SeqCst)
            }

            #[inline]
            fn swap(&self, value: $value) -> $value {
                self.swap(value, SeqCst)
            }

            #[inline]
            fn set(&self, bits: $value) -> $value {
                self.fetch_or(bits, SeqCst)
            }

            #[inline]
            fn clear(&self, bits: $value) -> $value {
                self.fetch_and(!bits, SeqCst)
            }

            #[inline]
            fn exchange(&self, old: $value, new: $value) -> Result<(), $value> {
                self.compare_exchange(old, new, SeqCst, SeqCst).map(|_| ())
            }
        }
    };
}

impl_shared!(AtomicU32, u32);
impl_shared!(AtomicU64, u64);

/// How a port was unmasked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Unmasked {
    /// It is; the next event comes through.
    Yes,
    /// It is not yet: an event came in while it was masked, and only the hypervisor can raise that now
    /// (`EVTCHNOP_unmask`).
    ByHypervisor,
}
