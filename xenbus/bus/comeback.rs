// SPDX-License-Identifier: GPL-2.0

//! A device for which there were no grant references or event channels left connects anew once there may be some.
//!
//! The frontend has failed and goes through the usual handshake. When the backend is closed and there are references
//! again, it says Initialising; a backend that is still online answers with InitWait, upon which the frontend connects as
//! it always does. That there are references only means that they could be had just then, so each time the wait is
//! longer; an event channel is simply tried again after that time. So does one whose backend has had it connect too often.

use super::{
    admission::{
        Admission,
        PAUSE_MS, //
    },
    Action,
    Device,
    Phase,
    State, //
};
use crate::grant::{
    Wait,
    Waiter, //
};
use kernel::{
    new_mutex,
    prelude::*,
    sync::{
        aref::ARef,
        atomic::{
            Acquire,
            Atomic,
            Release, //
        },
        Arc,
        ArcBorrow,
        Mutex, //
    },
    time::{
        Instant,
        Monotonic, //
    },
    types::Opaque, //
};
use rxen_bindings as bindings;

/// How long to wait before the first attempt. Each further one waits twice as long, up to `DOUBLED` times.
const FIRST_MS: c_uint = 1000;
/// How often the time is doubled at the most.
const DOUBLED: u32 = 6;

/// What the device waits for.
struct Wanted {
    /// How many references, while it waits for some.
    count: Option<usize>,
    /// Attempts since the device was connected last.
    attempts: u32,
    /// The backend is closed, and so are we.
    closed: bool,
    wait: Option<Wait>,
    /// It was this that asked the backend for the next connection.
    asked: bool,
    /// Connections at the backend's own wish.
    admission: Admission,
    /// The log says that the backend is refused one.
    refused: bool,
}

/// What the work is done with.
#[repr(C)]
#[pin_data]
struct Body {
    // First, so that it leads to the rest.
    #[pin]
    work: Opaque<bindings::delayed_work>,
    device: ARef<Device>,
    /// There were references.
    free: Atomic<bool>,
    #[pin]
    wanted: Mutex<Wanted>,
}

// SAFETY: The work is only touched by the kernel's work queue code, which synchronises by itself.
unsafe impl Send for Body {}
// SAFETY: As above.
unsafe impl Sync for Body {}

impl Body {
    /// Has the work run after a time, sooner where it was to run later. Any context.
    fn schedule(&self, milliseconds: c_uint) {
        // SAFETY: Initialised in `Comeback::new`, and cancelled before it is freed.
        unsafe { bindings::rxen_long_work_schedule(self.work.get(), milliseconds) }
    }

    /// Begins to wait for references, or connects anew.
    fn run(self: Arc<Self>) {
        let mut wanted = self.wanted.lock();
        let Some(count) = wanted.count else {
            return;
        };
        if !self.free.load(Acquire) {
            if wanted.wait.is_none() {
                match Wait::new(count, self.clone()) {
                    Ok(wait) => wanted.wait = Some(wait),
                    Err(_) => self.schedule(FIRST_MS << DOUBLED),
                }
            }
            return;
        }
        if !wanted.closed {
            // `Comeback::note` has this run once more.
            return;
        }
        wanted.count = None;
        wanted.asked = true;
        let wait = wanted.wait.take();
        drop(wanted);
        // Waits for a call in progress, which takes no lock.
        drop(wait);
        dev_info!(
            (*self.device).as_ref(),
            "connecting anew: what was missing may be there now\n"
        );
        // An error is in the log.
        let _ = self.device.switch_state(State::Initialising);
    }
}

impl Waiter for Body {
    fn references_free(&self) {
        self.free.store(true, Release);
        self.schedule(0);
    }
}

/// See the module. Dropping it ends the wait, as [`Self::end`] does.
pub struct Comeback {
    body: Arc<Body>,
    since: Instant<Monotonic>,
}

