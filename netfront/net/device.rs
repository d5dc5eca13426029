// SPDX-License-Identifier: GPL-2.0

//! A network device with one queue each way.

use super::operations::{
    self,
    Operations, //
};
use core::{
    marker::PhantomData,
    ptr::NonNull, //
};
use kernel::{
    prelude::*,
    str::CString, //
};
use rxen_bindings as bindings;
use rxenbus::bus;

/// A hardware address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct MacAddress(pub(crate) [u8; 6]);

/// A network device, not necessarily registered. It belongs to the `T` that handles it.
///
/// # Invariants
///
/// `dev` was made by `rxen_net_alloc` and is not freed.
pub(crate) struct Device<T: Operations> {
    dev: NonNull<bindings::net_device>,
    _handler: PhantomData<fn(T)>,
}

// SAFETY: The network stack synchronises what the methods do.
unsafe impl<T: Operations> Send for Device<T> {}
// SAFETY: As above.
unsafe impl<T: Operations> Sync for Device<T> {}

impl<T: Operations> Device<T> {
    /// Makes a device that `handler` is going to own and handle. May sleep.
    ///
    /// # Safety
    ///
    /// `handler` must be where the `T` is that owns the returned value, once that is initialised, until it is dropped.
    unsafe fn new(parent: &bus::Device, handler: *mut T, address: MacAddress) -> Result<Self> {
        // SAFETY: The parent is valid; the callback is for devices whose data is a `T`.
        let dev = unsafe {
            bindings::rxen_net_alloc(
                parent.as_device_ptr(),
                handler.cast(),
                Some(operations::poll::<T>),
            )
        };
        // INVARIANT: Made just now.
        let device = Self {
            dev: NonNull::new(dev).ok_or(ENOMEM)?,
            _handler: PhantomData,
        };
        // SAFETY: Valid and not registered; the address has six bytes.
        unsafe {
            bindings::rxen_net_set_features(dev);
            bindings::rxen_net_set_address(dev, address.0.as_ptr());
        }
        Ok(device)
    }

    /// Initialises the device as a field of the `T` that handles it.
    pub(crate) fn init_in(
        parent: &bus::Device,
        address: MacAddress,
        handler: *mut T,
    ) -> Result<Self> {
        // SAFETY: Only `Registration` has callbacks reach the handler, and it is given an `Arc<T>`, so that is pinned
        // and lives; it checks that this is its address.
        unsafe { Self::new(parent, handler, address) }
    }

    /// The C structure.
    pub(super) fn as_raw(&self) -> *mut bindings::net_device {
        self.dev.as_ptr()
    }

    /// The name, such as eth0. To be used in process context for the log.
    pub(crate) fn name(&self) -> Result<CString> {
        // SAFETY: Valid by the invariant. A rename meanwhile garbles the name at worst; the last byte stays NUL.
        let name = unsafe { CStr::from_char_ptr(bindings::rxen_net_name(self.as_raw())) };
        Ok(CString::try_from(name)?)
    }

    /// Whether users have set it up. Any context.
    pub(crate) fn is_running(&self) -> bool {
        // SAFETY: Valid by the invariant.
        unsafe { bindings::rxen_net_is_running(self.as_raw()) }
    }

    /// The link is up; of a device that is not registered any more it is not told. Any context.
    pub(crate) fn carrier_on(&self) {
        // SAFETY: Valid by the invariant.
        unsafe { bindings::rxen_net_set_carrier(self.as_raw(), true) }
    }

    /// The link is down; as [`Self::carrier_on`]. Any context.
    pub(crate) fn carrier_off(&self) {
        // SAFETY: Valid by the invariant.
        unsafe { bindings::rxen_net_set_carrier(self.as_raw(), false) }
    }

    /// Takes the device from its users for a while: no frame comes to be sent. May sleep.
    pub(crate) fn detach(&self) {
        // SAFETY: Valid by the invariant.
        unsafe { bindings::netif_device_detach(self.as_raw()) }
    }

    /// Undoes `detach`, and wakes the queue. May sleep.
    pub(crate) fn attach(&self) {
        // SAFETY: Valid by the invariant.
        unsafe { bindings::netif_device_attach(self.as_raw()) }
    }

    /// Tells switches and neighbours where the device is now, a little later and more than once; only while it is
    /// registered. May sleep.
    pub(crate) fn notify_peers(&self) {
        // SAFETY: Valid by the invariant; `Registration` cancels what is still to come.
        unsafe { bindings::rxen_net_announce(self.as_raw()) }
    }

    /// Has the stack ask for the features anew, and lowers an MTU that is too large now. May sleep.
    pub(crate) fn update_features(&self, max_mtu: u32) {
        // SAFETY: Valid by the invariant.
        unsafe { bindings::rxen_net_update_features(self.as_raw(), max_mtu) }
    }

    /// Sets the range of MTUs and the first one; before the device is registered.
    pub(crate) fn set_first_mtu(&self, mtu: u32, max_mtu: u32) {
        // SAFETY: Valid by the invariant, and nobody else looks at it yet.
        unsafe { bindings::rxen_net_set_first_mtu(self.as_raw(), mtu, max_mtu) }
    }

    /// Has the device polled now. Process context; does nothing while it is down.
    pub(crate) fn poll_now(&self) {
        // SAFETY: Valid by the invariant; the NAPI context was set up when the device was made.
        unsafe { bindings::rxen_net_napi_start(self.as_raw()) }
    }

    /// Has the device polled when the interrupt that runs is done; does nothing while it is down.
    pub(crate) fn poll_soon(&self) {
        // SAFETY: Valid by the invariant; the NAPI context was set up when the device was made.
        unsafe { bindings::rxen_net_napi_schedule(self.as_raw()) }
    }

    /// Has the device polled after a while. In a poll only.
    pub(crate) fn poll_later(&self, milliseconds: u32) {
        // SAFETY: Valid by the invariant; the device is up, and going down cancels this.
        unsafe { bindings::rxen_net_poll_later(self.as_raw(), milliseconds) }
    }

    /// No more frames are to come.
    pub(crate) fn stop_queue(&self) {
        // SAFETY: Valid by the invariant.
        unsafe { bindings::rxen_net_stop_queue(self.as_raw()) }
    }

    /// Frames may come again.
    pub(crate) fn wake_queue(&self) {
        // SAFETY: Valid by the invariant.
        unsafe { bindings::rxen_net_wake_queue(self.as_raw()) }
    }

    /// Counts a frame for the byte limit of the queue. True if the backend is to be told of it now. Under the lock that
    /// `completed` is called with.
    pub(crate) fn sent(&self, bytes: u32, more: bool) -> bool {
        // SAFETY: Valid by the invariant.
        unsafe { bindings::rxen_net_sent(self.as_raw(), bytes, more) }
    }

    /// Takes frames off the byte limit.
    pub(crate) fn completed(&self, frames: u32, bytes: u32) {
        // SAFETY: Valid by the invariant.
        unsafe { bindings::rxen_net_completed(self.as_raw(), frames, bytes) }
    }

    /// Takes all frames off the byte limit.
    pub(crate) fn reset_queue(&self) {
        // SAFETY: Valid by the invariant.
        unsafe { bindings::rxen_net_reset_queue(self.as_raw()) }
    }
}

impl<T: Operations> Drop for Device<T> {
    fn drop(&mut self) {
        // SAFETY: Valid by the invariant and not registered, because a `Registration` keeps the `T` that owns this.
        unsafe { bindings::free_netdev(self.as_raw()) }
    }
}
