// SPDX-License-Identifier: GPL-2.0

//! Grants and event channels that fail on request, so that tests reach every place where one is allocated: the debugfs
//! files `fail_grant_reserve`, `fail_grant` and `fail_channel`. Whoever writes N to one has the N-th next allocation
//! fail, once; 0 ends it.

use kernel::{
    debugfs,
    fmt,
    prelude::*,
    sync::atomic::{
        Atomic,
        Relaxed, //
    },
    uaccess::UserSliceReader, //
};

/// A place that can be made to fail.
pub(crate) struct Fault(Atomic<u32>);

/// Setting references aside.
pub(super) static RESERVE: Fault = Fault::after(0);
/// Lending a page.
pub(super) static GRANT: Fault = Fault(Atomic::new(0));
/// Binding an event channel.
pub(crate) static CHANNEL: Fault = Fault(Atomic::new(0));

impl Fault {
    /// The one of so many times from now fails; 0 for none.
    pub(super) const fn after(times: u32) -> Self {
        Self(Atomic::new(times))
    }

    /// Whether this time is the one that fails.
    #[inline]
    pub(crate) fn strikes(&self) -> bool {
        self.0.load(Relaxed) != 0 && self.count_down()
    }

    /// Counts one; true for the last.
    fn count_down(&self) -> bool {
        loop {
            let left = self.0.load(Relaxed);
            let Some(next) = left.checked_sub(1) else {
                return false;
            };
            if self.0.cmpxchg(left, next, Relaxed).is_ok() {
                return next == 0;
            }
        }
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
        f.write_fmt(fmt!("{}\n", self.0 .0.load(Relaxed)))
    }
}

impl debugfs::Reader for Knob {
    fn read_from_slice(&self, reader: &mut UserSliceReader) -> Result {
        self.0 .0.read_from_slice(reader)
    }
}
