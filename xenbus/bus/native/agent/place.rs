// SPDX-License-Identifier: GPL-2.0

//! The device at an agent's place: whether it is there, and what the driver core has to be told about it.

use super::{
    super::{
        super::{
            presence::{
                self,
                Known,
                Seen,
                Step, //
            },
            State, //
        },
        again::passes,
        device::{
            self,
            Body, //
        },
        dialogue::{
            self,
            Otherend, //
        },
        Device, //
    },
    Agent,
    Order, //
};
use kernel::{
    prelude::*,
    sync::{
        aref::ARef,
        atomic::Relaxed,
        Arc, //
    }, //
};
use rxen_bindings as bindings;

impl Agent {
    /// Finds out whether the device is there, and has it registered or unregistered.
    pub(super) fn look(self: &Arc<Self>) {
        let mut present = self.present.lock();
        let (step, state) = match self.compare(present.as_ref()) {
            Ok(found) => found,
            Err(error) => {
                drop(present);
                if self.again(Order::Look, error) {
                    return;
                }
                pr_warn!(
                    "bus: cannot tell whether {} is there ({:?})\n",
                    &*self.nodename,
                    error
                );
                return;
            }
        };
        if matches!(step, Step::Remove | Step::Replace) {
            self.destroy(&mut present);
        }
        if matches!(step, Step::Add | Step::Replace) {
            self.create(&mut present, state);
        }
        if step == Step::Keep && self.lacks_otherend() {
            // Its other end may be there now.
            self.order(Order::Meet);
        }
        let idle = present.is_none();
        drop(present);
        if idle {
            super::super::dismiss(self);
        }
    }

    /// Compares what xenstore says with what is known.
    fn compare(&self, device: Option<&ARef<Device>>) -> Result<(Step, State)> {
        let same_otherend = self.is_same_otherend()?;
        // Whether the state was set back can only be told while it is not written.
        let _state = self.state.lock();
        let exists = dialogue::exists(&self.nodename)?;
        let state = dialogue::read_state(&self.nodename)?.unwrap_or(State::Unknown);
        let known = device.map(|device| Known {
            state: Body::of(device).state(),
        });
        let seen = exists.then_some(Seen {
            state,
            same_otherend,
        });
        let first = self.first.xchg(false, Relaxed);
        Ok((presence::step(known, seen, first), state))
    }

    /// Whether xenstore names the other end that is known, if one is. Where it names none, that says nothing.
    ///
    /// # Errors
    ///
    /// One that [`passes`] if xenstored does not say.
    fn is_same_otherend(&self) -> Result<bool> {
        let calls = self.calls.lock();
        let Some(known) = &calls.otherend else {
            return Ok(true);
        };
        match Otherend::read(&self.nodename) {
            Ok(now) => Ok(*known == now),
            Err(error) if passes(error) => Err(error),
            Err(_) => Ok(true),
        }
    }

    /// Registers the device.
    fn create(self: &Arc<Self>, present: &mut Option<ARef<Device>>, state: State) {
        let state = match dialogue::reset(&self.nodename, state) {
            Ok(state) => state,
            Err(error) => {
                // Only a device of the first listing can have such a state.
                self.first.store(true, Relaxed);
                if self.again(Order::Look, error) {
                    return;
                }
                state
            }
        };
        match device::create(self.clone(), state) {
            Ok(device) => *present = Some(device),
            Err(error) => pr_err!("bus: cannot register {} ({:?})\n", &*self.nodename, error),
        }
    }

    /// Unregisters the device.
    fn destroy(&self, present: &mut Option<ARef<Device>>) {
        let Some(device) = present.take() else {
            return;
        };
        let body = Body::of(&device);
        if body.state() != State::Closed && self.calls.lock().bound.is_some() {
            dev_warn!(
                device.as_ref(),
                "taken away by the toolstack while in state {}\n",
                body.state().name()
            );
        }
        body.set_vanished();
        device::destroy(device);
        self.forget_otherend();
    }

    /// Forgets the other end of a device that has no driver.
    pub(in super::super) fn forget_otherend(&self) {
        let mut calls = self.calls.lock();
        if calls.bound.is_none() {
            calls.awaited = false;
            calls.watch = None;
            calls.otherend = None;
        }
    }

    /// Unregisters the device when the bus goes. The work must not run any more.
    pub(in super::super) fn end(&self) {
        if let Some(device) = self.present.lock().take() {
            device::destroy(device);
        }
    }

    /// Has the driver core try the drivers again, if the other end that was missing is there now.
    pub(super) fn bind_again(self: &Arc<Self>) {
        let present = self.present.lock();
        if let Some(device) = present.as_ref().filter(|device| self.has_arrived(device)) {
            // SAFETY: The device is registered, and stays so while `present` is held.
            let _ = unsafe { bindings::device_attach(device.as_device_ptr()) };
        }
    }

    /// Whether the other end that a driver waits for is there.
    ///
    /// Only another one is watched anew, and one that could not be watched: a new watch speaks up at once, and this would
    /// be asked without end.
    fn has_arrived(self: &Arc<Self>, device: &Device) -> bool {
        let mut calls = self.calls.lock();
        if !calls.awaited {
            return false;
        }
        let (now, there) = Otherend::find(&self.nodename);
        if let Err(error) = there {
            if self.again(Order::Meet, error) {
                return false;
            }
        }
        if now != calls.otherend {
            calls.watch = None;
            self.set_otherend(device, &mut calls, now);
        }
        !self.is_to_watch_again(&mut calls) && there == Ok(true)
    }
}
