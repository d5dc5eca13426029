// SPDX-License-Identifier: GPL-2.0

//! The driver core's side of the bus: a `struct bus_type` with the name, the attributes and the events of the C bus, by
//! which programs such as udev know the devices.

use super::{
    super::registration::Entry,
    agent_of,
    device::Body,
    Device, //
};
use kernel::{
    error::{
        from_result,
        to_result, //
    },
    prelude::*,
    types::Opaque, //
};
use rxen_bindings as bindings;

/// The bus's name, as long as it is free.
const NAME: &CStr = c"xen";
/// The bus's name where the C bus cannot be moved out of the way.
const OTHER_NAME: &CStr = c"rxen";

/// What is shared with the driver core.
#[repr(transparent)]
struct Shared<T>(T);

// SAFETY: The driver core locks what it changes; these are constant while the bus is registered.
unsafe impl<T> Sync for Shared<T> {}

static BUS: Shared<Opaque<bindings::bus_type>> = Shared(Opaque::new(bindings::bus_type {
    dev_groups: GROUPS.0.as_ptr(),
    match_: Some(matches),
    uevent: Some(uevent),
    probe: Some(probe),
    remove: Some(remove),
    shutdown: Some(shutdown),
    // SAFETY: All zeroes is a bus type without anything.
    ..unsafe { core::mem::zeroed() }
}));

/// The bus.
pub(super) fn raw() -> *const bindings::bus_type {
    BUS.0.get()
}

/// The registered bus.
pub(super) struct Registration {
    // Goes first: the C bus takes its name back.
    _registered: Registered,
    _moved: Option<moved::Moved>,
}

/// Our bus, registered.
struct Registered;

impl Registration {
    /// Registers the bus.
    pub(super) fn new() -> Result<Self> {
        let (moved, name) = match moved::move_away() {
            Ok(moved) => (moved, NAME),
            Err(error) => {
                pr_warn!(
                    "bus: the kernel's own bus is in use ({:?}); this one is called {}\n",
                    error,
                    OTHER_NAME
                );
                (None, OTHER_NAME)
            }
        };
        // SAFETY: The bus is not registered, so nobody uses it.
        unsafe { (*BUS.0.get()).name = name.as_char_ptr() };
        // SAFETY: The bus is static, and stays registered until the returned value is dropped.
        to_result(unsafe { bindings::bus_register(raw()) })?;
        Ok(Self {
            _registered: Registered,
            _moved: moved,
        })
    }
}

impl Drop for Registered {
    fn drop(&mut self) {
        // SAFETY: Registered. All devices are gone, as are all drivers, whose modules stand on this one.
        unsafe { bindings::bus_unregister(raw()) }
    }
}

/// The C bus of a kernel whose Xen core is off. It is registered under the name all the same, and has no devices.
#[cfg(CONFIG_XEN)]
mod moved {
    use super::*;
    use core::ptr::NonNull;

    /// The C bus, unregistered for now.
    pub(super) struct Moved(NonNull<bindings::bus_type>);

    // SAFETY: A bus may be registered from any thread.
    unsafe impl Send for Moved {}
    // SAFETY: Nothing is reachable through a shared reference.
    unsafe impl Sync for Moved {}

    impl Drop for Moved {
        fn drop(&mut self) {
            // SAFETY: A static of the kernel's, which was registered before.
            if to_result(unsafe { bindings::bus_register(self.0.as_ptr()) }).is_err() {
                pr_warn!("bus: the kernel's own bus cannot be registered again\n");
            }
        }
    }

    static KINDS: Shared<[bindings::xenbus_device_id; 1]> =
        // SAFETY: All zeroes is the ending entry.
        Shared(unsafe { core::mem::zeroed() });

    /// A driver without devices, which is only registered to learn where the C bus is.
    static PROBE: Shared<Opaque<bindings::xenbus_driver>> =
        Shared(Opaque::new(bindings::xenbus_driver {
            name: c"rxen".as_ptr().cast(),
            ids: KINDS.0.as_ptr(),
            // SAFETY: All zeroes is a driver without callbacks.
            ..unsafe { core::mem::zeroed() }
        }));

