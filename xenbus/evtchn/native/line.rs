// SPDX-License-Identifier: GPL-2.0

//! Lines: interrupts that ports are bound to.
//!
//! A line is never freed while native event channels run, it only changes hands: an upcall on another CPU may still be
//! on its way to a line when the port is taken from it. For the same reason a line's interrupt is given back to the
//! kernel only after a grace period of RCU, and the line is not used again before that.

use super::{
    calls,
    cpu::Cpu,
    lock::RawLock,
    memory::ByAbi,
    port::{
        End,
        Reason,
        State, //
    },
    report,
    turn::Turn,
    Events,
    Target,
    COUNTERS, //
};
use core::sync::atomic::AtomicBool;
use kernel::{
    prelude::*,
    static_lock_class,
    sync::atomic::{
        Atomic,
        Relaxed, //
    },
    types::Opaque, //
};
use rxen_bindings as bindings;

/// Ticks by which the end of an interrupt is put off on a CPU that has been at events for too long.
const BREATHER: u32 = 10;
/// Ticks after which the hypervisor is asked again to unmask a port.
const AGAIN: u32 = 10;

/// An interrupt that a port can be bound to.
#[repr(C)]
#[pin_data(PinnedDrop)]
pub(super) struct Line {
    #[pin]
    timer: Opaque<bindings::timer_list>,
    #[pin]
    state: RawLock<State>,
    events: &'static Events,
    // 0: none. Changed by the pool only, while no port is bound.
    irq: Atomic<u32>,
    // Changed under the lock of `state`.
    cpu: Atomic<u32>,
    // Another event while one is being handled only comes from a CPU that the port has just left.
    turn: Turn<AtomicBool>,
    // Ticks that the end of the interrupt being handled is to be put off at least.
    busy: Atomic<u32>,
    target: Atomic<*const Target>,
}

// SAFETY: The timer is the kernel's, which synchronises by itself; the target is only used while it is bound, and may be
// used from any thread then.
unsafe impl Send for Line {}
// SAFETY: As above.
unsafe impl Sync for Line {}

impl Line {
    /// A new one without an interrupt.
    pub(super) fn new(events: &'static Events) -> Result<Pin<KBox<Self>>> {
        KBox::pin_init(
            try_pin_init!(Self {
                timer <- Opaque::ffi_init(|timer| {
                    // SAFETY: The timer is memory that nobody else knows yet.
                    unsafe { bindings::rxen_timer_init(timer, Some(ripe)) }
                }),
                state <- RawLock::new(State::new(), c"rxen::Line::state", static_lock_class!()),
                events,
                irq: Atomic::new(0),
                cpu: Atomic::new(0),
                turn: Turn::new(AtomicBool::new(false)),
                busy: Atomic::new(0),
                target: Atomic::new(core::ptr::null()),
            }? Error),
            GFP_KERNEL,
        )
    }

    /// Gets it an interrupt. It must have none.
    pub(super) fn equip(&self) -> Result {
        // SAFETY: No requirements.
        let irq = unsafe { bindings::rxen_irq_alloc() };
        let irq = u32::try_from(irq).map_err(|_| Error::from_errno(irq))?;
        super::chip::attach(irq, self);
        self.irq.store(irq, Relaxed);
        Ok(())
    }

    /// Gives its interrupt back, if it has one. No upcall may be on its way to it.
    pub(super) fn strip(&self) {
        let irq = self.irq.xchg(0, Relaxed);
        if irq != 0 {
            // SAFETY: Allocated by `equip`, and free: no port is bound.
            unsafe { bindings::rxen_irq_free(irq) };
        }
    }

