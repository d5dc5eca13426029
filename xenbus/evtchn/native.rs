// SPDX-License-Identifier: GPL-2.0

//! Event channels of the native mode.
//!
//! ```text
//!  hypervisor: a port gets an event, its virtual CPU is called
//!      |  vector of the CPU's local APIC (vector.rs), or interrupt of the platform device
//!  upcall.rs: takes ports from the queues (fifo.rs) or the bitmap (bitmap.rs) of that CPU (cpu.rs)
//!      |  table: port -> line (line.rs)
//!  interrupt core: generic_handle_irq(), the chip (chip.rs) masks the port and forgets the event
//!      |
//!  handler of the channel says what the event was worth; pace.rs says when the port is unmasked
//! ```
//!
//! The lock of the pool comes first, then that of an interrupt, which the interrupt core takes, then that of a line.

use super::{
    Outcome,
    Source,
    Target, //
};
use crate::{
    hypercall,
    platform, //
};
use core::ptr::NonNull;
use kernel::{
    cpu::nr_cpu_ids,
    prelude::*,
    sync::{
        atomic::{
            Acquire,
            Atomic,
            Relaxed,
            Release, //
        },
        Mutex, //
    }, //
};
use rxen_bindings as bindings;

mod abi;
mod binding;
pub mod bitmap;
mod calls;
mod chip;
mod cpu;
mod debug;
pub mod fifo;
pub mod generation;
mod hotplug;
pub mod keep;
mod kunit;
mod line;
mod lock;
mod loopback;
mod memory;
pub mod pace;
mod pool;
pub mod port;
mod report;
pub mod shared;
mod table;
pub mod turn;
mod upcall;
mod vector;
mod virq;

pub(super) use binding::Binding;
pub(crate) use debug::Debug;
pub(crate) use loopback::Loopback;
pub(crate) use report::Report;

use report::COUNTERS;

/// The value of `HVM_PARAM_CALLBACK_IRQ` that means nothing where each CPU has a vector, except to the toolstack: that
/// there are paravirtual drivers.
const DRIVERS_ARE_HERE: u64 = 1;

/// All there is while native event channels run.
static EVENTS: Atomic<*mut Events> = Atomic::new(core::ptr::null_mut());

/// All there is, while native event channels run.
#[inline]
fn events() -> Option<&'static Events> {
    // SAFETY: Null, or what `Running` has and keeps until all that calls this has ended.
    unsafe { EVENTS.load(Acquire).as_ref() }
}

/// What native event channels consist of.
#[pin_data]
struct Events {
    // The FIFO ABI is in force, not the 2-level one.
    fifo: Atomic<bool>,
    // Each CPU is called by a vector, not the first one by the platform device.
    by_vector: Atomic<bool>,
    domain: Option<vector::Domain>,
    // A port from before the latest one is not ours any more.
    restores: generation::Restores,
    // A restore may come: all that is known of the hypervisor's state is from before.
    saved: Atomic<bool>,
    cpus: KVec<cpu::Cpu>,
    array: memory::Array,
    table: table::Table,
    virqs: virq::Virqs,
    #[pin]
    pool: Mutex<pool::Pool>,
}

impl Events {
    /// Nothing is set up yet.
    fn new(domain: Option<vector::Domain>) -> Result<Pin<KBox<Self>>> {
        let mut cpus = KVec::new();
        for number in 0..nr_cpu_ids() {
            cpus.push(cpu::Cpu::new(number), GFP_KERNEL)?;
        }
        KBox::pin_init(
            try_pin_init!(Self {
                fifo: Atomic::new(false),
                by_vector: Atomic::new(false),
                domain,
                restores: generation::Restores::new(),
                saved: Atomic::new(false),
                cpus,
                array: memory::Array::new(),
                table: table::Table::new(),
                virqs: virq::Virqs::new(),
                pool <- pool::Pool::new(),
            }),
            GFP_KERNEL,
        )
    }

    /// Whether the FIFO ABI is in force.
    #[inline]
    fn is_fifo(&self) -> bool {
        self.fifo.load(Relaxed)
    }

