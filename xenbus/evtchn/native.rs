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
    error::to_result,
    interrupt::local_interrupt_disable,
    prelude::*,
    sync::{
        atomic::{
            Acquire,
            Atomic,
            Relaxed,
            Release, //
        },
        Mutex, //
    },
    types::ScopeGuard, //
};
use rxen_bindings as bindings;

mod abi;
pub mod bitmap;
mod calls;
mod chip;
mod cpu;
pub mod fifo;
mod hotplug;
pub mod keep;
mod kunit;
mod line;
mod lock;
mod loopback;
mod memory;
pub mod pace;
pub mod port;
mod report;
pub mod shared;
mod upcall;
mod vector;

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
    // Counts restores. A port from before the latest one is not ours any more.
    generation: Atomic<u32>,
    // A restore may come: all that is known of the hypervisor's state is from before.
    saved: Atomic<bool>,
    cpus: KVec<cpu::Cpu>,
    array: memory::Array,
    table: line::Table,
    #[pin]
    pool: Mutex<line::Pool>,
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
                generation: Atomic::new(0),
                saved: Atomic::new(false),
                cpus,
                array: memory::Array::new(),
                table: line::Table::new(),
                pool <- line::Pool::new(),
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
        let generation = self.generation.load(Relaxed);
        self.generation.store(generation.wrapping_add(1), Relaxed);
        memory::silence();
        self.table.forget();
        self.cpus.iter().for_each(cpu::Cpu::forget);
        self.array.forget();
    }

    /// Makes room for a port.
    fn reach(&self, port: u32, pool: &mut line::Pool) -> Result {
        self.table.reach(port)?;
        if self.is_fifo() {
            self.array.reach(port, &mut pool.pages)
        } else if port < bitmap::PORTS {
            Ok(())
        } else {
            Err(ENOSPC)
        }
    }
}

/// Gets a port from where it is to come from; also the CPU that its events go to.
fn open(events: &Events, source: Source<'_>) -> Result<(u32, u32)> {
    Ok(match source {
        Source::Device(device) => (calls::alloc_unbound(device.otherend_id())?, 0),
        Source::Unbound(domid) => (calls::alloc_unbound(domid)?, 0),
        Source::Interdomain(domid, port) => (calls::bind_interdomain(domid, port)?, 0),
        Source::Existing(port) => {
            if events.table.get(port).is_some() {
                return Err(EBUSY);
            }
            match calls::status(port)? {
                keep::Status::Unbound(_) | keep::Status::Interdomain(..) => {}
                keep::Status::Closed | keep::Status::Own => return Err(EINVAL),
            }
            // It may have been another's, on another CPU.
            calls::bind_vcpu(port, events.cpu(0).ok_or(EINVAL)?.vcpu())?;
            (port, 0)
        }
        Source::Virq(virq, number) => {
            let cpu = events.cpu(number).filter(|cpu| cpu.is_ready());
            (calls::bind_virq(virq, cpu.ok_or(EINVAL)?.vcpu())?, number)
        }
    })
}

/// A port with an interrupt handler.
///
/// # Invariants
///
/// The handler of `line` is requested, with `line` as its argument. If `generation` is the present one, the line is bound
/// to `port`.
pub(super) struct Binding {
    events: &'static Events,
    line: &'static line::Line,
    // The line's place in the pool.
    index: usize,
    port: u32,
    generation: u32,
    // Ours to close.
    owned: bool,
}

impl Binding {
    /// Gets a port and binds the handler.
    ///
    /// The caller keeps `target` alive until the binding is dropped (see the field order of `Channel`).
    pub(super) fn new(source: Source<'_>, target: Pin<&Target>) -> Result<Self> {
        let events = events().ok_or(ENODEV)?;
        let owned = !matches!(source, Source::Existing(_));
        let mut pool = events.pool.lock();
        let (port, cpu, generation) = {
            // A restore does not come in between: it would be unknown which side of it the port is from.
            let _off = local_interrupt_disable();
            let (port, cpu) = open(events, source)?;
            (port, cpu, events.generation.load(Relaxed))
        };
        let close = ScopeGuard::new(|| close(events, port, generation, owned));
        events.reach(port, &mut pool)?;
        let (index, line) = pool.take(events)?;
        if let Err(error) = publish(events, port, generation, line, cpu, target.get_ref()) {
            pool.give_back(index);
            return Err(error);
        }
        let line_pointer: *const line::Line = line;
        // SAFETY: The name lives as long as the target, and that and the line until `drop` has freed the interrupt; the
        // handler is the one of lines.
        let result = to_result(unsafe {
            bindings::request_threaded_irq(
                line.irq(),
                Some(chip::interrupt),
                None,
                0,
                target.get_ref().name.as_char_ptr(),
                line_pointer.cast_mut().cast(),
            )
        });
        if let Err(error) = result {
            retract(events, line);
            pool.give_back(index);
            return Err(error);
        }
        close.dismiss();
        // INVARIANT: Requested and bound above.
        Ok(Self {
            events,
            line,
            index,
            port,
            generation,
            owned,
        })
    }

    /// The port.
    pub(super) fn port(&self) -> u32 {
        self.port
    }

    /// Sends an event; nothing after a restore, when the port may be another's.
    pub(super) fn notify(&self) {
        // A restore stops this CPU only where it has interrupts on, so not between the question and the call.
        let _off = local_interrupt_disable();
        if self.events.generation.load(Relaxed) == self.generation {
            // A port whose other end is gone: there is nobody to tell.
            let _ = calls::send(self.port);
        }
    }
}

impl Drop for Binding {
    fn drop(&mut self) {
        let line: *const line::Line = self.line;
        // SAFETY: Requested with this argument by the invariant. Waits for a running handler.
        unsafe { bindings::free_irq(self.line.irq(), line.cast_mut().cast()) };
        self.line.quiesce();
        let mut pool = self.events.pool.lock();
        retract(self.events, self.line);
        close(self.events, self.port, self.generation, self.owned);
        pool.give_back(self.index);
    }
}

/// Binds a line to a port, so that upcalls find it.
fn publish(
    events: &Events,
    port: u32,
    generation: u32,
    line: &'static line::Line,
    cpu: u32,
    target: &Target,
) -> Result {
    // A restore does not come in between.
    let _off = local_interrupt_disable();
    if events.generation.load(Relaxed) != generation {
        return Err(EAGAIN);
    }
    line.bind(port, cpu, target);
    events.table.set(port, Some(line));
    Ok(())
}

/// Takes a line's port from it, so that upcalls do not find it any more.
fn retract(events: &Events, line: &line::Line) {
    let _off = local_interrupt_disable();
    let port = line.unbind();
    if port != 0 {
        events.table.set(port, None);
    }
}

/// Closes a port that is ours.
fn close(events: &Events, port: u32, generation: u32, owned: bool) {
    let _off = local_interrupt_disable();
    if owned && events.generation.load(Relaxed) == generation {
        // It was open.
        let _ = calls::close(port);
    }
}

/// Called before the suspend hypercall, with all other CPUs stopped and interrupts off. A suspend that is cancelled
/// needs nothing more: all ports are as before.
pub(crate) fn suspend() {
    if let Some(events) = events() {
        events.saved.store(true, Relaxed);
    }
}

/// Makes event channels work again after a restore: all ports from before are gone, new ones can be bound. Called with
/// all other CPUs stopped and interrupts off, after the platform's; if it fails, it can be called again, and goes on
/// where it failed.
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
