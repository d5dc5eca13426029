// SPDX-License-Identifier: GPL-2.0

//! What a CPU has of its own: its place in shared memory, where it is in its queues, how it is called.

use super::{
    bitmap,
    calls,
    fifo,
    memory::{
        self,
        ByAbi,
        ControlBlock,
        VcpuInfo, //
    }, //
};
use core::{
    cell::UnsafeCell,
    sync::atomic::{
        AtomicU32,
        AtomicU64,
        Ordering::SeqCst, //
    },
};
use kernel::{
    page::Page,
    prelude::*,
    sync::{
        atomic::{
            Atomic,
            Relaxed, //
        },
        SetOnce, //
    }, //
};
use rxen_bindings as bindings;

/// No CPU of the hypervisor's yet.
const UNKNOWN: u32 = u32::MAX;

/// Calls in a row without an event after which an upcall ends. The hypervisor calls after it has raised an event, which
/// is found unless it was already: so there are never more than a few of these with the page in place. Where the shared
/// info page could not be mapped again after a restore, it reads as all ones, and each look at it as a call.
const EMPTY: u32 = 1000;

/// Where a CPU is in its queues or in the bitmap.
struct Position {
    queues: fifo::Queues,
    scan: bitmap::Scan,
}

/// A CPU that may come to have events.
pub(super) struct Cpu {
    number: u32,
    vcpu: Atomic<u32>,
    // It is called, and the hypervisor has its control block.
    ready: Atomic<bool>,
    // The hypervisor did not take back what it had before a restore.
    refused: Atomic<bool>,
    // How many ports are bound to it.
    ports: Atomic<i32>,
    // The ports that are, for the 2-level ABI. Only this guest changes these.
    own: [AtomicU64; bitmap::WORDS],
    control: SetOnce<Page>,
    registered: Atomic<bool>,
    position: UnsafeCell<Position>,
    // The interrupt that calls it, and its vector; 0 without one.
    irq: Atomic<u32>,
    vector: Atomic<u32>,
    upcalls: Atomic<u64>,
}

// SAFETY: All but `position` may be used from any thread. That is only reached by `Cpu::drain`, which one caller at a
// time may use.
unsafe impl Sync for Cpu {}
// SAFETY: Nothing here belongs to a thread.
unsafe impl Send for Cpu {}

impl Cpu {
    /// A CPU that has not come up.
    pub(super) fn new(number: u32) -> Self {
        Self {
            number,
            vcpu: Atomic::new(UNKNOWN),
            ready: Atomic::new(false),
            refused: Atomic::new(false),
            ports: Atomic::new(0),
            own: [const { AtomicU64::new(0) }; bitmap::WORDS],
            control: SetOnce::new(),
            registered: Atomic::new(false),
            position: UnsafeCell::new(Position {
                queues: fifo::Queues::new(),
                scan: bitmap::Scan::new(),
            }),
            irq: Atomic::new(0),
            vector: Atomic::new(0),
            upcalls: Atomic::new(0),
        }
    }

    /// The kernel's number of it.
    pub(super) fn number(&self) -> u32 {
        self.number
    }

    /// The hypervisor's number of it, which it has from [`Self::identify`] on.
    pub(super) fn vcpu(&self) -> u32 {
        self.vcpu.load(Relaxed)
    }

    /// Whether events can be sent its way.
    #[inline]
    pub(super) fn is_ready(&self) -> bool {
        self.ready.load(Relaxed) && !self.refused.load(Relaxed)
    }

    /// Has events sent its way from now on, or not.
    pub(super) fn set_ready(&self, ready: bool) {
        self.ready.store(ready, Relaxed);
        // Coming up sets up all that was refused.
        self.refused.store(false, Relaxed);
    }

    /// Has no events sent its way because it was refused something after a restore, or again if it was not.
    pub(super) fn set_refused(&self, refused: bool) {
        self.refused.store(refused, Relaxed);
    }

