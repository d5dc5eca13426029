// SPDX-License-Identifier: GPL-2.0

//! The device bus: what a frontend is told about its device, and what it can tell the other end.

use kernel::{
    device,
    fmt,
    prelude::*,
    str::CString,
    sync::{
        aref::{
            ARef,
            AlwaysRefCounted, //
        },
        Arc, //
    },
    time::delay::fsleep,
    time::{
        Delta,
        Instant,
        Monotonic, //
    },
    types::Opaque, //
};
use rxen_bindings as bindings;

pub mod admission;
mod comeback;
#[cfg(CONFIG_XEN)]
mod hosted;
pub(crate) mod native;
pub mod presence;
mod registration;
pub mod state;

pub use comeback::Comeback;
pub use registration::Registration;
pub use state::{
    action,
    Action,
    Phase,
    State, //
};

use core::ptr::NonNull;

/// The bus, by way of the implementation that serves this machine.
mod owner {
    #[cfg(CONFIG_XEN)]
    use super::hosted;
    use super::{
        native,
        registration::Entry,
        Device,
        State, //
    };
    use kernel::{
        fmt,
        prelude::*, //
    };

    /// Writes our state.
    pub(super) fn switch_state(device: &Device, state: State) -> Result {
        by_mode! {
            native: native::switch_state(device, state),
            hosted: hosted::switch_state(device, state),
        }
    }

    /// Reads the other end's state.
    pub(super) fn otherend_state(device: &Device) -> Result<State> {
        by_mode! {
            native: native::otherend_state(device),
            // The C core waits for an answer, and takes an error for Unknown.
            hosted: Ok(hosted::otherend_state(device)),
        }
    }

    /// Has the driver told of the other end's state once more.
    pub(super) fn look_again(device: &Device, reason: Error) -> bool {
        by_mode! {
            native: native::look_again(device, reason),
            // The C core waits for an answer, and cannot be asked for this.
            hosted: {
                let _ = (device, reason);
                false
            },
        }
    }

    /// Says Closed.
    pub(super) fn closed(device: &Device) {
        by_mode! {
            native: native::closed(device),
            hosted: hosted::closed(device),
        }
    }

    /// Logs an error and writes the `error` node.
    pub(super) fn error(device: &Device, error: Error, what: fmt::Arguments<'_>) {
        by_mode! {
            native: native::error(device, error, what),
            hosted: hosted::error(device, error, what),
        }
    }

    /// As [`error`], and switches to Closing.
    pub(super) fn fatal(device: &Device, error: Error, what: fmt::Arguments<'_>) {
        by_mode! {
            native: native::fatal(device, error, what),
            hosted: hosted::fatal(device, error, what),
        }
    }

    /// Registers a driver.
    pub(super) fn register(entry: &Entry) -> Result {
        by_mode! {
            native: native::register(entry),
            hosted: hosted::register(entry),
        }
    }

    /// Removes a driver from its devices and waits for its callbacks.
    pub(super) fn unregister(entry: &Entry) {
        by_mode! {
            native: native::unregister(entry),
            hosted: hosted::unregister(entry),
        }
    }
}

/// How often a state node is read while waiting for it.
const POLL: Delta = Delta::from_millis(10);

/// A device of the bus, such as `device/vbd/51712`.
///
/// The layout is that of the kernel's `struct xenbus_device`.
#[repr(transparent)]
pub struct Device(Opaque<bindings::xenbus_device>);

// SAFETY: A `struct xenbus_device` is reference counted and may be used and freed from any thread.
unsafe impl Send for Device {}
// SAFETY: As above; what the methods read is constant while a driver is bound, or says when it may be read.
unsafe impl Sync for Device {}

// SAFETY: The reference count is that of the embedded `struct device`.
unsafe impl AlwaysRefCounted for Device {
    fn inc_ref(&self) {
        // SAFETY: The shared reference means that the count is not zero.
        unsafe { bindings::get_device(self.as_device_ptr()) };
    }

    unsafe fn dec_ref(device: NonNull<Self>) {
        // SAFETY: The caller owns the reference that is dropped.
        unsafe { bindings::put_device(device.as_ref().as_device_ptr()) }
    }
}

