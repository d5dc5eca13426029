// SPDX-License-Identifier: GPL-2.0

//! Work in process context that can be asked for from anywhere.

use kernel::{
    prelude::*,
    sync::Arc,
    types::Opaque, //
};
use rxen_bindings as bindings;

/// What a [`Worker`] does.
pub trait Errand: Send + Sync + 'static {
    /// Runs in process context; never twice at a time.
    fn run(&self) -> Next;
}

/// What is to become of an errand that has run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// It is done until somebody asks for it again.
    Done,
    /// It has to run again after so many milliseconds, if nobody asks for it earlier.
    After(u32),
}

/// What the kernel's work queue code has a pointer to.
#[repr(C)]
struct Body {
    // First, so that its first field, the work, leads to the rest.
    work: Opaque<bindings::delayed_work>,
    errand: Arc<dyn Errand>,
}

// SAFETY: The work is only touched by the kernel's work queue code, which synchronises by itself.
unsafe impl Send for Body {}
// SAFETY: As above.
unsafe impl Sync for Body {}

/// Runs an errand when asked to. Dropping it, in process context and not in the errand, waits until that is done.
pub struct Worker(Pin<KBox<Body>>);

impl Worker {
    /// A worker that has nothing to do yet.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub fn new(errand: Arc<dyn Errand>) -> Result<Self> {
        let body = KBox::into_pin(KBox::new(
            Body {
                work: Opaque::zeroed(),
                errand,
            },
            GFP_KERNEL,
        )?);
        // SAFETY: Zeroed memory that nobody else knows yet, pinned until it is cancelled in `drop`.
        unsafe { bindings::rxen_long_work_init(body.work.get(), Some(run)) };
        Ok(Self(body))
    }

    /// Has the errand run once more. Any context.
    pub fn schedule(&self) {
        // SAFETY: Initialised in `new` and cancelled before it is freed.
        unsafe { bindings::rxen_long_work_schedule(self.0.work.get(), 0) }
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        // SAFETY: Initialised in `new`. Nobody schedules it any more but the errand itself, which is of no avail then.
        unsafe { bindings::cancel_delayed_work_sync(self.0.work.get()) };
    }
}

/// Called by the kernel's work queue.
unsafe extern "C" fn run(work: *mut bindings::work_struct) {
    // SAFETY: Only the works of bodies, of which they are the first field, have this function; they are cancelled before
    // they are freed.
    let body = unsafe { &*work.cast::<Body>() };
    if let Next::After(milliseconds) = body.errand.run() {
        // SAFETY: Initialised in `Worker::new`; it is not freed while this runs.
        unsafe { bindings::rxen_long_work_schedule_later(body.work.get(), milliseconds) };
    }
}
