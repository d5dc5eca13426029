// SPDX-License-Identifier: GPL-2.0

//! Grants that the other end still has mapped after they were given back.
//!
//! Each reserve has a [`Batch`] with room for all of its grants. When the reserve goes and some are left, the batch
//! moves to a global list, which a worker goes through once a second. Nothing on the way allocates.

use super::{
    account::Account,
    owner,
    Held, //
};
use kernel::{
    prelude::*,
    sync::{
        global_lock,
        Arc, //
    }, //
};
use rxen_bindings as bindings;

/// How long the worker waits before it tries again.
const RETRY_MS: c_uint = 1000;

/// One grant that has not ended, and what is kept until then.
pub(super) struct Entry {
    number: u32,
    // Only kept; dropped with the entry.
    _held: Held,
}

impl Entry {
    /// A grant and what to keep for it.
    pub(super) fn new(number: u32, held: Held) -> Self {
        Self {
            number,
            _held: held,
        }
    }
}

/// The grants of one reserve that have not ended.
pub(super) struct Batch {
    entries: KVVec<Entry>,
    account: Option<Arc<Account>>,
    next: Option<KBox<Batch>>,
}

impl Batch {
    /// An empty batch with room for `capacity` entries.
    pub(super) fn new(capacity: usize) -> Result<KBox<Self>> {
        Ok(KBox::new(
            Self {
                entries: KVVec::with_capacity(capacity, GFP_KERNEL)?,
                account: None,
                next: None,
            },
            GFP_KERNEL,
        )?)
    }

    /// How many are left.
    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    /// Adds one; gives it back where there is no room.
    pub(super) fn push(&mut self, entry: Entry) -> Result<(), Entry> {
        if self.entries.len() == self.entries.capacity() {
            return Err(entry);
        }
        // There is room, so this cannot fail.
        let _ = self.entries.push_within_capacity(entry);
        Ok(())
    }

    /// Gives room back that is not needed any more, if there is memory to do so: the other end decides for how long it
    /// stays. Does not wait for memory.
    fn shrink(&mut self) {
        let Ok(mut entries) = KVVec::with_capacity(self.len(), GFP_NOWAIT) else {
            return;
        };
        for entry in self.entries.drain_all() {
            // There is room for all.
            let _ = entries.push_within_capacity(entry);
        }
        self.entries = entries;
    }

    /// Tries each once; returns how many are left.
    fn retry(&mut self) -> usize {
        let before = self.len();
        self.entries
            .retain(|entry| !owner::end_and_free(entry.number));
        let left = self.len();
        if let Some(account) = &self.account {
            account.deferred_ended(before - left);
        }
        left
    }
}

global_lock! {
    // SAFETY: Initialised by `DeferredWorker::new` when the module is loaded, before a reserve can exist.
    unsafe(uninit) static ORPHANS: SpinLock<Option<KBox<Batch>>> = None;
}

/// Takes over what is left of a reserve that goes. Process context.
pub(super) fn take_over(mut batch: KBox<Batch>, account: Arc<Account>) {
    batch.account = Some(account.clone());
    let left = batch.retry();
    if left == 0 {
        return;
    }
    pr_warn!(
        "{}: {} grants are still mapped by the other end; they and their pages are kept until it lets go\n",
        account.device(),
        left
    );
    batch.shrink();
    add_orphan(batch);
    // SAFETY: The worker exists while the module is loaded, and this is code of the module.
    unsafe { bindings::rxen_deferred_schedule(RETRY_MS) };
}

/// Puts a batch on the list.
fn add_orphan(mut batch: KBox<Batch>) {
    let mut orphans = ORPHANS.lock();
    batch.next = orphans.take();
    *orphans = Some(batch);
}

/// Goes through the list once; true if something is left.
fn retry_all() -> bool {
    let mut list = ORPHANS.lock().take();
    let mut left = false;
    while let Some(mut batch) = list {
        list = batch.next.take();
        if batch.retry() > 0 {
            left = true;
            add_orphan(batch);
        }
    }
    left
}

/// Called by the worker of `helpers.c`. Process context.
#[no_mangle]
extern "C" fn rxen_deferred_work() {
    if retry_all() {
        // SAFETY: As above; a worker that is being cancelled does not start again.
        unsafe { bindings::rxen_deferred_schedule(RETRY_MS) };
    }
}

/// The worker; dropping it, when the module is unloaded, ends it.
pub(crate) struct DeferredWorker(());

impl DeferredWorker {
    /// Prepares the list. To be called once, when the module is loaded.
    pub(crate) fn new() -> Self {
        // SAFETY: Called exactly once, from the module's initialiser.
        unsafe { ORPHANS.init() };
        Self(())
    }
}

impl Drop for DeferredWorker {
    fn drop(&mut self) {
        // SAFETY: No reserve exists any more (the frontends that had them are unloaded), so nothing schedules it anew.
        unsafe { bindings::rxen_deferred_cancel() };
        if retry_all() {
            pr_err!("unloaded while the other end has pages mapped: those pages are lost until the guest reboots\n");
            // Their memory must not be reused, so the list is not freed.
            core::mem::forget(ORPHANS.lock().take());
        }
    }
}
