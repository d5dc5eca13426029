// SPDX-License-Identifier: GPL-2.0

//! Hypercalls that fail on request, without being made, so that tests reach every place where one is: the debugfs file
//! `fail_hypercall`. Whoever writes `N kind` to it has the N-th next hypercall of that kind fail, once, and with
//! `N kind M` that one and those behind it, M in a row; `0` ends it. The kinds are named as in the file `hypercalls`.

use super::{
    wish::Wish,
    Kind, //
};
use kernel::{
    current,
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

/// Any task, where one's is wanted.
const ANY: usize = 0;

/// Any kind, where the number of one is wanted.
const ANY_KIND: u32 = u32::MAX;

/// What is to fail.
struct Fault {
    // Hypercalls until the last one that fails; 0 for none.
    left: Atomic<u32>,
    row: Atomic<u32>,
    kind: Atomic<u32>,
    // The address of the task whose hypercalls count.
    task: Atomic<usize>,
}

/// See [`Fault`].
static FAULT: Fault = Fault {
    left: Atomic::new(0),
    row: Atomic::new(0),
    kind: Atomic::new(0),
    task: Atomic::new(ANY),
};

/// Whether this hypercall is to fail.
#[inline]
pub(super) fn strikes(kind: Kind) -> bool {
    FAULT.left.load(Relaxed) != 0 && FAULT.count_down(kind)
}

/// The address of this task.
fn this_task() -> usize {
    current!().as_ptr().addr()
}

impl Fault {
    /// Counts one, if it is of the kind; true if it is among the last ones.
    #[cold]
    fn count_down(&self, kind: Kind) -> bool {
        loop {
            let left = self.left.load(Acquire);
            let Some(next) = left.checked_sub(1) else {
                return false;
            };
            let (wanted, task) = (self.kind.load(Relaxed), self.task.load(Relaxed));
            if (wanted != ANY_KIND && wanted != kind as u32) || (task != ANY && task != this_task())
            {
                return false;
            }
            let row = self.row.load(Relaxed);
            if self.left.cmpxchg(left, next, Relaxed).is_ok() {
                return next < row;
            }
        }
    }

    /// Sets what fails.
    fn set(&self, wish: Wish<'_>, task: usize) -> Result {
        let kind = match wish.kind {
            None => 0,
            Some(name) => {
                let mut all = Kind::ALL.iter();
                let kind = all.find(|kind| kind.name() == name).ok_or(EINVAL)?;
                *kind as u32
            }
        };
        self.arm(kind, wish.last, wish.row, task);
        Ok(())
    }

    /// Has those of a kind fail that are the last ones, so many in a row, before so many are counted.
    fn arm(&self, kind: u32, last: u32, row: u32, task: usize) {
        self.left.store(0, Relaxed);
        self.kind.store(kind, Relaxed);
        self.row.store(row, Relaxed);
        self.task.store(task, Relaxed);
        self.left.store(last, Release);
    }
}

/// The contents of the debugfs file: how many hypercalls are left until the last one that fails.
pub(crate) struct Knob;

impl debugfs::Writer for Knob {
    fn write(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_fmt(fmt!("{}\n", FAULT.left.load(Relaxed)))
    }
}

impl debugfs::Reader for Knob {
    fn read_from_slice(&self, reader: &mut UserSliceReader) -> Result {
        let mut buffer = [0; 80];
        let length = reader.len();
        let text = buffer.get_mut(..length).ok_or(EINVAL)?;
        reader.read_slice(text)?;
        FAULT.set(Wish::parse(text).ok_or(EINVAL)?, ANY)
    }
}

/// Hypercalls of this task that fail; for tests that run where others work. Dropping it ends it.
pub(crate) struct Failing(());

impl Failing {
    /// The one of so many from now on, of whichever kind. Any context.
    pub(crate) fn any(number: u32) -> Self {
        FAULT.arm(ANY_KIND, number, 1, this_task());
        Self(())
    }
}

#[cfg(CONFIG_KUNIT = "y")]
impl Failing {
    /// As if that had been written to the debugfs file, for this task alone.
    pub(crate) fn new(wish: &str) -> Result<Self> {
        FAULT.set(Wish::parse(wish.as_bytes()).ok_or(EINVAL)?, this_task())?;
        Ok(Self(()))
    }

    /// As [`Self::any`], of event channel operations.
    pub(crate) fn event_channel_op(number: u32) -> Self {
        FAULT.arm(Kind::EventChannel as u32, number, 1, this_task());
        Self(())
    }

    /// Whether all that were to fail have.
    pub(crate) fn is_over(&self) -> bool {
        FAULT.left.load(Relaxed) == 0
    }
}

impl Drop for Failing {
    fn drop(&mut self) {
        FAULT.left.store(0, Relaxed);
    }
}