    /// How many ports are bound to it.
    pub(super) fn ports(&self) -> i32 {
        self.ports.load(Relaxed)
    }

    /// How often it was called.
    pub(super) fn upcalls(&self) -> u64 {
        self.upcalls.load(Relaxed)
    }

    /// The interrupt that calls it; 0 without one.
    pub(super) fn irq(&self) -> u32 {
        self.irq.load(Relaxed)
    }

    /// Sets the interrupt that calls it.
    pub(super) fn set_irq(&self, irq: u32) {
        self.irq.store(irq, Relaxed);
    }

    /// The vector of that interrupt; 0 without one.
    pub(super) fn vector(&self) -> u32 {
        self.vector.load(Relaxed)
    }

    /// Sets the vector of the interrupt.
    pub(super) fn set_vector(&self, vector: u32) {
        self.vector.store(vector, Relaxed);
    }

    /// Learns which virtual CPU it is.
    ///
    /// # Errors
    ///
    /// `ENOSPC` for one that has no place in the shared info page.
    pub(super) fn identify(&self, vcpu: u32) -> Result {
        if vcpu >= VcpuInfo::COUNT {
            return Err(ENOSPC);
        }
        self.vcpu.store(vcpu, Relaxed);
        Ok(())
    }

    /// Gives the hypervisor its control block, once; allocates that before. May sleep.
    pub(super) fn register(&self) -> Result {
        if self.control.as_ref().is_none() {
            self.control.populate(memory::new_page()?);
        }
        self.restore()
    }

    /// Gives the hypervisor its control block, if there is one that it does not have.
    pub(super) fn restore(&self) -> Result {
        let Some(control) = self.control_block() else {
            return Ok(());
        };
        if !self.is_registered() {
            control.register(self.vcpu())?;
            self.registered.store(true, Relaxed);
        }
        Ok(())
    }

    /// Whether the hypervisor has its control block.
    pub(super) fn is_registered(&self) -> bool {
        self.registered.load(Relaxed)
    }

    /// The hypervisor has let go of its control block.
    pub(super) fn unregister(&self) {
        self.registered.store(false, Relaxed);
    }

    /// Tells the hypervisor the vector anew after a restore; nothing if it has none.
    pub(super) fn restore_vector(&self) -> Result {
        match u8::try_from(self.vector()) {
            Ok(0) => Ok(()),
            Ok(vector) => calls::set_upcall_vector(self.vcpu(), vector),
            Err(_) => Err(EINVAL),
        }
    }

    /// Keeps the page of the control block from being used again, since the hypervisor still has it.
    pub(super) fn lose_page(&self) {
        if let Some(page) = self.control.as_ref() {
            // SAFETY: The page is valid. The reference that this takes is never given back.
            unsafe { bindings::rxen_page_hold(page.as_ptr()) };
        }
    }

    /// Forgets what is in the queues, which ports it has, and that the hypervisor has its control block: all that is
    /// gone over a restore. With all other CPUs stopped and interrupts off.
    pub(super) fn forget(&self) {
        // SAFETY: No CPU is in an upcall: the others are stopped, and this one has interrupts off.
        let position = unsafe { &mut *self.position.get() };
        position.queues = fifo::Queues::new();
        self.own.iter().for_each(|word| {
            word.store(0, SeqCst);
        });
        self.ports.store(0, Relaxed);
        self.unregister();
    }

    /// Counts a port as bound to it.
    pub(super) fn add(&self, port: u32) {
        self.ports.add(1, Relaxed);
        if let Some((word, bit)) = self.own(port) {
            word.fetch_or(bit, SeqCst);
        }
    }

    /// Counts a port as no longer bound to it.
    pub(super) fn remove(&self, port: u32) {
        self.ports.add(-1, Relaxed);
        if let Some((word, bit)) = self.own(port) {
            word.fetch_and(!bit, SeqCst);
        }
    }