    /// The ports, by the ABI that is in force.
    #[inline]
    fn ports(&self) -> memory::ByAbi<'_> {
        if self.is_fifo() {
            memory::ByAbi::Fifo(&self.array)
        } else {
            memory::ByAbi::TwoLevel
        }
    }

    /// The vectors by which CPUs are called; [`None`] where the platform device's interrupt does that.
    fn vectors(&self) -> Option<&vector::Domain> {
        self.domain
            .as_ref()
            .filter(|_| self.by_vector.load(Relaxed))
    }

    /// A CPU, by the kernel's number.
    #[inline]
    fn cpu(&self, number: u32) -> Option<&cpu::Cpu> {
        self.cpus.get(number as usize)
    }

    /// The CPU with the fewest ports of those that are ready and wanted; of all that are ready, where none is wanted.
    fn place(&self, wanted: impl Fn(u32) -> bool) -> Option<&cpu::Cpu> {
        let ready = || self.cpus.iter().filter(|cpu| cpu.is_ready());
        ready()
            .filter(|cpu| wanted(cpu.number()))
            .min_by_key(|cpu| cpu.ports())
            .or_else(|| ready().min_by_key(|cpu| cpu.ports()))
    }

    /// Forgets what was before a restore. With all other CPUs stopped and interrupts off.
    fn forget(&self) {
        self.restores.add();
        memory::silence();
        self.table.forget();
        self.cpus.iter().for_each(cpu::Cpu::forget);
        self.array.forget();
    }

    /// Makes room for a port.
    fn reach(&self, port: u32, pool: &mut pool::Pool) -> Result {
        self.table.reach(port)?;
        if self.is_fifo() {
            self.array.reach(port, &mut pool.pages)?;
        }
        if self.has_room(port) {
            Ok(())
        } else {
            Err(ENOSPC)
        }
    }

    /// Whether there is room for a port, without making any.
    fn has_room(&self, port: u32) -> bool {
        let limit = if self.is_fifo() {
            self.array.ports()
        } else {
            bitmap::PORTS
        };
        port < limit && self.table.has_room(port)
    }
}

/// Called before the suspend hypercall, with all other CPUs stopped and interrupts off. A suspend that is cancelled
/// needs nothing more: all ports are as before.
pub(crate) fn suspend() {
    if let Some(events) = events() {
        events.saved.store(true, Relaxed);
    }
}

/// Has the hypervisor forget this kernel's memory, at the end of the kernel: another one may have it next. Events do not
/// come any more.
pub(crate) fn shutdown() {
    if let Some(events) = events() {
        memory::silence();
        // What it could not do is in the log.
        let _ = abi::reset(events);
        memory::silence();
    }
}

/// Makes event channels work again after a restore: all ports from before are gone, new ones can be bound; virtual
/// interrupts are bound again. Called with all other CPUs stopped and interrupts off, after the platform's; if it fails,
/// it can be called again, and goes on where it failed.
///
/// # Errors
///
/// The first one. All that can be done is done nevertheless: a guest with one CPU less, or with fewer ports, is better
/// than one without events.
pub(crate) fn resume() -> Result {
    let Some(events) = events() else {
        return Ok(());
    };
    if events.saved.xchg(false, Relaxed) {
        events.forget();
    }
    let mut result = Ok(());
    if events.is_fifo() {
        result = abi::restore(events);
    }
    for cpu in &events.cpus {
        let restored = restore_cpu(events, cpu);
        if let Err(error) = restored {
            pr_err!(
                "CPU {}: gets no events after the restore ({})\n",
                cpu.number(),
                error.to_errno()
            );
        }
        cpu.set_refused(restored.is_err());
        result = result.and(restored);
    }
    result = result.and(events.virqs.restore(events));
    result.and(if events.vectors().is_some() {
        hypercall::set_hvm_param(bindings::HVM_PARAM_CALLBACK_IRQ, DRIVERS_ARE_HERE)
    } else {
        call_by_wire()
    })
}

/// Tells the hypervisor after a restore what a CPU has, in use or not.
fn restore_cpu(events: &Events, cpu: &cpu::Cpu) -> Result {
    if events.is_fifo() {
        cpu.restore()?;
    }
    if events.vectors().is_some() {
        cpu.restore_vector()?;
    }
    Ok(())
}

/// Has the first virtual CPU called by the interrupt of the platform device.
fn call_by_wire() -> Result {
    let via = platform::native::callback_via();
    hypercall::set_hvm_param(bindings::HVM_PARAM_CALLBACK_IRQ, via)
}

/// What the user wants, by module parameters.
#[derive(Clone, Copy)]
pub(crate) struct Wishes {
    /// The ABI: 0 for the best there is, 1 for the 2-level one, 2 for FIFO.
    pub(crate) abi: u32,
    /// Vectors for the CPUs where Xen offers that.
    pub(crate) vectors: bool,
}