    /// Unregisters the C bus, so that its name is free.
    ///
    /// # Errors
    ///
    /// `EBUSY` if it has drivers or devices.
    pub(super) fn move_away() -> Result<Option<Moved>> {
        let driver = PROBE.0.get();
        // SAFETY: With the Xen core off these two do nothing but to register the driver with the bus and to unregister
        // it. The driver is a static that nobody else uses: there is one native mode at a time.
        let bus = unsafe {
            to_result(bindings::__xenbus_register_frontend(
                driver,
                core::ptr::null_mut(),
                core::ptr::null(),
            ))?;
            let bus = (*driver).driver.bus;
            bindings::xenbus_unregister_driver(driver);
            bus
        };
        let bus = NonNull::new(bus.cast_mut()).ok_or(ENODEV)?;
        // SAFETY: The C bus is a static of the kernel's; the callbacks do not look at their arguments.
        let in_use = unsafe {
            let none = core::ptr::null_mut();
            bindings::bus_for_each_dev(bus.as_ptr(), none, none.cast(), Some(any_device)) != 0
                || bindings::bus_for_each_drv(
                    bus.as_ptr(),
                    none.cast(),
                    none.cast(),
                    Some(any_driver),
                ) != 0
        };
        if in_use {
            return Err(EBUSY);
        }
        // SAFETY: Registered, and without drivers or devices. With the Xen core off none will come.
        unsafe { bindings::bus_unregister(bus.as_ptr()) };
        Ok(Some(Moved(bus)))
    }

    /// Ends a search with the first device.
    unsafe extern "C" fn any_device(_device: *mut bindings::device, _data: *mut c_void) -> c_int {
        1
    }

    /// Ends a search with the first driver.
    unsafe extern "C" fn any_driver(
        _driver: *mut bindings::device_driver,
        _data: *mut c_void,
    ) -> c_int {
        1
    }
}

/// A kernel without Xen core has no C bus.
#[cfg(not(CONFIG_XEN))]
mod moved {
    use kernel::prelude::*;

    /// The C bus, unregistered for now.
    pub(super) enum Moved {}

    /// The name is free.
    pub(super) fn move_away() -> Result<Option<Moved>> {
        Ok(None)
    }
}

/// The device that a `struct device` of this bus is part of.
///
/// # Safety
///
/// `device` must be a device of this bus, valid for `'a`.
unsafe fn device_of<'a>(device: *const bindings::device) -> &'a Device {
    // SAFETY: The caller promises it.
    unsafe {
        let raw = kernel::container_of!(device, bindings::xenbus_device, dev);
        Device::from_raw(raw.cast_mut())
    }
}

/// Whether a driver is for a device.
unsafe extern "C" fn matches(
    device: *mut bindings::device,
    driver: *const bindings::device_driver,
) -> c_int {
    // SAFETY: The driver core passes a device and a driver of this bus; all its drivers are entries.
    let (device, entry) = unsafe { (device_of(device), Entry::of(driver)) };
    (agent_of(device).is_of(entry.callbacks.kind.to_bytes())).into()
}

/// Adds what udev needs to load a driver.
unsafe extern "C" fn uevent(
    device: *const bindings::device,
    environment: *mut bindings::kobj_uevent_env,
) -> c_int {
    // SAFETY: The driver core passes a device of this bus and an environment; the format takes one string.
    unsafe {
        bindings::add_uevent_var(
            environment,
            c"MODALIAS=xen:%s".as_char_ptr(),
            agent_of(device_of(device)).kind().as_char_ptr(),
        )
    }
}

/// A driver takes a device on.
unsafe extern "C" fn probe(device: *mut bindings::device) -> c_int {
    // SAFETY: The driver core passes a device of this bus, whose driver it has set, and keeps both for the call.
    let (device, entry) = unsafe { (device_of(device), Entry::of((*device).driver)) };
    from_result(|| agent_of(device).bind(device, entry.callbacks).map(|()| 0))
}

/// A driver is removed from a device.
unsafe extern "C" fn remove(device: *mut bindings::device) {
    // SAFETY: The driver core passes a device of this bus, which is bound.
    let device = unsafe { device_of(device) };
    agent_of(device).unbind(device);
}

