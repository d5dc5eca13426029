// SPDX-License-Identifier: GPL-2.0

//! The memory that the hypervisor shares with the guest for event channels: the shared info page, and with the FIFO ABI
//! the event array and the control blocks.

use super::{
    bitmap,
    calls,
    fifo,
    port::{
        Ports,
        Refused, //
    },
    report,
    shared::{
        Shared,
        Unmasked, //
    },
    COUNTERS, //
};
use crate::platform;
use core::{
    ptr::NonNull,
    sync::atomic::{
        AtomicU32,
        AtomicU64,
        AtomicU8,
        Ordering::SeqCst, //
    },
};
use kernel::{
    interrupt::local_interrupt_disable,
    page::{
        Page,
        PAGE_SIZE, //
    },
    prelude::*,
    sync::atomic::{
        Acquire,
        Atomic,
        Relaxed,
        Release, //
    }, //
};
use rxen_bindings as bindings;

/// Words in a page of the event array.
const WORDS: usize = PAGE_SIZE / size_of::<u32>();
/// Pages that the event array can have.
const PAGES: usize = fifo::PORTS as usize / WORDS;

const _: () = {
    assert!(fifo::PENDING == 1 << bindings::EVTCHN_FIFO_PENDING);
    assert!(fifo::MASKED == 1 << bindings::EVTCHN_FIFO_MASKED);
    assert!(fifo::LINKED == 1 << bindings::EVTCHN_FIFO_LINKED);
    assert!(fifo::BUSY == 1 << bindings::EVTCHN_FIFO_BUSY);
    assert!(fifo::LINK == (1 << bindings::EVTCHN_FIFO_LINK_BITS) - 1);
    assert!(fifo::PORTS == 1 << bindings::EVTCHN_FIFO_LINK_BITS);
    assert!(size_of::<bindings::evtchn_fifo_control_block>() == (2 + fifo::QUEUES) * 4);
};

/// One word of the shared info page's bitmaps, as long as native event channels run.
fn bitmap_word(first: *const u64, word: usize) -> Option<&'static AtomicU64> {
    // SAFETY: The page is mapped as long as native event channels run, both bitmaps have `WORDS` words in it, and the
    // guest accesses them here only.
    (word < bitmap::WORDS).then(|| unsafe { &*first.add(word).cast() })
}

/// A word of the events of the 2-level ABI.
pub(super) fn pending(word: usize) -> Option<&'static AtomicU64> {
    let page = platform::native::shared_info().as_ptr();
    // SAFETY: Only computes an address within the page.
    bitmap_word(unsafe { &raw const (*page).evtchn_pending }.cast(), word)
}

/// A word of the masks of the 2-level ABI.
pub(super) fn mask(word: usize) -> Option<&'static AtomicU64> {
    let page = platform::native::shared_info().as_ptr();
    // SAFETY: Only computes an address within the page.
    bitmap_word(unsafe { &raw const (*page).evtchn_mask }.cast(), word)
}

/// What the shared info page has for one virtual CPU.
#[derive(Clone, Copy)]
pub(super) struct VcpuInfo(*const bindings::vcpu_info);

impl VcpuInfo {
    /// How many virtual CPUs have their place there. Others get no events.
    pub(super) const COUNT: u32 = bindings::MAX_VIRT_CPUS;

    /// That of a virtual CPU.
    pub(super) fn new(vcpu: u32) -> Option<Self> {
        if vcpu >= Self::COUNT {
            return None;
        }
        let page = platform::native::shared_info().as_ptr();
        // SAFETY: Only computes an address, within the page.
        let infos = unsafe { &raw const (*page).vcpu_info }.cast::<bindings::vcpu_info>();
        // SAFETY: There are that many.
        Some(Self(unsafe { infos.add(vcpu as usize) }))
    }

    /// Not zero when the hypervisor has called.
    pub(super) fn upcall_pending(&self) -> &'static AtomicU8 {
        // SAFETY: In the shared info page by the type's construction, mapped as long as native event channels run; the
        // guest accesses it here only.
        unsafe { &*(&raw const (*self.0).evtchn_upcall_pending).cast() }
    }

    /// The first level of the 2-level ABI.
    pub(super) fn selector(&self) -> &'static AtomicU64 {
        // SAFETY: As above.
        unsafe { &*(&raw const (*self.0).evtchn_pending_sel).cast() }
    }
}

/// Masks all ports of the 2-level ABI and forgets what has come in for any virtual CPU.
pub(super) fn silence() {
    for word in 0..bitmap::WORDS {
        if let Some(mask) = mask(word) {
            mask.store(u64::MAX, SeqCst);
        }
    }
    for info in (0..VcpuInfo::COUNT).filter_map(VcpuInfo::new) {
        info.selector().store(0, SeqCst);
        info.upcall_pending().store(0, SeqCst);
    }
}