impl AsRef<device::Device> for Device {
    fn as_ref(&self) -> &device::Device {
        // SAFETY: The embedded `struct device` is valid as long as `self`.
        unsafe { device::Device::from_raw(self.as_device_ptr()) }
    }
}

impl Device {
    /// From the bus's device.
    ///
    /// # Safety
    ///
    /// `device` must be valid for `'a`.
    pub(crate) unsafe fn from_raw<'a>(device: *mut bindings::xenbus_device) -> &'a Self {
        // SAFETY: The caller promises validity; the layout is the same.
        unsafe { &*device.cast() }
    }

    /// The bus's device.
    pub fn as_raw(&self) -> *mut bindings::xenbus_device {
        self.0.get()
    }

    /// The embedded `struct device`.
    pub fn as_device_ptr(&self) -> *mut bindings::device {
        // SAFETY: Only computes the address of a field of a valid object.
        unsafe { &raw mut (*self.as_raw()).dev }
    }

    /// The path of our half in xenstore, such as `device/vbd/51712`.
    pub fn nodename(&self) -> &CStr {
        // SAFETY: Set before the device is registered and constant until it is freed; ends with a NUL.
        unsafe { CStr::from_char_ptr((*self.as_raw()).nodename) }
    }

    /// A copy of the path of the other end's half in xenstore. It changes over a restore, so do not keep it.
    ///
    /// To be called in a callback of [`Driver`] only, where it cannot change.
    ///
    /// # Errors
    ///
    /// `ENODEV` if there is no other end.
    pub fn otherend(&self) -> Result<CString> {
        // SAFETY: The bus changes the pointer only between callbacks.
        let path = unsafe { (*self.as_raw()).otherend };
        if path.is_null() {
            return Err(ENODEV);
        }
        // SAFETY: Not null, so it is a string of the bus that ends with a NUL.
        Ok(CString::try_from(unsafe { CStr::from_char_ptr(path) })?)
    }

    /// The domain of the other end. It may change over a restore.
    pub fn otherend_id(&self) -> u16 {
        // SAFETY: A plain read of an integer of a valid object.
        let domid = unsafe { (&raw const (*self.as_raw()).otherend_id).read() };
        // The bus has it from xenstore as an `int`; what does not fit is a domain that cannot exist, so no grant or
        // event channel for it can succeed.
        u16::try_from(domid).unwrap_or(bindings::DOMID_INVALID as u16)
    }

    /// Our state, as last written.
    pub fn state(&self) -> State {
        // SAFETY: A plain read of an integer of a valid object.
        State::from_number(unsafe { (&raw const (*self.as_raw()).state).read() })
    }

    /// Writes our state. May sleep.
    ///
    /// # Errors
    ///
    /// What xenstored says; in native mode also `ETIMEDOUT`.
    pub fn switch_state(&self, state: State) -> Result {
        owner::switch_state(self, state)
    }

    /// Reads the other end's state; Unknown where there is none. May sleep; in a callback of [`Driver`] only, as
    /// [`Self::otherend`].
    ///
    /// # Errors
    ///
    /// Nobody says what the state is: xenstored gave no answer, or there was no memory to ask.
    pub fn otherend_state(&self) -> Result<State> {
        owner::otherend_state(self)
    }

    /// Has [`Driver::otherend_changed`] called once more, because what it needs could not be read for a reason that
    /// passes: xenstored gave no answer, or there was no memory. Such a call must have left all as it was.
    ///
    /// False where the reason does not pass, or where the bus cannot do this. May sleep.
    pub fn look_again(&self, reason: Error) -> bool {
        owner::look_again(self, reason)
    }

    /// Says Closed, in answer to a backend that goes down, and wakes who waits for it.
    pub fn closed(&self) {
        owner::closed(self)
    }

    /// Logs an error with the device's name and writes it to the `error` node. May sleep.
    pub fn error(&self, error: Error, what: fmt::Arguments<'_>) {
        owner::error(self, error, what)
    }

    /// As [`Self::error`], and switches to Closing. May sleep.
    pub fn fatal(&self, error: Error, what: fmt::Arguments<'_>) {
        owner::fatal(self, error, what)
    }

