// SPDX-License-Identifier: GPL-2.0

//! Those who wait until there are grant references again.

use super::owner;
use crate::platform;
use kernel::{
    prelude::*,
    sync::{
        atomic::{
            Atomic,
            Full,
            Relaxed, //
        },
        global_lock,
        Arc, //
    }, //
};
use rxen_bindings as bindings;

/// How long the worker waits in hosted mode before it looks again.
const RETRY_MS: c_uint = 1000;

/// What is told that there are grant references again.
pub trait Waiter: Send + Sync + 'static {
    /// Called once, in process context. The references are not set aside: somebody else may take them first, so
    /// [`super::Reserve::new`] can still fail.
    fn references_free(&self);
}

/// Somebody who waits.
struct Waiting {
    count: usize,
    waiter: Arc<dyn Waiter>,
}

global_lock! {
    // SAFETY: Initialised by `Worker::new` when the module is loaded, before anybody can wait.
    unsafe(uninit) static WAITING: Mutex<KVec<Arc<Waiting>>> = KVec::new();
}

/// How many wait. Looked at whenever a reference is given back.
static COUNT: Atomic<usize> = Atomic::new(0);

/// A reference was given back. Any context.
#[inline]
pub(super) fn something_is_free() {
    // The reference was given back with a full barrier, and so is counted who waits: of the two one sees the other.
    if COUNT.load(Relaxed) > 0 {
        // SAFETY: The worker exists while the module is loaded, and this is code of the module.
        unsafe { bindings::rxen_waiting_schedule(0) };
    }
}

/// Called by the worker of `helpers.c`. Process context.
#[no_mangle]
extern "C" fn rxen_waiting_work() {
    while let Some(satisfied) = next_satisfied() {
        satisfied.waiter.references_free();
    }
    // What other users of the C core give back is only seen by looking.
    if !platform::is_native() && COUNT.load(Relaxed) > 0 {
        // SAFETY: As above; a worker that is being cancelled does not start again.
        unsafe { bindings::rxen_waiting_schedule(RETRY_MS) };
    }
}

/// Takes the first off the list that has waited for what there is now.
fn next_satisfied() -> Option<Arc<Waiting>> {
    let mut waiting = WAITING.lock();
    let index = waiting
        .iter()
        .position(|waiting| owner::could_allocate(waiting.count))?;
    let satisfied = waiting.remove(index).ok()?;
    COUNT.store(waiting.len(), Relaxed);
    Some(satisfied)
}

/// Somebody is told when there are references. Dropping it ends that and waits until a call in progress is done, so it
/// must not be dropped in that call.
pub struct Wait(Arc<Waiting>);

impl Wait {
    /// Has `waiter` told as soon as `count` references could be allocated, at once if they could now. May sleep.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub fn new(count: usize, waiter: Arc<dyn Waiter>) -> Result<Self> {
        let entry = Arc::new(Waiting { count, waiter }, GFP_KERNEL)?;
        let mut waiting = WAITING.lock();
        waiting.push(entry.clone(), GFP_KERNEL)?;
        COUNT.xchg(waiting.len(), Full);
        drop(waiting);
        something_is_free();
        Ok(Self(entry))
    }
}

impl Drop for Wait {
    fn drop(&mut self) {
        let mut waiting = WAITING.lock();
        waiting.retain(|other| !Arc::ptr_eq(other, &self.0));
        COUNT.store(waiting.len(), Relaxed);
        drop(waiting);
        // SAFETY: The worker exists while the module is loaded.
        unsafe { bindings::rxen_waiting_flush() };
    }
}

/// What tells those who wait; dropping it, when the module is unloaded, ends it.
pub(crate) struct Worker(());

impl Worker {
    /// Prepares the list. To be called once, when the module is loaded.
    pub(crate) fn new() -> Self {
        // SAFETY: Called exactly once, from the module's initialiser.
        unsafe { WAITING.init() };
        Self(())
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        // SAFETY: Nobody waits any more (the frontends are unloaded), so nothing schedules it anew.
        unsafe { bindings::rxen_waiting_cancel() };
        // What is static is not dropped when the module is unloaded.
        *WAITING.lock() = KVec::new();
    }
}
