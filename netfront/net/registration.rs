// SPDX-License-Identifier: GPL-2.0

//! A network device that users see.

use super::{
    ethtool,
    operations::{
        self,
        Operations, //
    },
    Device, //
};
use kernel::{
    error::to_result,
    prelude::*,
    sync::Arc, //
};
use rxen_bindings as bindings;

/// A registered device. Dropping it takes it from its users; afterwards no callback runs.
///
/// # Invariants
///
/// The device of `handler` is registered.
pub(crate) struct Registration<T: Operations> {
    handler: Arc<T>,
    device: fn(&T) -> &Device<T>,
}

impl<T: Operations> Registration<T> {
    const OPS: bindings::net_device_ops = operations::net_device_ops::<T>();
    const ETHTOOL_OPS: bindings::ethtool_ops = ethtool::ethtool_ops::<T>();

    /// Registers the device that `device` finds in its handler. May sleep.
    ///
    /// # Errors
    ///
    /// `EINVAL` if the device was made for another handler; what the stack says.
    pub(crate) fn new(handler: Arc<T>, device: fn(&T) -> &Device<T>) -> Result<Self> {
        let raw = device(&handler).as_raw();
        let this: *const T = &*handler;
        // SAFETY: A device is valid as long as its handler.
        if unsafe { bindings::rxen_net_data(raw) }.cast_const() != this.cast() {
            return Err(EINVAL);
        }
        // SAFETY: The device is valid and not registered; the operations are static, and their callbacks are for a
        // device whose data is a `T`, which it is by the check above.
        to_result(unsafe {
            bindings::rxen_net_set_ops(raw, &Self::OPS, &Self::ETHTOOL_OPS);
            bindings::register_netdev(raw)
        })?;
        // INVARIANT: Registered just now.
        Ok(Self { handler, device })
    }
}

impl<T: Operations> Drop for Registration<T> {
    fn drop(&mut self) {
        let raw = (self.device)(&self.handler).as_raw();
        // SAFETY: Registered by the invariant. Waits for callbacks that run and for all users.
        unsafe {
            bindings::rxen_net_announce_cancel(raw);
            bindings::unregister_netdev(raw);
        }
    }
}
