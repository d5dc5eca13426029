// SPDX-License-Identifier: GPL-2.0

//! What is done with the driver of an agent's device.

use super::{
    super::{
        super::{
            registration::{
                Callbacks,
                Data, //
            },
            State, //
        },
        again::passes,
        device::Body,
        dialogue::{
            self,
            Otherend, //
        },
        Device, //
    },
    Agent,
    Order, //
};
use crate::store;
use kernel::{
    prelude::*,
    sync::{
        aref::ARef,
        atomic::Relaxed,
        Arc, //
    }, //
};
use rxen_bindings as bindings;

/// A driver that is bound.
pub(super) struct Bound {
    pub(super) callbacks: &'static Callbacks,
    pub(super) data: Data,
    pub(super) device: ARef<Device>,
}

// SAFETY: The data is a reference of an `Arc` whose contents are `Send` and `Sync`.
unsafe impl Send for Bound {}

/// What is done with the driver.
pub(super) struct Calls {
    pub(super) bound: Option<Bound>,
    /// Between park and unpark or restore.
    pub(super) parked: bool,
    /// A driver could not be bound, because the other end is not there yet.
    pub(super) awaited: bool,
    /// The other end, while a driver is bound. The device has a pointer to the path.
    pub(super) otherend: Option<Otherend>,
    /// A watch on the other end's state.
    pub(super) watch: Option<store::Watch>,
}

impl Agent {
    /// Tells the driver of the other end's state.
    pub(super) fn meet(self: &Arc<Self>) {
        let mut calls = self.calls.lock();
        if calls.bound.is_none() {
            drop(calls);
            self.bind_again();
            return;
        }
        if self.is_to_watch_again(&mut calls) {
            return;
        }
        let Some(bound) = &calls.bound else {
            return;
        };
        let state = match dialogue::read_otherend_state(&bound.device) {
            Ok(state) => state,
            Err(error) if self.again(Order::Meet, error) => return,
            // There is none, or it may not be read.
            Err(_) => State::Unknown,
        };
        // SAFETY: Reads a variable.
        if unsafe { bindings::rxen_is_going_down() } {
            // Work that may fail, for instance because the root is gone, is not begun any more.
            if matches!(state, State::Closing | State::Closed) {
                dialogue::closed(&bound.device);
            }
            return;
        }
        // SAFETY: Of the driver that is bound.
        unsafe { (bound.callbacks.otherend_changed)(&bound.device, bound.data, state) };
        if Body::of(&bound.device).state() == State::Connected {
            self.behind.store(false, Relaxed);
        }
    }

    /// Brings the device to rest.
    pub(super) fn park(&self) {
        let mut calls = self.calls.lock();
        if calls.parked {
            return;
        }
        calls.parked = true;
        if let Some(bound) = &calls.bound {
            let connected = Body::of(&bound.device).state() == State::Connected;
            self.behind.store(connected, Relaxed);
            // SAFETY: Of the driver that is bound.
            unsafe { (bound.callbacks.park)(&bound.device, bound.data) };
        }
    }

    /// Goes on after a park: lets the driver know by `tell`, and carries out what was put off.
    pub(super) fn go_on(self: &Arc<Self>, tell: impl FnOnce(&Bound)) {
        let mut calls = self.calls.lock();
        if !calls.parked {
            return;
        }
        calls.parked = false;
        if let Some(bound) = &calls.bound {
            tell(bound);
        }
        if calls.awaited {
            // A driver may have waited for the end of the suspend in vain.
            self.orders.add(Order::Meet.bit());
        }
        drop(calls);
        self.orders.add(self.put_off.take());
    }

    /// Goes on after a restore: there may be another backend, and nothing that was shared with the old one is left.
    pub(super) fn restore(self: &Arc<Self>) {
        let mut calls = self.calls.lock();
        if !calls.parked {
            // Ordered once more because it took long.
            return;
        }
        // The old watch would say nothing new.
        calls.watch = None;
        // The new one speaks up at once; that is put off until the driver knows of the restore.
        let found = self.find_otherend(&mut calls);
        let watched = self.watch_found(&mut calls, found);
        if let Some(reason) = watched.err().filter(|error| passes(*error)) {
            drop(calls);
            // At rest until then.
            self.again(Order::Restore, reason);
            return;
        }
        if let (Err(error), Some(bound)) = (found, &calls.bound) {
            dialogue::error(&bound.device, error, fmt!("no backend after the restore"));
        }
        if let Some(Bound { device, .. }) = &calls.bound {
            let device = device.clone();
            let _state = self.state.lock();
            // The toolstack has made the folder anew. It does so with this state; without an answer, another one would
            // have the device taken for one that was replaced.
            let state = dialogue::read_state(&self.nodename).unwrap_or(Some(State::Initialising));
            Body::of(&device).set_state(state.unwrap_or(State::Unknown));
        }
        drop(calls);
        self.go_on(|bound| {
            // SAFETY: Of the driver that is bound.
            let result = unsafe { (bound.callbacks.restored)(&bound.device, bound.data) };
            if let Err(error) = result {
                dialogue::fatal(&bound.device, error, fmt!("cannot go on after the restore"));
            }
        });
    }
}
