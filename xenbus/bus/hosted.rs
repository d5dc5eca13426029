// SPDX-License-Identifier: GPL-2.0

//! The bus by way of the kernel's C core (`include/xen/xenbus.h`, `drivers/xen/xenbus/`).
//!
//! The C bus has a callback for a restore, but none for a suspend that was cancelled, and it ignores what its suspend
//! callback says. So each device gets a power domain of ours, which the power management core prefers over the bus.

use super::{
    registration::{
        Callbacks,
        Data,
        Entry, //
    },
    Device,
    State, //
};
use crate::platform;
use core::ptr::NonNull;
use kernel::{
    error::{
        from_result,
        to_result, //
    },
    fmt,
    prelude::*,
    str::CString,
    sync::aref::ARef, //
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

/// Registers a driver with the C bus.
pub(super) fn register(entry: &Entry) -> Result {
    let callbacks = entry.callbacks;
    refuse_emulated(callbacks)?;
    let driver = entry.driver();
    // SAFETY: The entry is not registered, so nobody else uses it.
    unsafe {
        fill_driver(&mut *driver);
        fill_power(&mut *entry.power.get());
    }
    // SAFETY: The driver is filled in, and stays until `unregister`.
    to_result(unsafe {
        bindings::__xenbus_register_frontend(driver, core::ptr::null_mut(), core::ptr::null())
    })?;
    // The C frontends have the name of the device type.
    // SAFETY: The registration has set the bus; the name ends with a NUL.
    let rival =
        unsafe { bindings::driver_find(callbacks.kind.as_char_ptr(), (*driver).driver.bus) };
    if rival.is_null() {
        return Ok(());
    }
    unregister(entry);
    pr_err!(
        "{}: not loaded: the C frontend has the {} devices; unload it first\n",
        callbacks.name,
        callbacks.kind
    );
    Err(EBUSY)
}

/// Removes a driver from its devices and waits for its callbacks.
pub(super) fn unregister(entry: &Entry) {
    // SAFETY: Registered by `register`.
    unsafe { bindings::xenbus_unregister_driver(entry.driver()) }
}

/// Refuses where the guest keeps its emulated devices of this type.
fn refuse_emulated(callbacks: &Callbacks) -> Result {
    if platform::may_drive(callbacks.kind) {
        return Ok(());
    }
    pr_err!(
        "{}: not loaded: the emulated devices are not unplugged; see the kernel parameter xen_emul_unplug\n",
        callbacks.name
    );
    Err(ENODEV)
}

/// Fills the power domain.
fn fill_power(power: &mut bindings::dev_pm_domain) {
    power.ops.freeze = Some(freeze);
    power.ops.thaw = Some(thaw);
    power.ops.restore = Some(restore);
}

/// Fills the driver.
fn fill_driver(driver: &mut bindings::xenbus_driver) {
    // Our own `remove` says Closed, and a later driver may bind the device again.
    driver.allow_rebind = true;
    // The C bus holds the module's load up for 30 s at the most, not 300, for a backend that does not connect.
    driver.not_essential = true;
    driver.probe = Some(probe);
    driver.otherend_changed = Some(otherend_changed);
    driver.remove = Some(remove);
    driver.resume = Some(resume);
}

/// The driver that a device is bound or being bound to.
fn entry_of(device: &Device) -> &Entry {
    // SAFETY: The bus has set the driver before it calls any callback. It is that of an entry, the only ones that have
    // these callbacks; dropping a registration removes the driver from its devices.
    unsafe { Entry::of((*device.as_device_ptr()).driver) }
}

/// Runs `callback` with a device and what the driver keeps for it.
///
/// # Safety
///
/// `device` must be valid and bound to a driver of ours.
unsafe fn with<R>(
    device: *mut bindings::xenbus_device,
    callback: impl FnOnce(&Callbacks, &Device, Data) -> R,
) -> Option<R> {
    // SAFETY: The caller promises validity.
    let device = unsafe { Device::from_raw(device) };
    // SAFETY: The embedded device is valid.
    let data = NonNull::new(unsafe { bindings::dev_get_drvdata(device.as_device_ptr()) })?;
    Some(callback(entry_of(device).callbacks, device, data))
}

/// A device of a driver's type has appeared.
unsafe extern "C" fn probe(
    device: *mut bindings::xenbus_device,
    _id: *const bindings::xenbus_device_id,
) -> c_int {
    // SAFETY: The bus passes a valid device.
    let device: ARef<Device> = unsafe { Device::from_raw(device) }.into();
    from_result(|| {
        let entry = entry_of(&device);
        let data = (entry.callbacks.probe)(&device)?;
        // SAFETY: The device is valid and not bound yet; the domain lives longer than the binding, because dropping
        // the registration removes the driver from its devices.
        unsafe {
            bindings::dev_set_drvdata(device.as_device_ptr(), data.as_ptr());
            bindings::dev_pm_domain_set(device.as_device_ptr(), entry.power.get());
        }
        Ok(0)
    })
}

/// The other end's state has changed.
unsafe extern "C" fn otherend_changed(
    device: *mut bindings::xenbus_device,
    state: bindings::xenbus_state,
) {
    // SAFETY: The bus passes a valid device that is bound to our driver, which keeps the data.
    unsafe {
        with(device, |callbacks, device, data| {
            (callbacks.otherend_changed)(device, data, State::from_number(state))
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
    if let Some(data) = NonNull::new(data) {
        // SAFETY: The driver's `probe` returned it, and the device does not refer to it any more.
        unsafe { (entry_of(device).callbacks.remove)(device, data) };
    }
    crate::grant::forget_device(device.nodename());
}

/// The bus, in a restore, has read the other end's details anew.
unsafe extern "C" fn resume(device: *mut bindings::xenbus_device) -> c_int {
    // SAFETY: The bus passes a valid device that is bound to our driver, which keeps the data.
    let result = unsafe {
        with(device, |callbacks, device, data| {
            (callbacks.restored)(device, data)
        })
    };
    from_result(|| result.unwrap_or(Ok(())).map(|()| 0))
}

/// The domain is about to be saved.
unsafe extern "C" fn freeze(device: *mut bindings::device) -> c_int {
    // SAFETY: The power management core passes a device that has our power domain, so it is bound to our driver, which
    // keeps the data.
    unsafe {
        with(to_xenbus_device(device), |callbacks, device, data| {
            (callbacks.park)(device, data)
        })
    };
    0
}

/// The save was cancelled.
unsafe extern "C" fn thaw(device: *mut bindings::device) -> c_int {
    // SAFETY: As in `freeze`.
    unsafe {
        with(to_xenbus_device(device), |callbacks, device, data| {
            (callbacks.unpark)(device, data)
        })
    };
    0
}

/// The domain was restored: the bus reads the other end's details, then calls [`resume`].
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

/// The bus device that a `struct device` is part of.
///
/// # Safety
///
/// `device` must be part of a `struct xenbus_device`.
unsafe fn to_xenbus_device(device: *mut bindings::device) -> *mut bindings::xenbus_device {
    // SAFETY: The caller promises it.
    unsafe { kernel::container_of!(device, bindings::xenbus_device, dev) }
}
