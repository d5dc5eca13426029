// SPDX-License-Identifier: GPL-2.0

//! A driver that is registered with the bus, whichever bus that is.
//!
//! The generic part is compiled into the frontend: a table of the driver's callbacks without its type. All the rest
//! works on that table and is the same for every frontend.

use super::{
    owner,
    Device,
    Driver,
    State, //
};
use core::{
    marker::PhantomData,
    mem::ManuallyDrop,
    ptr::NonNull, //
};
use kernel::{
    prelude::*,
    sync::{
        aref::ARef,
        Arc, //
    },
    types::Opaque, //
};
use rxen_bindings as bindings;

/// What [`Callbacks`] hands out and takes back: an `Arc<T::Data>` of the driver.
pub(crate) type Data = NonNull<c_void>;

/// The callbacks of a [`Driver`], without its type.
///
/// All but `probe` are to be called with what `probe` of the same table returned for the same device, and not after
/// `remove`.
pub(crate) struct Callbacks {
    pub(super) name: &'static CStr,
    pub(super) kind: &'static CStr,
    pub(super) probe: fn(&ARef<Device>) -> Result<Data>,
    pub(super) otherend_changed: unsafe fn(&Device, Data, State),
    pub(super) park: unsafe fn(&Device, Data),
    pub(super) unpark: unsafe fn(&Device, Data),
    pub(super) restored: unsafe fn(&Device, Data) -> Result,
    pub(super) remove: unsafe fn(&Device, Data),
}

impl Callbacks {
    /// Those of a driver.
    const fn of<T: Driver>() -> Self {
        Self {
            name: T::NAME,
            kind: T::KIND,
            probe: probe::<T>,
            otherend_changed: otherend_changed::<T>,
            park: park::<T>,
            unpark: unpark::<T>,
            restored: restored::<T>,
            remove: remove::<T>,
        }
    }
}

/// Has the driver take a device on.
fn probe<T: Driver>(device: &ARef<Device>) -> Result<Data> {
    let data = Arc::into_raw(T::probe(device)?);
    NonNull::new(data.cast_mut().cast()).ok_or(EINVAL)
}

/// What the driver keeps for a device, which it goes on keeping.
///
/// # Safety
///
/// `data` must be of `probe::<T>`, and `remove::<T>` must not have had it.
unsafe fn borrow<T: Driver>(data: Data) -> ManuallyDrop<Arc<T::Data>> {
    // SAFETY: By the caller's promise this came from `Arc::into_raw`, and that reference is still there. It is not
    // dropped here.
    ManuallyDrop::new(unsafe { Arc::from_raw(data.as_ptr().cast_const().cast::<T::Data>()) })
}

/// # Safety
///
/// As for [`borrow`].
unsafe fn otherend_changed<T: Driver>(device: &Device, data: Data, state: State) {
    // SAFETY: The caller promises it.
    T::otherend_changed(device, &*unsafe { borrow::<T>(data) }, state)
}

/// # Safety
///
/// As for [`borrow`].
unsafe fn park<T: Driver>(device: &Device, data: Data) {
    // SAFETY: The caller promises it.
    T::park(device, &*unsafe { borrow::<T>(data) })
}

/// # Safety
///
/// As for [`borrow`].
unsafe fn unpark<T: Driver>(device: &Device, data: Data) {
    // SAFETY: The caller promises it.
    T::unpark(device, &*unsafe { borrow::<T>(data) })
}

/// # Safety
///
/// As for [`borrow`].
unsafe fn restored<T: Driver>(device: &Device, data: Data) -> Result {
    // SAFETY: The caller promises it.
    T::restored(device, &*unsafe { borrow::<T>(data) })
}

/// # Safety
///
/// As for [`borrow`]; `data` is used up.
unsafe fn remove<T: Driver>(device: &Device, data: Data) {
    // SAFETY: The caller promises it, and gives the reference up.
    let data = unsafe { borrow::<T>(data) };
    T::remove(device, ManuallyDrop::into_inner(data))
}

/// A driver as a bus knows it.
///
/// # Invariants
///
/// `driver` refers to `kinds` and is followed by the other fields, so that it leads to them.
#[repr(C)]
#[pin_data]
pub(crate) struct Entry {
    #[pin]
    driver: Opaque<bindings::xenbus_driver>,
    #[pin]
    kinds: Opaque<[bindings::xenbus_device_id; 2]>,
    /// Room for the hosted bus.
    #[pin]
    pub(super) power: Opaque<bindings::dev_pm_domain>,
    pub(super) callbacks: &'static Callbacks,
}