    /// The word and the bit of a port among its own.
    fn own(&self, port: u32) -> Option<(&AtomicU64, u64)> {
        let (word, bit) = bitmap::place(port)?;
        Some((self.own.get(word)?, bit))
    }

    /// Its control block.
    fn control_block(&self) -> Option<ControlBlock> {
        let page = self.control.as_ref()?;
        // SAFETY: The page lives as long as this value, which is as long as native event channels run.
        Some(unsafe { ControlBlock::new(page) })
    }

    /// Calls `event` for each port with an event, until the hypervisor has not called again; false if it had not called
    /// at all. `mine` is false for the ports of a CPU that is gone: they are others' by now.
    ///
    /// # Safety
    ///
    /// Nobody else may be in here for the same CPU.
    pub(super) unsafe fn drain(
        &self,
        ports: &ByAbi<'_>,
        mine: bool,
        mut event: impl FnMut(u32),
    ) -> bool {
        let Some(info) = VcpuInfo::new(self.vcpu()) else {
            return false;
        };
        // SAFETY: The caller promises that nobody else uses it.
        let position = unsafe { &mut *self.position.get() };
        let mut called = false;
        let mut empty = 0;
        // Cleared before looking: what comes in later calls again.
        while info.upcall_pending().swap(0, SeqCst) != 0 {
            called = true;
            self.upcalls.add(1, Relaxed);
            if self.pass(ports, position, info, mine, &mut event) {
                empty = 0;
                continue;
            }
            empty += 1;
            if empty == EMPTY {
                super::COUNTERS.endless.add(1, Relaxed);
                break;
            }
        }
        called
    }

    /// Goes through the queues or the bitmap once; true if there was something.
    fn pass(
        &self,
        ports: &ByAbi<'_>,
        position: &mut Position,
        info: VcpuInfo,
        mine: bool,
        event: &mut impl FnMut(u32),
    ) -> bool {
        match ports {
            ByAbi::TwoLevel => {
                let memory = Bits {
                    cpu: self,
                    info,
                    mine,
                };
                position.scan.all(&memory, event) != 0
            }
            ByAbi::Fifo(array) => {
                let Some(control) = self.control_block() else {
                    return false;
                };
                let memory = Queued { control, array };
                let mut found = false;
                while let Some(taken) = position.queues.take(&memory) {
                    found = true;
                    match taken {
                        fifo::Taken::Event(port) => event(port),
                        fifo::Taken::Idle(_) => {}
                        fifo::Taken::Bad(_) => super::COUNTERS.bad_queues.add(1, Relaxed),
                    }
                }
                found
            }
        }
    }
}

/// The 2-level ABI's memory, as one CPU sees it.
struct Bits<'a> {
    cpu: &'a Cpu,
    info: VcpuInfo,
    mine: bool,
}

impl bitmap::Memory for Bits<'_> {
    type Word = AtomicU64;

    fn selector(&self) -> &AtomicU64 {
        self.info.selector()
    }

    fn pending(&self, word: usize) -> Option<&AtomicU64> {
        memory::pending(word)
    }

    fn mask(&self, word: usize) -> Option<&AtomicU64> {
        memory::mask(word)
    }

    fn own(&self, word: usize) -> u64 {
        if !self.mine {
            return u64::MAX;
        }
        self.cpu.own.get(word).map_or(0, |own| own.load(SeqCst))
    }
}

/// The FIFO ABI's memory, as one CPU sees it.
struct Queued<'a> {
    control: ControlBlock,
    array: &'a memory::Array,
}

impl fifo::Memory for Queued<'_> {
    type Word = AtomicU32;

    fn ready(&self) -> &AtomicU32 {
        self.control.ready()
    }

    fn head(&self, queue: usize) -> Option<&AtomicU32> {
        self.control.head(queue)
    }

    fn port(&self, port: u32) -> Option<&AtomicU32> {
        self.array.word(port)
    }
}
