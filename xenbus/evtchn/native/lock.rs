// SPDX-License-Identifier: GPL-2.0

//! A spinlock that the callbacks of an interrupt chip may take: they are called with a raw spinlock held and interrupts
//! off.

use kernel::{
    prelude::*,
    sync::lock::{
        Backend,
        Lock, //
    }, //
};
use rxen_bindings as bindings;

/// A raw spinlock, taken with interrupts off.
pub(super) type RawLock<T> = Lock<T, RawBackend>;

/// See [`RawLock`].
pub(super) struct RawBackend;

// SAFETY: A raw spinlock has one owner at a time. `relock` is the default, which locks as `lock` does.
unsafe impl Backend for RawBackend {
    type State = bindings::raw_spinlock_t;
    type GuardState = c_ulong;

    unsafe fn init(ptr: *mut Self::State, name: *const c_char, key: *mut bindings::lock_class_key) {
        // SAFETY: The caller promises memory to write to, and a name and a key that stay.
        unsafe { bindings::rxen_raw_lock_init(ptr, name, key) }
    }

    unsafe fn lock(ptr: *mut Self::State) -> Self::GuardState {
        // SAFETY: The caller promises that the lock was initialised.
        unsafe { bindings::rxen_raw_lock(ptr) }
    }

    unsafe fn try_lock(ptr: *mut Self::State) -> Option<Self::GuardState> {
        let mut flags = 0;
        // SAFETY: The caller promises that the lock was initialised; `flags` is valid for the write.
        unsafe { bindings::rxen_raw_trylock(ptr, &mut flags) }.then_some(flags)
    }

    unsafe fn unlock(ptr: *mut Self::State, flags: &Self::GuardState) {
        // SAFETY: The caller owns the lock, and got these flags with it.
        unsafe { bindings::rxen_raw_unlock(ptr, *flags) }
    }

    unsafe fn assert_is_held(ptr: *mut Self::State) {
        // SAFETY: The caller promises that the lock was initialised.
        unsafe { bindings::rxen_raw_lock_assert_held(ptr) }
    }
}