/// The event channels in our hands. Dropping it, when all channels have been dropped, leaves them as the next load wants
/// to find them.
pub(crate) struct Running {
    hotplug: Option<hotplug::Hotplug>,
    wire: Option<upcall::Wire>,
    events: NonNull<Events>,
}

// SAFETY: What it owns may be used and dropped by any thread.
unsafe impl Send for Running {}
// SAFETY: A shared reference allows nothing.
unsafe impl Sync for Running {}

impl Running {
    /// Chooses the ABI and the way of delivery and sets both up. May sleep.
    pub(crate) fn start(wishes: Wishes) -> Result<Self> {
        memory::silence();
        let offered = platform::native::cpuid_features() & bindings::XEN_HVM_CPUID_UPCALL_VECTOR;
        let domain = if offered != 0 {
            Some(vector::Domain::new()?)
        } else {
            None
        };
        let events = Events::new(domain)?;
        // SAFETY: Not moved: the box only changes into a pointer.
        let events = NonNull::from(KBox::leak(unsafe { Pin::into_inner_unchecked(events) }));
        // From here on dropping this undoes it all.
        let mut this = Self {
            hotplug: None,
            wire: None,
            events,
        };
        EVENTS.store(events.as_ptr(), Release);
        // SAFETY: Owned by `this`, which does not end before this function.
        let events = unsafe { events.as_ref() };
        abi::choose(events, wishes.abi)?;
        this.deliver(events, wishes.vectors && events.domain.is_some())?;
        pr_info!(
            "event channels: {} ABI, {}\n",
            if events.is_fifo() { "FIFO" } else { "2-level" },
            if events.vectors().is_some() {
                "a vector for each CPU"
            } else {
                "by the platform device's interrupt"
            }
        );
        Ok(this)
    }

    /// Has CPUs called by vectors or by the platform device's interrupt, or the other way where that does not work.
    fn deliver(&mut self, events: &'static Events, vectors: bool) -> Result {
        if self.try_to_deliver(events, vectors)? {
            return Ok(());
        }
        if vectors {
            pr_warn!("events come by the interrupt of the platform device instead of vectors\n");
        } else if events.domain.is_some() {
            // Once a virtual CPU has a vector, the hypervisor does not call it in any other way.
            pr_warn!("events come by vectors: these were in use before this load of the module\n");
        } else {
            pr_err!("the interrupt of the platform device does not come\n");
            return Err(ETIME);
        }
        self.hotplug = None;
        self.wire = None;
        events.cpus.iter().for_each(|cpu| cpu.set_ready(false));
        if self.try_to_deliver(events, !vectors)? {
            return Ok(());
        }
        pr_err!("neither vectors nor the interrupt of the platform device bring events\n");
        Err(ETIME)
    }

    /// Has CPUs called one of the two ways; false if the first one is not.
    fn try_to_deliver(&mut self, events: &'static Events, vectors: bool) -> Result<bool> {
        events.by_vector.store(vectors, Relaxed);
        self.hotplug = Some(hotplug::Hotplug::new()?);
        let first = events.cpu(0).ok_or(ENODEV)?;
        if !vectors {
            self.wire = Some(upcall::Wire::new(first)?);
            return upcall::answers(first, call_by_wire);
        }
        if first.is_ready() {
            hypercall::set_hvm_param(bindings::HVM_PARAM_CALLBACK_IRQ, DRIVERS_ARE_HERE)?;
        }
        Ok(first.is_ready())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // SAFETY: Owned by this value.
        let events = unsafe { self.events.as_ref() };
        // The toolstack sees that there are no drivers any more.
        let _ = hypercall::set_hvm_param(bindings::HVM_PARAM_CALLBACK_IRQ, 0);
        self.hotplug = None;
        self.wire = None;
        if let Some(domain) = &events.domain {
            events.cpus.iter().for_each(|cpu| domain.detach(cpu));
        }
        // No upcall comes any more.
        EVENTS.store(core::ptr::null_mut(), Release);
        // Also for the 2-level ABI that comes back with the end of the other.
        memory::silence();
        abi::leave(events);
        memory::silence();
        // SAFETY: Made from a box in `start`, and nobody has a reference any more: all channels are gone.
        drop(unsafe { Pin::new_unchecked(KBox::from_raw(self.events.as_ptr())) });
    }
}
