// SPDX-License-Identifier: GPL-2.0

//! Who is at the other end of an agent's device.

use super::{
    super::{
        again::passes,
        device::Body,
        dialogue::Otherend,
        Device, //
    },
    Agent,
    Calls,
    Order, //
};
use crate::store;
use kernel::{
    prelude::*,
    sync::Arc, //
};
use rxen_bindings as bindings;

/// Tells an agent that the other end's state node was written.
struct Otherends(Arc<Agent>);

impl store::WatchHandler for Otherends {
    fn changed(&self, _path: &CStr) {
        self.0.order(Order::Meet);
    }
}

impl Agent {
    /// Reads who the other end is, for the device that is bound.
    ///
    /// # Errors
    ///
    /// `ENOENT` if there is none; one that [`passes`] if xenstored does not say.
    pub(super) fn find_otherend(&self, calls: &mut Calls) -> Result {
        let Some(bound) = &calls.bound else {
            return Ok(());
        };
        let device = bound.device.clone();
        let (otherend, there) = Otherend::find(&self.nodename);
        if let Some(error) = there.err().filter(|error| passes(*error)) {
            return Err(error);
        }
        self.set_otherend(&device, calls, otherend);
        if there == Ok(true) {
            Ok(())
        } else {
            Err(ENOENT)
        }
    }

    /// Notes the other end, here and in the device.
    pub(super) fn set_otherend(
        &self,
        device: &Device,
        calls: &mut Calls,
        otherend: Option<Otherend>,
    ) {
        let old = core::mem::replace(&mut calls.otherend, otherend);
        let (path, domid) = match &calls.otherend {
            Some(otherend) => (Some(&*otherend.path), otherend.domid),
            None => (None, bindings::DOMID_INVALID as u16),
        };
        // SAFETY: The path is kept in `calls`, which is locked, until it is replaced here.
        unsafe { Body::of(device).set_otherend(path, domid) };
        drop(old);
    }

    /// Watches the other end's state where nobody does, because it could not be done before. True if that is to be tried
    /// once more; the driver is told of the state then.
    pub(super) fn is_to_watch_again(self: &Arc<Self>, calls: &mut Calls) -> bool {
        if calls.watch.is_some() {
            return false;
        }
        // A toolstack may name it late after a restore.
        let found = match &calls.otherend {
            Some(_) => Ok(()),
            None => self.find_otherend(calls),
        };
        match self.watch_found(calls, found) {
            Ok(()) => false,
            Err(error) => self.again(Order::Meet, error),
        }
    }

    /// As [`Self::watch_otherend`], after a look for the other end; the result of that where xenstored did not say who it is.
    pub(super) fn watch_found(self: &Arc<Self>, calls: &mut Calls, found: Result) -> Result {
        match found {
            Err(error) if passes(error) => found,
            _ => self.watch_otherend(calls),
        }
    }

    /// Whether there is a driver, and nobody that it could talk to.
    pub(super) fn lacks_otherend(&self) -> bool {
        let calls = self.calls.lock();
        calls.awaited || (calls.bound.is_some() && calls.otherend.is_none())
    }

    /// Watches the other end's state, if it is known who that is. The log says when that fails.
    pub(super) fn watch_otherend(self: &Arc<Self>, calls: &mut Calls) -> Result {
        calls.watch = None;
        let Some(otherend) = &calls.otherend else {
            return Ok(());
        };
        let watch = otherend.state_path().and_then(|path| {
            store::Watch::new(&path, Arc::new(Otherends(self.clone()), GFP_KERNEL)?)
        });
        calls.watch = Some(watch.inspect_err(|error| {
            pr_err!(
                "bus: {}: cannot watch the backend ({:?})\n",
                &*self.nodename,
                error
            );
        })?);
        Ok(())
    }
}
