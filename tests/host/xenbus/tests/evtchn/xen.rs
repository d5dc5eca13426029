// SPDX-License-Identifier: GPL-2.0

//! The hypervisor's side of both ABIs, as its source has it, over any kind of word.

use pure_xenbus::evtchn::{
    bitmap,
    fifo,
    port::{
        Ports,
        Refused, //
    },
    shared::{
        Shared,
        Unmasked, //
    }, //
};

/// A word that can be made.
pub(crate) trait Word<T>: Shared<T> {
    fn new(value: T) -> Self;
}

impl Word<u32> for core::sync::atomic::AtomicU32 {
    fn new(value: u32) -> Self {
        Self::new(value)
    }
}

impl Word<u64> for core::sync::atomic::AtomicU64 {
    fn new(value: u64) -> Self {
        Self::new(value)
    }
}

/// A lock that the hypervisor's CPUs take; a test with one CPU needs none.
pub(crate) trait Lock {
    fn new() -> Self;
    fn with<R>(&self, work: impl FnOnce(&mut [u32; fifo::QUEUES]) -> R) -> R;
}

/// What a guest's event array and one control block are to the hypervisor.
pub(crate) struct Fifo<W, L> {
    pub(crate) words: Vec<W>,
    pub(crate) ready: W,
    pub(crate) heads: Vec<W>,
    tails: L,
    // The priority of each port.
    pub(crate) queue: Vec<usize>,
}

impl<W: Word<u32>, L: Lock> Fifo<W, L> {
    /// Ports below `count`, all masked and in the queue of the default priority.
    pub(crate) fn new(count: usize) -> Self {
        Self {
            words: (0..count).map(|_| W::new(fifo::MASKED)).collect(),
            ready: W::new(0),
            heads: (0..fifo::QUEUES).map(|_| W::new(0)).collect(),
            tails: L::new(),
            queue: vec![7; count],
        }
    }

    pub(crate) fn word(&self, port: u32) -> &W {
        &self.words[port as usize]
    }

    /// An event comes in; true if the guest is called.
    pub(crate) fn raise(&self, port: u32) -> bool {
        let queue = self.queue[port as usize];
        let linked = self.tails.with(|tails| {
            let word = self.word(port);
            word.set(fifo::PENDING);
            if word.load() & fifo::MASKED != 0 || word.set(fifo::LINKED) & fifo::LINKED != 0 {
                return true;
            }
            let tail = &mut tails[queue];
            if *tail == port {
                *tail = 0;
            }
            let linked = *tail != 0 && self.link(*tail, port);
            if !linked {
                self.heads[queue].swap(port);
            }
            *tail = port;
            linked
        });
        !linked && self.ready.set(1 << queue) & (1 << queue) == 0
    }

    /// Links a port behind another; false if that is not in the queue any more.
    fn link(&self, tail: u32, port: u32) -> bool {
        let word = self.word(tail);
        let mut busy = false;
        for _ in 0..6 {
            let old = word.load();
            if old & fifo::LINKED == 0 {
                if busy {
                    word.clear(fifo::BUSY);
                }
                return false;
            }
            let new = (old & !(fifo::BUSY | fifo::LINK)) | port;
            if word.exchange(old, new).is_ok() {
                return true;
            }
            word.set(fifo::BUSY);
            busy = true;
        }
        panic!("the guest changed the word of port {tail} too often");
    }

    /// `EVTCHNOP_unmask`.
    pub(crate) fn unmask(&self, port: u32) -> bool {
        self.word(port).clear(fifo::MASKED);
        self.word(port).load() & fifo::PENDING != 0 && self.raise(port)
    }
}

impl<W: Word<u32>, L: Lock> fifo::Memory for Fifo<W, L> {
    type Word = W;

    fn ready(&self) -> &W {
        &self.ready
    }

    fn head(&self, queue: usize) -> Option<&W> {
        self.heads.get(queue)
    }

    fn port(&self, port: u32) -> Option<&W> {
        self.words.get(port as usize)
    }
}

