// SPDX-License-Identifier: GPL-2.0

//! The words of the grant table's pure parts, over those of loom.

pub use loom::sync::atomic::{
    fence,
    AtomicU16 as SharedWord16,
    AtomicU32 as SharedWord32,
    Ordering, //
};
use loom::sync::atomic::{
    AtomicU32,
    AtomicU64, //
};

/// A word of 32 bits that no order is asked of.
pub struct Word32(AtomicU32);

impl Word32 {
    pub fn new(value: u32) -> Self {
        Self(AtomicU32::new(value))
    }

    pub fn load(&self) -> u32 {
        self.0.load(Ordering::Relaxed)
    }

    pub fn store(&self, value: u32) {
        self.0.store(value, Ordering::Relaxed);
    }

    pub fn add(&self, value: u32) {
        self.0.fetch_add(value, Ordering::Relaxed);
    }
}

/// A word of 64 bits that orders what is written before it is set and read after it was read.
pub struct Word64(AtomicU64);

impl Word64 {
    pub fn new(value: u64) -> Self {
        Self(AtomicU64::new(value))
    }

    pub fn load(&self) -> u64 {
        self.0.load(Ordering::Acquire)
    }

    pub fn exchange(&self, expected: u64, value: u64) -> bool {
        self.0
            .compare_exchange(expected, value, Ordering::AcqRel, Ordering::Relaxed)
            .is_ok()
    }
}
