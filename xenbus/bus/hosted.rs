// SPDX-License-Identifier: GPL-2.0

//! The bus by way of the kernel's C core (`include/xen/xenbus.h`, `drivers/xen/xenbus/`).

use super::{
    Device,
    Driver,
    State, //
};
use crate::platform;
use core::{
    marker::PhantomData,
    mem::ManuallyDrop,
    ptr::NonNull, //
};
use kernel::{
    error::{
        from_result,
        to_result, //
    },
    fmt,
    prelude::*,
    str::CString,
    sync::{
        aref::ARef,
        Arc, //
    },
    types::Opaque, //
};
use rxen_bindings as bindings;

/// Writes our state.
pub(super) fn switch_state(device: &Device, state: State) -> Result {
    // SAFETY: The device is valid; the number is one of `enum xenbus_state`.
    to_result(unsafe { bindings::xenbus_switch_state(device.as_raw(), state.number()) })
}

/// Reads the other end's state.
pub(super) fn otherend_state(device: &Device) -> State {
    // SAFETY: The bus changes the path only between callbacks, in one of which the caller is.
    let path = unsafe { (*device.as_raw()).otherend };
    if path.is_null() {
        return State::Unknown;
    }
    // SAFETY: The device is valid and the path a string that ends with a NUL.
    State::from_number(unsafe { bindings::xenbus_read_driver_state(device.as_raw(), path) })
}

/// Says Closed.
pub(super) fn closed(device: &Device) {
    // SAFETY: The device is valid.
    unsafe { bindings::xenbus_frontend_closed(device.as_raw()) };
}

/// Logs an error and writes the `error` node.
pub(super) fn error(device: &Device, error: Error, what: fmt::Arguments<'_>) {
    let Ok(text) = CString::try_from_fmt(what) else {
        return;
    };
    // SAFETY: The device is valid; the format takes one string, which ends with a NUL.
    unsafe {
        bindings::xenbus_dev_error(
            device.as_raw(),
            error.to_errno(),
            c"%s".as_char_ptr(),
            text.as_char_ptr(),
        )
    }
}

/// As [`error`], and switches to Closing.
pub(super) fn fatal(device: &Device, error: Error, what: fmt::Arguments<'_>) {
    let text = CString::try_from_fmt(what);
    let text = text.as_deref().unwrap_or(c"failed");
    // SAFETY: As in `error`.
    unsafe {
        bindings::xenbus_dev_fatal(
            device.as_raw(),
            error.to_errno(),
            c"%s".as_char_ptr(),
            text.as_char_ptr(),
        )
    }
}

/// A driver that is registered with the C bus. Dropping it removes the driver from all its devices.
///
/// The C bus has a callback for a restore, but none for a suspend that was cancelled, and it ignores what its suspend
/// callback says. So each device gets a power domain of ours, which the power management core prefers over the bus.
///
/// # Invariants
///
/// `driver` refers to `kinds`; both lie at the same place as long as `_registered` lives. The `driver_data` of a device
/// that is bound to the driver is a reference of an `Arc<T::Data>`.
#[pin_data]
pub struct Registration<T: Driver> {
    // Goes first, while what it needs is still there.
    _registered: Registered,
    #[pin]
    driver: Opaque<bindings::xenbus_driver>,
    #[pin]
    kinds: Opaque<[bindings::xenbus_device_id; 2]>,
    #[pin]
    power: Opaque<bindings::dev_pm_domain>,
    _driver: PhantomData<T>,
}

// SAFETY: The registration may be ended from any thread.
unsafe impl<T: Driver> Send for Registration<T> {}
// SAFETY: Nothing is reachable through a shared reference.
unsafe impl<T: Driver> Sync for Registration<T> {}

/// A driver that the C bus knows.
///
/// # Invariants
///
/// The driver is registered, and valid as long as this value.
struct Registered(*mut bindings::xenbus_driver);

impl Drop for Registered {
    fn drop(&mut self) {
        // SAFETY: Registered by the invariant. Removes the driver from its devices and waits for the callbacks.
        unsafe { bindings::xenbus_unregister_driver(self.0) }
    }
}

impl<T: Driver> Registration<T> {
    /// Registers the driver.
    ///
    /// The C bus is not told the module: it would take a reference for each device and so keep the module from being
    /// unloaded while there are any. It need not: unloading drops this registration, which waits for the callbacks.
    pub fn new(_module: &'static ThisModule) -> impl PinInit<Self, Error> {
        try_pin_init!(&this in Self {
            _: {
                Self::refuse_emulated()?;
            },
            kinds <- Opaque::try_ffi_init(Self::fill_kinds),
            power <- Opaque::try_ffi_init(Self::fill_power),
            driver <- Opaque::try_ffi_init(Self::fill_driver),
            _driver: PhantomData,
            // SAFETY: The other fields are initialised above; they are pinned and go after this one.
            _registered: unsafe { Self::register(this) }?,
        })
    }