/// A page that is given to the hypervisor, zeroed.
pub(super) fn new_page() -> Result<Page> {
    Ok(Page::alloc_page(GFP_KERNEL | __GFP_ZERO)?)
}

/// Where a page of ours is mapped.
pub(super) fn address(page: &Page) -> NonNull<AtomicU32> {
    // SAFETY: The page is valid; on x86-64 all memory is mapped, so this is no null pointer.
    unsafe { NonNull::new_unchecked(bindings::rxen_page_address(page.as_ptr()).cast()) }
}

/// The guest frame of a page of ours.
pub(super) fn gfn(page: NonNull<AtomicU32>) -> u64 {
    // SAFETY: Only pages that `address` gave come here: these are in the kernel's direct map.
    unsafe { bindings::rxen_address_to_gfn(page.as_ptr().cast()) as u64 }
}

/// The event array of the FIFO ABI.
///
/// # Invariants
///
/// Each entry that is set is the address of a page of words that stays until native event channels end; the hypervisor
/// has the first `count` of them. Entries are set in their order, by who holds the pool's lock.
pub(super) struct Array {
    pages: [Atomic<*mut AtomicU32>; PAGES],
    count: Atomic<usize>,
}

impl Array {
    /// Without a page.
    pub(super) const fn new() -> Self {
        // INVARIANT: No entries.
        Self {
            pages: [const { Atomic::new(core::ptr::null_mut()) }; PAGES],
            count: Atomic::new(0),
        }
    }

    /// The word of a port; [`None`] beyond the end of the array.
    #[inline]
    pub(super) fn word(&self, port: u32) -> Option<&AtomicU32> {
        let (page, word) = (port as usize / WORDS, port as usize % WORDS);
        if page >= self.count.load(Acquire) {
            return None;
        }
        let first = self.pages.get(page)?.load(Relaxed);
        // SAFETY: By the invariant this is a page of words.
        Some(unsafe { &*first.add(word) })
    }

    /// Ports that have a word.
    pub(super) fn ports(&self) -> u32 {
        (self.count.load(Relaxed) * WORDS) as u32
    }

    /// Makes the array reach up to a port. New pages are put into `pages`, which owns them. The caller holds the pool's
    /// lock.
    pub(super) fn reach(&self, port: u32, pages: &mut KVec<Page>) -> Result {
        while port >= self.ports() {
            if self.extend()? {
                continue;
            }
            let page = new_page()?;
            let address = address(&page);
            pages.push(page, GFP_KERNEL)?;
            self.place(address)?;
        }
        Ok(())
    }

    /// Puts a page behind the others that were ever added.
    fn place(&self, page: NonNull<AtomicU32>) -> Result {
        let mut entries = self.pages.iter();
        let entry = entries.find(|entry| entry.load(Relaxed).is_null());
        entry.ok_or(ENOSPC)?.store(page.as_ptr(), Relaxed);
        Ok(())
    }

    /// Gives the hypervisor the next page, with all ports masked; false if it has all. A restore does not come in
    /// between: it would give the hypervisor the pages in another order than this would count them.
    fn extend(&self) -> Result<bool> {
        let _off = local_interrupt_disable();
        let count = self.count.load(Relaxed);
        let entry = self.pages.get(count).map(|entry| entry.load(Relaxed));
        let Some(first) = entry.and_then(NonNull::new) else {
            return Ok(false);
        };
        for word in 0..WORDS {
            // SAFETY: The entry is a page of words.
            unsafe { first.add(word).as_ref() }.store(fifo::MASKED, SeqCst);
        }
        calls::expand_array(gfn(first))?;
        // INVARIANT: The hypervisor has it now.
        self.count.store(count + 1, Release);
        Ok(true)
    }

    /// Forgets that the hypervisor has any page. With all other CPUs stopped.
    pub(super) fn forget(&self) {
        self.count.store(0, Relaxed);
    }

    /// Gives the hypervisor all pages that it does not have. With all other CPUs stopped.
    pub(super) fn restore(&self) -> Result {
        while self.extend()? {}
        Ok(())
    }
}

/// The control block of a virtual CPU.
///
/// # Invariants
///
/// The address of a page that stays until native event channels end.
#[derive(Clone, Copy)]
pub(super) struct ControlBlock(NonNull<AtomicU32>);

