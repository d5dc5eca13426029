// SPDX-License-Identifier: GPL-2.0

//! The hypercalls of event channels.

use super::keep;
use crate::hypercall;
use kernel::prelude::*;
use rxen_bindings as bindings;

/// This domain.
const SELF: u16 = bindings::DOMID_SELF as u16;

/// Calls the hypervisor with the argument of one of the operations below.
macro_rules! call {
    ($operation:ident, $argument:expr) => {
        // SAFETY: Each of the functions below has the argument that belongs to its operation; none has pointers.
        unsafe { hypercall::event_channel_op(bindings::$operation, $argument) }
    };
}

/// How often a call is made that nobody would make up for.
const TRIES: u32 = 3;

/// Whether an error says that the port is gone or can have no such thing done to it: it would be the same the next time.
pub(super) fn is_final(error: Error) -> bool {
    error == EINVAL || error == ENOENT
}

/// Makes a call again that fails for another reason than its port.
fn persistently(mut call: impl FnMut() -> Result) -> Result {
    let mut result = call();
    for _ in 1..TRIES {
        match result {
            Err(error) if !is_final(error) => result = call(),
            _ => break,
        }
    }
    result
}

/// Makes a port for a domain.
pub(super) fn alloc_unbound(domid: u16) -> Result<u32> {
    let mut argument = bindings::evtchn_alloc_unbound {
        dom: SELF,
        remote_dom: domid,
        port: 0,
    };
    call!(EVTCHNOP_alloc_unbound, &mut argument)?;
    Ok(argument.port)
}

/// Makes a port bound to a domain's.
pub(super) fn bind_interdomain(domid: u16, port: u32) -> Result<u32> {
    let mut argument = bindings::evtchn_bind_interdomain {
        remote_dom: domid,
        remote_port: port,
        local_port: 0,
    };
    call!(EVTCHNOP_bind_interdomain, &mut argument)?;
    Ok(argument.local_port)
}

/// Makes a port for a virtual interrupt.
pub(super) fn bind_virq(virq: u32, vcpu: u32) -> Result<u32> {
    let mut argument = bindings::evtchn_bind_virq {
        virq,
        vcpu,
        port: 0,
    };
    call!(EVTCHNOP_bind_virq, &mut argument)?;
    Ok(argument.port)
}

/// Closes a port.
pub(super) fn close(port: u32) -> Result {
    persistently(|| call!(EVTCHNOP_close, &mut bindings::evtchn_close { port }))
}

/// Sends an event to the other end of a port.
pub(super) fn send(port: u32) -> Result {
    persistently(|| call!(EVTCHNOP_send, &mut bindings::evtchn_send { port }))
}

/// Has the events of a port raised on a virtual CPU from now on.
pub(super) fn bind_vcpu(port: u32, vcpu: u32) -> Result {
    persistently(|| {
        call!(
            EVTCHNOP_bind_vcpu,
            &mut bindings::evtchn_bind_vcpu { port, vcpu }
        )
    })
}

/// Unmasks a port, and raises the event that has come in meanwhile.
pub(super) fn unmask(port: u32) -> Result {
    call!(EVTCHNOP_unmask, &mut bindings::evtchn_unmask { port })
}

/// What a port is.
pub(super) fn status(port: u32) -> Result<keep::Status> {
    let mut argument = bindings::evtchn_status {
        dom: SELF,
        port,
        ..Default::default()
    };
    call!(EVTCHNOP_status, &mut argument)?;
    // What bindgen makes of a union differs between kernels; its address does not.
    let variant = &raw const argument.u;
    let unbound = variant.cast::<bindings::evtchn_status__bindgen_ty_1__bindgen_ty_1>();
    let interdomain = variant.cast::<bindings::evtchn_status__bindgen_ty_1__bindgen_ty_2>();
    // SAFETY: Both are variants of the union, of plain integers; the hypervisor has filled in the one that it names.
    Ok(unsafe {
        match argument.status {
            bindings::EVTCHNSTAT_closed => keep::Status::Closed,
            bindings::EVTCHNSTAT_unbound => keep::Status::Unbound((*unbound).dom),
            bindings::EVTCHNSTAT_interdomain => {
                keep::Status::Interdomain((*interdomain).dom, (*interdomain).port)
            }
            _ => keep::Status::Own,
        }
    })
}

/// Closes all ports and goes back to the 2-level ABI.
pub(super) fn reset() -> Result {
    call!(EVTCHNOP_reset, &mut bindings::evtchn_reset { dom: SELF })
}

/// Gives the hypervisor the control block of a virtual CPU. The first one switches to the FIFO ABI.
pub(super) fn init_control(vcpu: u32, gfn: u64) -> Result {
    let mut argument = bindings::evtchn_init_control {
        control_gfn: gfn,
        vcpu,
        ..Default::default()
    };
    // Where the first one is refused after a restore, the guest goes on without that ABI.
    persistently(|| call!(EVTCHNOP_init_control, &mut argument))
}

/// Gives the hypervisor the next page of the event array.
pub(super) fn expand_array(gfn: u64) -> Result {
    call!(
        EVTCHNOP_expand_array,
        &mut bindings::evtchn_expand_array { array_gfn: gfn }
    )
}

/// Has events called to the attention of a virtual CPU by an interrupt vector.
pub(super) fn set_upcall_vector(vcpu: u32, vector: u8) -> Result {
    let mut argument = bindings::xen_hvm_evtchn_upcall_vector { vcpu, vector };
    // SAFETY: This is the argument of this operation; it has no pointers.
    unsafe { hypercall::hvm_op(bindings::HVMOP_set_evtchn_upcall_vector, &mut argument) }
}

/// The hypervisor, as the reset wants it.
pub(super) struct Ports;

impl keep::Hypervisor for Ports {
    type Error = Error;

    fn status(&self, port: u32) -> Result<Option<keep::Status>> {
        match status(port) {
            Ok(status) => Ok(Some(status)),
            // There is no such port.
            Err(error) if error == EINVAL => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn reset(&self) -> Result {
        reset()
    }

    fn alloc_unbound(&self, domid: u16) -> Result<u32> {
        alloc_unbound(domid)
    }

    fn bind_interdomain(&self, domid: u16, port: u32) -> Result<u32> {
        bind_interdomain(domid, port)
    }

    fn close(&self, port: u32) -> Result {
        close(port)
    }
}