    /// Registers the driver that is filled in.
    ///
    /// # Safety
    ///
    /// All fields of `this` but the first must be initialised, and stay where they are until the returned value is
    /// dropped.
    unsafe fn register(this: NonNull<Self>) -> Result<Registered> {
        // SAFETY: The caller promises valid fields. The array starts with its first entry.
        let driver = unsafe {
            let driver = (*this.as_ptr()).driver.get();
            (*driver).ids = (*this.as_ptr()).kinds.get().cast();
            driver
        };
        // SAFETY: The driver is filled in, and stays until `Registered` has unregistered it.
        to_result(unsafe {
            bindings::__xenbus_register_frontend(driver, core::ptr::null_mut(), core::ptr::null())
        })?;
        // INVARIANT: Registered just now.
        let registered = Registered(driver);
        // The C frontends have the name of the device type.
        // SAFETY: The registration has set the bus; the name ends with a NUL.
        let rival = unsafe { bindings::driver_find(T::KIND.as_char_ptr(), (*driver).driver.bus) };
        if rival.is_null() {
            return Ok(registered);
        }
        pr_err!(
            "{}: not loaded: the C frontend has the {} devices; unload it first\n",
            T::NAME,
            T::KIND
        );
        Err(EBUSY)
    }

    /// Refuses where the guest keeps its emulated devices of this type.
    fn refuse_emulated() -> Result {
        if platform::may_drive(T::KIND) {
            return Ok(());
        }
        pr_err!(
            "{}: not loaded: the emulated devices are not unplugged; see the kernel parameter xen_emul_unplug\n",
            T::NAME
        );
        Err(ENODEV)
    }

    /// Fills the table of device types: ours and the ending entry.
    fn fill_kinds(kinds: *mut [bindings::xenbus_device_id; 2]) -> Result {
        // SAFETY: Called by `Opaque::try_ffi_init` with memory to initialise; all zeroes is a valid entry.
        let [kind, _end] = unsafe {
            kinds.write_bytes(0, 1);
            &mut *kinds
        };
        let name = T::KIND.to_bytes_with_nul();
        if name.len() > kind.devicetype.len() {
            return Err(EINVAL);
        }
        for (to, from) in kind.devicetype.iter_mut().zip(name) {
            *to = *from;
        }
        Ok(())
    }

    /// Fills the power domain.
    fn fill_power(power: *mut bindings::dev_pm_domain) -> Result {
        // SAFETY: Called by `Opaque::try_ffi_init` with memory to initialise; all zeroes is a domain without callbacks.
        let power = unsafe {
            power.write_bytes(0, 1);
            &mut *power
        };
        power.ops.freeze = Some(Self::freeze);
        power.ops.thaw = Some(Self::thaw);
        power.ops.restore = Some(Self::restore);
        Ok(())
    }

    /// Fills the driver.
    fn fill_driver(driver: *mut bindings::xenbus_driver) -> Result {
        // SAFETY: Called by `Opaque::try_ffi_init` with memory to initialise; all zeroes is a driver without callbacks.
        let driver = unsafe {
            driver.write_bytes(0, 1);
            &mut *driver
        };
        driver.name = T::NAME.as_char_ptr();
        // Our own `remove` says Closed, and a later driver may bind the device again.
        driver.allow_rebind = true;
        // The C bus holds the module's load up for 30 s at the most, not 300, for a backend that does not connect.
        driver.not_essential = true;
        driver.probe = Some(Self::probe);
        driver.otherend_changed = Some(Self::otherend_changed);
        driver.remove = Some(Self::remove);
        driver.resume = Some(Self::resume);
        Ok(())
    }

    /// The power domain of the registration that `device` is bound or being bound to.
    fn power_domain(device: &Device) -> *mut bindings::dev_pm_domain {
        // SAFETY: The bus has set the driver before it calls any callback. It is the `driver` field of the driver of a
        // `Registration<T>`, the only type that registers these callbacks.
        unsafe {
            let driver = (*device.as_device_ptr()).driver;
            let driver = kernel::container_of!(driver, bindings::xenbus_driver, driver);
            let driver = Opaque::cast_from(driver);
            let registration = kernel::container_of!(driver, Self, driver);
            (*registration).power.get()
        }
    }