impl ControlBlock {
    /// That in a page.
    ///
    /// # Safety
    ///
    /// The page must stay until native event channels end.
    pub(super) unsafe fn new(page: &Page) -> Self {
        // INVARIANT: The caller promises it.
        Self(address(page))
    }

    /// Gives it to the hypervisor, empty.
    pub(super) fn register(self, vcpu: u32) -> Result {
        for word in 0..2 + fifo::QUEUES {
            self.word(word).store(0, SeqCst);
        }
        calls::init_control(vcpu, gfn(self.0))
    }

    /// The bits of the queues that have something at a new head.
    #[inline]
    pub(super) fn ready(self) -> &'static AtomicU32 {
        self.word(0)
    }

    /// The new head of a queue.
    #[inline]
    pub(super) fn head(self, queue: usize) -> Option<&'static AtomicU32> {
        (queue < fifo::QUEUES).then(|| self.word(2 + queue))
    }

    /// A word of it, of the `2 + QUEUES` that there are.
    #[inline]
    fn word(self, word: usize) -> &'static AtomicU32 {
        // SAFETY: A page by the invariant, and all words are in its first few bytes.
        unsafe { self.0.add(word).as_ref() }
    }
}

// SAFETY: Only words that are accessed atomically are reached through it.
unsafe impl Send for ControlBlock {}
// SAFETY: As above.
unsafe impl Sync for ControlBlock {}

/// The ports, by one of the two ABIs.
pub(super) enum ByAbi<'a> {
    /// The 2-level ABI.
    TwoLevel,
    /// The FIFO ABI with this array.
    Fifo(&'a Array),
}

impl ByAbi<'_> {
    /// Whether a port has an event, and whether it is masked.
    pub(super) fn look(&self, port: u32) -> (bool, bool) {
        match self {
            Self::Fifo(array) => {
                let word = array.word(port).map_or(0, |word| word.load(SeqCst));
                (word & fifo::PENDING != 0, word & fifo::MASKED != 0)
            }
            Self::TwoLevel => {
                let is_set = |words| {
                    place(words, port).is_some_and(|(word, bit)| word.load(SeqCst) & bit != 0)
                };
                (is_set(pending), is_set(mask))
            }
        }
    }
}

/// Has the hypervisor unmask a port.
fn by_hypervisor(port: u32) -> Result<(), Refused> {
    COUNTERS.unmasked_by_hypervisor.add(1, Relaxed);
    match calls::unmask(port) {
        Ok(()) => Ok(()),
        // A port that is gone: there are no events to miss.
        Err(error) if calls::is_final(error) => Ok(()),
        Err(error) => {
            report::refused(&COUNTERS.unmasks_refused, || {
                pr_warn!(
                    "port {}: Xen refuses to unmask it ({}); trying again\n",
                    port,
                    error.to_errno()
                );
            });
            Err(Refused)
        }
    }
}

impl Ports for ByAbi<'_> {
    fn mask(&self, port: u32) {
        match self {
            Self::Fifo(array) => {
                if let Some(word) = array.word(port) {
                    word.set(fifo::MASKED);
                }
            }
            Self::TwoLevel => {
                if let Some((mask, bit)) = place(mask, port) {
                    mask.set(bit);
                }
            }
        }
    }

    fn unmask(&self, port: u32) -> Result<(), Refused> {
        let unmasked = match self {
            Self::Fifo(array) => array.word(port).map(fifo::unmask),
            Self::TwoLevel => match (place(pending, port), place(mask, port)) {
                (Some((pending, bit)), Some((mask, _))) => Some(bitmap::unmask(pending, mask, bit)),
                _ => None,
            },
        };
        if unmasked == Some(Unmasked::ByHypervisor) {
            by_hypervisor(port)
        } else {
            Ok(())
        }
    }

    fn clear(&self, port: u32) {
        match self {
            Self::Fifo(array) => {
                if let Some(word) = array.word(port) {
                    word.clear(fifo::PENDING);
                }
            }
            Self::TwoLevel => {
                if let Some((pending, bit)) = place(pending, port) {
                    pending.clear(bit);
                }
            }
        }
    }

    fn pretend(&self, port: u32) {
        match self {
            Self::Fifo(array) => {
                if let Some(word) = array.word(port) {
                    word.set(fifo::PENDING);
                }
            }
            Self::TwoLevel => {
                if let Some((pending, bit)) = place(pending, port) {
                    pending.set(bit);
                }
            }
        }
    }
}

/// The word and the bit of a port in one of the bitmaps.
fn place(
    words: fn(usize) -> Option<&'static AtomicU64>,
    port: u32,
) -> Option<(&'static AtomicU64, u64)> {
    let (word, bit) = bitmap::place(port)?;
    Some((words(word)?, bit))
}
