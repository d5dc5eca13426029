// SPDX-License-Identifier: GPL-2.0

//! Grants and event channels that fail on request, so that tests reach every place where one is allocated: the debugfs
//! files `fail_grant_reserve`, `fail_grant` and `fail_channel`. Whoever writes N to one has the N-th next allocation
//! fail, once; 0 ends it. With the path of a device behind the number, only the allocations of that device count.

use kernel::{
    debugfs,
    fmt,
    prelude::*,
    sync::atomic::{
        Acquire,
        Atomic,
        Relaxed,
        Release, //
    },
    uaccess::UserSliceReader, //
};
use wish::{
    Wish,
    ANY, //
};

// Public for its tests, which compile it elsewhere.
#[allow(unreachable_pub)]
mod wish;

/// A place that can be made to fail.
pub(crate) struct Fault {
    left: Atomic<u32>,
    // The device whose allocations count.
    device: Atomic<u64>,
}

/// Setting references aside.
pub(super) static RESERVE: Fault = Fault::after(0);
/// Lending a page.
pub(super) static GRANT: Fault = Fault::after(0);
/// Binding an event channel.
pub(crate) static CHANNEL: Fault = Fault::after(0);

impl Fault {
    /// The one of so many times from now fails; 0 for none.
    pub(super) const fn after(times: u32) -> Self {
        Self {
            left: Atomic::new(times),
            device: Atomic::new(ANY),
        }
    }

    /// Whether this time, for a device, is the one that fails.
    #[inline]
    pub(crate) fn strikes(&self, device: &CStr) -> bool {
        self.left.load(Relaxed) != 0 && self.count_down(device)
    }

    /// Counts one, if it is for the device; true for the last.
    fn count_down(&self, device: &CStr) -> bool {
        loop {
            let left = self.left.load(Acquire);
            let Some(next) = left.checked_sub(1) else {
                return false;
            };
            if !Wish::concerns(self.device.load(Relaxed), device.to_bytes()) {
                return false;
            }
            if self.left.cmpxchg(left, next, Relaxed).is_ok() {
                return next == 0;
            }
        }
    }

    /// Sets what fails.
    fn set(&self, wish: Wish) {
        self.left.store(0, Relaxed);
        self.device.store(wish.device, Relaxed);
        self.left.store(wish.times, Release);
    }
}

/// The contents of a debugfs file: how many allocations are left until one fails.
pub(crate) struct Knob(&'static Fault);

impl Knob {
    /// That of setting references aside.
    pub(crate) const fn reserve() -> Self {
        Self(&RESERVE)
    }

    /// That of lending a page.
    pub(crate) const fn grant() -> Self {
        Self(&GRANT)
    }

    /// That of binding an event channel.
    pub(crate) const fn channel() -> Self {
        Self(&CHANNEL)
    }
}

impl debugfs::Writer for Knob {
    fn write(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_fmt(fmt!("{}\n", self.0.left.load(Relaxed)))
    }
}

impl debugfs::Reader for Knob {
    fn read_from_slice(&self, reader: &mut UserSliceReader) -> Result {
        let mut buffer = [0; 80];
        let length = reader.len();
        let text = buffer.get_mut(..length).ok_or(EINVAL)?;
        reader.read_slice(text)?;
        self.0.set(Wish::parse(text).ok_or(EINVAL)?);
        Ok(())
    }
}
