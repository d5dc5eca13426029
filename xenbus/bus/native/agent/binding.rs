// SPDX-License-Identifier: GPL-2.0

//! Drivers are bound, unbound and told that the machine goes down; all by the driver core, in other threads.

use super::{
    super::{
        super::{
            registration::Callbacks,
            State, //
        },
        device::Body,
        dialogue::{
            self,
            Otherend, //
        },
        Device,
        POLL, //
    },
    Agent,
    Bound,
    Calls,
    Order, //
};
use crate::store::native::NoIo;
use kernel::{
    prelude::*,
    sync::{
        aref::ARef,
        atomic::Relaxed,
        lock::{
            mutex::MutexBackend,
            Guard, //
        },
        Arc, //
    },
    time::{
        delay::fsleep,
        Delta,
        Instant,
        Monotonic, //
    }, //
};

/// How long loading or unloading a driver waits for the end of a suspend.
const SUSPEND: Delta = Delta::from_secs(120);
/// How long the machine's way down waits for the backend of one device.
const SHUTDOWN: Delta = Delta::from_secs(2);

impl Agent {
    /// Waits until the device is not parked, and locks. After `SUSPEND` it locks in any case, and says so.
    fn calls_at_rest(&self) -> (Guard<'_, Calls, MutexBackend>, bool) {
        let start = Instant::<Monotonic>::now();
        loop {
            let calls = self.calls.lock();
            let late = start.elapsed() >= SUSPEND;
            if !calls.parked || late {
                return (calls, !late);
            }
            drop(calls);
            fsleep(POLL);
        }
    }

    /// Binds a driver; called by the driver core.
    pub(in super::super) fn bind(
        self: &Arc<Self>,
        device: &Device,
        callbacks: &'static Callbacks,
    ) -> Result {
        // As in the agent's own work.
        let _memory = NoIo::begin();
        let (mut calls, in_time) = self.calls_at_rest();
        if !in_time {
            // Again at the end of the suspend.
            calls.awaited = true;
            return Err(EBUSY);
        }
        calls.awaited = false;
        let (otherend, there) = Otherend::find(&self.nodename);
        self.set_otherend(device, &mut calls, otherend);
        if there != Ok(true) {
            calls.awaited = true;
            if let Err(error) = there {
                if self.again(Order::Meet, error) {
                    return Err(ENODEV);
                }
            }
            dialogue::error(device, ENOENT, fmt!("there is no backend yet"));
            if let Err(error) = self.watch_otherend(&mut calls) {
                self.again(Order::Meet, error);
            }
            return Err(ENODEV);
        }
        let device: ARef<Device> = device.into();
        let data = (callbacks.probe)(&device).inspect_err(|error| {
            // Then the driver core tries the drivers again. A watch that is there stays: a new one speaks up at once,
            // and this would go on without a pause.
            calls.awaited = self.again(Order::Meet, *error);
            if !calls.awaited {
                calls.watch = None;
                self.set_otherend(&device, &mut calls, None);
            }
        })?;
        calls.bound = Some(Bound {
            callbacks,
            data,
            device,
        });
        // An error is in the log, and it is tried again when the driver is told of the state.
        let _ = self.watch_otherend(&mut calls);
        drop(calls);
        self.order(Order::Meet);
        Ok(())
    }

    /// Unbinds the driver; called by the driver core.
    pub(in super::super) fn unbind(&self, device: &Device) {
        let (mut calls, in_time) = self.calls_at_rest();
        if !in_time {
            dev_err!(device.as_ref(), "removed in the middle of a suspend\n");
        }
        calls.watch = None;
        if let Some(bound) = calls.bound.take() {
            // SAFETY: Of the driver that was bound; it is not called with this data any more.
            unsafe { (bound.callbacks.remove)(device, bound.data) };
        }
        self.behind.store(false, Relaxed);
        self.set_otherend(device, &mut calls, None);
        drop(calls);
        crate::grant::forget_device(&self.nodename);
    }

    /// Takes leave of the backend when the machine goes down; called by the driver core.
    pub(in super::super) fn shut_down(&self, device: &Device) {
        if Body::of(device).state() != State::Connected {
            return;
        }
        let _ = dialogue::switch_state(device, State::Closing);
        let start = Instant::<Monotonic>::now();
        while Body::of(device).state() != State::Closed {
            if start.elapsed() >= SHUTDOWN {
                dev_warn!(device.as_ref(), "the backend does not answer to Closing\n");
                return;
            }
            fsleep(POLL);
        }
    }
}
