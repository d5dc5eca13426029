// SPDX-License-Identifier: GPL-2.0

//! Event channels by way of the kernel's C core (`include/xen/events.h`).

use super::{
    Outcome,
    Source,
    Target, //
};
use kernel::{
    error::to_result,
    prelude::*, //
};
use rxen_bindings as bindings;

/// A port with an interrupt handler.
///
/// # Invariants
///
/// `irq` is the interrupt bound to `port`, with [`interrupt`] as its handler and `target` as the handler's argument.
pub(super) struct Binding {
    port: bindings::evtchn_port_t,
    irq: c_uint,
    target: *const Target,
}

// SAFETY: The pointer is only an argument for the C core; the numbers may be used from any thread.
unsafe impl Send for Binding {}
// SAFETY: Sending an event is all that a shared reference allows, and that may be done from any thread at once.
unsafe impl Sync for Binding {}

impl Binding {
    /// Allocates a port and binds the handler.
    ///
    /// The caller keeps `target` alive until the binding is dropped (see the field order of `Channel`).
    pub(super) fn new(source: Source<'_>, target: Pin<&Target>) -> Result<Self> {
        // The other ports belong to the C core.
        let Source::Device(device) = source else {
            return Err(ENOTSUPP);
        };
        let mut port: bindings::evtchn_port_t = 0;
        // SAFETY: The device is valid for the call; `port` is valid for the write.
        to_result(unsafe { bindings::xenbus_alloc_evtchn(device.as_raw(), &mut port) })?;
        let target: *const Target = target.get_ref();
        // SAFETY: Name and target live until `drop` has unbound the handler; the handler is of the right type.
        let irq = unsafe {
            bindings::bind_evtchn_to_irqhandler_lateeoi(
                port,
                Some(interrupt),
                0,
                (*target).name.as_char_ptr(),
                target.cast_mut().cast(),
            )
        };
        let Ok(irq) = c_uint::try_from(irq) else {
            // SAFETY: The port was allocated above and is bound to nothing.
            unsafe { bindings::xenbus_free_evtchn(device.as_raw(), port) };
            return Err(Error::from_errno(irq));
        };
        // INVARIANT: Bound just now.
        Ok(Self { port, irq, target })
    }

    /// The port.
    pub(super) fn port(&self) -> u32 {
        self.port
    }

    /// Sends an event.
    pub(super) fn notify(&self) {
        // SAFETY: The interrupt is bound to an event channel by the invariant.
        unsafe { bindings::notify_remote_via_irq(self.irq as c_int) }
    }
}

impl Drop for Binding {
    fn drop(&mut self) {
        // SAFETY: By the invariant this is the argument that the handler was bound with. Waits for a running handler
        // and closes the port.
        unsafe { bindings::unbind_from_irqhandler(self.irq, self.target.cast_mut().cast()) }
    }
}

/// Called by the kernel's interrupt core.
unsafe extern "C" fn interrupt(irq: c_int, target: *mut c_void) -> bindings::irqreturn_t {
    // SAFETY: By the invariant of `Binding` the argument is a `Target` that outlives the binding.
    let target = unsafe { &*target.cast::<Target>() };
    let flags = match target.event() {
        Outcome::Handled => 0,
        Outcome::Spurious => bindings::XEN_EOI_FLAG_SPURIOUS,
        Outcome::Stop => return bindings::irqreturn::IRQ_HANDLED,
    };
    // SAFETY: This interrupt was bound with late end of interrupt and its handler is running.
    unsafe { bindings::xen_irq_lateeoi(irq as c_uint, flags) };
    bindings::irqreturn::IRQ_HANDLED
}
