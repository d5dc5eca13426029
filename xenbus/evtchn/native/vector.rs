// SPDX-License-Identifier: GPL-2.0

//! Calling each CPU by an interrupt vector of its own local APIC.
//!
//! The vector comes from the kernel's vector domain, by way of a domain of ours below it. The interrupt is managed: the
//! kernel shuts it down when the CPU goes, and starts it, maybe with another vector, when the CPU comes back.

use super::{
    calls,
    chip::Chip,
    cpu::Cpu,
    upcall, //
};
use core::ptr::NonNull;
use kernel::{
    error::to_result,
    prelude::*, //
};
use rxen_bindings as bindings;

/// Operations that the kernel only reads.
#[repr(transparent)]
struct Operations(bindings::irq_domain_ops);

// SAFETY: Never written to.
unsafe impl Sync for Operations {}

/// Those of our domain.
static OPERATIONS: Operations = Operations(bindings::irq_domain_ops {
    alloc: Some(alloc),
    free: Some(bindings::irq_domain_free_irqs_top),
    activate: Some(activate),
    // SAFETY: All zeros is no operation at all.
    ..unsafe { core::mem::zeroed() }
});

/// The chip of its interrupts.
static CHIP: Chip = Chip(bindings::irq_chip {
    name: c"rxen-upcall".as_ptr().cast(),
    irq_ack: Some(bindings::irq_chip_ack_parent),
    irq_set_affinity: Some(set_affinity),
    irq_retrigger: Some(bindings::irq_chip_retrigger_hierarchy),
    flags: bindings::IRQCHIP_SKIP_SET_WAKE as c_ulong,
    ..Chip::EMPTY
});

/// Our domain below the kernel's vector domain.
pub(super) struct Domain(NonNull<bindings::irq_domain>);

// SAFETY: Only the interrupt core looks into it, which synchronises by itself.
unsafe impl Send for Domain {}
// SAFETY: As above.
unsafe impl Sync for Domain {}

impl Domain {
    /// Makes it.
    pub(super) fn new() -> Result<Self> {
        // SAFETY: The operations live as long as the module, which removes the domain before it goes.
        let domain = unsafe { bindings::rxen_vector_domain_create(&OPERATIONS.0) };
        Ok(Self(NonNull::new(domain).ok_or(ENOMEM)?))
    }

    /// Has a CPU called by a vector, if it is not yet. May sleep.
    pub(super) fn attach(&self, cpu: &'static Cpu) -> Result {
        if cpu.irq() != 0 {
            return if cpu.vector() != 0 { Ok(()) } else { Err(EIO) };
        }
        // SAFETY: The domain exists.
        let irq = unsafe { bindings::rxen_vector_alloc(self.0.as_ptr(), cpu.number()) };
        let irq = u32::try_from(irq).map_err(|_| Error::from_errno(irq))?;
        let argument: *const Cpu = cpu;
        // SAFETY: The interrupt was allocated just now. The CPU outlives it, see `detach`.
        let result = to_result(unsafe {
            bindings::irq_set_chip_data(irq, argument.cast_mut().cast());
            bindings::request_threaded_irq(
                irq,
                Some(interrupt),
                None,
                (bindings::IRQF_NO_THREAD | bindings::IRQF_NO_SUSPEND | bindings::IRQF_NOBALANCING)
                    as c_ulong,
                c"rxen-upcall".as_char_ptr(),
                argument.cast_mut().cast(),
            )
        });
        if let Err(error) = result {
            // SAFETY: Allocated above, and not in use.
            unsafe { bindings::irq_domain_free_irqs(irq, 1) };
            return Err(error);
        }
        cpu.set_irq(irq);
        // Starting it has set the vector, if the hypervisor took that.
        if cpu.vector() != 0 {
            return Ok(());
        }
        self.detach(cpu);
        Err(EIO)
    }

    /// Gives the interrupt of a CPU back; nothing if it has none. May sleep.
    pub(super) fn detach(&self, cpu: &'static Cpu) {
        let irq = cpu.irq();
        if irq == 0 {
            return;
        }
        let argument: *const Cpu = cpu;
        // SAFETY: `attach` has allocated and requested it with this argument. Waits for a running handler.
        unsafe {
            bindings::free_irq(irq, argument.cast_mut().cast());
            bindings::irq_domain_free_irqs(irq, 1);
        }
        cpu.set_irq(0);
        cpu.set_vector(0);
    }
}

impl Drop for Domain {
    fn drop(&mut self) {
        // SAFETY: All interrupts of it are given back by now.
        unsafe { bindings::rxen_vector_domain_remove(self.0.as_ptr()) }
    }
}

/// Allocates an interrupt. Called by the interrupt core.
unsafe extern "C" fn alloc(
    domain: *mut bindings::irq_domain,
    irq: c_uint,
    count: c_uint,
    argument: *mut c_void,
) -> c_int {
    // SAFETY: The arguments are passed on as they came; then the interrupt has data in the parent domain. The chip
    // lives as long as the module.
    unsafe {
        let result = bindings::irq_domain_alloc_irqs_parent(domain, irq, count, argument);
        if result >= 0 {
            bindings::irq_domain_set_info(
                domain,
                irq,
                irq as bindings::irq_hw_number_t,
                &CHIP.0,
                core::ptr::null_mut(),
                Some(bindings::handle_edge_irq),
                core::ptr::null_mut(),
                c"upcall".as_char_ptr(),
            );
        }
        result
    }
}

/// Called by the interrupt core when the interrupt has got its vector, or with `reserve` before that.
unsafe extern "C" fn activate(
    _domain: *mut bindings::irq_domain,
    data: *mut bindings::irq_data,
    reserve: bool,
) -> c_int {
    if !reserve {
        // SAFETY: The data of an interrupt of our domain.
        unsafe { program(data) };
    }
    0
}

/// Called by the interrupt core with the lock of the interrupt held.
unsafe extern "C" fn set_affinity(
    data: *mut bindings::irq_data,
    wanted: *const bindings::cpumask,
    force: bool,
) -> c_int {
    // SAFETY: The arguments are passed on as they came. Then this is the data of an interrupt of our domain.
    unsafe {
        let result = bindings::irq_chip_set_affinity_parent(data, wanted, force);
        if result >= 0 {
            program(data);
        }
        result
    }
}

/// Tells the hypervisor by which vector a CPU is called. If it refuses, the CPU has none.
///
/// # Safety
///
/// `data` must be that of an interrupt of our domain.
unsafe fn program(data: *mut bindings::irq_data) {
    // SAFETY: `attach` has set the chip's data, or it is null until then.
    let (vector, cpu) = unsafe {
        (
            bindings::rxen_vector_of(data),
            (*data).chip_data.cast::<Cpu>().as_ref(),
        )
    };
    let Some(cpu) = cpu else {
        return;
    };
    let done = u8::try_from(vector)
        .map_err(|_| EINVAL)
        .and_then(|vector| calls::set_upcall_vector(cpu.vcpu(), vector));
    cpu.set_vector(if done.is_ok() { vector } else { 0 });
}

/// The handler. Called by the kernel's interrupt core.
unsafe extern "C" fn interrupt(_irq: c_int, cpu: *mut c_void) -> bindings::irqreturn_t {
    // SAFETY: The CPU was the argument with which the handler was requested; it outlives the handler.
    let cpu = unsafe { &*cpu.cast::<Cpu>() };
    // SAFETY: The interrupt core runs the handler of an interrupt once at a time, and no other serves this CPU.
    unsafe { upcall::run(cpu) };
    bindings::irqreturn::IRQ_HANDLED
}