impl<W: Word<u32>, L: Lock> Ports for Fifo<W, L> {
    fn mask(&self, port: u32) {
        self.word(port).set(fifo::MASKED);
    }

    fn unmask(&self, port: u32) -> Result<(), Refused> {
        if fifo::unmask(self.word(port)) == Unmasked::ByHypervisor {
            Self::unmask(self, port);
        }
        Ok(())
    }

    fn clear(&self, port: u32) {
        self.word(port).clear(fifo::PENDING);
    }

    fn pretend(&self, port: u32) {
        self.word(port).set(fifo::PENDING);
    }
}

/// What the shared info page is to the hypervisor: so many words of each bitmap, and virtual CPUs.
pub(crate) struct Bitmap<W> {
    pub(crate) pending: Vec<W>,
    pub(crate) mask: Vec<W>,
    pub(crate) selectors: Vec<W>,
    /// The virtual CPU of each port, as the hypervisor knows it.
    pub(crate) bound: Vec<W>,
}

impl<W: Word<u64>> Bitmap<W> {
    /// All ports masked and bound to the first virtual CPU.
    pub(crate) fn new(words: usize, cpus: usize) -> Self {
        Self {
            pending: (0..words).map(|_| W::new(0)).collect(),
            mask: (0..words).map(|_| W::new(u64::MAX)).collect(),
            selectors: (0..cpus).map(|_| W::new(0)).collect(),
            bound: (0..words * 64).map(|_| W::new(0)).collect(),
        }
    }

    fn at(port: u32) -> (usize, u64) {
        bitmap::place(port).expect("a port of the test")
    }

    /// An event comes in; true if the guest is called.
    pub(crate) fn raise(&self, port: u32) -> bool {
        let (word, bit) = Self::at(port);
        self.pending[word].set(bit) & bit == 0
            && self.mask[word].load() & bit == 0
            && self.select(port)
    }

    /// `EVTCHNOP_unmask`.
    pub(crate) fn unmask(&self, port: u32) -> bool {
        let (word, bit) = Self::at(port);
        self.mask[word].clear(bit) & bit != 0
            && self.pending[word].load() & bit != 0
            && self.select(port)
    }

    fn select(&self, port: u32) -> bool {
        let selector = &self.selectors[self.bound[port as usize].load() as usize];
        let bit = 1 << (port / 64);
        selector.set(bit) & bit == 0
    }
}

impl<W: Word<u64>> Ports for Bitmap<W> {
    fn mask(&self, port: u32) {
        let (word, bit) = Self::at(port);
        self.mask[word].set(bit);
    }

    fn unmask(&self, port: u32) -> Result<(), Refused> {
        let (word, bit) = Self::at(port);
        if bitmap::unmask(&self.pending[word], &self.mask[word], bit) == Unmasked::ByHypervisor {
            Self::unmask(self, port);
        }
        Ok(())
    }

    fn clear(&self, port: u32) {
        let (word, bit) = Self::at(port);
        self.pending[word].clear(bit);
    }

    fn pretend(&self, port: u32) {
        let (word, bit) = Self::at(port);
        self.pending[word].set(bit);
    }
}

/// A virtual CPU's view of it.
pub(crate) struct View<'a, W> {
    pub(crate) bitmap: &'a Bitmap<W>,
    pub(crate) cpu: usize,
}

impl<W: Word<u64>> bitmap::Memory for View<'_, W> {
    type Word = W;

    fn selector(&self) -> &W {
        &self.bitmap.selectors[self.cpu]
    }

    fn pending(&self, word: usize) -> Option<&W> {
        self.bitmap.pending.get(word)
    }

    fn mask(&self, word: usize) -> Option<&W> {
        self.bitmap.mask.get(word)
    }

    fn own(&self, word: usize) -> u64 {
        (0..64)
            .filter(|bit| {
                let bound = self.bitmap.bound.get(word * 64 + bit);
                bound.is_some_and(|cpu| cpu.load() as usize == self.cpu)
            })
            .fold(0, |own, bit| own | 1 << bit)
    }
}