/// The machine goes down.
unsafe extern "C" fn shutdown(device: *mut bindings::device) {
    // SAFETY: The driver core passes a device of this bus.
    let device = unsafe { device_of(device) };
    agent_of(device).shut_down(device);
}

/// What shows an attribute.
type Show = unsafe extern "C" fn(
    *mut bindings::device,
    *mut bindings::device_attribute,
    *mut c_char,
) -> isize;

/// An attribute that all may read.
const fn attribute(name: &'static CStr, show: Show) -> Shared<bindings::device_attribute> {
    // SAFETY: All zeroes is an attribute that nobody may read.
    let mut attribute: bindings::device_attribute = unsafe { core::mem::zeroed() };
    attribute.attr.name = name.as_ptr().cast();
    attribute.attr.mode = 0o444;
    attribute.__bindgen_anon_1.show = Some(show);
    Shared(attribute)
}

static NODENAME: Shared<bindings::device_attribute> = attribute(c"nodename", show_nodename);
static DEVTYPE: Shared<bindings::device_attribute> = attribute(c"devtype", show_devtype);
static MODALIAS: Shared<bindings::device_attribute> = attribute(c"modalias", show_modalias);
static STATE: Shared<bindings::device_attribute> = attribute(c"state", show_state);

static ATTRIBUTES: Shared<[*const bindings::attribute; 5]> = Shared([
    &raw const NODENAME.0.attr,
    &raw const DEVTYPE.0.attr,
    &raw const MODALIAS.0.attr,
    &raw const STATE.0.attr,
    core::ptr::null(),
]);

static GROUP: Shared<bindings::attribute_group> = Shared(bindings::attribute_group {
    __bindgen_anon_2: bindings::attribute_group__bindgen_ty_2 {
        attrs_const: ATTRIBUTES.0.as_ptr(),
    },
    // SAFETY: All zeroes is a group without anything.
    ..unsafe { core::mem::zeroed() }
});

static GROUPS: Shared<[*const bindings::attribute_group; 2]> =
    Shared([&raw const GROUP.0, core::ptr::null()]);

/// Shows a string that ends with a NUL.
///
/// # Safety
///
/// `buffer` must be one that the driver core passed for an attribute.
unsafe fn show(buffer: *mut c_char, format: &CStr, text: *const c_char) -> isize {
    // SAFETY: The caller promises the buffer; all formats below take one string.
    let length = unsafe { bindings::sysfs_emit(buffer, format.as_char_ptr(), text) };
    length as isize
}

/// Shows the path in xenstore.
unsafe extern "C" fn show_nodename(
    device: *mut bindings::device,
    _attribute: *mut bindings::device_attribute,
    buffer: *mut c_char,
) -> isize {
    // SAFETY: The driver core passes a device of this bus and a buffer.
    unsafe {
        let text = device_of(device).nodename().as_char_ptr();
        show(buffer, c"%s\n", text)
    }
}

/// Shows the type.
unsafe extern "C" fn show_devtype(
    device: *mut bindings::device,
    _attribute: *mut bindings::device_attribute,
    buffer: *mut c_char,
) -> isize {
    // SAFETY: As in `show_nodename`.
    unsafe {
        let text = agent_of(device_of(device)).kind().as_char_ptr();
        show(buffer, c"%s\n", text)
    }
}

/// Shows what modprobe is to be asked for.
unsafe extern "C" fn show_modalias(
    device: *mut bindings::device,
    _attribute: *mut bindings::device_attribute,
    buffer: *mut c_char,
) -> isize {
    // SAFETY: As in `show_nodename`.
    unsafe {
        let text = agent_of(device_of(device)).kind().as_char_ptr();
        show(buffer, c"xen:%s\n", text)
    }
}

/// Shows our state.
unsafe extern "C" fn show_state(
    device: *mut bindings::device,
    _attribute: *mut bindings::device_attribute,
    buffer: *mut c_char,
) -> isize {
    // SAFETY: As in `show_nodename`; the format takes the length and that many bytes.
    let length = unsafe {
        let name = Body::of(device_of(device)).state().name();
        bindings::sysfs_emit(
            buffer,
            c"%.*s\n".as_char_ptr(),
            name.len() as c_int,
            name.as_ptr(),
        )
    };
    length as isize
}