impl Entry {
    /// Prepares the entry of a driver.
    fn new(callbacks: &'static Callbacks) -> impl PinInit<Self, Error> {
        try_pin_init!(&this in Self {
            kinds <- Opaque::try_ffi_init(|kinds| fill_kinds(kinds, callbacks.kind)),
            driver <- Opaque::try_ffi_init(|driver: *mut bindings::xenbus_driver| {
                // SAFETY: Called with memory to initialise; all zeroes is a driver without callbacks. The table of
                // types starts with its first entry.
                unsafe {
                    driver.write_bytes(0, 1);
                    (*driver).name = callbacks.name.as_char_ptr();
                    (*driver).ids = Opaque::cast_into(&raw const (*this.as_ptr()).kinds).cast();
                }
                Ok::<(), Error>(())
            }),
            power: Opaque::zeroed(),
            callbacks,
        }? Error)
    }

    /// The driver.
    pub(super) fn driver(&self) -> *mut bindings::xenbus_driver {
        self.driver.get()
    }

    /// The entry of a driver.
    ///
    /// # Safety
    ///
    /// `driver` must be that of an entry, which must be valid for `'a`.
    pub(super) unsafe fn of<'a>(driver: *const bindings::device_driver) -> &'a Self {
        // SAFETY: The caller promises that it is part of a `xenbus_driver`, which is the first field of an entry.
        unsafe { &*kernel::container_of!(driver, bindings::xenbus_driver, driver).cast() }
    }
}

/// Fills the table of device types: ours and the ending entry.
fn fill_kinds(kinds: *mut [bindings::xenbus_device_id; 2], name: &CStr) -> Result {
    // SAFETY: Called by `Opaque::try_ffi_init` with memory to initialise; all zeroes is a valid entry.
    let [kind, _end] = unsafe {
        kinds.write_bytes(0, 1);
        &mut *kinds
    };
    let name = name.to_bytes_with_nul();
    if name.len() > kind.devicetype.len() {
        return Err(EINVAL);
    }
    for (to, from) in kind.devicetype.iter_mut().zip(name) {
        *to = *from;
    }
    Ok(())
}

/// A driver that the bus knows.
///
/// # Invariants
///
/// The entry is registered, and valid as long as this value.
struct Registered(*const Entry);

impl Registered {
    /// Registers a driver.
    ///
    /// # Safety
    ///
    /// `entry` must be initialised, and stay where it is until the returned value is dropped.
    unsafe fn new(entry: *const Entry) -> Result<Self> {
        // SAFETY: The caller promises it.
        owner::register(unsafe { &*entry })?;
        // INVARIANT: Registered just now.
        Ok(Self(entry))
    }
}

impl Drop for Registered {
    fn drop(&mut self) {
        // SAFETY: Registered and valid by the invariant. Removes the driver from its devices and waits for the
        // callbacks.
        owner::unregister(unsafe { &*self.0 })
    }
}

/// A driver that is registered with the bus. Dropping it removes the driver from all its devices.
#[pin_data]
pub struct Registration<T: Driver> {
    // Goes first, while what it needs is still there.
    _registered: Registered,
    #[pin]
    entry: Entry,
    _driver: PhantomData<T>,
}

// SAFETY: The registration may be ended from any thread.
unsafe impl<T: Driver> Send for Registration<T> {}
// SAFETY: Nothing is reachable through a shared reference.
unsafe impl<T: Driver> Sync for Registration<T> {}

impl<T: Driver> Registration<T> {
    const CALLBACKS: Callbacks = Callbacks::of::<T>();

    /// Registers the driver.
    ///
    /// The bus is not told the module: it would take a reference for each device and so keep the module from being
    /// unloaded while there are any. It need not: unloading drops this registration, which waits for the callbacks.
    pub fn new(_module: &'static ThisModule) -> impl PinInit<Self, Error> {
        try_pin_init!(&this in Self {
            entry <- Entry::new(&Self::CALLBACKS),
            _driver: PhantomData,
            // SAFETY: The entry is initialised above; it is pinned and goes after this one.
            _registered: unsafe { Registered::new(&raw const (*this.as_ptr()).entry) }?,
        })
    }
}