    /// Waits until the other end is in one of the wanted states, for `limit` at the most; false if it is not by then.
    pub fn wait_for_otherend(&self, limit: Delta, wanted: impl Fn(State) -> bool) -> bool {
        let start = Instant::<Monotonic>::now();
        loop {
            if self.otherend_state().is_ok_and(&wanted) {
                return true;
            }
            if start.elapsed() >= limit {
                return false;
            }
            fsleep(POLL);
        }
    }

    /// Goes down in an orderly way: Closing, Closed, each until the other end has followed, for `limit` each at the
    /// most. Afterwards it has unmapped what was lent to it, unless it is slow or hostile. May sleep.
    ///
    /// For [`Driver::remove`], before the connection is dropped and after it was stopped.
    pub fn close(&self, limit: Delta) {
        if self.otherend().is_err() {
            return;
        }
        let gone = |state| matches!(state, State::Closed | State::Unknown);
        if !self.otherend_state().is_ok_and(gone) {
            let _ = self.switch_state(State::Closing);
            if !self.wait_for_otherend(limit, |state| state == State::Closing || gone(state)) {
                dev_warn!(self.as_ref(), "the backend does not answer to Closing\n");
            }
        }
        let _ = self.switch_state(State::Closed);
        if !self.wait_for_otherend(limit, gone) {
            dev_warn!(
                self.as_ref(),
                "the backend does not close; pages that it still has mapped are kept\n"
            );
        }
    }
}

/// A driver of the bus.
///
/// All callbacks are in process context and may sleep. They are not called at the same time for the same device, but
/// for `park`, `unpark` and `restored` when a suspend meets a device that is just being added or removed.
pub trait Driver: Sized + 'static {
    /// The driver's name, as in sysfs.
    const NAME: &'static CStr;
    /// The type of device that it drives: `vbd`, `vif`.
    const KIND: &'static CStr;
    /// What the driver keeps for a device.
    type Data: Send + Sync + 'static;

    /// A device has appeared. The bus follows up with [`Self::otherend_changed`] for the backend's present state.
    fn probe(device: &ARef<Device>) -> Result<Arc<Self::Data>>;

    /// The backend's state node was written. States repeat and come in any order; see [`action`].
    fn otherend_changed(device: &Device, data: &Arc<Self::Data>, state: State);

    /// The domain is about to be saved: stop, but keep the connection. Must not fail and must be bounded in time; what
    /// does not come to rest stays in flight and is dealt with after the restore.
    fn park(device: &Device, data: &Arc<Self::Data>);

    /// The save did not happen, or was a checkpoint: go on with the same connection.
    fn unpark(device: &Device, data: &Arc<Self::Data>);

    /// The domain was restored, perhaps elsewhere: no grant or channel of the connection exists any more for the other
    /// end, which starts anew. Drop the connection and wait for [`Self::otherend_changed`].
    fn restored(device: &Device, data: &Arc<Self::Data>) -> Result;

    /// The device goes: unplugged, or the module is unloaded. Bounded in time.
    fn remove(device: &Device, data: Arc<Self::Data>);
}

/// Declares a module that is one driver of the bus.
///
/// ```ignore
/// module_frontend_driver! {
///     type: Disk,
///     name: "rxen_blkfront",
///     authors: ["The rxen developers"],
///     description: "Xen block frontend",
///     license: "GPL",
///     alias: ["xen:vbd"],
/// }
/// ```
#[macro_export]
macro_rules! module_frontend_driver {
    (type: $type:ty, $($rest:tt)*) => {
        #[::kernel::prelude::pin_data]
        struct FrontendModule {
            #[pin]
            _driver: $crate::bus::Registration<$type>,
        }

        impl ::kernel::InPlaceModule for FrontendModule {
            fn init(
                module: &'static ::kernel::ThisModule,
            ) -> impl ::pin_init::PinInit<Self, ::kernel::error::Error> {
                ::kernel::try_pin_init!(Self {
                    _driver <- $crate::bus::Registration::<$type>::new(module),
                })
            }
        }

        ::kernel::prelude::module! {
            type: FrontendModule,
            $($rest)*
        }
    };
}