    /// Runs `callback` with a device and what the driver keeps for it.
    ///
    /// # Safety
    ///
    /// `device` must be valid and bound to a `Registration<T>`.
    unsafe fn with<R>(
        device: *mut bindings::xenbus_device,
        callback: impl FnOnce(&Device, &Arc<T::Data>) -> R,
    ) -> Option<R> {
        // SAFETY: The caller promises validity.
        let device = unsafe { Device::from_raw(device) };
        // SAFETY: The embedded device is valid.
        let data = unsafe { bindings::dev_get_drvdata(device.as_device_ptr()) };
        if data.is_null() {
            return None;
        }
        // SAFETY: By the invariant this came from `Arc::into_raw`; the device keeps that reference, so it is not
        // dropped here.
        let data = ManuallyDrop::new(unsafe { Arc::from_raw(data.cast_const().cast::<T::Data>()) });
        Some(callback(device, &data))
    }

    /// A device of our kind has appeared.
    unsafe extern "C" fn probe(
        device: *mut bindings::xenbus_device,
        _id: *const bindings::xenbus_device_id,
    ) -> c_int {
        // SAFETY: The bus passes a valid device.
        let device: ARef<Device> = unsafe { Device::from_raw(device) }.into();
        from_result(|| {
            let data = T::probe(&device)?;
            // SAFETY: The device is valid and not bound yet; the domain lives longer than the binding, because dropping
            // the registration removes the driver from its devices.
            unsafe {
                bindings::dev_set_drvdata(
                    device.as_device_ptr(),
                    Arc::into_raw(data).cast_mut().cast(),
                );
                bindings::dev_pm_domain_set(device.as_device_ptr(), Self::power_domain(&device));
            }
            Ok(0)
        })
    }

    /// The other end's state has changed.
    unsafe extern "C" fn otherend_changed(
        device: *mut bindings::xenbus_device,
        state: bindings::xenbus_state,
    ) {
        // SAFETY: The bus passes a valid device that is bound to our driver.
        unsafe {
            Self::with(device, |device, data| {
                T::otherend_changed(device, data, State::from_number(state))
            })
        };
    }

    /// The driver is removed from a device.
    unsafe extern "C" fn remove(device: *mut bindings::xenbus_device) {
        // SAFETY: The bus passes a valid device that is bound to our driver.
        let device = unsafe { Device::from_raw(device) };
        let raw = device.as_device_ptr();
        // SAFETY: The device is valid and locked by the driver core, so no callback of the power domain runs.
        let data = unsafe {
            bindings::dev_pm_domain_set(raw, core::ptr::null_mut());
            let data = bindings::dev_get_drvdata(raw);
            bindings::dev_set_drvdata(raw, core::ptr::null_mut());
            data
        };
        if !data.is_null() {
            // SAFETY: By the invariant this came from `Arc::into_raw`, and the device does not refer to it any more.
            T::remove(device, unsafe {
                Arc::from_raw(data.cast_const().cast::<T::Data>())
            });
        }
        crate::grant::forget_device(device.nodename());
    }

    /// The bus, in a restore, has read the other end's details anew.
    unsafe extern "C" fn resume(device: *mut bindings::xenbus_device) -> c_int {
        // SAFETY: The bus passes a valid device that is bound to our driver.
        let result = unsafe { Self::with(device, |device, data| T::restored(device, data)) };
        from_result(|| result.unwrap_or(Ok(())).map(|()| 0))
    }

    /// The domain is about to be saved.
    unsafe extern "C" fn freeze(device: *mut bindings::device) -> c_int {
        // SAFETY: The power management core passes a device that has our power domain, so it is bound to our driver.
        unsafe {
            Self::with(to_xenbus_device(device), |device, data| {
                T::park(device, data)
            })
        };
        0
    }

    /// The save was cancelled.
    unsafe extern "C" fn thaw(device: *mut bindings::device) -> c_int {
        // SAFETY: As in `freeze`.
        unsafe {
            Self::with(to_xenbus_device(device), |device, data| {
                T::unpark(device, data)
            })
        };
        0
    }

    /// The domain was restored: the bus reads the other end's details, then calls [`Self::resume`].
    unsafe extern "C" fn restore(device: *mut bindings::device) -> c_int {
        // SAFETY: As in `freeze`; the C bus is registered and has the callback, which is what this device would have
        // got without the power domain.
        unsafe {
            let power = (*(*device).bus).pm;
            match (*power).restore {
                Some(restore) => restore(device),
                None => 0,
            }
        }
    }
}

/// The bus device that a `struct device` is part of.
///
/// # Safety
///
/// `device` must be part of a `struct xenbus_device`.
unsafe fn to_xenbus_device(device: *mut bindings::device) -> *mut bindings::xenbus_device {
    // SAFETY: The caller promises it.
    unsafe { kernel::container_of!(device, bindings::xenbus_device, dev) }
}