    /// What it is a part of.
    pub(super) fn events(&self) -> &'static Events {
        self.events
    }

    /// Its interrupt.
    pub(super) fn irq(&self) -> u32 {
        self.irq.load(Relaxed)
    }

    /// Binds it to a port that is masked and whose events go to a CPU. `target` must stay until [`Self::unbind`].
    pub(super) fn bind(&self, port: u32, cpu: u32, target: &Target) {
        let mut state = self.state.lock();
        state.bind(port);
        self.turn.abandon();
        self.busy.store(0, Relaxed);
        self.target.store(target, Relaxed);
        self.cpu.store(cpu, Relaxed);
        if let Some(cpu) = self.events.cpu(cpu) {
            cpu.add(port);
        }
    }

    /// The CPU that its events go to.
    pub(super) fn cpu(&self) -> u32 {
        self.cpu.load(Relaxed)
    }

    /// Its port; 0 if there is none.
    pub(super) fn port(&self) -> u32 {
        self.state.lock().port()
    }

    /// Binds it to another port of a CPU after [`Self::forget`], with nothing in between: the handler is the same. The
    /// port must be masked.
    pub(super) fn rebind(&self, port: u32, cpu: &Cpu) {
        // What it was at is over.
        self.turn.abandon();
        self.busy.store(0, Relaxed);
        self.cpu.store(cpu.number(), Relaxed);
        cpu.add(port);
        self.change(|state, ports| state.rebind(ports, port));
    }

    /// Takes the port from it, masked; returns it. 0 if a restore has taken it already.
    pub(super) fn unbind(&self) -> u32 {
        let mut state = self.state.lock();
        let port = state.unbind(&self.events.ports());
        if port != 0 {
            if let Some(cpu) = self.events.cpu(self.cpu.load(Relaxed)) {
                cpu.remove(port);
            }
        }
        port
    }

    /// Takes the port from it without touching that: a restore has made it another's.
    pub(super) fn forget(&self) {
        self.state.lock().forget();
    }

    /// Ends what is still to come for it, before it changes hands. The interrupt must be free. May sleep.
    pub(super) fn quiesce(&self) {
        // SAFETY: The timer was initialised with the line.
        unsafe { bindings::timer_delete_sync(self.timer.get()) };
    }

    /// Changes the state. Where the hypervisor refuses to unmask the port, it is asked again after a while, as long as the
    /// port is bound: nobody else would, and no event would come any more.
    fn change<R>(&self, work: impl FnOnce(&mut State, &ByAbi<'_>) -> R) -> R {
        let mut state = self.state.lock();
        let result = work(&mut state, &self.events.ports());
        if state.take_refusal() {
            self.start_timer(AGAIN);
        }
        result
    }

    /// Has [`ripe`] called after so many ticks.
    fn start_timer(&self, ticks: u32) {
        // SAFETY: The timer was initialised with the line, and is only stopped for good when that is freed.
        unsafe { bindings::rxen_timer_start(self.timer.get(), ticks as c_ulong) }
    }

    /// Masks the port for a reason.
    pub(super) fn mask(&self, reason: Reason) {
        self.state.lock().mask(&self.events.ports(), reason);
    }

    /// Takes a reason to be masked away.
    pub(super) fn unmask(&self, reason: Reason) {
        self.change(|state, ports| state.unmask(ports, reason));
    }

    /// Begins the handling of an event.
    pub(super) fn acknowledge(&self) {
        self.state
            .lock()
            .acknowledge(&self.events.ports(), Reason::Handling);
    }

    /// Forgets an event that comes in while the interrupt is disabled; the kernel remembers it.
    pub(super) fn disable_and_acknowledge(&self) {
        let mut state = self.state.lock();
        self.turn.set_aside(&mut state, &self.events.ports());
    }

    /// Raises the interrupt as if an event had come in; false if there is no port.
    pub(super) fn retrigger(&self) -> bool {
        self.change(|state, ports| state.retrigger(ports))
    }

    /// Has an event that a CPU which is gone has not handled raised again, where the port is bound to now.
    pub(super) fn raise_again(&self) {
        self.change(|state, ports| {
            state.mask(ports, Reason::Moving);
            state.unmask(ports, Reason::Moving);
        });
    }

    /// Moves the port to another CPU.
    ///
    /// # Errors
    ///
    /// `ENODEV` if there is no port; what the hypervisor says. Then the port stays where it is.
    pub(super) fn move_to(&self, cpu: &Cpu) -> Result {
        self.change(|state, ports| {
            let port = state.port();
            if port == 0 {
                return Err(ENODEV);
            }
            // Not while an event could come in on either.
            state.mask(ports, Reason::Moving);
            let old = self.events.cpu(self.cpu.load(Relaxed));
            let result = calls::bind_vcpu(port, cpu.vcpu());
            match result {
                Ok(()) => {
                    if let Some(old) = old {
                        old.remove(port);
                    }
                    cpu.add(port);
                    self.cpu.store(cpu.number(), Relaxed);
                }
                Err(error) => self.stays(port, old, error),
            }
            state.unmask(ports, Reason::Moving);
            result
        })
    }

    /// Says that a port could not be moved, where it has no events any more: on a CPU that goes.
    fn stays(&self, port: u32, old: Option<&Cpu>, error: Error) {
        let Some(old) = old.filter(|old| !old.is_ready()) else {
            return;
        };
        report::refused(&COUNTERS.moves_refused, || {
            pr_warn!(
                "port {} stays on CPU {}, which gets no events: Xen refuses to move it ({}); write another CPU to /proc/irq/{}/smp_affinity_list\n",
                port,
                old.number(),
                error.to_errno(),
                self.irq()
            );
        });
    }

    /// An event has come in. Called by an upcall; `busy` if that has been at it for too long.
    pub(super) fn event(&self, busy: bool) {
        if !self.turn.begin() {
            // Raised again when the one that is being handled ends.
            COUNTERS.reentered.add(1, Relaxed);
            return;
        }
        if busy {
            self.busy.store(BREATHER, Relaxed);
        }
        // SAFETY: This is hard interrupt context, and a reader of RCU: the interrupt does not go meanwhile.
        if unsafe { bindings::generic_handle_irq(self.irq()) } != 0 {
            self.turn.abandon();
        }
    }

    /// The event was handled.
    pub(super) fn end(&self, spurious: bool) {
        let busy = self.busy.xchg(0, Relaxed);
        self.change(
            |state, ports| match state.end(spurious, busy, bindings::HZ) {
                End::Decided => {}
                End::Now => self.turn.end(state, ports),
                End::After(ticks) => {
                    COUNTERS.put_off.add(1, Relaxed);
                    self.start_timer(ticks);
                }
            },
        );
    }

    /// What handles its events, while it is bound.
    ///
    /// # Safety
    ///
    /// To be called from its interrupt handler, or while it is in use with the pool's lock held.
    pub(super) unsafe fn target(&self) -> &Target {
        // SAFETY: The handler is only requested between `bind` and `unbind`, while the target stays. Who takes a line or
        // gives it back holds the pool's lock for as long as the line is in use without a target.
        unsafe { &*self.target.load(Relaxed) }
    }
}

#[pinned_drop]
impl PinnedDrop for Line {
    fn drop(self: Pin<&mut Self>) {
        self.quiesce();
        // No upcall comes any more.
        self.strip();
    }
}

/// Called by the kernel's timers: the end of an interrupt that was put off, or another try to unmask the port.
unsafe extern "C" fn ripe(timer: *mut bindings::timer_list) {
    // SAFETY: Only the timers of lines, of which they are the first field, have this function; a line stops its timer
    // before it is freed.
    let line = unsafe { &*timer.cast::<Line>() };
    line.change(|state, ports| {
        if state.ripe() {
            line.turn.end(state, ports);
        }
        state.unmask(ports, Reason::Refused);
    });
}
