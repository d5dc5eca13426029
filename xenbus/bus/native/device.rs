// SPDX-License-Identifier: GPL-2.0

//! A device as the driver core sees it.

use super::{
    super::State,
    agent::Agent,
    bus_type,
    Device, //
};
use core::ptr::NonNull;
use kernel::{
    error::to_result,
    prelude::*,
    sync::{
        aref::ARef,
        atomic::{
            Atomic,
            Relaxed, //
        },
        Arc, //
    },
    types::Opaque, //
};
use rxen_bindings as bindings;

/// How many bodies there are.
static LIVE: Atomic<usize> = Atomic::new(0);

/// How many devices have not been freed.
pub(super) fn live() -> usize {
    LIVE.load(Relaxed)
}

/// The memory of a device, freed with the last reference to its `struct device`.
///
/// # Invariants
///
/// `nodename` and `devicetype` of `raw` point at strings of the agent. `otherend` is null or points at a string that the
/// agent keeps, and is only changed under the agent's lock that all callbacks of the driver run under.
#[repr(C)]
pub(super) struct Body {
    // First, so that a device leads to its body.
    raw: Opaque<bindings::xenbus_device>,
    agent: Arc<Agent>,
}

impl Body {
    /// The body of a device of this bus.
    pub(super) fn of(device: &Device) -> &Self {
        // SAFETY: In the native mode there are no other devices than those of `create`; the raw device is the first
        // field of their bodies.
        unsafe { &*device.as_raw().cast_const().cast() }
    }

    /// Who looks after the device.
    pub(super) fn agent(&self) -> &Arc<Agent> {
        &self.agent
    }

    /// Our state, as last written or read.
    pub(super) fn state(&self) -> State {
        // SAFETY: The field of a valid object is read by itself; who writes it has `Agent::state` locked.
        State::from_number(unsafe { (&raw const (*self.raw.get()).state).read_volatile() })
    }

    /// Notes our state. To be called with `Agent::state` locked.
    pub(super) fn set_state(&self, state: State) {
        // SAFETY: As in `state`.
        unsafe { (&raw mut (*self.raw.get()).state).write_volatile(state.number()) }
    }

    /// Whether the device's folder in xenstore is not ours any more.
    pub(super) fn is_vanished(&self) -> bool {
        // SAFETY: As in `state`.
        unsafe { (&raw const (*self.raw.get()).vanished).read_volatile() }
    }

    /// Notes that the device's folder is gone, or is that of a new device.
    pub(super) fn set_vanished(&self) {
        // SAFETY: As in `state`.
        unsafe { (&raw mut (*self.raw.get()).vanished).write_volatile(true) }
    }

    /// Notes the other end.
    ///
    /// # Safety
    ///
    /// `path` must stay valid until the next call of this function or until the driver is unbound; to be called under
    /// the lock that the driver's callbacks run under.
    pub(super) unsafe fn set_otherend(&self, path: Option<&CStr>, domid: u16) {
        let path = path.map_or(core::ptr::null(), |path| path.as_char_ptr());
        // SAFETY: Nobody reads these two without the lock that the caller has.
        unsafe {
            (*self.raw.get()).otherend = path;
            (*self.raw.get()).otherend_id = domid.into();
        }
    }
}

/// Makes a device and registers it, upon which a driver may take it on. May sleep.
pub(super) fn create(agent: Arc<Agent>, state: State) -> Result<ARef<Device>> {
    let body = KBox::new(
        Body {
            raw: Opaque::zeroed(),
            agent,
        },
        GFP_KERNEL,
    )?;
    let agent = body.agent.clone();
    let raw: *mut bindings::xenbus_device = KBox::into_raw(body).cast();
    LIVE.add(1, Relaxed);
    // SAFETY: The memory is valid, zeroed, and nobody else knows it. From here on it belongs to the reference count of
    // the embedded device, of which there is one reference; the name is a format that takes two strings.
    let (device, named) = unsafe {
        (*raw).nodename = agent.nodename().as_char_ptr();
        (*raw).devicetype = agent.kind().as_char_ptr();
        (*raw).state = state.number();
        bindings::init_completion(&raw mut (*raw).down);
        let dev = &raw mut (*raw).dev;
        (*dev).bus = bus_type::raw();
        (*dev).release = Some(release);
        bindings::device_initialize(dev);
        let named = bindings::dev_set_name(
            dev,
            c"%s-%s".as_char_ptr(),
            agent.kind().as_char_ptr(),
            agent.id().as_char_ptr(),
        );
        (
            ARef::from_raw(NonNull::new_unchecked(raw.cast::<Device>())),
            named,
        )
    };
    to_result(named)?;
    // SAFETY: Initialised above and not added yet.
    to_result(unsafe { bindings::device_add(device.as_device_ptr()) })?;
    Ok(device)
}

/// Unregisters a device: its driver is removed, and it is gone once nobody has it in hand any more. May sleep.
pub(super) fn destroy(device: ARef<Device>) {
    // SAFETY: Registered by `create`, once.
    unsafe { bindings::device_del(device.as_device_ptr()) };
}

/// Frees a device, when the last reference is gone.
unsafe extern "C" fn release(device: *mut bindings::device) {
    // SAFETY: Only the devices of `create` have this function; the raw device is the first field of the body, which was
    // a box.
    drop(unsafe {
        let raw = kernel::container_of!(device, bindings::xenbus_device, dev);
        KBox::<Body>::from_raw(raw.cast())
    });
    LIVE.fetch_sub(1, Relaxed);
}
