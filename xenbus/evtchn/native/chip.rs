// SPDX-License-Identifier: GPL-2.0

//! The interrupt chip: what the kernel's interrupt core does to a line.

use super::{
    line::Line,
    port::Reason,
    Outcome, //
};
use kernel::prelude::*;
use rxen_bindings as bindings;

/// A chip that the kernel only reads.
#[repr(transparent)]
pub(super) struct Chip(pub(super) bindings::irq_chip);

// SAFETY: Never written to.
unsafe impl Sync for Chip {}

impl Chip {
    /// One without callbacks.
    pub(super) const EMPTY: bindings::irq_chip = {
        // SAFETY: All zeros is a chip without callbacks.
        unsafe { core::mem::zeroed() }
    };
}

/// That of the lines. irqbalance takes an interrupt for an event channel if its chip's name has "xen-dyn" in it.
static CHIP: Chip = Chip(bindings::irq_chip {
    name: c"rxen-dyn".as_ptr().cast(),
    irq_disable: Some(mask),
    irq_mask: Some(mask),
    irq_unmask: Some(unmask),
    irq_ack: Some(ack),
    irq_mask_ack: Some(mask_ack),
    irq_set_affinity: Some(set_affinity),
    irq_retrigger: Some(retrigger),
    flags: (bindings::IRQCHIP_SKIP_SET_WAKE | bindings::IRQCHIP_AFFINITY_PRE_STARTUP) as c_ulong,
    ..Chip::EMPTY
});

/// Makes the chip serve a line's interrupt, which nobody has requested yet.
pub(super) fn attach(irq: u32, line: &Line) {
    // SAFETY: The interrupt is allocated and unused. The line lives as long as the interrupt, the chip as long as the
    // module, which frees all interrupts before it goes.
    unsafe {
        bindings::irq_set_chip_and_handler_name(
            irq,
            &CHIP.0,
            Some(bindings::handle_edge_irq),
            c"event".as_char_ptr(),
        );
        bindings::irq_set_chip_data(irq, core::ptr::from_ref(line).cast_mut().cast());
    }
}

/// The line of an interrupt.
///
/// # Safety
///
/// `data` must be that of a line's interrupt.
unsafe fn line<'a>(data: *mut bindings::irq_data) -> &'a Line {
    // SAFETY: `attach` has set this, for as long as the interrupt exists.
    unsafe { &*(*data).chip_data.cast::<Line>() }
}

/// Called with the lock of the interrupt held, as are all below.
unsafe extern "C" fn mask(data: *mut bindings::irq_data) {
    // SAFETY: The chip has only interrupts of lines.
    unsafe { line(data) }.mask(Reason::Disabled);
}

unsafe extern "C" fn unmask(data: *mut bindings::irq_data) {
    // SAFETY: As in `mask`.
    unsafe { line(data) }.unmask(Reason::Disabled);
}

unsafe extern "C" fn ack(data: *mut bindings::irq_data) {
    // SAFETY: As in `mask`.
    unsafe { line(data) }.acknowledge();
}

unsafe extern "C" fn mask_ack(data: *mut bindings::irq_data) {
    // SAFETY: As in `mask`.
    unsafe { line(data) }.disable_and_acknowledge();
}

unsafe extern "C" fn retrigger(data: *mut bindings::irq_data) -> c_int {
    // SAFETY: As in `mask`.
    unsafe { line(data) }.retrigger().into()
}

unsafe extern "C" fn set_affinity(
    data: *mut bindings::irq_data,
    wanted: *const bindings::cpumask,
    _force: bool,
) -> c_int {
    // SAFETY: As in `mask`.
    let line = unsafe { line(data) };
    let moved = line.events().place(|cpu| {
        // SAFETY: The interrupt core passes a mask with room for all CPUs, and this is the number of one.
        unsafe { bindings::cpumask_test_cpu(cpu as c_int, wanted.cast_mut()) }
    });
    match moved
        .ok_or(ENODEV)
        .and_then(|cpu| line.move_to(cpu).map(|()| cpu))
    {
        Ok(cpu) => {
            // SAFETY: This is the data of the interrupt, whose lock is held, and the number of a CPU.
            unsafe { bindings::rxen_irq_set_effective_cpu(data, cpu.number()) };
            bindings::IRQ_SET_MASK_OK as c_int
        }
        Err(error) => error.to_errno(),
    }
}

/// The handler of a bound line. Called by the kernel's interrupt core.
pub(super) unsafe extern "C" fn interrupt(_irq: c_int, line: *mut c_void) -> bindings::irqreturn_t {
    // SAFETY: The line was the argument with which the handler was requested; it outlives the handler.
    let line = unsafe { &*line.cast::<Line>() };
    // SAFETY: This is its handler.
    match unsafe { line.target() }.event() {
        Outcome::Handled => line.end(false),
        Outcome::Spurious => line.end(true),
        // It stays masked.
        Outcome::Stop => {}
    }
    bindings::irqreturn::IRQ_HANDLED
}