impl Comeback {
    /// For a device that has failed to find nothing yet.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub fn new(device: ARef<Device>) -> Result<Self> {
        let body = Arc::pin_init(
            pin_init!(Body {
                work: Opaque::zeroed(),
                device,
                free: Atomic::new(false),
                wanted <- new_mutex!(Wanted {
                    count: None,
                    attempts: 0,
                    closed: false,
                    wait: None,
                    asked: false,
                    admission: Admission::new(),
                    refused: false,
                }),
            }),
            GFP_KERNEL,
        )?;
        // SAFETY: Zeroed memory that nobody else knows yet, pinned until it is cancelled.
        unsafe { bindings::rxen_long_work_init(body.work.get(), Some(run)) };
        Ok(Self {
            body,
            since: Instant::now(),
        })
    }

    /// Whether to do what the backend's state asks for, where the connection stands like that: a backend may have a
    /// device connect anew that has failed or was closed, but not without end. Where not, the device is to be stopped, and
    /// [`Self::refuse`] called. In a callback of [`super::Driver`].
    pub fn admits(&self, phase: Phase, action: Action) -> bool {
        if action != Action::Connect || phase == Phase::Disconnected {
            return true;
        }
        let now = u64::try_from(self.since.elapsed().as_millis()).unwrap_or(0);
        let mut wanted = self.body.wanted.lock();
        let admitted = wanted.admission.admit(now);
        if admitted {
            wanted.refused = false;
        }
        core::mem::take(&mut wanted.asked) || admitted
    }

    /// Refuses a connection too many: tells the backend, and the log if it does not say so yet. The device connects anew by
    /// itself after a while, once there are so many references. In a callback of [`super::Driver`].
    pub fn refuse(&self, references: usize) {
        let told = core::mem::replace(&mut self.body.wanted.lock().refused, true);
        if told {
            // An error is in the log.
            let _ = self.body.device.switch_state(State::Closing);
        } else {
            self.body.device.fatal(
                EBUSY,
                fmt!(
                    "the backend has the device connect again and again; the next time is in {} s",
                    PAUSE_MS / 1000
                ),
            );
        }
        self.want(references, PAUSE_MS as c_uint);
    }

    /// The device cannot do what the backend's state asks for: tells the backend and the log why. Where that passes, it
    /// connects anew once there are so many references. In a callback of [`super::Driver`].
    pub fn failed(&self, action: Action, error: Error, references: usize) {
        let why = match error {
            ENOSPC => "grant references or event channels are used up",
            EBUSY => "pages of former connections are still mapped",
            _ => "see the log",
        };
        self.body.device.fatal(
            error,
            fmt!("cannot connect to the backend ({:?}): {}", action, why),
        );
        if error == ENOSPC || error == EBUSY {
            self.want(references, 0);
        }
    }

    /// Waits for so many references, and for `least` milliseconds at the least.
    fn want(&self, count: usize, least: c_uint) {
        self.forget();
        let mut wanted = self.body.wanted.lock();
        let doubled = wanted.attempts.min(DOUBLED);
        self.body.free.store(false, Release);
        wanted.count = Some(count);
        wanted.attempts = doubled + 1;
        wanted.closed = false;
        drop(wanted);
        self.body.schedule((FIRST_MS << doubled).max(least));
    }

    /// Notes whether backend and frontend are closed now. In a callback of [`super::Driver`].
    pub fn note(&self, closed: bool) {
        let mut wanted = self.body.wanted.lock();
        wanted.closed = closed;
        let is_due = closed && wanted.count.is_some() && self.body.free.load(Acquire);
        drop(wanted);
        if is_due {
            self.body.schedule(0);
        }
    }

    /// The device is connected: the next failure is the first one again. In a callback of [`super::Driver`].
    pub fn connected(&self) {
        self.forget();
        self.body.wanted.lock().attempts = 0;
    }

    /// Waits for nothing any more, for instance because another backend is about to begin. May sleep.
    pub fn forget(&self) {
        let mut wanted = self.body.wanted.lock();
        wanted.count = None;
        let wait = wanted.wait.take();
        drop(wanted);
        drop(wait);
    }

    /// The domain was restored: there is another backend, which has done nothing yet. May sleep.
    pub fn restored(&self) {
        self.forget();
        let mut wanted = self.body.wanted.lock();
        wanted.asked = false;
        wanted.refused = false;
        wanted.admission = Admission::new();
    }

    /// As [`Self::forget`], and waits for what is under way: our state is not changed until the next [`Self::want`]. Before
    /// a connection is set up, and when the device goes.
    pub fn end(&self) {
        self.forget();
        // SAFETY: Initialised in `new`; as nothing is waited for, nothing schedules it any more.
        unsafe { bindings::cancel_delayed_work_sync(self.body.work.get()) };
    }
}

impl Drop for Comeback {
    fn drop(&mut self) {
        self.end();
    }
}

/// Called by the kernel's work queue.
unsafe extern "C" fn run(work: *mut bindings::work_struct) {
    // SAFETY: Only the works of bodies, of which they are the first field, have this function. A body is in an `Arc`, of
    // which a `Comeback` has a reference until it has cancelled the work.
    let body = unsafe { ArcBorrow::from_raw(work.cast_const().cast::<Body>()) };
    Arc::from(body).run();
}
